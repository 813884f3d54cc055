// The endpoints of chats, groups and history.
import { z } from 'zod';
import { answered, type Endpoint, message, nothing, plainRefusals, time, uid } from './endpoint.ts';
import { limits, roles } from './entities.ts';
import * as field from './fields.ts';

const chatEntry = z.object({
  NAME: z.string(),
  PROFILE_PIC: z.string(),
  CREATION_DATE: time,
  KIND: z.enum(['group', 'direct']),
  LAST_MESSAGE_ID: z.number().int(),
  LAST_MESSAGE: z.string(),
  LAST_MESSAGE_TIME: time.nullable(),
  READ_MESSAGE_ID: z.number().int(),
  FIRST_MESSAGE_ID: z.number().int(),
  RETENTION_DAYS: z.number().int(),
});
export const chatList = z.record(z.string(), chatEntry);
const oldMessage = z.object({
  SENDER_ID: uid,
  SENDER_NAME: z.string(),
  MESSAGE: z.string(),
  PROFILE_PIC: z.string(),
  TIME_STAMP: time,
  REMOVED: z.literal(true).optional(),
});
const groupMember = z.object({ GROUP_ID: field.chatId, MEMBER_UID: field.uid });
const person = z.object({ NAME: z.string(), PROFILE_PIC: z.string() });
const byUid = z.string().regex(/^\d+$/);

export const chatEndpoints = {
  listChats: {
    method: 'POST',
    path: '/get_all_chats',
    credentials: 'session',
    kind: 'read',
    request: nothing,
    response: z.object({ message, chats: chatList }),
    statuses: [200, 403, 404],
    refusals: answered(403),
  },
  oldMessages: {
    method: 'POST',
    path: '/get_old_messages',
    credentials: 'session',
    kind: 'history',
    request: z.object({
      GROUP_ID: field.chatId.nullish(),
      BEFORE: field.position.nullish(),
      AFTER: field.position.nullish(),
      LIMIT: field.pageSize(limits.historyPageMax).nullish(),
    }),
    response: z.object({
      message,
      groups_messages: z.record(z.string(), z.record(z.string().regex(/^\d+$/), oldMessage)),
    }),
    statuses: [200, 400, 403],
    refusals: { unreadable: 400, missing: 400, mismatch: 403, unverified: 403, invalid: 400 },
  },
  createGroup: {
    method: 'POST',
    path: '/create_group',
    credentials: 'session',
    request: z.object({
      NAME: field.groupName,
      PROFILE_PIC: field.picture.nullish(),
      MEMBERS: z
        .array(field.uid, 'is not a list of account numbers')
        .max(limits.groupMembersAtOnce, `has more than ${limits.groupMembersAtOnce} people`)
        .nullish(),
    }),
    response: z.object({ message, GROUP_ID: z.string() }),
    statuses: [200, 400, 401, 404, 409],
    refusals: plainRefusals,
  },
  addMember: {
    method: 'POST',
    path: '/add_member',
    credentials: 'session',
    request: groupMember,
    response: z.object({ message }),
    statuses: [200, 400, 401, 403, 404, 409],
    refusals: plainRefusals,
  },
  removeMember: {
    method: 'POST',
    path: '/remove_member',
    credentials: 'session',
    request: groupMember,
    response: z.object({ message }),
    statuses: [200, 400, 401, 403, 404, 409],
    refusals: plainRefusals,
  },
  setRole: {
    method: 'POST',
    path: '/set_role',
    credentials: 'session',
    request: groupMember.extend({ ROLE: z.enum(roles, `must be one of ${roles.join(', ')}`) }),
    response: z.object({ message }),
    statuses: [200, 400, 401, 403, 404, 409],
    refusals: plainRefusals,
  },
  setRetention: {
    method: 'POST',
    path: '/set_retention',
    credentials: 'session',
    request: z.object({ GROUP_ID: field.chatId, RETENTION_DAYS: field.retentionDays }),
    response: z.object({ message, RETENTION_DAYS: z.number().int() }),
    statuses: [200, 400, 401, 403, 404],
    refusals: plainRefusals,
  },
  listMembers: {
    method: 'POST',
    path: '/get_members',
    credentials: 'session',
    kind: 'read',
    request: z.object({
      GROUP_ID: field.chatId,
      AFTER: z.union([z.literal(0), field.uid], 'is not an account number').nullish(),
      LIMIT: field.pageSize(limits.peoplePageMax).nullish(),
    }),
    response: z.object({ message, members: z.record(byUid, person.extend({ ROLE: z.enum(roles) })) }),
    statuses: [200, 400, 401, 404],
    refusals: plainRefusals,
  },
  leaveGroup: {
    method: 'POST',
    path: '/leave_group',
    credentials: 'session',
    request: z.object({ GROUP_ID: field.chatId }),
    response: z.object({ message }),
    statuses: [200, 400, 401, 403, 404],
    refusals: plainRefusals,
  },
  removeMessage: {
    method: 'POST',
    path: '/remove_message',
    credentials: 'session',
    request: z.object({ GROUP_ID: field.chatId, MESSAGE_ID: field.position }),
    response: z.object({ message }),
    statuses: [200, 400, 401, 403, 404, 409],
    refusals: plainRefusals,
  },
  blockUser: {
    method: 'POST',
    path: '/block_user',
    credentials: 'session',
    request: z.object({ BLOCKED_UID: field.uid }),
    response: z.object({ message }),
    statuses: [200, 400, 401, 404, 409],
    refusals: plainRefusals,
  },
  unblockUser: {
    method: 'POST',
    path: '/unblock_user',
    credentials: 'session',
    request: z.object({ BLOCKED_UID: field.uid }),
    response: z.object({ message }),
    statuses: [200, 400, 401, 404, 409],
    refusals: plainRefusals,
  },
  listBlocked: {
    method: 'POST',
    path: '/get_blocked_users',
    credentials: 'session',
    kind: 'read',
    request: nothing,
    response: z.object({ message, users: z.record(byUid, person) }),
    statuses: [200, 400, 401],
    refusals: plainRefusals,
  },
} as const satisfies Record<string, Endpoint>;
