// What became of the last backup and the last drill: a small file in the data folder, for health, log and commands.
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { acquireLock } from '../../store/lock.ts';

/** How long a writer waits for another. */
const patienceMs = 5000;

const stateSchema = z.object({
  lastSuccess: z
    .object({
      /** ms since the epoch; when it was done */
      atMs: z.number(),
      /** The commit at the remote that holds the snapshot. */
      commit: z.string(),
      /** Size of the snapshot. */
      bytes: z.number(),
      durationMs: z.number(),
      outcome: z.enum(['pushed', 'unchanged']),
    })
    .nullable(),
  lastFailure: z.object({ atMs: z.number(), message: z.string() }).nullable(),
  /** What the repository takes at the remote, as far as it is known. */
  remoteBytes: z.number().nullable(),
  lastDrill: z
    .object({
      atMs: z.number(),
      ok: z.boolean(),
      message: z.string(),
      durationMs: z.number(),
      commit: z.string().nullable(),
    })
    .nullable(),
});

export type BackupState = z.output<typeof stateSchema>;

const nothingKnown: BackupState = {
  lastSuccess: null,
  lastFailure: null,
  remoteBytes: null,
  lastDrill: null,
};

/** What is known; all null when there is no such file, or a damaged one. A later success leaves the failure in it. */
export function readBackupState(dataDir: string): BackupState {
  try {
    return stateSchema.parse(JSON.parse(readFileSync(join(folderOf(dataDir), 'state.json'), 'utf8')));
  } catch {
    return nothingKnown; // it only tells: the next backup writes it anew
  }
}

/** Whether the last backup that ended is one that failed. */
export function isFailing({ lastSuccess, lastFailure }: BackupState): boolean {
  return lastFailure !== null && lastFailure.atMs > (lastSuccess?.atMs ?? 0);
}

/**
 * Replaces some of it, in one step for who reads it; the rest stays, also when another process writes at the same time.
 * @throws the file system's error, and Error when another writer does not let go
 */
export function noteBackupState(dataDir: string, news: Partial<BackupState>): void {
  const folder = folderOf(dataDir);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  using lock = acquireLock(join(folder, 'state-lock.db'), patienceMs);
  if (!lock) throw new Error('Another process does not let go of the state of the backups.');
  const path = join(folder, 'state.json');
  const state = { ...before(readBackupState(dataDir), news), ...news };
  writeFileSync(`${path}.new`, `${JSON.stringify(state)}\n`, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

/** What was noted earlier was earlier, also when the clock was set back since: else it would hide a failure. */
function before(state: BackupState, { lastSuccess, lastFailure }: Partial<BackupState>): BackupState {
  return {
    ...state,
    lastSuccess: state.lastSuccess && notAfter(state.lastSuccess, (lastFailure?.atMs ?? Infinity) - 1),
    lastFailure: state.lastFailure && notAfter(state.lastFailure, lastSuccess?.atMs ?? Infinity),
  };
}

function notAfter<Outcome extends { atMs: number }>(outcome: Outcome, atMs: number): Outcome {
  return { ...outcome, atMs: Math.min(outcome.atMs, atMs) };
}

function folderOf(dataDir: string): string {
  return join(dataDir, 'backup');
}
