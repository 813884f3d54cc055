// Users, chats and messages as they look on the wire: ids, limits, and the mapping from our terms to the seed's.

import { previewText } from './text.ts';

/** Limits that both ends of the wire may rely on. */
export const limits = {
  /** Longest message, in code points of the decoded text. */
  messageCodePoints: 4000,
  /** How much of a chat's newest message its list entry shows: a list of long ones would be megabytes. */
  previewCodePoints: 200,
  nameCodePoints: 50,
  groupNameCodePoints: 100,
  passwordMin: 8,
  passwordMax: 128,
  emailLength: 254,
  pictureLength: 2048,
  clientIdLength: 128,
  historyPageDefault: 30,
  /** What the newest messages of all chats together may have: an answer is made at once and held for a slow reader. */
  recentCharacters: 2 * 1024 * 1024,
  historyPageMax: 100,
  peoplePageMax: 1000,
  /** Longest time after which messages may be told to be removed. */
  retentionDays: 3650,
  adminPageDefault: 100,
  adminPageMax: 1000,
  invitationUses: 1000,
  invitationDays: 365,
  /** Why somebody is banned. */
  noteCodePoints: 200,
  /** Most people that one create_group may name. */
  groupMembersAtOnce: 500,
  /** Most groups that one account may own. */
  groupsOwned: 100,
  /** Most groups that one account may be in, besides the default group. */
  groupMemberships: 500,
  /** Largest WebSocket frame. */
  frameBytes: 64 * 1024,
  /** Largest HTTP request body. */
  bodyBytes: 64 * 1024,
  /** Deepest nesting of arrays and objects in a body or frame; ours has three levels. */
  jsonDepth: 32,
  /** Longest address of a request with its query, in characters. */
  urlLength: 2048,
  /** Most that the names and values of a request's header fields may have, in bytes. */
  headerBytes: 8 * 1024,
} as const;

/** What a member may be in a group. In the default group all are members. */
export const roles = ['owner', 'admin', 'member'] as const;
export type Role = (typeof roles)[number];

export const maxUid = 9_999_999_999;

/** What stands in the place of a message that was removed: its position stays, so that there are no holes. */
export const removedText = 'This message was removed';

/** How an account is named that does not exist any more. */
export const deletedName = 'Deleted account';

/** What stands between the two accounts in the id of a direct chat. */
const directSeparator = '0'.repeat(16);

/** How a chat is named by the one who asks: a group by its id, a direct chat by the other person. */
export type ChatRef =
  | { readonly kind: 'group'; readonly groupId: string }
  | { readonly kind: 'direct'; readonly otherUid: number };

/** The id under which `viewer` sees the direct chat with `other`: the viewer's number always stands first. */
export function directChatId(viewer: number, other: number): string {
  return `${viewer}${directSeparator}${other}`;
}

/**
 * Reads a chat id as `asker` may use it. A direct chat may be spelled from either side, but one side must be the asker.
 * @returns null for an id that cannot be one of the asker's
 */
export function readChatId(id: string, asker: number): ChatRef | null {
  const otherUid =
    readUid(stripPrefix(id, `${asker}${directSeparator}`)) ??
    readUid(stripSuffix(id, `${directSeparator}${asker}`));
  if (otherUid !== null) return { kind: 'direct', otherUid };
  return /^[1-9]\d{0,14}$/.test(id) ? { kind: 'group', groupId: id } : null;
}

/** The account that the id of a direct chat begins with; null for a group's. */
export function viewerOf(id: string): number | null {
  return readUid(/^([1-9]\d{0,9})0{16}[1-9]\d{0,9}$/.exec(id)?.[1] ?? null);
}

/** Whether an id has the shape of a direct chat, whoever's it is. */
export function looksDirect(id: string): boolean {
  return /^[1-9]\d{0,9}0{16}[1-9]\d{0,9}$/.test(id);
}

function stripPrefix(text: string, prefix: string): string | null {
  return text.startsWith(prefix) ? text.slice(prefix.length) : null;
}

function stripSuffix(text: string, suffix: string): string | null {
  return text.endsWith(suffix) ? text.slice(0, -suffix.length) : null;
}

/** A decimal account number without leading zero, or null. */
export function readUid(text: string | null): number | null {
  if (text === null || !/^[1-9]\d{0,9}$/.test(text)) return null;
  return Number(text);
}

/** A chat as one of its members sees it. */
export interface ChatView {
  readonly ref: ChatRef;
  /** The group's name, or the other person's. */
  readonly name: string;
  readonly picture: string;
  /** ms since the epoch */
  readonly createdAt: number;
  /** Position of the newest message, 0 when there is none. */
  readonly lastSeq: number;
  readonly lastBody: string | null;
  /** ms since the epoch */
  readonly lastMessageAt: number | null;
  /** Position up to which this member has read, or from which on there is anything to be read. */
  readonly readSeq: number;
  /** Position of the oldest message that is kept; one beyond the newest when none is. */
  readonly firstSeq: number;
  /** After how many days messages are removed; null for never. */
  readonly retentionDays: number | null;
}

/** One message of a chat's log. */
export interface Message {
  /** 1, 2, 3, ... in its chat */
  readonly seq: number;
  readonly senderUid: number;
  readonly senderName: string;
  readonly senderPicture: string;
  readonly body: string;
  /** ms since the epoch */
  readonly sentAt: number;
  /** ms since the epoch, null unless it was removed; its body is then `removedText`. */
  readonly removedAt: number | null;
}

