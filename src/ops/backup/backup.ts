// One backup: lock, consistent snapshot of the database, integrity check, push to the backup repository.
import { Database } from 'bun:sqlite';
import { existsSync } from 'node:fs';
import { chmod, mkdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { acquireLock } from '../../store/lock.ts';
import { BackupError, type BackupFailure } from './error.ts';
import { GitError, openGit, scrub } from './git.ts';
import { publishSnapshot, type Snapshot } from './repository.ts';
import { halfRestored, isHalfRestored } from './swap.ts';

export interface BackupTarget {
  /** Folder that holds `chat.db`; what the backup needs for itself lies in its folder `backup`. */
  dataDir: string;
  /** Path, ssh or https address of the git repository; may hold credentials. */
  repo: string;
  branch: string;
}

export interface BackupReport {
  outcome: 'pushed' | 'unchanged';
  /** Full hash of the commit at the remote that holds the snapshot. */
  commit: string;
  /** Size of the snapshot. */
  bytes: number;
  durationMs: number;
}

export interface BackupOptions {
  /** Time limit of each git command, lengthened by 1 s per 100 KB where the snapshot travels. Default 120000. */
  commandTimeoutMs?: number;
  /** Stops the backup as soon as it does not touch the database. */
  signal?: AbortSignal;
}

/** What the `backup` command prints as its one line of JSON. */
export type BackupLine = ({ ok: true } & BackupReport) | { ok: false; kind: BackupFailure; message: string };

/**
 * Makes one backup. The database may be in use by the server meanwhile, which goes on reading and writing.
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
    const { publication, bytes } = await backUp(target, folder, options);
    return { ...publication, bytes, durationMs: Math.round(performance.now() - startedAt) };
  } catch (error) {
    throw toBackupError(error, target);
  }
}

async function backUp(target: BackupTarget, folder: string, options: BackupOptions) {
  const path = join(folder, 'snapshot.db');
  const gitDir = join(folder, 'repository');
  const { repo, branch } = target;
  const git = await openGit({
    gitDir,
    repo,
    timeLimitMs: options.commandTimeoutMs ?? 120_000,
    signal: options.signal,
  });
  try {
    const snapshot = await takeSnapshot(join(target.dataDir, 'chat.db'), path);
    const publication = await publishSnapshot({ git, gitDir, repo, branch }, snapshot);
    return { publication, bytes: snapshot.bytes };
  } finally {
    await removeDatabase(path);
  }
}

/**
 * Copies the database as of one moment. Two copies of an unchanged database are the same byte for byte: VACUUM INTO
 * writes a fresh file whose change counters begin anew (tried).
 * @see https://sqlite.org/lang_vacuum.html
 */
async function takeSnapshot(database: string, path: string): Promise<Snapshot> {
  await removeDatabase(path); // a killed run's
  const at = Date.now();
  {
    using source = new Database(database, { readonly: true });
    source.run('PRAGMA busy_timeout = 5000');
    source.run('VACUUM INTO ?', [path]);
  }
  using copy = new Database(path, { readonly: true });
  using check = copy.prepare('PRAGMA integrity_check(1)');
  const verdict = String(check.values()[0]?.[0]);
  if (verdict !== 'ok') {
    throw new BackupError(
      'failed',
      `The database is damaged, nothing was pushed: ${verdict}. Restore a backup.`,
    );
  }
  return { path, bytes: (await stat(path)).size, at };
}

async function removeDatabase(path: string): Promise<void> {
  for (const ending of ['', '-journal', '-wal', '-shm']) await rm(path + ending, { force: true });
}

function toBackupError(error: unknown, { repo, dataDir }: BackupTarget): BackupError {
  if (error instanceof BackupError) return error;
  if (error instanceof GitError) return new BackupError('failed', error.message);
  const reason = scrub(error instanceof Error ? error.message : String(error), repo);
  const remedy = `Check that ${dataDir} is writable and the disk has room for two more copies of the database.`;
  return new BackupError('failed', `The backup could not be made: ${reason}. ${remedy}`);
}

/**
 * The `backup` command: makes one backup and prints one line of JSON, or a sentence (a problem on standard error).
 * SIGTERM, SIGINT and SIGHUP stop it together with its git.
 * @param target null when BACKUP_REPO is not set
 * @returns the exit status: 0 when the remote has the snapshot, else 1
 */
export async function backupCommand(target: BackupTarget | null, json: boolean): Promise<number> {
  const line = await attempt(target);
  const text = json ? JSON.stringify(line) : sentence(line);
  await Bun.write(json || line.ok ? Bun.stdout : Bun.stderr, `${text}\n`);
  return line.ok ? 0 : 1;
}

const stopSignals = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

async function attempt(target: BackupTarget | null): Promise<BackupLine> {
  if (!target) {
    const message = 'BACKUP_REPO is not set: there is nowhere to push to. Set it to a git repository.';
    return { ok: false, kind: 'failed', message };
  }
  const controller = new AbortController();
  const stop = (): void => controller.abort();
  for (const name of stopSignals) process.on(name, stop);
  try {
    return { ok: true, ...(await runBackup(target, { signal: controller.signal })) };
  } catch (error) {
    const { kind, message } = toBackupError(error, target);
    return { ok: false, kind, message };
  } finally {
    for (const name of stopSignals) process.off(name, stop);
  }
}

function sentence(line: BackupLine): string {
  if (!line.ok) return line.message;
  const size = `${line.bytes} bytes`;
  return line.outcome === 'pushed'
    ? `Pushed a snapshot of ${size} as commit ${line.commit} in ${line.durationMs} ms.`
    : `Nothing has changed since commit ${line.commit} (${size}, checked in ${line.durationMs} ms).`;
}
