// Sessions in SQLite: one per login, found by the hash of its cookie or token.
import { type Column, eq, sql } from 'drizzle-orm';
import { accounts, sessions } from './schema.ts';
import type { Driver } from './sqlite.ts';
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
          await tx.insert(sessions).values({ ...session, lastUsedAt: session.createdAt });
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
