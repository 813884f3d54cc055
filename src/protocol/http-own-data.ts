// The endpoints of one's own data: having it all, and having it erased.
import { z } from 'zod';
import { type Endpoint, message, plainRefusals, time, uid } from './endpoint.ts';
import * as field from './fields.ts';

export const ownDataEndpoints = {
  deleteAccount: {
    method: 'POST',
    path: '/delete_account',
    credentials: 'session',
    request: z.object({
      PASSWORD: field.triedPassword,
      MESSAGES: z
        .enum(['keep', 'remove'], 'must be keep or remove')
        .nullish()
        .transform((fate) => fate ?? 'keep'),
      TOTP: field.optionalCode,
    }),
    response: z.object({ message }),
    statuses: [200, 400, 401, 403, 409],
    refusals: plainRefusals,
  },
  exportData: {
    method: 'POST',
    path: '/export_data',
    credentials: 'session',
    request: z.object({ PASSWORD: field.triedPassword }),
    response: z.object({
      message,
      EXPORTED_ON: time,
      account: z.object({
        UID: uid,
        FIRST_NAME: z.string(),
        LAST_NAME: z.string(),
        EMAIL: z.string(),
        PHONE: z.string(),
        DOB: z.string().nullable(),
        PROFILE_PIC: z.string(),
        CREATION_DATE: time,
        VERIFIED_ON: time.nullable(),
        SECOND_FACTOR: z.boolean(),
        BLOCKED: z.array(uid),
      }),
      sessions: z.array(
        z.object({
          SESSION_ID: z.number().int().positive(),
          CREATED_ON: time,
          LAST_USED_ON: time,
          DEVICE: z.string(),
        }),
      ),
      chats: z.array(
        z.object({
          GROUP_ID: z.string(),
          NAME: z.string(),
          KIND: z.enum(['group', 'direct']),
          CREATION_DATE: time,
          ROLE: z.enum(['owner', 'admin', 'member']),
          JOINED_ON: time,
          READ_MESSAGE_ID: z.number().int(),
        }),
      ),
      messages: z.array(
        z.object({
          GROUP_ID: z.string(),
          MESSAGE_ID: z.number().int().positive(),
          TIME_STAMP: time,
          MESSAGE: z.string(),
          REMOVED: z.literal(true).optional(),
        }),
      ),
    }),
    statuses: [200, 400, 401],
    refusals: plainRefusals,
  },
} as const satisfies Record<string, Endpoint>;
