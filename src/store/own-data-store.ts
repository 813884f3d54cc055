// What the features ask of the store about a person's own data: all of it, page by page, and that it is erased.
import type { ChatView, Role } from '../protocol/entities.ts';
import type { Account, SessionRefusal } from './store.ts';

/** What becomes of the messages of an erased account: they stay without its name, or lose their text. */
export type MessagesFate = 'keep' | 'remove';

export interface Erasure {
  readonly uid: number;
  /** ms since the epoch */
  readonly at: number;
  readonly messages: MessagesFate;
}

/** What is kept of an account beside its chats and messages. */
export interface OwnAccount {
  readonly account: Account;
  /** ms since the epoch */
  readonly createdAt: number;
  readonly verifiedAt: number | null;
  /** The last used first. */
  readonly sessions: readonly OwnSession[];
  /** Whom it has blocked, by ascending number. */
  readonly blockedUids: readonly number[];
}

export interface OwnSession {
  readonly id: number;
  readonly createdAt: number;
  readonly lastUsedAt: number;
  readonly device: string;
}

export interface OwnChat extends Pick<ChatView, 'ref' | 'name' | 'createdAt' | 'readSeq'> {
  /** Where it stands among the account's chats; the next page begins after the last one's. */
  readonly place: number;
  readonly role: Role;
  readonly joinedAt: number;
}

export interface OwnMessage extends Pick<ChatView, 'ref'> {
  readonly seq: number;
  readonly sentAt: number;
  /** As it is delivered. */
  readonly body: string;
  /** ms since the epoch, null unless it was removed. */
  readonly removedAt: number | null;
}

/** How far a reader of the whole log has come; of no meaning to others. */
export interface LogPlace {
  readonly chatId: number;
  readonly seq: number;
}

export interface OwnDataStore {
  /**
   * Deletes an account and all that hangs on it, in one transaction: groups it owned are handed over, chats it leaves
   * empty are abandoned. What the message log has of it is left to `clearNext` and `removeNextAbandoned`. The erasure is first noted outside the database, so that no restored backup brings it back.
   * `sessionId`: the session that asks for it, which must not have ended.
   * @returns why nothing was changed, null when it is done
   * @throws AppError `unavailable` when it cannot be noted
   */
  eraseAccount(erasure: Erasure, sessionId: number): Promise<SessionRefusal | null>;
  /** Erased accounts of which the message log may still have something; empty but while `clearNext` has work to do. */
  listUncleared(): Promise<number[]>;
  /**
   * Takes what an erased account left out of the next stretch of the message log: its ids of messages and, if they shall
   * go, the texts. A stretch is short, so that nobody waits for it. At the end the account is no longer uncleared.
   * @returns where to go on, null at the end
   */
  clearNext(uid: number, after: LogPlace | null): Promise<LogPlace | null>;
  /**
   * Removes the next stretch of a chat that nobody is in any more: its oldest messages, and with the last the chat.
   * @returns false when there is no such chat
   */
  removeNextAbandoned(): Promise<boolean>;
  /** Null when there is no such account. */
  findOwnAccount(uid: number): Promise<OwnAccount | null>;
  /** The chats the account is in after `after` (0 to begin); empty when there are no more. */
  listOwnChats(uid: number, after: number, limit: number): Promise<OwnChat[]>;
  /**
   * Looks at the next stretch of the whole log for messages the account sent, also to chats it has left. A stretch is
   * short, so that nobody waits for it, and may have none of them.
   * @returns `next` to go on from, null at the end
   */
  listOwnMessages(
    uid: number,
    after: LogPlace | null,
  ): Promise<{ messages: OwnMessage[]; next: LogPlace | null }>;
}
