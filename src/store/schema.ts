// The tables as Drizzle knows them; migrations/ creates them. All times are ms since the epoch.
import { integer, primaryKey, sqliteTable, text } from 'drizzle-orm/sqlite-core';

export const accounts = sqliteTable('accounts', {
  /** Random and public; how everybody else names the account. */
  uid: integer('uid').primaryKey(),
  firstName: text('first_name').notNull(),
  lastName: text('last_name').notNull(),
  /** The names in lower case, for searches by prefix in any script. */
  firstKey: text('first_key').notNull(),
  lastKey: text('last_key').notNull(),
  email: text('email').notNull(),
  /** The address in lower case: what must be unique. */
  emailKey: text('email_key').notNull().unique(),
  phone: text('phone').notNull(),
  dob: text('dob'),
  picture: text('picture').notNull(),
  passwordHash: text('password_hash').notNull(),
  createdAt: integer('created_at').notNull(),
  verifiedAt: integer('verified_at'),
  /** When an account made by sign-up and never verified is removed; null for all others. */
  expiresAt: integer('expires_at'),
  /** Null unless the account is banned. */
  bannedAt: integer('banned_at'),
  banReason: text('ban_reason'),
});

export const sessions = sqliteTable('sessions', {
  id: integer('id').primaryKey({ autoIncrement: true }),
  uid: integer('uid').notNull(),
  cookieHash: text('cookie_hash').notNull().unique(),
  tokenHash: text('token_hash').notNull().unique(),
  createdAt: integer('created_at').notNull(),
  lastUsedAt: integer('last_used_at').notNull(),
  /** What the client called itself when it logged in; shown to its owner. */
  device: text('device').notNull().default(''),
});

export const codes = sqliteTable('codes', {
  id: integer('id').primaryKey(),
  uid: integer('uid').notNull(),
  purpose: text('purpose', { enum: ['verify', 'email_change', 'email_undo', 'reset'] }).notNull(),
  /** The address the code was mailed to, in lower case. */
  target: text('target').notNull(),
  codeHash: text('code_hash').notNull(),
  createdAt: integer('created_at').notNull(),
  expiresAt: integer('expires_at').notNull(),
  wrongTries: integer('wrong_tries').notNull().default(0),
  usedAt: integer('used_at'),
});

export const chats = sqliteTable('chats', {
  id: integer('id').primaryKey(),
  /** A group's public id; null for a direct chat, which is named by its two accounts, the smaller first. */
  groupId: text('group_id').unique(),
  lowUid: integer('low_uid'),
  highUid: integer('high_uid'),
  name: text('name').notNull(),
  picture: text('picture').notNull(),
  createdAt: integer('created_at').notNull(),
  lastSeq: integer('last_seq').notNull().default(0),
  lastMessageAt: integer('last_message_at'),
  /** A group's own rule: its messages are removed after so many days; null for none. */
  retentionDays: integer('retention_days'),
  /** Position of the oldest message that was not removed for its age; one beyond the end when all were. */
  firstSeq: integer('first_seq').notNull().default(1),
});

export const members = sqliteTable(
  'members',
  {
    chatId: integer('chat_id').notNull(),
    uid: integer('uid').notNull(),
    role: text('role', { enum: ['owner', 'admin', 'member'] }).notNull(),
    joinedAt: integer('joined_at').notNull(),
    readSeq: integer('read_seq').notNull().default(0),
  },
  (table) => [primaryKey({ columns: [table.chatId, table.uid] })],
);

/** The log of every chat, clustered by (chat, position) so that a page is one range read. */
export const messages = sqliteTable(
  'messages',
  {
    chatId: integer('chat_id').notNull(),
    seq: integer('seq').notNull(),
    senderUid: integer('sender_uid').notNull(),
    body: text('body').notNull(),
    sentAt: integer('sent_at').notNull(),
    /** The sender's own id of the message, unique per sender: a repeat is found by it. */
    clientMessageId: text('client_message_id'),
    /** When it was removed; its body is then gone. */
    removedAt: integer('removed_at'),
  },
  (table) => [primaryKey({ columns: [table.chatId, table.seq] })],
);

/** Second factors by time (RFC 6238); in force once confirmed. */
export const secondFactors = sqliteTable('second_factors', {
  uid: integer('uid').primaryKey(),
  /** Base32 */
  secret: text('secret').notNull(),
  confirmedAt: integer('confirmed_at'),
  /** The newest time step that was accepted: a code works once. */
  lastStep: integer('last_step').notNull().default(0),
});

export const recoveryCodes = sqliteTable(
  'recovery_codes',
  { uid: integer('uid').notNull(), codeHash: text('code_hash').notNull() },
  (table) => [primaryKey({ columns: [table.uid, table.codeHash] })],
);

export const blocks = sqliteTable(
  'blocks',
  {
    uid: integer('uid').notNull(),
    blockedUid: integer('blocked_uid').notNull(),
    createdAt: integer('created_at').notNull(),
  },
  (table) => [primaryKey({ columns: [table.uid, table.blockedUid] })],
);

export const invitations = sqliteTable('invitations', {
  id: integer('id').primaryKey(),
  codeHash: text('code_hash').notNull().unique(),
  usesLeft: integer('uses_left').notNull(),
  createdAt: integer('created_at').notNull(),
  expiresAt: integer('expires_at').notNull(),
  /** Null when it was never used. */
  lastUsedAt: integer('last_used_at'),
});

/** Accounts that are erased but for what the message log still has of them. */
export const erasures = sqliteTable('erasures', {
  uid: integer('uid').primaryKey(),
  at: integer('at').notNull(),
  messages: text('messages', { enum: ['keep', 'remove'] }).notNull(),
});

/** Chats that nobody is in any more and whose messages are being removed. */
export const abandonedChats = sqliteTable('abandoned_chats', { chatId: integer('chat_id').primaryKey() });

/** Append-only; triggers hold it. */
export const audit = sqliteTable('audit', {
  id: integer('id').primaryKey({ autoIncrement: true }),
  at: integer('at').notNull(),
  kind: text('kind').notNull(),
  uid: integer('uid'),
  actor: text('actor', { enum: ['self', 'admin', 'command', 'server'] }).notNull(),
  address: text('address').notNull().default(''),
  detail: text('detail').notNull().default(''),
});

/** One row: what this installation is. */
export const installation = sqliteTable('installation', {
  id: integer('id').primaryKey(),
  /** Random; another one after a restore, because positions may then repeat. */
  epoch: text('epoch').notNull(),
});

/** What was taken over from the old server's databases, see migrations/0007_import.sql. */
export const imported = sqliteTable('imported', {
  origin: text('origin').primaryKey(),
  value: integer('value').notNull(),
});
