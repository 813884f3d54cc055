// Restores a snapshot of the backup repository: into the data folder, whose old data are kept aside, or into a fresh folder.
import { Database, SQLiteError } from 'bun:sqlite';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readFinishedLines } from '../../store/ledger.ts';
import { acquireLock } from '../../store/lock.ts';
import type { StoreOptions } from '../../store/open.ts';
import { type Access, secretsOf } from './access.ts';
import { BackupError } from './error.ts';
import { fetchSnapshot, listSnapshots, type Moment, type SnapshotHead } from './fetch.ts';
import { scrub } from './git.ts';
import { GitError } from './git-process.ts';
import { assertRoom, type OnStep, type Rebuilt, rebuild, type Step } from './rebuild.ts';
import {
  dropWorkFolder,
  finishRestore,
  halfRestored,
  isHalfRestored,
  isOfRestore,
  makeWorkFolder,
  swapIn,
} from './swap.ts';
import type { BackupTarget } from './target.ts';

/** What the store is opened with, as by a server. */
export type StoreSettings = Pick<StoreOptions, 'defaultGroup' | 'clock'>;

export interface RestoreRequest {
  /** The data folder with its repository. */
  readonly target: BackupTarget;
  /** A fresh folder to restore to instead of the data folder; null for that one. */
  readonly to: string | null;
  /** Which snapshot; null for the newest. */
  readonly moment: Moment | null;
  readonly endSessions: boolean;
  readonly store: StoreSettings;
}

export interface RestoreOptions {
  readonly onStep?: OnStep;
  readonly signal?: AbortSignal;
  /** How long the remote may send nothing, in ms. */
  readonly stallMs?: number;
}

export interface RestoreReport extends Omit<Made, 'staged'> {
  /** The folder that was restored to. */
  readonly folder: string;
  /** Where what was there before lies now; null when there was nothing. */
  readonly aside: string | null;
  readonly durationMs: number;
  readonly stepMs: Readonly<Record<Step, number>>;
}

/** How long a restore waits for a server that is just stopping, and for a command that is just ending. */
const patienceMs = 2000;

/**
 * Restores one snapshot. Whatever goes wrong, the folder has what it had before; a kill during the last step, the swap,
 * leaves what the next restore or start finishes.
 * @throws BackupError `running` when a server, a backup or a command is at work there, `failed` otherwise
 */
export async function restore(request: RestoreRequest, options: RestoreOptions = {}): Promise<RestoreReport> {
  const folder = request.to ?? request.target.dataDir;
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    if (request.to !== null) assertFresh(request.to);
    using _server = lock(join(folder, 'server.lock'), `A server runs on ${folder}. Stop it first.`);
    mkdirSync(join(folder, 'backup'), { recursive: true, mode: 0o700 });
    using _backup = lock(
      join(folder, 'backup', 'lock.db'),
      'A backup is running. Try again when it is done.',
    );
    finishRestore(folder);
    return await restoreInto(folder, request, options);
  } catch (error) {
    if (isHalfRestored(folder)) throw halfWay(error);
    throw toRestoreError(error, request.target.access, options.signal);
  }
}

async function restoreInto(
  folder: string,
  request: RestoreRequest,
  { onStep = () => undefined, ...options }: RestoreOptions,
): Promise<RestoreReport> {
  const { step, stepMs, durationMs } = timed(onStep);
  const work = makeWorkFolder(folder);
  try {
    const { staged, ...made } = await makeInstallation(work, request, { ...options, onStep: step });
    options.signal?.throwIfAborted();
    step('swap', 0, made.bytes);
    closeOld(join(folder, 'chat.db'));
    const { aside } = swapIn(folder, staged);
    step('swap', made.bytes, made.bytes);
    return { ...made, folder, aside, durationMs: durationMs(), stepMs };
  } finally {
    dropWorkFolder(folder);
  }
}

/** An installation that nobody uses yet. */
export interface Made extends Rebuilt {
  /** Its folder. */
  readonly staged: string;
  readonly commit: string;
  /** When the snapshot was taken, ms since the epoch. */
  readonly takenAtMs: number;
}

/**
 * Fetches a snapshot and makes an installation of it, all in the folder `work`, which is empty.
 * @throws BackupError @throws GitError and others, for `toRestoreError`
 */
