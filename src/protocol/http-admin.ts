// The endpoints behind the admin key: people, bans, invitations, groups and the audit log.
import { z } from 'zod';
import { type Endpoint, message, nothing, plainRefusals, time, uid } from './endpoint.ts';
import { limits } from './entities.ts';
import * as field from './fields.ts';

const account = z.object({ MEMBER_UID: field.uid });
const adminPage = field.pageSize(limits.adminPageMax).nullish();

/** What every line here has in common: a missing key is 401, a wrong one 403, a bad body 400. */
const byKey = { method: 'POST', credentials: 'key', refusals: { ...plainRefusals, mismatch: 403 } } as const;

export const adminEndpoints = {
  adminUsers: {
    ...byKey,
    path: '/admin_users',
    request: z.object({
      QUERY: z
        .string('is not a string')
        .trim()
        .normalize('NFC')
        .max(limits.emailLength, 'is too long')
        .nullish(),
      AFTER: z.union([z.literal(0), field.uid], 'is not an account number').nullish(),
      LIMIT: adminPage,
    }),
    response: z.object({
      message,
      users: z.array(
        z.object({
          UID: uid,
          NAME: z.string(),
          EMAIL: z.string(),
          CREATED_ON: time,
          VERIFIED: z.boolean(),
          BANNED: z.boolean(),
          BAN_REASON: z.string(),
          SESSIONS: z.number().int(),
        }),
      ),
    }),
    statuses: [200, 400, 401, 403],
  },
  adminVerify: {
    ...byKey,
    path: '/admin_verify',
    request: account,
    response: z.object({ message }),
    statuses: [200, 400, 401, 403, 404, 409],
  },
  adminBan: {
    ...byKey,
    path: '/admin_ban',
    request: account.extend({ REASON: field.note.nullish() }),
    response: z.object({ message }),
    statuses: [200, 400, 401, 403, 404, 409],
  },
  adminUnban: {
    ...byKey,
    path: '/admin_unban',
    request: account,
    response: z.object({ message }),
    statuses: [200, 400, 401, 403, 404, 409],
  },
  adminEndSessions: {
    ...byKey,
    path: '/admin_end_sessions',
    request: account,
    response: z.object({ message, SESSIONS: z.number().int() }),
    statuses: [200, 400, 401, 403, 404],
  },
  adminRemoveMessage: {
    ...byKey,
    path: '/admin_remove_message',
    request: z.object({ GROUP_ID: field.chatId, MESSAGE_ID: field.position }),
    response: z.object({ message }),
    statuses: [200, 400, 401, 403, 404, 409],
  },
  adminInvite: {
    ...byKey,
    path: '/admin_invite',
    request: z.object({
      USES: field.wholeNumber(1, limits.invitationUses),
      DAYS: field.wholeNumber(1, limits.invitationDays),
    }),
    response: z.object({ message, CODE: z.string(), EXPIRES_ON: time }),
    statuses: [200, 400, 401, 403],
  },
  adminInvitations: {
    ...byKey,
    path: '/admin_invitations',
    request: nothing,
    response: z.object({
      message,
      invitations: z.array(
        z.object({ ID: z.number().int(), USES_LEFT: z.number().int(), CREATED_ON: time, EXPIRES_ON: time }),
      ),
    }),
    statuses: [200, 400, 401, 403],
  },
  adminGroups: {
    ...byKey,
    path: '/admin_groups',
    request: z.object({
      AFTER: z.union([z.literal(''), field.chatId], 'is not a group id').nullish(),
      LIMIT: adminPage,
    }),
    response: z.object({
      message,
      groups: z.array(
        z.object({
          GROUP_ID: z.string(),
          NAME: z.string(),
          CREATION_DATE: time,
          MEMBERS: z.number().int(),
          OWNER_UID: uid.nullable(),
          LAST_MESSAGE_ID: z.number().int(),
          LAST_MESSAGE_TIME: time.nullable(),
        }),
      ),
    }),
    statuses: [200, 400, 401, 403],
  },
  adminAudit: {
    ...byKey,
    path: '/admin_audit',
    request: z.object({
      MEMBER_UID: field.uid.nullish(),
      BEFORE: field.position.nullish(),
      LIMIT: adminPage,
    }),
    response: z.object({
      message,
      entries: z.array(
        z.object({
          ID: z.number().int(),
          TIME_STAMP: time,
          KIND: z.string(),
          UID: uid.nullable(),
          ACTOR: z.enum(['self', 'admin', 'command', 'server']),
          ADDRESS: z.string(),
          DETAIL: z.string(),
        }),
      ),
    }),
    statuses: [200, 400, 401, 403],
  },
} as const satisfies Record<string, Endpoint>;
