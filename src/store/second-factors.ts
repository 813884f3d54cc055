// Second factors in SQLite: enrolled, confirmed, and every code of theirs used up once.
import { and, eq, isNotNull, isNull, lt } from 'drizzle-orm';
import { recoveryCodes, secondFactors } from './schema.ts';
import { findSessionRefusal, isLive } from './sessions.ts';
import type { Driver, Queries } from './sqlite.ts';
import type { FactorProof, SecondFactorStore } from './store.ts';

export function createSecondFactorStore(driver: Driver): SecondFactorStore {
  const write = <T>(body: (tx: Queries) => Promise<T>) =>
    driver.write(body, undefined, { keepsVersion: true });

  return {
    findSecondFactor: async (uid) => {
      const row = await driver.reader.select().from(secondFactors).where(eq(secondFactors.uid, uid)).get();
      return row ? { secret: row.secret, confirmed: row.confirmedAt !== null } : null;
    },

    enrollSecondFactor: (actor, secret, now) =>
      write(async (tx) => {
        const { uid } = actor;
        const refusal = await findSessionRefusal(tx, actor, now);
        if (refusal !== null) return refusal;
        const kept = await tx
          .insert(secondFactors)
          .values({ uid, secret })
          .onConflictDoUpdate({
            target: secondFactors.uid,
            set: { secret },
            setWhere: isNull(secondFactors.confirmedAt),
          })
          .returning({ uid: secondFactors.uid });
        return kept.length > 0 ? 'enrolled' : 'on_already';
      }),

    confirmSecondFactor: ({ uid, sessionId }, proof, { codeHashes, now }) =>
      write(async (tx) => {
        if (proof.kind !== 'step' || !(await isLive(tx, uid, sessionId))) return false;
        const enrolled = and(
          eq(secondFactors.uid, uid),
          eq(secondFactors.secret, proof.secret),
          isNull(secondFactors.confirmedAt),
        );
        const confirmed = await tx
          .update(secondFactors)
          .set({ confirmedAt: now, lastStep: proof.step })
          .where(enrolled)
          .returning({ uid: secondFactors.uid });
        if (confirmed.length === 0) return false;
        await keepRecoveryCodes(tx, uid, codeHashes);
        return true;
      }),

    redeemFactorProof: (uid, proof) => write((tx) => redeem(tx, uid, proof)),

    replaceRecoveryCodes: ({ uid, sessionId }, proof, codeHashes) =>
      write(async (tx) => {
        if (!(await isLive(tx, uid, sessionId)) || !(await redeem(tx, uid, proof))) return false;
        await keepRecoveryCodes(tx, uid, codeHashes);
        return true;
      }),

    removeSecondFactor: ({ uid, sessionId }, proof) =>
      write(async (tx) => {
        if (!(await isLive(tx, uid, sessionId)) || !(await redeem(tx, uid, proof))) return false;
        await tx.delete(recoveryCodes).where(eq(recoveryCodes.uid, uid));
        await tx.delete(secondFactors).where(eq(secondFactors.uid, uid));
        return true;
      }),
  };
}

/** Steps only move on, so a code that was seen over somebody's shoulder is good for nothing (RFC 6238, 5.2). */
async function redeem(tx: Queries, uid: number, proof: FactorProof): Promise<boolean> {
  if (proof.kind === 'recovery') {
    const used = await tx
      .delete(recoveryCodes)
      .where(and(eq(recoveryCodes.uid, uid), eq(recoveryCodes.codeHash, proof.codeHash)))
      .returning({ uid: recoveryCodes.uid });
    return used.length > 0;
  }
  const used = await tx
    .update(secondFactors)
    .set({ lastStep: proof.step })
    .where(
      and(
        eq(secondFactors.uid, uid),
        eq(secondFactors.secret, proof.secret),
        isNotNull(secondFactors.confirmedAt),
        lt(secondFactors.lastStep, proof.step),
      ),
    )
    .returning({ uid: secondFactors.uid });
  return used.length > 0;
}

async function keepRecoveryCodes(tx: Queries, uid: number, codeHashes: readonly string[]): Promise<void> {
  await tx.delete(recoveryCodes).where(eq(recoveryCodes.uid, uid));
  await tx.insert(recoveryCodes).values(codeHashes.map((codeHash) => ({ uid, codeHash })));
}
