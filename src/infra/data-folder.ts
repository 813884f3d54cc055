// The data folder: made for its owner alone, and tightened where others of the machine could read what lies in it.
import { chmodSync, mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Log } from '../log.ts';

const files = [
  'chat.db',
  'chat.db-wal',
  'chat.db-shm',
  'server.secret',
  'admin.key',
  'erasures.jsonl',
  'server.lock',
];
const folders = ['', 'outbox', 'outbox/queue', 'backup'];
/** Whoever is not the owner. */
const others = 0o077;
/** Folders of this kind are shared on purpose: https://man7.org/linux/man-pages/man7/inode.7.html */
const sticky = 0o1000;

/**
 * Makes the folder (mode 0700) unless it exists. What is in it already and wider than its owner needs, as a database
 * copied back is, gets the modes it would have been made with; where that is not ours to do, the log says what to do.
 * @throws the file system's error when it cannot be made
 */
export function openDataFolder(path: string, log: Log): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  if (process.platform === 'win32') return; // it has no such modes
  for (const name of folders) tighten(join(path, name), 0o700, log);
  for (const name of files) tighten(join(path, name), 0o600, log);
}

/** What in the folder others of this machine may read, each with the mode it should have; nothing on Windows. */
export function findWide(path: string): { path: string; mode: number }[] {
  if (process.platform === 'win32') return [];
  const wanted = [
    ...folders.map((name) => [name, 0o700] as const),
    ...files.map((name) => [name, 0o600] as const),
  ];
  return wanted
    .map(([name, mode]) => ({ path: join(path, name), mode }))
    .filter((entry) => ((statSync(entry.path, { throwIfNoEntry: false })?.mode ?? 0) & others) !== 0);
}

function tighten(path: string, mode: number, log: Log): void {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (!stats || (stats.mode & others) === 0) return;
  const wide = 'others on this machine can read the data';
  if (stats.mode & sticky) {
    log.error(wide, { path, remedy: 'set DATA_DIR to a folder of its own' });
    return;
  }
  try {
    chmodSync(path, mode);
    log.warn('others on this machine could read the data, and cannot any more', { path });
  } catch (error) {
    log.error(wide, { path, remedy: `chmod ${mode.toString(8)} ${path}`, error });
  }
}
