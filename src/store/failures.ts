// Failures of the database that pass: a full disk, one that does not answer, a lock that another process holds.
import { SQLiteError } from 'bun:sqlite';
import { AppError } from '../errors.ts';
import { isThenable } from './watch.ts';

const diskFull = 'The disk is full.';

/** By how SQLite's code begins: https://sqlite.org/rescode.html */
const reasons: readonly [code: string, reason: string][] = [
  ['SQLITE_FULL', diskFull],
  // The index of the write-ahead log could not be made longer, which only a full disk does.
  ['SQLITE_IOERR_SHMSIZE', diskFull],
  ['SQLITE_IOERR', 'The disk does not answer as it should.'],
  ['SQLITE_READONLY', 'The database cannot be written.'],
  ['SQLITE_CANTOPEN', 'The database cannot be opened.'],
  ['SQLITE_BUSY', 'The database is busy.'],
];

const retryAfterMs = 5000;

function reasonOf(error: unknown): string | undefined {
  if (!(error instanceof SQLiteError)) return undefined;
  return reasons.find(([code]) => error.code?.startsWith(code))?.[1];
}

/** What passes as AppError `unavailable`; anything else is a defect and stays what it is. */
export function asUnavailable(error: unknown): unknown {
  const cause = error instanceof Error && error.cause instanceof SQLiteError ? error.cause : error;
  const reason = error instanceof AppError ? undefined : reasonOf(cause);
  if (reason === undefined) return error;
  const words = `${reason} Nothing was saved, try again later.`;
  const unavailable = new AppError('unavailable', words, { retryAfterMs });
  unavailable.cause = cause;
  return unavailable;
}

/** Whether something failed because the disk is full, the database's file or another. */
export function isDiskFull(error: unknown): boolean {
  if (error instanceof Error && 'code' in error && error.code === 'ENOSPC') return true;
  return reasonOf(error instanceof AppError ? error.cause : error) === diskFull;
}

/**
 * The store, each of whose methods fails so: writes do by themselves, and reads must not look like a defect either when
 * it is the disk that cannot be read. `failed` is told of each failure that passes.
 */
export function tellingFailures<S extends object>(store: S, failed: (error: AppError) => void): S {
  const told = (error: unknown): never => {
    const failure = asUnavailable(error);
    if (failure instanceof AppError && failure.code === 'unavailable') failed(failure);
    throw failure;
  };
  const members = Object.entries(store).map(([name, member]) => {
    if (typeof member !== 'function') return [name, member];
    const method = (...args: unknown[]): unknown => {
      const outcome: unknown = member(...args);
      // What Drizzle built is no promise, and runs when somebody waits for it.
      return isThenable(outcome) ? Promise.resolve(outcome).catch(told) : outcome;
    };
    return [name, method];
  });
  return Object.fromEntries(members) as S;
}
