// Sessions: one per login, opened with a cookie and a token, found again by either.
import type { Actor, Credentials } from '../actor.ts';
import { AppError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { AccountStore, NewSession, Session } from '../store/store.ts';
import { deriveToken, hashSecret, newCookie } from './secrets.ts';

const hourMs = 60 * 60 * 1000;
const dayMs = 24 * hourMs;
/** Shorter ones would throw the client's user back to its login page. */
export const sessionLifetime = { idleMs: 90 * dayMs, absoluteMs: 365 * dayMs } as const;

/** The two secrets of a new login, which only its client ever gets to see. */
export interface Keys {
  readonly cookie: string;
  readonly token: string;
}

interface SessionDeps {
  readonly store: AccountStore;
  readonly serverSecret: string;
  readonly clock: () => number;
  readonly log: Log;
}

export class Sessions {
  constructor(private readonly deps: SessionDeps) {}

  /** New secrets for a login of this account, and what the store keeps of them. */
  create(uid: number): { keys: Keys; session: NewSession } {
    const cookie = newCookie();
    const token = this.tokenOf(cookie);
    const hashes = { cookieHash: hashSecret(cookie), tokenHash: hashSecret(token) };
    return { keys: { cookie, token }, session: { uid, ...hashes, createdAt: this.deps.clock() } };
  }

  /**
   * Opens a session for this account, whose password was right.
   * @throws AppError `forbidden` when the account is banned
   */
  async open(uid: number): Promise<Keys> {
    const { keys, session } = this.create(uid);
    if (!(await this.deps.store.openSession(session)))
      throw new AppError('forbidden', 'This account is banned.');
    return keys;
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
   * The token of a session, the same each time. Its hash is stored anew because it depends on the server secret, which
   * is not in backups: after a restore beside a new secret the token is another one and must work.
   */
  async refreshToken(actor: Actor, cookie: string): Promise<string> {
    const token = this.tokenOf(cookie);
    await this.deps.store.touchSession(actor.sessionId, {
      lastUsedAt: this.deps.clock(),
      tokenHash: hashSecret(token),
    });
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

  #isOver({ lastUsedAt, createdAt }: Session): boolean {
    const { sessionsUsedBefore, sessionsMadeBefore } = this.expiry();
    return lastUsedAt < sessionsUsedBefore || createdAt < sessionsMadeBefore;
  }

  /** At most one write an hour per session, and none that a request would have to wait for or fail by. */
  #noteUse({ id, lastUsedAt, tokenHash }: Session): void {
    const now = this.deps.clock();
    if (now - lastUsedAt < hourMs) return;
    this.deps.store
      .touchSession(id, { lastUsedAt: now, tokenHash })
      .catch((error: unknown) => this.deps.log.warn('could not note the use of a session', { error }));
  }
}
