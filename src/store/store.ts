// What the features ask of the store: few methods, each one atomic operation, each scoped by who asks.
import type { Actor } from '../actor.ts';
import type { Role } from '../protocol/entities.ts';
import type {
  BlockStore,
  ChatHead,
  ChatStore,
  MarkStore,
  MessageStore,
  Person,
  RemovedMessage,
  RetentionStore,
} from './chat-store.ts';
import type { LogTrim } from './write-ahead-log.ts';

export type CodePurpose = 'verify' | 'email_change' | 'email_undo' | 'reset';

export interface Account {
  readonly uid: number;
  readonly firstName: string;
  readonly lastName: string;
  readonly email: string;
  readonly phone: string;
  /** `YYYY-MM-DD` */
  readonly dob: string | null;
  readonly picture: string;
  readonly passwordHash: string;
  readonly verified: boolean;
  readonly banned: boolean;
}

export interface NewAccount extends Omit<Account, 'verified' | 'banned'> {
  /** ms since the epoch */
  readonly createdAt: number;
  /** When it is removed if it was not verified by then; null for never. */
  readonly expiresAt: number | null;
}

/** A login; both secrets only as hashes. */
export interface NewSession {
  readonly uid: number;
  readonly cookieHash: string;
  readonly tokenHash: string;
  readonly createdAt: number;
  /** What the client called itself when it logged in. */
  readonly device: string;
}

/** A login as its owner gets to see it. */
export interface SessionView {
  readonly id: number;
  readonly createdAt: number;
  readonly lastUsedAt: number;
  readonly device: string;
}

export interface Session {
  readonly id: number;
  readonly uid: number;
  readonly tokenHash: string;
  readonly createdAt: number;
  readonly lastUsedAt: number;
  readonly verified: boolean;
}

export interface NewCode {
  readonly uid: number;
  readonly purpose: CodePurpose;
  /** The address it is mailed to. */
  readonly target: string;
  readonly codeHash: string;
  readonly createdAt: number;
  readonly expiresAt: number;
}

/** How many codes may be sent: `atOnce` in a row, then one per `spacingMs`, at most `perHour`. */
export interface CodeLimits {
  readonly atOnce: number;
  readonly spacingMs: number;
  readonly perHour: number;
}

export interface TriedCode {
  /** Null when no code was entered, which is refused but not counted. */
  readonly codeHash: string | null;
  /** ms since the epoch */
  readonly now: number;
}

export interface SettingsChange {
  readonly fields: Partial<
    Pick<Account, 'firstName' | 'lastName' | 'phone' | 'dob' | 'picture' | 'passwordHash'>
  >;
  /** A new address, proved by the code sent to it; the code that undoes the change goes to the old one. */
  readonly email?: { readonly address: string; readonly proof: TriedCode; readonly undo: NewCode };
  /** The asking session: once it has ended nothing is changed any more. */
  readonly sessionId: number;
  readonly endsOtherSessions: boolean;
  readonly now: number;
}

export type ResetOutcome = 'wrong_code' | { readonly ended: number; readonly wasVerified: boolean };

export type SettingsOutcome = 'changed' | 'session_ended' | 'email_taken' | 'no_code' | 'wrong_code';

export interface AccountStore {
  /**
   * Makes an account with its first session and code; of many with one address exactly one wins.
   * With an invitation (by its hash) it uses that up once, and is `not_invited` when none is good.
   */
  createAccount(
    account: NewAccount,
    session: NewSession,
    code: NewCode,
    invitationHash: string | null,
  ): Promise<'created' | 'email_taken' | 'uid_taken' | 'not_invited'>;
  /** Takes back a sign-up whose mail was refused, with the use of its invitation; an account verified meanwhile stays. */
  removeUnverified(uid: number, invitationHash: string | null): Promise<void>;
  /** Whether an invitation exists, has uses left and has not expired. */
  isInvitationGood(codeHash: string, now: number): Promise<boolean>;
  findAccount(uid: number): Promise<Account | null>;
  /** Compared without regard to case. */
  findAccountByEmail(email: string): Promise<Account | null>;
  /** Whether another account has the address, or may still take it back by an undo code. */
  isEmailTaken(email: string, exceptUid: number, now: number): Promise<boolean>;