export async function makeInstallation(
  work: string,
  { target, moment, store, endSessions }: Omit<RestoreRequest, 'to'>,
  { onStep = () => undefined, ...options }: RestoreOptions,
): Promise<Made> {
  assertRoom(work);
  onStep('fetch', 0, null);
  const onBytes = (bytes: number) => onStep('fetch', bytes, null);
  const fetched = await fetchSnapshot({ ...target, ...options, folder: work, onBytes }, moment);
  const staged = join(work, 'installation');
  mkdirSync(staged, { mode: 0o700 });
  const ledger = join(target.dataDir, 'erasures.jsonl');
  const ownLedger = { name: ledger, text: readFinishedLines(ledger) };
  const plan = { folder: staged, key: target.key, ownLedger, store, endSessions, onStep };
  const { commit, takenAtMs } = fetched.snapshot;
  return { ...(await rebuild(fetched, plan)), staged, commit, takenAtMs };
}

/**
 * What there is to restore, newest first.
 * @throws BackupError
 */
export async function listRestorable(
  { access, branch }: BackupTarget,
  signal?: AbortSignal,
): Promise<SnapshotHead[]> {
  const folder = mkdtempSync(join(tmpdir(), 'chat-snapshots-')); // not in the data folder, which need not be there
  try {
    return await listSnapshots({ access, branch, folder, signal });
  } catch (error) {
    throw toRestoreError(error, access, signal);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Notes how long each step takes, until the next one begins. */
function timed(onStep: OnStep) {
  const stepMs: Record<Step, number> = { fetch: 0, join: 0, check: 0, erase: 0, swap: 0 };
  const startedAt = performance.now();
  let current: { step: Step; at: number } | null = null;
  const end = () => {
    if (current) stepMs[current.step] = Math.round(performance.now() - current.at);
  };
  return {
    stepMs,
    step: ((step, done, total) => {
      end();
      if (current?.step !== step) current = { step, at: performance.now() };
      onStep(step, done, total);
    }) satisfies OnStep,
    durationMs: () => {
      end();
      return Math.round(performance.now() - startedAt);
    },
  };
}

function assertFresh(folder: string): void {
  const [other] = readdirSync(folder).filter((name) => !isOfRestore(name));
  if (other === undefined) return;
  throw new BackupError(
    'failed',
    `${folder} is not empty, it has ${other}. Name a folder that is, or is not there.`,
  );
}

/** @throws BackupError `running` in these words when somebody else holds it */
function lock(path: string, words: string): Disposable {
  const taken = acquireLock(path, patienceMs);
  if (taken) return taken;
  throw new BackupError('running', words);
}

/**
 * Brings the old database into one file, which only its last user can: a command that still had it open would write
 * into the journal of the new one. A file that is no sound database is moved as it is.
 * @see https://sqlite.org/howtocorrupt.html#unlink_or_rename_a_database_file_while_in_use
 */
function closeOld(path: string): void {
  if (!existsSync(path)) return;
  try {
    using database = new Database(path);
    database.run(`PRAGMA busy_timeout = ${patienceMs}`);
    database.run('PRAGMA journal_mode = DELETE');
  } catch (error) {
    if (!(error instanceof SQLiteError)) throw error;
    if (error.code === 'SQLITE_BUSY')
      throw new BackupError('running', 'Another program has the database open. Try again when it has ended.');
  }
}

function halfWay(error: unknown): BackupError {
  const reason = error instanceof Error ? error.message : String(error);
  return new BackupError('failed', `${halfRestored} What went wrong: ${reason}`);
}

/** Every failure before the swap in words. */
export function toRestoreError(error: unknown, access: Access, signal?: AbortSignal): BackupError {
  if (signal?.aborted) return new BackupError('failed', 'It was stopped. Nothing was changed.');
  const reason = scrub(error instanceof Error ? error.message : String(error), secretsOf(access));
  if (/No space left|ENOSPC|disk is full|EDQUOT/i.test(reason))
    return new BackupError('failed', 'The disk is full. Nothing was changed: make room, then try again.');
  if (error instanceof BackupError) return error;
  const known = error instanceof GitError ? reason : `The snapshot could not be restored: ${reason}`;
  return new BackupError('failed', `${known.replace(/\.?$/, '.')} Nothing was changed.`);
}
