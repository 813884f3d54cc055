// History: the same people and groups with ever more messages; times over HTTP, cold start, memory, size of the file.
import { statSync } from 'node:fs';
import { join } from 'node:path';
import type { Options } from './options.ts';
import { memoryOf } from './proc.ts';
import { buildExecutable, freePort, makeFolder, populate, startOurs, type Target } from './run.ts';
import { cell, median, medianRatio, percentile, printTable } from './table.ts';
import { readUsers, type User } from './targets.ts';

/** What a person of 50 chats asks. */
const questions = ['last 30 of each chat', 'chat list', 'page in the middle', 'people'] as const;

type Question = (typeof questions)[number];

interface Installation {
  readonly messages: number;
  readonly dataDir: string;
  readonly users: string;
  readonly coldStartMs: number[];
  /** p50 and p99 of each run. */
  readonly times: Record<Question, { p50: number[]; p99: number[] }>;
  rssMiB: number;
}

const people = { users: 1000, groups: 50, members: 1000 };
const startTimeoutMs = 30_000;

export async function history({ sizes, runs, full }: Options): Promise<void> {
  using folder = makeFolder();
  const executable = join(folder.path, 'chat-backend');
  await buildExecutable(executable);
  const all: Installation[] = [];
  const wanted = sizes ?? (full ? [10_000, 1_000_000, 5_000_000] : [10_000, 1_000_000]);
  for (const messages of wanted) all.push(await install(folder.path, messages));
  for (let run = 0; run < runs; run += 1) {
    for (const one of all) one.coldStartMs.push(await coldStart(one, executable));
  }
  await ask(all, { executable, runs, times: full ? 1000 : 200 });
  print(all, runs);
}

async function install(folder: string, messages: number): Promise<Installation> {
  const dataDir = join(folder, `messages-${messages}`);
  const users = await populate(dataDir, { ...people, messages });
  const none = () => ({ p50: [], p99: [] });
  const times: Installation['times'] = {
    'last 30 of each chat': none(),
    'chat list': none(),
    'page in the middle': none(),
    people: none(),
  };
  return { messages, dataDir, users, coldStartMs: [], times, rssMiB: Number.NaN };
}

/** ms from starting the executable to its first answer. */
async function coldStart({ dataDir }: Installation, executable: string): Promise<number> {
  const port = freePort();
  const begun = performance.now();
  const starting = startOurs(dataDir, { port, executable });
  while (performance.now() - begun < startTimeoutMs) {
    const response = await fetch(`http://127.0.0.1:${port}/uptime`).catch(() => null);
    if (response?.ok) break;
    await Bun.sleep(1);
  }
  const tookMs = performance.now() - begun;
  await (await starting).stop();
  return tookMs;
}

/** All servers run at once and are asked in turn: an idle one costs the others nothing. */
async function ask(
  all: readonly Installation[],
  { executable, runs, times }: { executable: string; runs: number; times: number },
): Promise<void> {
  const servers: [Installation, Target][] = [];
  for (const one of all) servers.push([one, await startOurs(one.dataDir, { executable })]);
  for (let run = 0; run < runs; run += 1) {
    for (const [one, server] of servers) await askOne(one, server, times);
  }
  for (const [one, server] of servers) {
    one.rssMiB = memoryOf(server.pid).rssKiB / 1024;
    await server.stop();
  }
}

async function askOne(one: Installation, { url }: Target, times: number): Promise<void> {
  const [user] = readUsers(one.users);
  if (!user) throw new Error('there is nobody to ask as');
  const middle = Math.floor(one.messages / people.groups / 2);
  const { chats } = (await post(url, 'get_all_chats', user)) as {
    chats: Record<string, { LAST_MESSAGE_ID: number }>;
  };
  const groups = Object.keys(chats).filter((id) => (chats[id]?.LAST_MESSAGE_ID ?? 0) > middle);
  const bodies: Record<Question, (index: number) => [path: string, body?: object]> = {
    'last 30 of each chat': () => ['get_old_messages'],
    'chat list': () => ['get_all_chats'],
    'page in the middle': (index) => [
      'get_old_messages',
      { GROUP_ID: groups[index % groups.length], BEFORE: middle },
    ],
    people: () => ['get_all_users'],
  };
  for (const question of questions) {
    const taken: number[] = [];
    for (let index = -10; index < times; index += 1) {
      const begun = performance.now();
      const [path, body] = bodies[question](index + 10);
      await post(url, path, user, body);
      if (index >= 0) taken.push(performance.now() - begun);
    }
    one.times[question].p50.push(percentile(taken, 0.5));
    one.times[question].p99.push(percentile(taken, 0.99));
  }
}

async function post(url: string, path: string, { UID, TOKEN }: User, body: object = {}): Promise<unknown> {
  const response = await fetch(new URL(path, url), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ UID, TOKEN, ...body }),
  });
  if (!response.ok) throw new Error(`${path} answered ${response.status}: ${await response.text()}`);
  return response.json();
}

function print(all: readonly Installation[], runs: number): void {
  const [smallest, largest] = [all[0], all.at(-1)];
  if (!smallest || !largest) return;
  const cells = questions.flatMap((question) => [question, 'p99']);
  const rows = all.map((one) => [
    String(one.messages),
    cell(statSync(join(one.dataDir, 'chat.db')).size / 2 ** 20, 1),
    cell(median(one.coldStartMs)),
    cell(one.rssMiB),
    ...questions.flatMap((question) => {
      const { p50, p99 } = one.times[question];
      return [cell(median(p50), 2), cell(median(p99), 2)];
    }),
  ]);
  const ratios = questions.flatMap((question) => {
    const [few, many] = [smallest.times[question], largest.times[question]];
    return [cell(medianRatio(many.p50, few.p50), 2), cell(medianRatio(many.p99, few.p99), 2)];
  });
  const startRatio = cell(medianRatio(largest.coldStartMs, smallest.coldStartMs), 2);
  printTable(
    'history',
    `${people.users} people, all in ${people.groups} groups; times in ms over HTTP, p50 and p99, ${runs} runs, medians`,
    ['messages', 'file MiB', 'cold start ms', 'RSS after MiB', ...cells],
    [...rows, ['most to fewest', '-', startRatio, cell(largest.rssMiB / smallest.rssMiB, 2), ...ratios]],
  );
}
