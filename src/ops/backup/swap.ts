// Puts a restored installation in the place of the old one, in steps that a kill may fall between: what it leaves is finished by whoever comes next.
import { copyFileSync, existsSync, mkdirSync, readdirSync, renameSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { syncFile, syncFolder } from '../../infra/files.ts';

/** Where a restore works; of no use to anybody once it was killed. */
const partName = 'restore.part';
/** A restored installation that is whole and checked. As long as it is there the swap is not over. */
const readyName = 'restore.ready';
/** Journals first: the new database must never lie beside those of the old one, which SQLite would take for its own. */
const databaseNames = ['chat.db-journal', 'chat.db-wal', 'chat.db-shm', 'chat.db'];
const ledgerName = 'erasures.jsonl';

/** Whether a file or folder of this name in a data folder is one that a restore to a fresh folder makes before the swap. */
export function isOfRestore(name: string): boolean {
  return [partName, readyName, 'server.lock', 'backup'].includes(name);
}

/** What a restore has made of a data folder. */
export interface Swapped {
  /** The folder that holds what was there before; null when there was nothing. */
  readonly aside: string | null;
}

/** An empty folder (mode 0700) in the data folder for the restore to work in; what a killed one left there is gone. */
export function makeWorkFolder(dataDir: string): string {
  dropWorkFolder(dataDir);
  const folder = join(dataDir, partName);
  mkdirSync(folder, { mode: 0o700 });
  return folder;
}

export function dropWorkFolder(dataDir: string): void {
  rmSync(join(dataDir, partName), { recursive: true, force: true });
}

/** What to do then. */
export const halfRestored = 'A restore was interrupted. Start the server, or restore again: either ends it.';

/** Whether a restore was killed while it swapped: the data folder is then to be opened by nobody before that is over. */
export function isHalfRestored(dataDir: string): boolean {
  return existsSync(join(dataDir, readyName));
}

/**
 * Swaps in the `chat.db` and `erasures.jsonl` of the folder `staged`, which lies in the work folder. The caller holds
 * the lock of the data folder. From the first rename on there is no way back: a kill leaves what `finishRestore` ends.
 */
export function swapIn(dataDir: string, staged: string): Swapped {
  for (const name of ['chat.db', ledgerName]) syncFile(join(staged, name));
  syncFolder(staged);
  renameSync(staged, join(dataDir, readyName));
  syncFolder(dataDir);
  return finishSwap(dataDir);
}

/**
 * Ends a restore that was killed: undone unless all of the new installation was there, else swapped in. To be called by
 * who holds the lock of the data folder, before anything in it is opened.
 * @returns null when there was nothing to swap in
 */
export function finishRestore(dataDir: string): Swapped | null {
  dropWorkFolder(dataDir);
  return isHalfRestored(dataDir) ? finishSwap(dataDir) : null;
}

function finishSwap(dataDir: string): Swapped {
  const ready = join(dataDir, readyName);
  const old = join(ready, 'old');
  mkdirSync(old, { recursive: true, mode: 0o700 });
  replaceLedger(dataDir, ready, old);
  // A database in the folder is the old one as long as the new one has not left its place.
  if (existsSync(join(ready, 'chat.db'))) {
    for (const name of databaseNames) move(join(dataDir, name), join(old, name));
    syncFolder(old);
    syncFolder(dataDir);
    renameSync(join(ready, 'chat.db'), join(dataDir, 'chat.db'));
    syncFolder(dataDir);
  }
  const aside = keepAside(dataDir, old);
  rmSync(ready, { recursive: true });
  syncFolder(dataDir);
  return { aside };
}

/** Before the database, so that no server ever runs on the new one without it. It holds all that the old one does. */
function replaceLedger(dataDir: string, ready: string, old: string): void {
  const [current, next] = [join(dataDir, ledgerName), join(ready, ledgerName)];
  if (!existsSync(next)) return;
  if (existsSync(current)) copyFileSync(current, join(old, ledgerName));
  renameSync(next, current);
  syncFolder(dataDir);
}

function keepAside(dataDir: string, old: string): string | null {
  if (readdirSync(old).length === 0) {
    rmdirSync(old);
    return null;
  }
  const time = new Date().toISOString().replace(/\.\d+/, '').replaceAll(':', '-');
  const aside = freeName(join(dataDir, `before-restore-${time}`));
  renameSync(old, aside);
  syncFolder(dataDir);
  return aside;
}

/** Two restores may fall into one second. */
function freeName(wanted: string): string {
  for (let count = 1; ; count += 1) {
    const name = count === 1 ? wanted : `${wanted}-${count}`;
    if (!existsSync(name)) return name;
  }
}

function move(from: string, to: string): void {
  if (existsSync(from)) renameSync(from, to);
}
