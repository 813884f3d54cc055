// Forgotten passwords in SQLite: a code sets a new one.
import { eq, sql } from 'drizzle-orm';
import { findRow, makeVerified } from './accounts.ts';
import { redeemCode } from './codes.ts';
import { accounts, installation, sessions } from './schema.ts';
import { deleteSessions, tellEnded } from './sessions.ts';
import type { Driver, Queries } from './sqlite.ts';
import type { AccountStore, Emit } from './store.ts';

export function createResetStore(
  driver: Driver,
  emit: Emit,
  defaultGroupId: string,
): Pick<AccountStore, 'resetPassword'> {
  return {
    resetPassword: async (owner, tried, passwordHash) => {
      const outcome = await driver.write(
        async (tx) => {
          const { uid } = owner;
          const account = await findRow(tx, uid);
          const wanted = { purpose: 'reset', keepsRight: passwordHash === null } as const;
          const right = await redeemCode(tx, { ...wanted, ...owner }, tried);
          if (account === null || account.bannedAt !== null || !right) {
            await writeAnything(tx);
            return null;
          }
          const wasVerified = account.verifiedAt !== null;
          if (passwordHash === null) return { ended: [], wasVerified };
          await tx.update(accounts).set({ passwordHash }).where(eq(accounts.uid, uid));
          await makeVerified(tx, defaultGroupId, uid, tried.now);
          return { ended: await deleteSessions(tx, eq(sessions.uid, uid)), wasVerified };
        },
        (done) => tellEnded(emit, done?.ended ?? []),
      );
      return outcome ? { ...outcome, ended: outcome.ended.length } : 'wrong_code';
    },
  };
}

/**
 * Makes this transaction wait for the disk: how long a refusal takes must not say whether there was a code to count it
 * against.
 */
async function writeAnything(tx: Queries): Promise<void> {
  await tx.update(installation).set({ epoch: sql`${installation.epoch}` });
}
