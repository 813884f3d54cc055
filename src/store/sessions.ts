// Sessions in SQLite: one per login, found by the hash of its cookie or token.
import { and, type Column, eq, isNotNull, sql } from 'drizzle-orm';
import { accounts, sessions } from './schema.ts';
import type { Driver, Queries } from './sqlite.ts';
import type { AccountStore, Session } from './store.ts';

type Sessions = Pick<AccountStore, 'openSession' | 'findSession' | 'touchSession'>;

export function createSessionStore(driver: Driver): Sessions {
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
    openSession: (session) =>
      driver.write(
        async (tx) => {
          // Here and not where the password is checked: a ban in between must not be outlived by a new session.
          if (await isBanned(tx, session.uid)) return false;
          await tx.insert(sessions).values({ ...session, lastUsedAt: session.createdAt });
          return true;
        },
        undefined,
        { keepsVersion: true },
      ),

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
        { keepsVersion: true },
      ),
  };
}

async function isBanned(tx: Queries, uid: number): Promise<boolean> {
  const banned = and(eq(accounts.uid, uid), isNotNull(accounts.bannedAt));
  return (await tx.select({ uid: accounts.uid }).from(accounts).where(banned).get()) !== undefined;
}