  /**
   * Of more than `most` sessions of the account the least recently used end; says how many did. Refused, and none
   * opened, when the account's password is no longer the one that was checked, or the account is banned.
   */
  openSession(
    session: NewSession,
    checked: { passwordHash: string; most: number },
  ): Promise<number | 'other_password' | 'banned'>;
  /** A session of this account by its cookie's or token's hash; null when there is none. */
  findSession(by: { cookieHash: string } | { tokenHash: string }): Promise<Session | null>;
  /** The account's sessions, the last used first. */
  listSessions(uid: number): Promise<SessionView[]>;
  /** Ends one of the account's sessions, or with null all; says how many ended. */
  endSessions(uid: number, sessionId: number | null): Promise<number>;
  /** Notes a use, and the hash of the token that is now in force. */
  touchSession(id: number, use: { lastUsedAt: number; tokenHash: string }): Promise<void>;

  /** Keeps a code unless the limits say wait; null when there is no such account any more. `limits` null lifts them. */
  issueCode(code: NewCode, limits: CodeLimits | null): Promise<{ waitMs: number } | null>;
  /** Takes back a code whose mail was refused. */
  withdrawCode(code: NewCode): Promise<void>;
  /** Verifies the account and makes it a member of the default group. False for a wrong, used, void or expired code. */
  verifyAccount(uid: number, tried: TriedCode): Promise<boolean>;
  /** Changes all or nothing. A wrong code is counted although nothing else changes. */
  changeSettings(uid: number, change: SettingsChange): Promise<SettingsOutcome>;
  /**
   * Gives an address back, puts this password in the place of the account's and ends all sessions; whose it is, null for
   * a wrong, used or expired code.
   */
  undoEmailChange(
    email: string,
    tried: { codeHash: string; now: number },
    passwordHash: string,
  ): Promise<number | null>;
  /**
   * Sets a password by a code of purpose `reset`, verifies the account and ends all its sessions. With `passwordHash`
   * null the code is only tried: a right one stays good. A refusal is the same work, with a commit to disk, whether or
   * not there is such an account or a code to count it against.
   */
  resetPassword(
    owner: { uid: number; target: string },
    tried: TriedCode,
    passwordHash: string | null,
  ): Promise<ResetOutcome>;

  /** All verified accounts that are not banned, by ascending uid: the very same array until somebody is added, renamed or removed. */
  listAllPeople(): Promise<readonly Person[]>;
  /** Whom `listAllPeople` has and this account may not see: itself, who blocked it, whom it blocked. Each once. */
  listHiddenFrom(uid: number): Promise<number[]>;
  /** The same but the hidden, by ascending uid, after `after`; `prefix` of either name, ignoring case. */
  listPeople(uid: number, page: { prefix: string; after: number; limit: number | null }): Promise<Person[]>;
  /** Removes what has expired: unverified sign-ups, sessions, codes; and invitations 30 days after their last use or expiry. */
  removeExpired(times: {
    now: number;
    sessionsUsedBefore: number;
    sessionsMadeBefore: number;
  }): Promise<void>;
}

/** What changed for somebody, told synchronously after COMMIT and before the next transaction begins. */
export type StoreEvent =
  | { readonly kind: 'joined'; readonly uid: number; readonly chat: ChatHead }
  | { readonly kind: 'left'; readonly uid: number; readonly groupId: string }
  /** Who is in a group as what, for those who are in it; a null role is out. Never of the default group. */
  | {
      readonly kind: 'member_changed';
      readonly groupId: string;
      readonly uid: number;
      readonly role: Role | null;
    }
  | { readonly kind: 'message_removed'; readonly message: RemovedMessage }
  | { readonly kind: 'sessions_ended'; readonly uid: number; readonly sessionIds: readonly number[] };

export type Emit = (event: StoreEvent) => void;

/** A second factor by time-based codes. */
export interface SecondFactor {
  /** Base32 */
  readonly secret: string;
  /** False until a first code was entered: it asks nobody for anything yet. */
  readonly confirmed: boolean;
}

/** What a code that was entered amounts to, for the store to use up. */
export type FactorProof =
  /** A right code of this secret and this time step (RFC 6238), which is used up together with all earlier ones. */
  | { readonly kind: 'step'; readonly secret: string; readonly step: number }
  /** Perhaps one of the recovery codes. */
  | { readonly kind: 'recovery'; readonly codeHash: string };

