// A lock that one process holds at a time: the operating system's, on a SQLite file, so a killed process leaves none.
import { Database, SQLiteError } from 'bun:sqlite';
import { makePrivateFile } from './private-file.ts';

/**
 * Takes the lock until it is disposed, and waits up to `patienceMs` for another holder to let go.
 * @returns null when another holds it
 * @see https://sqlite.org/lang_transaction.html#deferred_immediate_and_exclusive_transactions
 */
export function acquireLock(path: string, patienceMs: number): Disposable | null {
  makePrivateFile(path);
  const lock = new Database(path);
  try {
    lock.run(`PRAGMA busy_timeout = ${patienceMs}`);
    lock.run('BEGIN EXCLUSIVE');
    return lock;
  } catch (error) {
    lock.close();
    if (!(error instanceof SQLiteError) || error.code !== 'SQLITE_BUSY') throw error;
    return null;
  }
}
