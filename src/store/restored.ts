// What a database that was restored becomes before anybody is served from it: up to date, without erased accounts, a history of its own.
import { randomUUID } from 'node:crypto';
import { openStore, type StoreOptions } from './open.ts';
import { audit, installation } from './schema.ts';
import { deleteSessions } from './sessions.ts';
import { openDatabase } from './sqlite.ts';

export interface Adoption {
  /** Whether everybody has to log in again. */
  readonly endSessions: boolean;
  /** What the audit log says of the restore, in a few words. */
  readonly detail: string;
}

/**
 * Opens the restored database at `path` as a server does, which migrates it and erases again who is in the ledger beside
 * it, and gives its history another epoch: positions after the snapshot will be used a second time. Nobody else may
 * have it open.
 * @returns how many sessions were ended
 * @throws Error when the file is of a newer version, or the ledger cannot be read
 */
export async function adoptRestored(
  options: Pick<StoreOptions, 'path' | 'defaultGroup' | 'clock'>,
  { endSessions, detail }: Adoption,
): Promise<number> {
  const store = await openStore({ ...options, emit: () => undefined });
  await store.close();
  const driver = openDatabase(options.path);
  try {
    return await driver.write(async (tx) => {
      await tx.update(installation).set({ epoch: randomUUID() });
      const ended = endSessions ? await deleteSessions(tx, undefined) : [];
      await tx.insert(audit).values({ at: options.clock(), kind: 'restored', actor: 'command', detail });
      return ended.length;
    });
  } finally {
    await driver.close();
  }
}
