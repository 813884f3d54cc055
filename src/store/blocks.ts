// Who has blocked whom, in SQLite.
import { and, asc, eq, isNotNull, or, type SQLWrapper, sql } from 'drizzle-orm';
import type { BlockStore } from './chat-store.ts';
import { accounts, blocks } from './schema.ts';
import type { Driver, Queries } from './sqlite.ts';

export function createBlockStore(driver: Driver): BlockStore {
  return {
    // Both change what is remembered for sending, so they must not keep the driver's version.
    block: (uid, blockedUid, now) =>
      driver.write(async (tx) => {
        // Both: who asks may have been deleted since he was let in.
        if (!(await isPerson(tx, uid)) || !(await isPerson(tx, blockedUid))) return 'no_person';
        const made = await tx
          .insert(blocks)
          .values({ uid, blockedUid, createdAt: now })
          .onConflictDoNothing()
          .returning();
        return made.length > 0 ? 'done' : 'already';
      }),

    unblock: (uid, blockedUid) =>
      driver.write(async (tx) => {
        const ended = await tx
          .delete(blocks)
          .where(and(eq(blocks.uid, uid), eq(blocks.blockedUid, blockedUid)))
          .returning();
        if (ended.length > 0) return 'done';
        return (await isPerson(tx, blockedUid)) ? 'not_blocked' : 'no_person';
      }),

    listBlocked: async (uid) =>
      driver.reader
        .select({
          uid: accounts.uid,
          name: sql<string>`${accounts.firstName} || ' ' || ${accounts.lastName}`,
          picture: accounts.picture,
        })
        .from(blocks)
        .innerJoin(accounts, eq(accounts.uid, blocks.blockedUid))
        .where(eq(blocks.uid, uid))
        .orderBy(asc(accounts.uid)),
  };
}

/** The numbers of who has blocked this account and whom it has blocked, each once; two look-ups by index. */
export function blockedWith(db: Queries, uid: number | SQLWrapper) {
  return db
    .select({ uid: blocks.blockedUid })
    .from(blocks)
    .where(eq(blocks.uid, uid))
    .union(db.select({ uid: blocks.uid }).from(blocks).where(eq(blocks.blockedUid, uid)));
}

/** The condition on a row of `blocks` that it stands between these two, whoever made it. */
export function isBetween(one: SQLWrapper, other: SQLWrapper) {
  return or(
    and(eq(blocks.uid, one), eq(blocks.blockedUid, other)),
    and(eq(blocks.uid, other), eq(blocks.blockedUid, one)),
  );
}

async function isPerson(tx: Queries, uid: number): Promise<boolean> {
  const person = await tx
    .select({ uid: accounts.uid })
    .from(accounts)
    .where(and(eq(accounts.uid, uid), isNotNull(accounts.verifiedAt)))
    .get();
  return person !== undefined;
}
