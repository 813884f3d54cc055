// Invitations in SQLite: made and listed by whoever runs the server, used up by sign-ups, removed some time after.
import { and, desc, eq, gt, lt, lte, or, sql } from 'drizzle-orm';
import type { AdminStore } from './admin-store.ts';
import { invitations } from './schema.ts';
import type { Driver, Queries } from './sqlite.ts';

/** How long one stays in the list that was used up or has expired. */
const keptMs = 30 * 24 * 60 * 60 * 1000;

export function createInvitationStore(
  driver: Driver,
): Pick<AdminStore, 'createInvitation' | 'listInvitations'> {
  return {
    createInvitation: ({ codeHash, uses: usesLeft, createdAt, expiresAt }) =>
      driver.write(
        async (tx) => {
          await tx.insert(invitations).values({ codeHash, usesLeft, createdAt, expiresAt });
        },
        undefined,
        { keepsVersion: true },
      ),

    listInvitations: () =>
      driver.reader
        .select({
          id: invitations.id,
          usesLeft: invitations.usesLeft,
          createdAt: invitations.createdAt,
          expiresAt: invitations.expiresAt,
        })
        .from(invitations)
        .orderBy(desc(invitations.id)),
  };
}

export async function isGood(db: Queries, codeHash: string, now: number): Promise<boolean> {
  const good = and(
    eq(invitations.codeHash, codeHash),
    gt(invitations.usesLeft, 0),
    gt(invitations.expiresAt, now),
  );
  return (await db.select({ id: invitations.id }).from(invitations).where(good).get()) !== undefined;
}

export async function useOnce(tx: Queries, codeHash: string, now: number): Promise<void> {
  const used = { usesLeft: sql`${invitations.usesLeft} - 1`, lastUsedAt: now };
  await tx.update(invitations).set(used).where(eq(invitations.codeHash, codeHash));
}

/** For a sign-up that is taken back. */
export async function giveBackUse(tx: Queries, codeHash: string): Promise<void> {
  const back = { usesLeft: sql`${invitations.usesLeft} + 1` };
  await tx.update(invitations).set(back).where(eq(invitations.codeHash, codeHash));
}

/** Removes those that have been good for nothing for long. */
export async function removeSpent(tx: Queries, now: number): Promise<void> {
  // Those of before their use was noted count from when they were made.
  const lastUsedAt = sql`COALESCE(${invitations.lastUsedAt}, ${invitations.createdAt})`;
  const isUsedUp = and(lte(invitations.usesLeft, 0), lt(lastUsedAt, now - keptMs));
  await tx.delete(invitations).where(or(isUsedUp, lt(invitations.expiresAt, now - keptMs)));
}
