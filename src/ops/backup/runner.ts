// Backups on behalf of the server: each in a child process, by schedule or on request, one at a time.
import { setPriority } from 'node:os';
import { z } from 'zod';
import type { Log } from '../../log.ts';
import type { BackupLine, BackupReport } from './backup.ts';
import { BackupError } from './error.ts';
import { scrub } from './git.ts';

export interface BackupRunner {
  /**
   * Makes one backup and waits for it.
   * @throws BackupError `running` at once when one is under way, `failed` otherwise
   */
  run(): Promise<BackupReport>;
  /** The last finished run with its time (ms since the epoch) and either its report or its problem; null before. */
  readonly last: FinishedRun | null;
  /** Ends the schedule and a backup under way; the next one cleans up after it. */
  stop(): void;
}

export interface FinishedRun {
  at: number;
  report?: BackupReport;
  problem?: string;
}

export interface BackupRunnerOptions {
  /** The program's own command line without arguments, as [process.execPath, 'src/index.ts']. */
  command: readonly string[];
  /** Added to the environment of the child: DATA_DIR, BACKUP_REPO, BACKUP_BRANCH. */
  env: Record<string, string>;
  /** Cron expression (in the system's time zone), or `off`. */
  schedule: string;
  log: Log;
  clock?: () => number;
  /** Told of every failure, and of the first success after one. Not of each: a note changes what is backed up. */
  note?: (kind: 'backup' | 'backup_failed', detail: string) => void;
}

const lineSchema = z.discriminatedUnion('ok', [
  z.object({
    ok: z.literal(true),
    outcome: z.enum(['pushed', 'unchanged']),
    commit: z.string(),
    bytes: z.number(),
    durationMs: z.number(),
  }),
  z.object({ ok: z.literal(false), kind: z.enum(['running', 'failed']), message: z.string() }),
]);

/** How long a child that was told to stop may take before it is killed. */
const stopGraceMs = 1000;

/** Starts the schedule, if any. */
export function createBackupRunner(options: BackupRunnerOptions): BackupRunner {
  const { command, env, schedule, log, clock = Date.now, note = () => undefined } = options;
  let child: Bun.ReadableSubprocess | null = null;
  let last: FinishedRun | null = null;
  let stopped = false;

  const run = async (): Promise<BackupReport> => {
    if (stopped) throw new BackupError('failed', 'The server is stopping.');
    if (child) throw new BackupError('running', 'A backup is running already. Try again when it is done.');
    try {
      child = startChild(command, env, log);
      const report = await readReport(child);
      if (last?.problem !== undefined) note('backup', `commit ${report.commit}`);
      last = { at: clock(), report };
      return report;
    } catch (error) {
      const problem = stopped ? new BackupError('failed', 'The server is stopping.') : asBackupError(error);
      if (problem.kind === 'failed') {
        if (!stopped) note('backup_failed', problem.message);
        last = { at: clock(), problem: problem.message };
      }
      throw problem;
    } finally {
      child = null;
    }
  };

  const job = schedule === 'off' ? null : Bun.cron(schedule, () => runAndLog(run, log)).unref();
  return {
    run,
    get last() {
      return last;
    },
    stop: () => {
      stopped = true;
      job?.stop();
      if (child) stopChild(child);
    },
  };
}

/** What the schedule does: never rejects, because nobody would catch it. */
async function runAndLog(run: () => Promise<BackupReport>, log: Log): Promise<void> {
  try {
    log.info('backup done', { ...(await run()) });
  } catch (error) {
    const { kind, message } = asBackupError(error);
    if (kind === 'running') log.warn('backup skipped', { reason: message });
    else log.error('backup failed', { reason: message });
  }
}

function startChild(
  command: readonly string[],
  env: Record<string, string>,
  log: Log,
): Bun.ReadableSubprocess {
  const child = Bun.spawn([...command, 'backup', '--json'], {
    env: { ...process.env, ...env },
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
  });
  try {
    setPriority(child.pid, 10); // answering people goes before copying and compressing
  } catch (error) {
    log.debug('backup runs at full priority', { reason: String(error) });
  }
  return child;
}

/** Turns what the child prints into the report. @throws BackupError */
async function readReport(child: Bun.ReadableSubprocess): Promise<BackupReport> {
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  const line = parseLine(stdout);
  if (!line) {
    const end = child.signalCode
      ? `was killed by ${child.signalCode}`
      : `ended with status ${child.exitCode}`;
    const words = scrub(stderr.trim().slice(-300));
    throw new BackupError(
      'failed',
      `The backup process ${end} without a report${words ? `: ${words}` : '.'}`,
    );
  }
  if (!line.ok) throw new BackupError(line.kind, line.message);
  const { ok: _, ...report } = line;
  return report;
}

function parseLine(stdout: string): BackupLine | null {
  try {
    return lineSchema.parse(JSON.parse(stdout.trim().split('\n').at(-1) ?? ''));
  } catch {
    return null; // not the line we know: the caller reports how the child ended instead
  }
}

function asBackupError(error: unknown): BackupError {
  if (error instanceof BackupError) return error;
  return new BackupError('failed', `The backup process could not be started: ${scrub(String(error))}`);
}

/** SIGTERM lets it take its git along; while it copies the database it hears nothing, and is killed. */
function stopChild(child: Bun.ReadableSubprocess): void {
  child.kill('SIGTERM');
  setTimeout(() => child.kill('SIGKILL'), stopGraceMs).unref();
}
