// One-time codes in SQLite: issued within limits, tried at most five times, used once.
import { and, desc, eq, gt, isNull, lt, lte, sql } from 'drizzle-orm';
import { accounts, codes } from './schema.ts';
import type { Driver, Queries } from './sqlite.ts';
import type { AccountStore, CodeLimits, CodePurpose, NewCode, TriedCode } from './store.ts';

/** A wrong code counts against every live code of its account and purpose; this many void them all. */
const maxWrongTries = 5;
const hourMs = 60 * 60 * 1000;

export function createCodeStore(driver: Driver): Pick<AccountStore, 'issueCode' | 'withdrawCode'> {
  return {
    issueCode: (code, limits) =>
      driver.write(
        async (tx) => {
          if (!(await exists(tx, code.uid))) return null;
          const waitMs = limits === null ? 0 : await waitFor(tx, code, limits);
          if (waitMs === 0) await tx.insert(codes).values(code);
          return { waitMs };
        },
        undefined,
        { keepsVersion: true },
      ),

    withdrawCode: ({ uid, purpose, codeHash, createdAt }) =>
      driver.write(async (tx) => {
        await tx
          .delete(codes)
          .where(
            and(
              eq(codes.uid, uid),
              eq(codes.purpose, purpose),
              eq(codes.codeHash, codeHash),
              eq(codes.createdAt, createdAt),
            ),
          );
      }),
  };
}

/** Looked at here: an account may be deleted while a code for it is being hashed. */
async function exists(tx: Queries, uid: number): Promise<boolean> {
  const row = await tx.select({ uid: accounts.uid }).from(accounts).where(eq(accounts.uid, uid)).get();
  return row !== undefined;
}

/** ms until the next code may be sent, 0 for now. */
async function waitFor(
  tx: Queries,
  { uid, purpose, createdAt }: NewCode,
  limits: CodeLimits,
): Promise<number> {
  const sent = await tx
    .select({ at: codes.createdAt })
    .from(codes)
    .where(
      and(
        eq(codes.uid, uid),
        eq(codes.purpose, purpose),
        gt(codes.createdAt, createdAt - hourMs),
        lte(codes.createdAt, createdAt), // what was sent before the clock was set back would count for as long as that
      ),
    )
    .orderBy(desc(codes.createdAt));
  const newest = sent[0];
  if (!newest || sent.length < limits.atOnce) return 0;
  const oldestCounted = sent[limits.perHour - 1];
  if (oldestCounted) return oldestCounted.at + hourMs - createdAt;
  return Math.max(0, newest.at + limits.spacingMs - createdAt);
}

/** The codes of a purpose that may still be entered. */
export function liveCodes(purpose: CodePurpose, now: number) {
  return and(
    eq(codes.purpose, purpose),
    isNull(codes.usedAt),
    gt(codes.expiresAt, now),
    lt(codes.createdAt, now + hourMs), // made while the clock was ahead, it would be good until then
    lt(codes.wrongTries, maxWrongTries),
  );
}

/**
 * Uses up a right code together with all its live siblings; counts a wrong one against them. With `keepsRight` a right
 * one stays good.
 */
export async function redeemCode(
  tx: Queries,
  wanted: { uid: number; purpose: CodePurpose; target?: string; keepsRight?: boolean },
  tried: TriedCode,
): Promise<boolean> {
  if (tried.codeHash === null) return false;
  const siblings = and(eq(codes.uid, wanted.uid), liveCodes(wanted.purpose, tried.now));
  const live = await tx.select().from(codes).where(siblings);
  const right = live.some(
    ({ codeHash, target }) => codeHash === tried.codeHash && (wanted.target ?? target) === target,
  );
  if (right && wanted.keepsRight) return true;
  await tx
    .update(codes)
    .set(right ? { usedAt: tried.now } : { wrongTries: sql`${codes.wrongTries} + 1` })
    .where(siblings);
  return right;
}
