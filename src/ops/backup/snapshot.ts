// A snapshot of the database: a copy as of one moment, checked before anything of it leaves the machine.
import { Database } from 'bun:sqlite';
import { rm } from 'node:fs/promises';
import { findDamage, readContents } from './contents.ts';
import { BackupError } from './error.ts';
import type { Contents } from './manifest.ts';

export interface Snapshot {
  readonly path: string;
  /** ms since the epoch */
  readonly takenAtMs: number;
  readonly contents: Contents;
}

/**
 * Copies the database to `path`, in which nothing of use may lie. Two copies of an unchanged database are the same byte
 * for byte: VACUUM INTO writes a fresh file whose change counters begin anew (tried).
 * @see https://sqlite.org/lang_vacuum.html
 * @throws BackupError when the copy is not sound
 * @throws SQLiteError
 */
export async function takeSnapshot(database: string, path: string): Promise<Snapshot> {
  await removeSnapshot(path); // a killed run's
  const takenAtMs = Date.now();
  {
    using source = new Database(database, { readonly: true });
    source.run('PRAGMA busy_timeout = 5000');
    source.run('PRAGMA synchronous = OFF'); // the copy need not survive a power cut, and others wait for the disk too
    source.run('VACUUM INTO ?', [path]);
  }
  assertSound(path);
  return { path, takenAtMs, contents: readContents(path) };
}

export async function removeSnapshot(path: string): Promise<void> {
  for (const ending of ['', '-journal', '-wal', '-shm']) await rm(path + ending, { force: true });
}

/** SQLite knows nothing of positions; a chat whose old messages were removed still counts to its newest. */
const wrongChat = `SELECT id FROM chats
  WHERE last_seq <> (SELECT MAX(seq) FROM messages WHERE chat_id = chats.id) LIMIT 1`;

function assertSound(path: string): void {
  const damage = findDamage(path);
  if (damage !== null) throw damaged(damage);
  using copy = new Database(path, { readonly: true });
  using query = copy.prepare(wrongChat);
  const chatId = query.values()[0]?.[0];
  if (chatId !== undefined) throw damaged(`chat ${chatId} does not end at the position that it counts to`);
}

function damaged(reason: string): BackupError {
  return new BackupError(
    'failed',
    `The database is damaged, nothing was pushed: ${reason}. Restore a backup.`,
  );
}
