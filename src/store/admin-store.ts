// What whoever runs the server asks of the store: not scoped by an asker, so only ops/ and the entry hold it.
import type { NewAccount } from './store.ts';

/** An account as whoever runs the server gets to see it. */
export interface AccountSummary {
  readonly uid: number;
  readonly name: string;
  readonly email: string;
  /** ms since the epoch */
  readonly createdAt: number;
  readonly verified: boolean;
  readonly banned: boolean;
  /** '' unless banned with one. */
  readonly banReason: string;
  /** How many sessions it has. */
  readonly sessions: number;
}

export interface GroupSummary {
  readonly groupId: string;
  readonly name: string;
  /** ms since the epoch */
  readonly createdAt: number;
  readonly members: number;
  /** Null for the default group, which nobody owns. */
  readonly ownerUid: number | null;
  readonly lastSeq: number;
  /** ms since the epoch; null when nothing was said. */
  readonly lastMessageAt: number | null;
}

export interface NewInvitation {
  readonly codeHash: string;
  readonly uses: number;
  /** ms since the epoch, as all times here */
  readonly createdAt: number;
  readonly expiresAt: number;
}

export interface Invitation {
  readonly id: number;
  readonly usesLeft: number;
  readonly createdAt: number;
  readonly expiresAt: number;
}

/** `already`: it is as it was asked to become. */
export type AdminOutcome = 'done' | 'already' | 'no_account';

export interface AdminStore {
  /** Accounts by ascending uid after `after`; `prefix` of either name or of the address, ignoring case. */
  listAccounts(page: { prefix: string; after: number; limit: number }): Promise<AccountSummary[]>;
  /** Makes an account that is verified at once and a member of the default group. */
  createVerifiedAccount(account: NewAccount): Promise<'created' | 'email_taken' | 'uid_taken'>;
  /** Verifies an account without a code and makes it a member of the default group. */
  verifyWithoutCode(uid: number, now: number): Promise<AdminOutcome>;
  /** Bans an account, ends its sessions, voids its reset codes. Its messages and memberships stay. */
  ban(uid: number, reason: string, now: number): Promise<AdminOutcome>;
  unban(uid: number): Promise<AdminOutcome>;
  /** Ends every session of an account; how many there were, null when there is no such account. */
  endAllSessions(uid: number): Promise<number | null>;
  /** Sets a password, ends every session, voids reset codes; how many sessions ended, null without such an account. */
  replacePassword(uid: number, passwordHash: string): Promise<number | null>;
  /** Takes an account's second factor away, for who lost it; false when there is none. */
  dropSecondFactor(uid: number): Promise<boolean>;
  createInvitation(invitation: NewInvitation): Promise<void>;
  /** Every invitation, newest first, used up and expired ones too. */
  listInvitations(): Promise<Invitation[]>;
  /** Groups by ascending id, as text, after `after` ('' for the first). */
  listGroups(page: { after: string; limit: number }): Promise<GroupSummary[]>;
  /** Changes when another process has written to the database. */
  foreignVersion(): number;
  /** Tries whether the database can be written, and leaves it as it is. @throws AppError `unavailable` */
  probe(): Promise<void>;
  /** Those of these sessions that do not exist any more. */
  findEndedSessions(ids: readonly number[]): Promise<number[]>;
}
