// The endpoints of sessions and of forgotten passwords.
import { z } from 'zod';
import { type Endpoint, message, nothing, plainRefusals, time } from './endpoint.ts';
import * as field from './fields.ts';

export const sessionEndpoints = {
  listSessions: {
    method: 'POST',
    path: '/get_sessions',
    credentials: 'session',
    kind: 'read',
    request: nothing,
    response: z.object({
      message,
      sessions: z.array(
        z.object({
          SESSION_ID: z.number().int().positive(),
          CREATED_ON: time,
          /** To the hour. */
          LAST_USED_ON: time,
          DEVICE: z.string(),
          CURRENT: z.boolean(),
        }),
      ),
    }),
    statuses: [200, 400, 401],
    refusals: plainRefusals,
  },
  logOut: {
    method: 'POST',
    path: '/logout',
    credentials: 'session',
    request: z.object({ SESSION_ID: field.sessionId.nullish() }),
    response: z.object({ message }),
    statuses: [200, 400, 401, 404],
    refusals: plainRefusals,
  },
  logOutAll: {
    method: 'POST',
    path: '/logout_all',
    credentials: 'session',
    request: nothing,
    response: z.object({ message, ENDED: z.number().int().positive() }),
    statuses: [200, 400, 401],
    refusals: plainRefusals,
  },
  forgotPassword: {
    method: 'POST',
    path: '/forgot_password',
    credentials: 'none',
    kind: 'forgot',
    request: z.object({ EMAIL: field.email }),
    response: z.object({ message }),
    statuses: [200, 400],
    refusals: plainRefusals,
  },
  resetPassword: {
    method: 'POST',
    path: '/reset_password',
    credentials: 'none',
    kind: 'reset',
    request: z.preprocess(
      (body) => ({ ...(body as Record<string, unknown>), OTP: field.sentCode(body) }),
      z.object({ EMAIL: field.email, OTP: field.typedCode, NEW_PASSWORD: field.password }),
    ),
    response: z.object({ message }),
    statuses: [200, 400, 401],
    refusals: plainRefusals,
  },
} as const satisfies Record<string, Endpoint>;