/** The id a chat has for this viewer. */
export function chatIdFor(viewer: number, ref: ChatRef): string {
  return ref.kind === 'group' ? ref.groupId : directChatId(viewer, ref.otherUid);
}

/** The time that was spelled last: the messages of one turn mostly have one and the same. */
let spelled = { ms: 0, text: '1970-01-01T00:00:00.000Z' };

/** ISO 8601 in UTC with milliseconds and `Z`. */
export function wireTime(ms: number): string {
  if (ms !== spelled.ms) spelled = { ms, text: new Date(ms).toISOString() };
  return spelled.text;
}

/** A chat list as `get_all_chats` and the announce reply carry it, in the order given. */
export function chatsOnWire(viewer: number, chats: readonly ChatView[]) {
  return Object.fromEntries(
    chats.map((chat) => [
      chatIdFor(viewer, chat.ref),
      {
        NAME: chat.name,
        PROFILE_PIC: chat.picture,
        CREATION_DATE: wireTime(chat.createdAt),
        KIND: chat.ref.kind,
        LAST_MESSAGE_ID: chat.lastSeq,
        LAST_MESSAGE: previewText(chat.lastBody ?? '', limits.previewCodePoints),
        LAST_MESSAGE_TIME: chat.lastMessageAt === null ? null : wireTime(chat.lastMessageAt),
        READ_MESSAGE_ID: chat.readSeq,
        FIRST_MESSAGE_ID: chat.firstSeq,
        RETENTION_DAYS: chat.retentionDays ?? 0,
      },
    ]),
  );
}

interface PersonView {
  readonly uid: number;
  readonly name: string;
  readonly picture: string;
}

/** The serialized list of people, and where each one's entry begins and ends in it. */
interface SerializedPeople {
  readonly entries: string;
  readonly spans: ReadonlyMap<number, readonly [from: number, to: number]>;
}

/** Where somebody is who is not in the list. */
const nowhere = [0, 0] as const;
const serialized = new WeakMap<readonly PersonView[], SerializedPeople>();

/**
 * The JSON that `get_all_users` answers: everybody but the hidden, who are the asker and mostly nobody else. Made once
 * for one and the same array, from which the hidden are cut out.
 */
export function peopleOnWire(people: readonly PersonView[], hidden: readonly number[]): string {
  const { entries, spans } = serialized.get(people) ?? serializePeople(people);
  const cuts = hidden.map((uid) => spans.get(uid) ?? nowhere).sort(([one], [other]) => one - other);
  let shown = '';
  let shownTo = 0;
  for (const [from, to] of cuts) {
    shown += entries.slice(shownTo, from);
    shownTo = to;
  }
  shown += entries.slice(shownTo);
  return `{${shown.slice(0, -1)}}`; // every entry ends with a comma
}

/** People keyed by their numbers, as `get_blocked_users` carries them. */
export function personsOnWire(people: readonly PersonView[]) {
  return Object.fromEntries(
    people.map(({ uid, name, picture }) => [String(uid), { NAME: name, PROFILE_PIC: picture }]),
  );
}

/** The people of a group keyed by their numbers, as `get_members` carries them. */
export function membersOnWire(members: readonly (PersonView & { readonly role: Role })[]) {
  return Object.fromEntries(
    members.map(({ uid, name, picture, role }) => [
      String(uid),
      { NAME: name, PROFILE_PIC: picture, ROLE: role },
    ]),
  );
}

function serializePeople(people: readonly PersonView[]): SerializedPeople {
  const spans = new Map<number, readonly [number, number]>();
  const parts: string[] = [];
  let at = 0;
  for (const { uid, name, picture } of people) {
    const entry = `"${uid}":${JSON.stringify({ NAME: name, PROFILE_PIC: picture })},`;
    spans.set(uid, [at, at + entry.length]);
    at += entry.length;
    parts.push(entry);
  }
  const list = { entries: parts.join(''), spans };
  serialized.set(people, list);
  return list;
}

/** One chat's messages keyed by position, as `get_old_messages` carries them. */
export function messagesOnWire(messages: readonly Message[]) {
  return Object.fromEntries(
    messages.map((message) => [
      String(message.seq),
      {
        SENDER_ID: message.senderUid,
        SENDER_NAME: message.senderName,
        MESSAGE: message.body,
        PROFILE_PIC: message.senderPicture,
        TIME_STAMP: wireTime(message.sentAt),
        ...(message.removedAt === null ? {} : { REMOVED: true as const }),
      },
    ]),
  );
}

/** The JSON of a `send_message` push or reply but its braces and GROUP_ID, which each viewer has spelled its own way. */
export function messageFields(message: Message): string {
  const fields = {
    SENDER_ID: message.senderUid,
    SENDER_NAME: message.senderName,
    MESSAGE: message.body,
    MESSAGE_ID: message.seq,
    TIME_STAMP: wireTime(message.sentAt),
    PROFILE_PIC: message.senderPicture,
  };
  const json = JSON.stringify(fields).slice(1, -1);
  return message.removedAt === null ? json : `${json},"REMOVED":true`;
}
