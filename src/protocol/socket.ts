// The WebSocket contract: the envelope, every event a client may send and every event it may get.
import { z } from 'zod';
import { roles } from './entities.ts';
import { chatId, position, secret, uid } from './fields.ts';
import { chatList } from './http-chats.ts';

/** Correlates a reply with what it answers; sent back as it came. */
const correlationId = z.union([z.string().max(64), z.number()]);

/** `{"event", "data"}` both ways, with an optional `"id"`. */
export const envelope = z.object({
  event: z.string().max(64),
  data: z.record(z.string(), z.unknown()).nullish(),
  id: correlationId.nullish(),
});

const epoch = z.string().max(64);
/** The newest MESSAGE_ID a client has, by GROUP_ID. */
const cursors = z
  .record(z.string().regex(/^\d{1,40}$/), position)
  .refine((positions) => Object.keys(positions).length <= 1000, 'has more than 1000 chats');

/** What a returning client has goes along: it is then pushed what it missed, and subscribed in the turn of the last. */
const announce = z.object({
  UID: uid,
  TOKEN: secret,
  EPOCH: epoch.nullish(),
  CURSORS: cursors.nullish(),
});
const send = z.object({
  SENDER_ID: uid.nullish(),
  MESSAGE: z.string('is not a string'),
  GROUP_ID: chatId,
  CLIENT_MESSAGE_ID: z.string().min(1).max(64).nullish(),
});

const resume = z.object({ EPOCH: epoch, CURSORS: cursors });
const mark = z.object({ GROUP_ID: chatId, MESSAGE_ID: position });

export type AnnounceRequest = z.output<typeof announce>;
export type SendRequest = z.output<typeof send>;
export type ResumeRequest = z.output<typeof resume>;
export type MarkRequest = z.output<typeof mark>;

/** What each event carries from the client. Three names announce: the seed's, the client in use's, an older one's. */
export const clientEvents = {
  wants_all_his_chats: announce,
  get_all_messages: announce,
  get_all_chat_list: announce,
  send_message: send,
  send_message_new_chat: send,
  resume,
  mark_read: mark,
  connect_user: z.object({}),
  ping: z.object({}),
} as const;

export type ClientEvent = keyof typeof clientEvents;

const errorReply = z.object({ status_code: z.number().int().min(400).max(599), message: z.string() });
const delivered = z.object({
  SENDER_ID: z.number().int().positive(),
  SENDER_NAME: z.string(),
  MESSAGE: z.string(),
  GROUP_ID: z.union([z.string(), z.number()]),
  MESSAGE_ID: z.number().int().positive(),
  TIME_STAMP: z.iso.datetime({ precision: 3 }),
  PROFILE_PIC: z.string(),
  /** It was removed meanwhile. */
  REMOVED: z.literal(true).optional(),
});
/** The reply to a sender; DUPLICATE when the message had been sent before. */
const acknowledged = delivered.extend({
  status_code: z.literal(200),
  DUPLICATE: z.literal(true).optional(),
});
const announced = z.object({
  status_code: z.literal(200),
  message: z.string(),
  EPOCH: z.string(),
  /** The EPOCH that was sent is of another history: nothing was replayed. */
  RESET: z.literal(true).optional(),
  chats: chatList,
});
const ok = z.object({ status_code: z.literal(200), message: z.string() });
/** What the client in use shows in the open chat when a `send_message` failed. */
const serverNotice = z.object({
  SENDER_ID: z.literal(0),
  SENDER_NAME: z.literal('Server'),
  GROUP_ID: z.union([z.string(), z.number()]),
  MESSAGE: z.string(),
  MESSAGE_ID: z.literal(0),
  TIME_STAMP: z.iso.datetime({ precision: 3 }),
});

/** What each event carries to the client: the reply to its own, or a push. */
export const serverEvents = {
  wants_all_his_chats: z.union([announced, errorReply]),
  get_all_messages: z.union([announced, errorReply]),
  get_all_chat_list: z.union([announced, errorReply]),
  send_message: z.union([acknowledged, delivered, errorReply.extend({ content: serverNotice })]),
  send_message_new_chat: z.union([acknowledged, errorReply]),
  resume: z.union([
    ok.extend({ EPOCH: z.string(), RESET: z.literal(true).optional() }),
    z.object({
      GROUP_ID: z.string(),
      GAP: z.literal(true),
      FROM: z.number().int().positive(),
      TO: z.number().int().positive(),
      /** They were removed for their age: there is nothing to be fetched. */
      REMOVED: z.literal(true).optional(),
    }),
    errorReply,
  ]),
  mark_read: z.union([
    z.object({
      status_code: z.literal(200).optional(),
      GROUP_ID: z.union([z.string(), z.number()]),
      MESSAGE_ID: z.number().int().min(0),
    }),
    errorReply,
  ]),
  connect_user: z.union([ok, errorReply]),
  ping: z.union([ok, errorReply]),
  chat_changed: z.union([
    z.object({
      GROUP_ID: z.string(),
      NAME: z.string(),
      PROFILE_PIC: z.string(),
      CREATION_DATE: z.iso.datetime({ precision: 3 }),
      LAST_MESSAGE_ID: z.number().int().min(0),
    }),
    z.object({ GROUP_ID: z.string(), REMOVED: z.literal(true) }),
  ]),
  member_changed: z.object({
    GROUP_ID: z.string(),
    MEMBER_UID: z.number().int().positive(),
    ROLE: z.enum(roles).optional(),
    REMOVED: z.literal(true).optional(),
  }),
  message_changed: z.object({
    GROUP_ID: z.string(),
    MESSAGE_ID: z.number().int().positive(),
    MESSAGE: z.string(),
    REMOVED: z.literal(true),
  }),
  error: errorReply,
} as const;
