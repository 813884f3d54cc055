// Restore: from a backup repository on this machine to a server that answers, by the size of the database; each step by itself.
import { mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Step } from '../../src/ops/backup/rebuild.ts';
import type { Options } from './options.ts';
import { makeFolder, populate, runGit, runOurs, startOurs } from './run.ts';
import { cell, median, printTable } from './table.ts';

const people = { users: 1000, groups: 50, members: 1000 };
const steps: readonly Step[] = ['fetch', 'join', 'check', 'erase', 'swap'];

interface Restored {
  readonly stepMs: Record<Step, number>;
  readonly durationMs: number;
  readonly bytes: number;
  readonly messages: number;
  /** From the start of the command to the server's first answer. */
  readonly servedMs: number;
}

export async function restore({ sizes, runs, full }: Options): Promise<void> {
  using folder = makeFolder();
  const rows: string[][] = [];
  for (const messages of sizes ?? (full ? [10_000, 1_000_000] : [10_000])) {
    const place = join(folder.path, String(messages));
    mkdirSync(place);
    const repo = join(place, 'remote.git');
    await runGit(['init', '--quiet', '--bare', '--initial-branch=main', repo]);
    await populate(join(place, 'data'), { ...people, messages });
    await runOurs(['backup'], { DATA_DIR: join(place, 'data'), BACKUP_REPO: repo });
    const all: Restored[] = [];
    for (let run = 0; run < runs; run += 1) all.push(await restoreOnce(join(place, `restored-${run}`), repo));
    rows.push(rowOf(messages, statSync(join(place, 'data/chat.db')).size, all));
  }
  printTable(
    'Restore',
    `seconds, medians of ${runs} runs, the repository a folder of this machine`,
    ['messages', 'file MiB', ...steps, 'the command', 'until the first answer'],
    rows,
  );
}

async function restoreOnce(dataDir: string, repo: string): Promise<Restored> {
  const begun = performance.now();
  const env = { DATA_DIR: dataDir, BACKUP_REPO: repo };
  const report = JSON.parse(await runOurs(['restore', '--json'], env));
  const server = await startOurs(dataDir);
  const response = await fetch(new URL('/uptime', server.url));
  const servedMs = performance.now() - begun;
  await response.body?.cancel();
  await server.stop();
  return { ...report, servedMs };
}

function rowOf(messages: number, bytes: number, all: readonly Restored[]): string[] {
  const seconds = (of: (one: Restored) => number) => cell(median(all.map(of)) / 1000, 1);
  return [
    messages.toLocaleString('en'),
    cell(bytes / 1024 / 1024),
    ...steps.map((step) => seconds(({ stepMs }) => stepMs[step])),
    seconds(({ durationMs }) => durationMs),
    seconds(({ servedMs }) => servedMs),
  ];
}
