// The `restore` command: what it may be asked, and what it prints.
import { resolve } from 'node:path';
import type { Config } from '../../config.ts';
import { type Asked, type Command, UsageError } from '../command-line.ts';
import { type Progress, startProgress } from '../progress.ts';
import { type DrillReport, drill } from './drill.ts';
import { BackupError } from './error.ts';
import { type Moment, type SnapshotHead, utc } from './fetch.ts';
import type { OnStep, Step } from './rebuild.ts';
import { listRestorable, type RestoreReport, restore, type StoreSettings } from './restore.ts';
import { type BackupTarget, backupTarget } from './target.ts';

export const restoreCommand: Command<Config> = {
  usage: 'restore [--at WHEN] [--to FOLDER] [--end-sessions] [--list] [--drill] [--json]',
  meaning:
    'put the newest snapshot, or that of a commit or time, in the place of the data, which is kept aside',
  options: { at: 'text', to: 'text', 'end-sessions': 'flag', list: 'flag', drill: 'flag', json: 'flag' },
  run,
};

/** What was done: for machines, and in words. */
interface Done {
  readonly facts: object;
  readonly words: string;
}

interface Installation {
  readonly target: BackupTarget;
  readonly store: StoreSettings;
}

type Act = (installation: Installation, options: { onStep: OnStep; signal: AbortSignal }) => Promise<Done>;

const stopSignals = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

/** Exit status 0 when it was done, 1 when not. */
async function run(asked: Asked, config: Config): Promise<number> {
  const act = readAct(asked);
  const json = asked.flags.has('json');
  const controller = new AbortController();
  const stop = (): void => controller.abort();
  for (const name of stopSignals) process.on(name, stop);
  try {
    const { facts, words } = await withProgress(json, (onStep) =>
      act(installationOf(config), { onStep, signal: controller.signal }),
    );
    process.stdout.write(json ? `${JSON.stringify({ ok: true, ...facts })}\n` : `${words}\n`);
    return 0;
  } catch (error) {
    if (!(error instanceof BackupError)) throw error;
    const { kind, message } = error;
    if (json) process.stdout.write(`${JSON.stringify({ ok: false, kind, message })}\n`);
    else process.stderr.write(`${message}\n`);
    return 1;
  } finally {
    for (const name of stopSignals) process.off(name, stop);
  }
}

const stepNames: Readonly<Record<Step, string>> = {
  fetch: 'fetched',
  join: 'joined',
  check: 'checked',
  erase: 'made ready',
  swap: 'swapped in',
};
const mebibytes = (bytes: number) => `${(bytes / 1024 / 1024).toFixed(1)} MiB`;

/** Shows each step, and ends the last one before anything else is said. */
async function withProgress<T>(silent: boolean, work: (onStep: OnStep) => Promise<T>): Promise<T> {
  const shown: { step?: Step; progress?: Progress; done: number } = { done: 0 };
  try {
    return await work((step, done, total) => {
      if (shown.step !== step) {
        shown.progress?.end();
        const progress = startProgress(stepNames[step], { total, silent, format: mebibytes });
        Object.assign(shown, { step, progress, done: 0 });
      }
      if (done > shown.done) shown.progress?.advance(done - shown.done);
      shown.done = done;
    });
  } finally {
    shown.progress?.end();
  }
}

/** @throws BackupError when BACKUP_REPO is not set */
function installationOf(config: Config): Installation {
  const target = backupTarget(config);
  const defaultGroup = { groupId: config.DEFAULT_GROUP_ID, name: config.DEFAULT_GROUP_NAME };
  if (target) return { target, store: { defaultGroup, clock: Date.now } };
  throw new BackupError('failed', 'BACKUP_REPO is not set: there is nothing to restore from. Set it.');
}

/** These stand alone. */
const acts: Readonly<Record<string, Act>> = {
  list: async ({ target }, { signal }) => {
    const snapshots = await listRestorable(target, signal);
    return { facts: { snapshots }, words: snapshots.map(headLine).join('\n') };
  },
  drill: async ({ target, store }, options) => {
    const report = await drill(target, store, options);
    return { facts: report, words: drillWords(report) };
  },
};

/** @throws UsageError */
function readAct({ texts, flags }: Asked): Act {
  const asked = [...Object.keys(texts), ...flags].filter((name) => name !== 'json');
  const alone = asked.find((name) => Object.hasOwn(acts, name));
  if (alone !== undefined && asked.length > 1)
    throw new UsageError(`--${alone} stands alone, or with --json.`);
  const act = acts[alone ?? ''];
  if (act) return act;
  const moment = texts.at === undefined ? null : readMoment(texts.at);
  const to = texts.to === undefined ? null : resolve(texts.to);
  const endSessions = flags.has('end-sessions');
  return async (installation, options) => {
    const report = await restore({ ...installation, moment, to, endSessions }, options);
    return { facts: report, words: restoreWords(report) };
  };
}

/**
 * A commit, or a time in ISO 8601; without a zone it is UTC.
 * @throws UsageError
 */
function readMoment(text: string): Moment {
  if (/^[0-9a-f]{7,64}$/i.test(text)) return { commit: text };
  const time = /^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d(?::\d\d(?:\.\d+)?)?)(Z|[+-]\d\d:\d\d)?$/i.exec(text);
  const timeMs = time ? Date.parse(`${time[1]}T${time[2]}${time[3] ?? 'Z'}`) : Number.NaN;
  if (Number.isNaN(timeMs))
    throw new UsageError('--at needs a commit, or a time like "2026-11-25 13:00", which is UTC.');
  return { timeMs };
}

function headLine({ commit, takenAtMs, message }: SnapshotHead): string {
  return `${commit.slice(0, 12)}  ${utc(takenAtMs)}  ${message}`.replace(/\p{Cc}/gu, ' ');
}

function restoreWords(report: RestoreReport): string {
  const { commit, takenAtMs, accounts, messages, bytes, folder, aside } = report;
  const { erased, endedSessions, hasLedger, inClear } = report;
  const lines = [
    `Restored the snapshot of ${utc(takenAtMs)} to ${folder}: ${accounts} accounts, ${messages} messages, ${bytes} bytes.`,
    `It is commit ${commit}, and took ${(report.durationMs / 1000).toFixed(1)} s.`,
    erased > 0 && `Accounts that were deleted since, and are deleted again: ${erased}.`,
    !hasLedger && 'The repository does not say who was deleted: only those that this folder knew of are.',
    inClear && 'The snapshot is not encrypted: who can write to the repository could have made it.',
    endedSessions > 0 && `Sessions ended: ${endedSessions}.`,
    aside && `What was there before lies in ${aside}: remove that folder when you need it no more.`,
    'Start the server on it.',
  ];
  return lines.filter(Boolean).join('\n');
}

function drillWords({ commit, takenAtMs, accounts, messages, durationMs }: DrillReport): string {
  const what = `the snapshot of ${utc(takenAtMs)} (commit ${commit.slice(0, 12)})`;
  return `The drill went well: ${what} was restored and read, ${accounts} accounts, ${messages} messages, in ${(durationMs / 1000).toFixed(1)} s.`;
}
