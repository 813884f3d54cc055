// The endpoints of the optional second factor: codes by time (RFC 6238) and the recovery codes beside them.
import { z } from 'zod';
import { type Endpoint, message, plainRefusals } from './endpoint.ts';
import * as field from './fields.ts';

const recoveryCodes = z.object({ message, RECOVERY_CODES: z.array(z.string()) });

/** What all of them have in common. */
const factorEndpoint = {
  method: 'POST',
  credentials: 'session',
  statuses: [200, 400, 401, 409, 429],
  refusals: plainRefusals,
} as const;

export const secondFactorEndpoints = {
  enrollTotp: {
    ...factorEndpoint,
    path: '/enroll_totp',
    request: z.object({ PASSWORD: field.triedPassword }),
    response: z.object({ message, SECRET: z.string(), URI: z.string() }),
  },
  confirmTotp: {
    ...factorEndpoint,
    path: '/confirm_totp',
    request: z.object({ CODE: field.typedCode }),
    response: recoveryCodes,
  },
  disableTotp: {
    ...factorEndpoint,
    path: '/disable_totp',
    request: z.object({ PASSWORD: field.triedPassword, CODE: field.typedCode }),
    response: z.object({ message }),
  },
  newRecoveryCodes: {
    ...factorEndpoint,
    path: '/new_recovery_codes',
    request: z.object({ PASSWORD: field.triedPassword, CODE: field.typedCode }),
    response: recoveryCodes,
  },
} as const satisfies Record<string, Endpoint>;
