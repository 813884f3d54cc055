// What the features ask of the store about chats, messages and blocks: each method one atomic operation, scoped by who asks.
import type { ChatRef, ChatView, Message, Role } from '../protocol/entities.ts';

export interface Person {
  readonly uid: number;
  readonly name: string;
  readonly picture: string;
}

/** `full`: the person is in as many groups as one may. */
export type MemberOutcome =
  | 'done'
  | 'no_group'
  | 'no_person'
  | 'not_allowed'
  | 'already'
  | 'not_member'
  | 'full';
/** `owner_stays`: an owner gives up that role only by making another one owner. */
export type RoleOutcome = MemberOutcome | 'owner_stays';

export interface Member extends Person {
  readonly role: Role;
}

/** A chat as the list entry that a member gets to see when it is made or joined. */
export interface ChatHead {
  readonly ref: ChatRef;
  readonly name: string;
  readonly picture: string;
  readonly createdAt: number;
  /** Position of the newest message, 0 when there is none. */
  readonly lastSeq: number;
}

export interface ChatStore {
  /** The default group's first time makes it; later its name follows. Every verified account is made a member. */
  ensureDefaultGroup(group: { groupId: string; name: string; now: number }): Promise<void>;
  /**
   * The asker becomes owner. `no_person` when he or one of the members does not exist, or a block stands between them;
   * `id_taken` when the id is in use; `owns_most` and `full` when he owns, or somebody is in, as many groups as one may.
   */
  createGroup(
    ownerUid: number,
    group: { groupId: string; name: string; picture: string; memberUids: readonly number[]; now: number },
  ): Promise<'created' | 'id_taken' | 'no_person' | 'owns_most' | 'full'>;
  /** Who has a block with the actor, whoever made it, is `no_person`. */
  addMember(actorUid: number, groupId: string, memberUid: number, now: number): Promise<MemberOutcome>;
  /** An admin can't remove the owner; nobody removes himself this way. */
  removeMember(actorUid: number, groupId: string, memberUid: number): Promise<MemberOutcome>;
  /** The owner hands over to the longest-standing admin, else member; the last one out abandons the group. */
  leaveGroup(actorUid: number, groupId: string): Promise<MemberOutcome>;
  /** The owner gives a member a role; who makes another one owner becomes admin. Nobody is owner of the default group. */
  setRole(actorUid: number, groupId: string, memberUid: number, role: Role): Promise<RoleOutcome>;
  /** The members of one of the asker's groups by ascending uid, after `after`; null when it is none of his. */
  listMembers(uid: number, groupId: string, page: { after: number; limit: number }): Promise<Member[] | null>;
  /** The asker's chats, most recently active first; may be empty. */
  listChats(uid: number): Promise<ChatView[]>;
  /** One of the asker's chats, or null when it is none of his. */
  findChat(uid: number, ref: ChatRef): Promise<ChatView | null>;
}

export interface MessageDraft {
  readonly senderUid: number;
  readonly ref: ChatRef;
  /** As it will be delivered. */
  readonly body: string;
  /** Make the direct chat if it does not exist. */
  readonly mayCreateChat: boolean;
  readonly sentAt: number;
  /** The sender's own id of it; a repeat is not appended again. */
  readonly clientMessageId: string | null;
}

export type AppendOutcome =
  | { readonly kind: 'appended'; readonly message: Message; readonly created: DirectChat | null }
  /** Sent before with the same id and content: the first result. */
  | { readonly kind: 'repeated'; readonly message: Message }
  | { readonly kind: 'not_member' | 'no_chat' | 'no_person' | 'blocked' | 'other_content' };

/** A direct chat that a first message just made. */
export interface DirectChat {
  readonly people: readonly [Person, Person];
  readonly createdAt: number;
}

/** Messages of one chat, ascending. */
export interface ChatHistory {
  readonly ref: ChatRef;
  readonly messages: Message[];
}

/** Where a removed message stands, and whose it was. */
export interface RemovedMessage {
  /** As the one who removed it names the chat, who is `viewerUid`. */
  readonly ref: ChatRef;
  readonly viewerUid: number;
  readonly seq: number;
  readonly senderUid: number;
}

export interface Removal {
  /** Who asks, and from whose side a direct chat is named. */
  readonly uid: number;
  readonly ref: ChatRef;
  readonly seq: number;
  /** For whoever runs the server: any message of any chat, `uid` need not be in it. */
  readonly byOperator: boolean;
  /** ms since the epoch */
  readonly now: number;
}

export type RemovalOutcome =
  | { readonly kind: 'removed'; readonly message: RemovedMessage }
  | { readonly kind: 'no_chat' | 'no_message' | 'not_allowed' | 'already' };

/** Which messages of a chat: before one position or after one (both exclusive), the newest when both are null. */
export interface HistoryPage {
  readonly before: number | null;
  readonly after: number | null;
  readonly limit: number;
}

export interface MessageStore {
  /**
   * Appends in order, in one transaction: each gets its chat's next position.
   * `committed` is called with one outcome per draft once they are on disk, before any later write begins.
   */
  appendMessages(
    drafts: readonly MessageDraft[],
    committed: (outcomes: readonly AppendOutcome[]) => void,
  ): Promise<void>;
  /**
   * The newest `perChat` messages of every chat of the asker, ascending, the latest active chat first; chats without
   * messages are in it. Once the bodies have `characters` in all, older ones and those of other chats are left out.
   */
  listRecentMessages(uid: number, most: { perChat: number; characters: number }): Promise<ChatHistory[]>;
  /** A page of one chat, ascending; null when not a member. */
  listMessages(uid: number, ref: ChatRef, page: HistoryPage): Promise<Message[] | null>;
  /**
   * Takes a message's text away for good and leaves its place. Its sender may, and owner and admins of a group; in the
   * default group the sender alone.
   */
  removeMessage(removal: Removal): Promise<RemovalOutcome>;
}

/**
 * While either of two has blocked the other no direct message passes, and neither sees the other among the people or
 * puts the other into a group.
 */
export interface BlockStore {
  /** `no_person` when one of the two does not exist. */
  block(uid: number, blockedUid: number, now: number): Promise<'done' | 'no_person' | 'already'>;
  unblock(uid: number, blockedUid: number): Promise<'done' | 'no_person' | 'not_blocked'>;
  /** Whom this account has blocked, by ascending uid; may be empty. */
  listBlocked(uid: number): Promise<Person[]>;
}

export interface MarkStore {
  /** Moves the read mark of one of the asker's chats forward, never beyond its end; the mark now, null when not a member. */
  markRead(uid: number, ref: ChatRef, seq: number): Promise<number | null>;
}

/** How long messages stay. Positions of what was removed are never given again. */
export interface RetentionStore {
  /** Owner and admins of a group say after how many days its messages are removed; null for no rule of its own. */
  setRetention(
    actorUid: number,
    groupId: string,
    retentionDays: number | null,
  ): Promise<'done' | 'no_group' | 'not_allowed'>;
  /**
   * Removes messages that are older than their group's rule or than `mostDays` (null for no such rule), the oldest of one
   * chat after another: a stretch that nobody has to wait for, of the chats after `after` (0 to begin).
   * @returns how many, and `next` to go on from, null at the end
   */
  removeOldMessages(
    rule: { mostDays: number | null; now: number },
    after: number,
  ): Promise<{ removed: number; next: number | null }>;
}
