// Sessions: one per login, opened with a cookie and a token, found again by either.
import type { Actor, Credentials } from '../actor.ts';
import { AppError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Account, AccountStore, NewSession, Note, Session, SessionView } from '../store/store.ts';
import { deriveToken, hashSecret, newCookie } from './secrets.ts';

const hourMs = 60 * 60 * 1000;
const dayMs = 24 * hourMs;
/** Shorter ones would throw the client's user back to its login page. */
export const sessionLifetime = { idleMs: 90 * dayMs, absoluteMs: 365 * dayMs } as const;

/** More logins of one account than any person has devices: beyond them the least recently used end. */
const mostSessions = 100;
const deviceLength = 120;

/** Where a login comes from. */
export interface Origin {
  readonly address: string;
  /** What the client calls itself; anything at all. */
  readonly userAgent: string;
}

/** The two secrets of a new login, which only its client ever gets to see. */
export interface Keys {
  readonly cookie: string;
  readonly token: string;
}

interface SessionDeps {
  readonly store: AccountStore;
  readonly serverSecret: string;
  readonly note: Note;
  readonly clock: () => number;
  readonly log: Log;
}

export class Sessions {
  constructor(private readonly deps: SessionDeps) {}

  /** New secrets for a login of this account, and what the store keeps of them. */
  create(uid: number, { userAgent }: Origin): { keys: Keys; session: NewSession } {
    const cookie = newCookie();
    const token = this.tokenOf(cookie);
    const hashes = { cookieHash: hashSecret(cookie), tokenHash: hashSecret(token) };
    const session = { uid, ...hashes, createdAt: this.deps.clock(), device: deviceOf(userAgent) };
    return { keys: { cookie, token }, session };
  }

  /**
   * Opens a session for this account, as it was when its password was checked; of too many the least recently used end.
   * Null when the password was changed meanwhile.
   * @throws AppError `forbidden` when the account is banned
   */
  async open({ uid, passwordHash }: Account, from: Origin): Promise<Keys | null> {
    const { store, note } = this.deps;
    const { keys, session } = this.create(uid, from);
    const ended = await store.openSession(session, { passwordHash, most: mostSessions });
    if (ended === 'banned') throw banned();
    if (ended === 'other_password') return null;
    await note({ kind: 'login', uid, address: from.address, detail: session.device });
    if (ended > 0) await note({ kind: 'sessions_ended', uid, actor: 'server', detail: `${ended} too many` });
    return keys;
  }

  /** The account's live sessions, the last used first. */
  async list({ uid }: Actor): Promise<SessionView[]> {
    return (await this.deps.store.listSessions(uid)).filter((session) => !this.#isOver(session));
  }

  /**
   * Ends the asking session, or another one of its account.
   * @throws AppError `not_found` when the account has none of that number
   */
  async logOut({ uid, sessionId }: Actor, otherId: number | null, address: string): Promise<void> {
    const id = otherId ?? sessionId;
    if ((await this.deps.store.endSessions(uid, id)) === 0) {
      throw new AppError('not_found', 'You have no such session.');
    }
    await this.deps.note({ kind: 'logout', uid, address, detail: `session ${id}` });
  }

  /** Ends all sessions of the account, the asking one too, and says how many. */
  async logOutAll({ uid }: Actor, address: string): Promise<number> {
    const ended = await this.deps.store.endSessions(uid, null);
    await this.deps.note({ kind: 'sessions_ended', uid, address, detail: `all ${ended}` });
    return ended;
  }

  /** Who shows these credentials, or null when they belong to no live session of that account. */
  async authenticate({ uid, cookie, token }: Credentials): Promise<Actor | null> {
    const by = cookie ? { cookieHash: hashSecret(cookie) } : token ? { tokenHash: hashSecret(token) } : null;
    const session = by && (await this.deps.store.findSession(by));
    if (!session || (uid !== null && session.uid !== uid) || this.#isOver(session)) return null;
    this.#noteUse(session);
    return { uid: session.uid, sessionId: session.id, verified: session.verified };
  }

  /**
   * The token of a session, the same each time. Its hash is stored anew when it is not the one that was: it depends on
   * the server secret, which is not in backups, and after a restore beside a new one the token is another and must work.
   */
  async refreshToken(actor: Actor, cookie: string): Promise<string> {
    const { store, clock } = this.deps;
    const token = this.tokenOf(cookie);
    const tokenHash = hashSecret(token);
    const session = await store.findSession({ cookieHash: hashSecret(cookie) });
    if (session?.tokenHash !== tokenHash)
      await store.touchSession(actor.sessionId, { lastUsedAt: clock(), tokenHash });
    return token;
  }

  tokenOf(cookie: string): string {
    return deriveToken(this.deps.serverSecret, cookie);
  }

  /** Until when sessions must have been used and made to be still good. */
  expiry(): { now: number; sessionsUsedBefore: number; sessionsMadeBefore: number } {
    const now = this.deps.clock();
    return {
      now,
      sessionsUsedBefore: now - sessionLifetime.idleMs,
      sessionsMadeBefore: now - sessionLifetime.absoluteMs,
    };
  }

  #isOver({ lastUsedAt, createdAt }: Pick<Session, 'lastUsedAt' | 'createdAt'>): boolean {
    const { sessionsUsedBefore, sessionsMadeBefore } = this.expiry();
    return lastUsedAt < sessionsUsedBefore || createdAt < sessionsMadeBefore;
  }

  /** At most one write an hour per session, and none that a request would have to wait for or fail by. */
  #noteUse({ id, lastUsedAt, tokenHash }: Session): void {
    const now = this.deps.clock();
    // A use that was noted while the clock was ahead is noted anew, or the session would not end when it is idle.
    if (Math.abs(now - lastUsedAt) < hourMs) return;
    this.deps.store
      .touchSession(id, { lastUsedAt: now, tokenHash })
      .catch((error: unknown) => this.deps.log.warn('could not note the use of a session', { error }));
  }
}

/** What only who knows the account's password is told. */
export function banned(): AppError {
  return new AppError('forbidden', 'This account is banned.');
}

/** Whoever took an account and its address must not do with it what the undo code does not take back. */
export function addressNew(): AppError {
  return new AppError(
    'conflict',
    'The address was changed before this login, and can be taken back for 7 days: wait that long, or use an older login.',
  );
}

/** What a client calls itself, as its owner may be shown it: one line of bounded length. */
function deviceOf(userAgent: string): string {
  const shown = userAgent.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '').trim();
  return [...shown].slice(0, deviceLength).join('');
}