/**
 * Why a session may not do what an undone change of address does not take back: it has ended, or it was opened after a
 * change that can still be undone, and so perhaps by who took the account.
 */
export type SessionRefusal = 'session_ended' | 'address_new';

/** What an account changes about its factor it changes as a session, and nothing once that has ended. */
export interface SecondFactorStore {
  /** Null when none was enrolled. */
  findSecondFactor(uid: number): Promise<SecondFactor | null>;
  /** Keeps a secret that is to be confirmed, in place of one that never was. */
  enrollSecondFactor(
    actor: Actor,
    secret: string,
    now: number,
  ): Promise<'enrolled' | 'on_already' | SessionRefusal>;
  /** Puts the enrolled secret in force with these recovery codes. False when it is not the one to be confirmed. */
  confirmSecondFactor(
    actor: Actor,
    proof: FactorProof,
    confirmed: { codeHashes: readonly string[]; now: number },
  ): Promise<boolean>;
  /** Uses up what proves the factor in force. False when it was used before or proves nothing; of many at once one wins. */
  redeemFactorProof(uid: number, proof: FactorProof): Promise<boolean>;
  /** Redeems the proof and replaces all recovery codes. False, and nothing changed, when it proves nothing. */
  replaceRecoveryCodes(actor: Actor, proof: FactorProof, codeHashes: readonly string[]): Promise<boolean>;
  /** Redeems the proof and removes the factor. False, and nothing changed, when it proves nothing. */
  removeSecondFactor(actor: Actor, proof: FactorProof): Promise<boolean>;
}

/** What is noted for whoever runs the server; the README lists what each means. */
export type AuditKind =
  | 'sign_up'
  | 'verified'
  | 'login'
  | 'login_failed'
  | 'logout'
  | 'sessions_ended'
  | 'password_changed'
  | 'password_reset'
  | 'email_changed'
  | 'email_change_undone'
  | 'second_factor_on'
  | 'second_factor_off'
  | 'recovery_code_used'
  | 'recovery_codes_renewed'
  | 'role_changed'
  | 'retention_changed'
  | 'message_removed'
  | 'banned'
  | 'unbanned'
  | 'account_deleted'
  | 'data_exported'
  | 'invitation_made'
  | 'admin_denied'
  | 'imported'
  | 'backup'
  | 'backup_failed'
  | 'restored'
  | 'drill'
  | 'drill_failed';

export interface AuditEntry {
  /** ms since the epoch */
  readonly at: number;
  readonly kind: AuditKind;
  /** Whom it is about; null when nobody is known. */
  readonly uid: number | null;
  readonly actor: 'self' | 'admin' | 'command' | 'server';
  /** Where it came from; '' when from nowhere. */
  readonly address: string;
  /** A few words more. Never a secret, never a message's text. */
  readonly detail: string;
}

type Noted = Pick<AuditEntry, 'kind' | 'uid'> & Partial<Pick<AuditEntry, 'actor' | 'address' | 'detail'>>;

/** Notes what happened, by the account itself unless said otherwise; resolves when it is on disk, never rejects. */
export type Note = (what: Noted) => Promise<void>;

export interface AuditStore {
  /** Notes what happened; nothing of it is ever changed or taken out. */
  appendAudit(entry: AuditEntry): Promise<void>;
  /** The newest entries before `before` (an id; null for the newest of all), newest first; of one account or of all. */
  listAudit(page: {
    uid: number | null;
    before: number | null;
    limit: number;
  }): Promise<(AuditEntry & { readonly id: number })[]>;
}

export interface Store
  extends MarkStore,
    AccountStore,
    SecondFactorStore,
    ChatStore,
    MessageStore,
    BlockStore,
    RetentionStore,
    AuditStore {
  /** What clients know this history by; another one after a restore. */
  readonly epoch: string;
  /**
   * Takes back the room of a write-ahead log over `overBytes`, if nobody has written for `quietMs`.
   * @throws AppError `unavailable` when the disk is too full for it
   */
  trimLog(when: { overBytes: number; quietMs: number }): Promise<LogTrim>;
  close(): Promise<void>;
}
