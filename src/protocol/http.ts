// The HTTP contract: every endpoint with its request, its answer and the statuses it may refuse with.
import type { Endpoint } from './endpoint.ts';
import { accountEndpoints } from './http-accounts.ts';
import { adminEndpoints } from './http-admin.ts';
import { chatEndpoints } from './http-chats.ts';
import { opsEndpoints } from './http-ops.ts';
import { ownDataEndpoints } from './http-own-data.ts';
import { secondFactorEndpoints } from './http-second-factor.ts';
import { sessionEndpoints } from './http-sessions.ts';

/** Texts the client in use compares letter for letter. */
export const exactMessages = {
  loginUnverified: 'Access Denaid ! Verification pending',
  tokenUnverified: 'Verification pending',
  emailTaken: 'Email already Associated with another Account',
  codeSent: 'OTP sent sucessfully',
} as const;

export const endpoints = {
  ...accountEndpoints,
  ...secondFactorEndpoints,
  ...sessionEndpoints,
  ...ownDataEndpoints,
  ...chatEndpoints,
  ...opsEndpoints,
  ...adminEndpoints,
} as const satisfies Record<string, Endpoint>;
