// Backups and drills on behalf of the server: each in a child process, by schedule or on request, one of a kind at a time.
import { constants, setPriority } from 'node:os';
import { z } from 'zod';
import type { Log } from '../../log.ts';
import type { BackupReport } from './backup.ts';
import type { DrillReport } from './drill.ts';
import { BackupError } from './error.ts';
import { scrub } from './git.ts';
import { startSchedule } from './schedule.ts';
import { type BackupState, isFailing, noteBackupState, readBackupState } from './state.ts';

export interface Runner<Report> {
  /**
   * Makes one run and waits for it.
   * @throws BackupError `running` at once when one is under way, `failed` otherwise
   */
  run(): Promise<Report>;
  /** Ends the schedule and a run under way; the next one cleans up after it. */
  stop(): void;
}

export type BackupRunner = Runner<BackupReport>;

export type RunnerNote = 'backup' | 'backup_failed' | 'drill' | 'drill_failed';

/** What is run. */
interface Job<Report> {
  readonly name: 'backup' | 'drill';
  /** The command that does it; `--json` is added. */
  readonly words: readonly string[];
  readonly report: z.ZodType<Report>;
  /** Why the last one failed; null when it did not. */
  failureIn(state: BackupState): string | null;
  /** How the failure of one that could not note it itself is noted. */
  failed(atMs: number, message: string): Partial<BackupState>;
}

export interface RunnerOptions {
  /** The program's own command line without arguments, as [process.execPath, 'src/index.ts']. */
  command: readonly string[];
  /** Added to the environment of the child: what is backed up, where to, and how it gets there. */
  env: Record<string, string>;
  /** Where the child notes what became of it; a killed one cannot. */
  dataDir: string;
  /** Cron expression (in the system's time zone), or `off`. */
  schedule: string;
  log: Log;
  clock?: () => number;
  /** Told of every failure, and of the first success after one. Not of each: a note changes what is backed up. */
  note?: (kind: RunnerNote, detail: string) => void;
}

const backupJob: Job<BackupReport> = {
  name: 'backup',
  words: ['backup'],
  report: z.object({
    outcome: z.enum(['pushed', 'unchanged']),
    commit: z.string(),
    bytes: z.number(),
    durationMs: z.number(),
    warnings: z.array(z.string()),
  }),
  failureIn: (state) => (isFailing(state) ? (state.lastFailure?.message ?? null) : null),
  failed: (atMs, message) => ({ lastFailure: { atMs, message } }),
};

/** What a drill's success is told with; the command prints more. */
type DrilledSnapshot = Pick<DrillReport, 'commit' | 'takenAtMs' | 'bytes' | 'messages' | 'durationMs'>;

const drillJob: Job<DrilledSnapshot> = {
  name: 'drill',
  words: ['restore', '--drill'],
  report: z.object({
    commit: z.string(),
    takenAtMs: z.number(),
    bytes: z.number(),
    messages: z.number(),
    durationMs: z.number(),
  }),
  failureIn: ({ lastDrill }) => (lastDrill && !lastDrill.ok ? lastDrill.message : null),
  failed: (atMs, message) => ({ lastDrill: { atMs, ok: false, message, durationMs: 0, commit: null } }),
};

const failureSchema = z.object({ kind: z.enum(['running', 'failed']), message: z.string() });

/** How long a child that was told to stop may take before it is killed. */
const stopGraceMs = 1000;

/** Starts the schedule, if any. */
export const createBackupRunner = (options: RunnerOptions): BackupRunner => createRunner(backupJob, options);
/** Starts the schedule, if any. */
export const createDrillRunner = (options: RunnerOptions): Runner<DrilledSnapshot> =>
  createRunner(drillJob, options);

function createRunner<Report extends { commit: string; warnings?: string[] }>(
  job: Job<Report>,
  options: RunnerOptions,
): Runner<Report> {
  const { dataDir, schedule, log, clock = Date.now, note = () => undefined } = options;
  const { name } = job;
  let child: Bun.ReadableSubprocess | null = null;
  let stopped = false;

  const run = async (): Promise<Report> => {
    if (stopped) throw new BackupError('failed', 'The server is stopping.');
    if (child) throw new BackupError('running', `A ${name} is running already. Try again when it is done.`);
    try {
      const failure = job.failureIn(readBackupState(dataDir));
      child = startChild(job.words, options);
      const report = await readReport(child, job);
      if (failure !== null) note(name, `commit ${report.commit}`);
      for (const reason of report.warnings ?? []) log.warn(`${name} warning`, { reason });
      return report;
    } catch (error) {
      const problem = stopped
        ? new BackupError('failed', 'The server is stopping.')
        : asBackupError(error, name);
      if (problem.kind === 'failed' && !stopped) {
        note(`${name}_failed`, problem.message);
        if (job.failureIn(readBackupState(dataDir)) !== problem.message)
          noteBackupState(dataDir, job.failed(clock(), problem.message));
      }
      throw problem;
    } finally {
      child = null;
    }
  };

  const endSchedule =
    schedule === 'off'
      ? null
      : startSchedule({ expression: schedule, run: () => runAndLog(name, run, log), clock });
  return {
    run,
    stop: () => {
      stopped = true;
      endSchedule?.();
      if (child) stopChild(child);
    },
  };
}

/** What the schedule does: never rejects, because nobody would catch it. */
async function runAndLog(name: string, run: () => Promise<object>, log: Log): Promise<void> {
  try {
    log.info(`${name} done`, { ...(await run()) });
  } catch (error) {
    const { kind, message } = asBackupError(error, name);
    if (kind === 'running') log.warn(`${name} skipped`, { reason: message });
    else log.error(`${name} failed`, { reason: message });
  }
}

function startChild(words: readonly string[], { command, env, log }: RunnerOptions): Bun.ReadableSubprocess {
  const child = Bun.spawn([...command, ...words, '--json'], {
    env: { ...process.env, ...env },
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
  });
  try {
    setPriority(child.pid, constants.priority.PRIORITY_LOW); // answering people goes before copying and compressing
  } catch (error) {
    log.debug('a child runs at full priority', { words: words.join(' '), reason: String(error) });
  }
  return child;
}

/** Turns what the child prints into the report. @throws BackupError */
async function readReport<Report>(child: Bun.ReadableSubprocess, job: Job<Report>): Promise<Report> {
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  const line = parseLine(stdout, job);
  if (line instanceof BackupError) throw line;
  if (line) return line;
  const end = child.signalCode ? `was killed by ${child.signalCode}` : `ended with status ${child.exitCode}`;
  const words = scrub(stderr.trim().slice(-300));
  throw new BackupError(
    'failed',
    `The ${job.name} process ${end} without a report${words ? `: ${words}` : '.'}`,
  );
}

function parseLine<Report>(stdout: string, job: Job<Report>): Report | BackupError | null {
  try {
    const line = JSON.parse(stdout.trim().split('\n').at(-1) ?? '');
    if (line.ok === true) return job.report.parse(line);
    const { kind, message } = failureSchema.parse(line);
    return new BackupError(kind, message);
  } catch {
    return null; // not the line we know: the caller reports how the child ended instead
  }
}

function asBackupError(error: unknown, name: string): BackupError {
  if (error instanceof BackupError) return error;
  return new BackupError('failed', `The ${name} process could not be started: ${scrub(String(error))}`);
}

/** SIGTERM lets it take its git along; while it copies the database it hears nothing, and is killed. */
function stopChild(child: Bun.ReadableSubprocess): void {
  child.kill('SIGTERM');
  setTimeout(() => child.kill('SIGKILL'), stopGraceMs).unref();
}
