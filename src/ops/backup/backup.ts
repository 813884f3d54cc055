// One backup: lock, snapshot, push, and a note of what became of it.
import { existsSync } from 'node:fs';
import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { readFinishedLines } from '../../store/ledger.ts';
import { acquireLock } from '../../store/lock.ts';
import { type Access, secretsOf } from './access.ts';
import { BackupError, type BackupFailure } from './error.ts';
import { openGit, scrub } from './git.ts';
import { GitError } from './git-process.ts';
import { measureRemote } from './remote-size.ts';
import { publishSnapshot } from './repository.ts';
import { createSealer } from './seal.ts';
import { removeSnapshot, takeSnapshot } from './snapshot.ts';
import { type BackupState, noteBackupState } from './state.ts';
import { halfRestored, isHalfRestored } from './swap.ts';
import type { BackupTarget } from './target.ts';

export interface BackupReport {
  outcome: 'pushed' | 'unchanged';
  /** Full hash of the commit at the remote that holds the snapshot. */
  commit: string;
  /** Size of the snapshot. */
  bytes: number;
  durationMs: number;
  /** What whoever runs the server should do something about, each a sentence or two. */
  warnings: string[];
}

export interface BackupOptions {
  /** How long git may give no sign of life, in ms. Default 120000. */
  silenceMs?: number;
  /** Stops the backup as soon as it does not touch the database. */
  signal?: AbortSignal;
}

/** What the `backup` command prints as its one line of JSON. */
export type BackupLine = ({ ok: true } & BackupReport) | { ok: false; kind: BackupFailure; message: string };

/**
 * Makes one backup and notes in the data folder what became of it. The database may be in use by the server meanwhile,
 * which goes on reading and writing.
 * @throws BackupError
 */
export async function runBackup(target: BackupTarget, options: BackupOptions = {}): Promise<BackupReport> {
  const startedAt = performance.now();
  const folder = join(target.dataDir, 'backup');
  try {
    if (isHalfRestored(target.dataDir)) throw new BackupError('failed', halfRestored);
    if (!existsSync(join(target.dataDir, 'chat.db'))) {
      throw new BackupError('failed', `There is no database in ${target.dataDir}. Check DATA_DIR.`);
    }
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await chmod(folder, 0o700);
    using lock = acquireLock(join(folder, 'lock.db'), 0);
    if (!lock) throw new BackupError('running', 'Another backup is running. Try again when it is done.');
    const { remoteBytes, warnings, ...done } = await backUp(target, folder, options);
    const report = { ...done, durationMs: Math.round(performance.now() - startedAt) };
    const problem = note(target, { lastSuccess: { ...report, atMs: Date.now() }, remoteBytes });
    return { ...report, warnings: problem ? [...warnings, problem] : warnings };
  } catch (error) {
    const failure = toBackupError(error, target);
    // A run that was told to stop, or found another at work, is no failure. What cannot be noted is still thrown.
    if (failure.kind === 'failed' && !options.signal?.aborted && existsSync(folder))
      note(target, { lastFailure: { atMs: Date.now(), message: failure.message } });
    throw failure;
  }
}

async function backUp(target: BackupTarget, folder: string, options: BackupOptions) {
  const { access, branch, key, keep } = target;
  const path = join(folder, 'snapshot.db');
  const gitDir = join(folder, 'repository');
  const git = await openGit({
    gitDir,
    access,
    timeLimitMs: options.silenceMs ?? 120_000,
    signal: options.signal,
    settings: key ? sealedSettings : clearSettings,
  });
  try {
    const snapshot = await takeSnapshot(join(target.dataDir, 'chat.db'), path);
    const bytes = Bun.file(path).size;
    // After the snapshot: it has every erasure that the snapshot has.
    const ledger = Buffer.from(readFinishedLines(join(target.dataDir, 'erasures.jsonl')));
    const sealer = key ? createSealer(key) : null;
    const remote = { git, gitDir, access, branch };
    const { problem, ...published } = await publishSnapshot(remote, { snapshot, ledger, sealer, keep });
    const { outcome, commit } = published;
    const size = await measureRemote(remote, published, options.signal);
    const concerns = [target.exposure, problem, size.problem, excess(size.bytes, target)];
    const warnings = concerns.filter((concern) => concern !== null);
    return { outcome, commit, bytes, remoteBytes: size.bytes, warnings };
  } finally {
    await removeSnapshot(path);
  }
}

/**
 * A part is compared with the one of its place in the last snapshot alone: others would take as much memory each and have
 * nothing in common with it. More compression takes four times as long for a tenth of the size.
 * @see https://git-scm.com/docs/git-pack-objects on --window
 */
const clearSettings = ['core.compression=1', 'pack.window=1', 'pack.windowMemory=64m'];
/** Nothing is alike in what is encrypted, nor can it be compressed. */
const sealedSettings = ['core.compression=0', 'pack.window=0'];

function excess(bytes: number | null, { maxBytes }: BackupTarget): string | null {
  if (bytes === null || bytes <= maxBytes) return null;
  const sizes = `The backup repository takes ${bytes} bytes, more than BACKUP_MAX_BYTES, ${maxBytes}.`;
  return `${sizes} Lower BACKUP_KEEP, or raise it.`;
}

/** Returns why that did not work, else null. */
function note({ dataDir }: BackupTarget, news: Partial<BackupState>): string | null {
  try {
    noteBackupState(dataDir, news);
    return null;
  } catch (error) {
    return `What became of the backup could not be noted: ${error instanceof Error ? error.message : String(error)}.`;
  }
}

function toBackupError(
  error: unknown,
  { access, dataDir }: { access: Access; dataDir: string },
): BackupError {
  if (error instanceof BackupError) return error;
  if (error instanceof GitError) return new BackupError('failed', error.message);
  const reason = scrub(error instanceof Error ? error.message : String(error), secretsOf(access));
  const remedy = `Check that ${dataDir} is writable and the disk has room for two more copies of the database.`;
  return new BackupError('failed', `The backup could not be made: ${reason}. ${remedy}`);
}
