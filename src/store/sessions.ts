// Sessions in SQLite: one per login, found by the hash of its cookie or token.
import { and, type Column, desc, eq, inArray, lte, ne, type SQL, sql } from 'drizzle-orm';
import type { Actor } from '../actor.ts';
import { liveCodes } from './codes.ts';
import { accounts, codes, sessions } from './schema.ts';
import type { Driver, Queries } from './sqlite.ts';
import type { AccountStore, Emit, Session, SessionRefusal } from './store.ts';

type Sessions = Pick<
  AccountStore,
  'openSession' | 'findSession' | 'touchSession' | 'listSessions' | 'endSessions'
>;

/** Ending sessions changes neither who is in which chat nor what anybody is called. */
const options = { keepsVersion: true };

export function createSessionStore(driver: Driver, emit: Emit): Sessions {
  const findBy = (column: Column) =>
    driver.reader
      .select({
        id: sessions.id,
        uid: sessions.uid,
        tokenHash: sessions.tokenHash,
        createdAt: sessions.createdAt,
        lastUsedAt: sessions.lastUsedAt,
        verifiedAt: accounts.verifiedAt,
      })
      .from(sessions)
      .innerJoin(accounts, eq(accounts.uid, sessions.uid))
      .where(eq(column, sql.placeholder('hash')))
      .prepare();
  const findByCookie = findBy(sessions.cookieHash);
  const findByToken = findBy(sessions.tokenHash);

  return {
    openSession: async (session, { passwordHash, most }) => {
      const { refusal, ended } = await driver.write(
        async (tx) => {
          const refusal = await findRefusal(tx, session.uid, passwordHash);
          if (refusal !== null) return { refusal, ended: [] };
          const own = await tx
            .insert(sessions)
            .values({ ...session, lastUsedAt: session.createdAt })
            .returning({ id: sessions.id })
            .get();
          // Not itself, though all others may seem to have been used later, after the clock was set back.
          const others = (await listOf(tx, session.uid)).map(({ id }) => id).filter((id) => id !== own.id);
          const surplus = others.slice(most - 1);
          const ended = surplus.length === 0 ? [] : await deleteSessions(tx, inArray(sessions.id, surplus));
          return { refusal, ended };
        },
        (outcome) => tellEnded(emit, outcome.ended),
        options,
      );
      return refusal ?? ended.length;
    },

    listSessions: (uid) => listOf(driver.reader, uid),

    endSessions: async (uid, sessionId) => {
      const meant = sessionId === null ? undefined : eq(sessions.id, sessionId);
      const ended = await driver.write(
        (tx) => deleteSessions(tx, and(eq(sessions.uid, uid), meant)),
        (those) => tellEnded(emit, those),
        options,
      );
      return ended.length;
    },

    findSession: async (by): Promise<Session | null> => {
      const row =
        'cookieHash' in by
          ? await findByCookie.get({ hash: by.cookieHash })
          : await findByToken.get({ hash: by.tokenHash });
      if (!row) return null;
      const { verifiedAt, ...session } = row;
      return { ...session, verified: verifiedAt !== null };
    },

    touchSession: (id, { lastUsedAt, tokenHash }) =>
      driver.write(
        async (tx) => {
          await tx.update(sessions).set({ lastUsedAt, tokenHash }).where(eq(sessions.id, id));
        },
        undefined,
        options,
      ),
  };
}

/** An account's sessions, the last used first. */
async function listOf(db: Queries, uid: number) {
  const { id, createdAt, lastUsedAt, device } = sessions;
  return db
    .select({ id, createdAt, lastUsedAt, device })
    .from(sessions)
    .where(eq(sessions.uid, uid))
    .orderBy(desc(lastUsedAt), desc(id));
}

/**
 * Why no session may be opened, looked at here and not where the password is checked: a ban, a reset or a change in
 * between must not be outlived by a new session.
 */
async function findRefusal(
  tx: Queries,
  uid: number,
  passwordHash: string,
): Promise<'other_password' | 'banned' | null> {
  const { bannedAt } = accounts;
  const row = await tx
    .select({ passwordHash: accounts.passwordHash, bannedAt })
    .from(accounts)
    .where(eq(accounts.uid, uid))
    .get();
  if (row?.passwordHash !== passwordHash) return 'other_password';
  return row.bannedAt === null ? null : 'banned';
}

/** Whether this session of the account has not ended. */
export async function isLive(tx: Queries, uid: number, sessionId: number): Promise<boolean> {
  const own = and(eq(sessions.uid, uid), eq(sessions.id, sessionId));
  return (await tx.select({ id: sessions.id }).from(sessions).where(own).get()) !== undefined;
}

/** Why this session may not do now what an undone change of address would not take back; null when it may. */
export async function findSessionRefusal(
  tx: Queries,
  { uid, sessionId }: Pick<Actor, 'uid' | 'sessionId'>,
  now: number,
): Promise<SessionRefusal | null> {
  if (!(await isLive(tx, uid, sessionId))) return 'session_ended';
  const undoable = await tx
    .select({ id: codes.id })
    .from(codes)
    .innerJoin(sessions, eq(sessions.uid, codes.uid))
    .where(
      and(
        liveCodes('email_undo', now),
        eq(codes.uid, uid),
        eq(sessions.id, sessionId),
        lte(codes.createdAt, sessions.createdAt),
      ),
    )
    .limit(1)
    .get();
  return undoable ? 'address_new' : null;
}

export interface Ended {
  readonly id: number;
  readonly uid: number;
}

/** Ends the sessions that meet the condition, but this one, and says which and whose ended. */
export async function deleteSessions(
  tx: Queries,
  condition: SQL | undefined,
  keptId?: number,
): Promise<Ended[]> {
  const { id, uid } = sessions;
  const others = keptId === undefined ? undefined : ne(id, keptId);
  return tx.delete(sessions).where(and(condition, others)).returning({ id, uid });
}

/** Tells of ended sessions, once for each account. */
export function tellEnded(emit: Emit, ended: readonly Ended[]): void {
  for (const [uid, those] of Map.groupBy(ended, (session) => session.uid)) {
    emit({ kind: 'sessions_ended', uid, sessionIds: those.map(({ id }) => id) });
  }
}
