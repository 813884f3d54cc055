// The write-ahead log as a file: how long it has become, and taking its room back when nobody needs it.
import type { Database } from 'bun:sqlite';
import { statSync } from 'node:fs';

/**
 * `short`: not over the size asked for. `busy`: somebody has just written, and writers reuse the file by themselves.
 * `held`: somebody reads what was so before, such as a backup, and the file grows as long as he does.
 */
export interface LogTrim {
  readonly outcome: 'short' | 'busy' | 'held' | 'trimmed';
  /** What the file had before. */
  readonly bytes: number;
}

export function logBytes(path: string): number {
  return statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0;
}

/**
 * Brings everything into the database file and cuts the log to nothing, without waiting for anybody.
 * @see https://sqlite.org/pragma.html#pragma_wal_checkpoint
 */
export function cutLog(client: Database, patienceMs: number): 'held' | 'trimmed' {
  client.run('PRAGMA busy_timeout = 0');
  try {
    const done = client.query('PRAGMA wal_checkpoint(TRUNCATE)').get() as { busy: number };
    return done.busy === 0 ? 'trimmed' : 'held';
  } finally {
    client.run(`PRAGMA busy_timeout = ${patienceMs}`);
  }
}
