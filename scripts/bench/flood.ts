// Floods beside people: what 200 sockets that send without end, and 500 logins at once, do to ten people who chat.
import { join } from 'node:path';
import type { FloodPlan, FloodResult } from './flooder.ts';
import type { Options } from './options.ts';
import { makeFolder, populate, runFlood, startOurs } from './run.ts';
import { Senders } from './senders.ts';
import { cell, median, medianRatio, percentile, printTable } from './table.ts';
import { readUsers } from './targets.ts';

interface Outcome {
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p99Ms: number;
  readonly flood: FloodResult | null;
}

type Flood = Pick<FloodPlan, 'kind' | 'count'>;

const people = 10;
const floods: Readonly<Record<string, Flood | null>> = {
  none: null,
  '200 sockets': { kind: 'sockets', count: 200 },
  '500 logins': { kind: 'logins', count: 500 },
};
const warmUpMs = 1000;

export async function flood({ runs, seconds, pace, full }: Options): Promise<void> {
  using folder = makeFolder();
  const ms = 1000 * (seconds ?? (full ? 10 : 4));
  const outcomes = new Map<string, Outcome[]>(Object.keys(floods).map((name) => [name, []]));
  for (let run = 0; run < runs; run += 1) {
    for (const [name, plan] of Object.entries(floods)) {
      const dataDir = join(folder.path, `${name.replaceAll(' ', '-')}-${run}`);
      outcomes.get(name)?.push(await once(dataDir, plan, { ms, perSecond: pace ?? 50 }));
    }
  }
  const idle = outcomes.get('none') ?? [];
  printTable(
    'flood',
    `${people} people send ${pace ?? 50} messages a second, limits on, ${runs} runs of ${ms / 1000} s (logins: until the last is answered), medians`,
    ['flood', 'ack p50 ms', 'p90', 'p99', 'p50 to none', 'p99 to none', 'sent', 'refused', 'refusals p99 ms'],
    [...outcomes].map(([name, all]) => row(name, all, idle)),
  );
}

function row(name: string, all: readonly Outcome[], idle: readonly Outcome[]): string[] {
  const middle = (field: (one: Outcome) => number, digits = 2) => cell(median(all.map(field)), digits);
  const ratio = (field: (one: Outcome) => number) => cell(medianRatio(all.map(field), idle.map(field)), 2);
  const [p50, p90, p99] = [
    ({ p50Ms }: Outcome) => p50Ms,
    ({ p90Ms }: Outcome) => p90Ms,
    ({ p99Ms }: Outcome) => p99Ms,
  ];
  return [
    name,
    middle(p50),
    middle(p90),
    middle(p99),
    ratio(p50),
    ratio(p99),
    middle(({ flood: one }) => one?.count ?? Number.NaN, 0),
    middle(({ flood: one }) => one?.refused ?? Number.NaN, 0),
    middle(({ flood: one }) => one?.refusedP99Ms ?? Number.NaN, 0),
  ];
}

async function once(
  dataDir: string,
  plan: Flood | null,
  { ms, perSecond }: { ms: number; perSecond: number },
): Promise<Outcome> {
  const users = await populate(dataDir, { users: people + 200 });
  const server = await startOurs(dataDir, { limited: true });
  const group = new Senders(server.url, readUsers(users).slice(0, people));
  await group.connect();
  group.start(perSecond);
  await Bun.sleep(warmUpMs);
  group.ackTimes = [];
  const [result] = await Promise.all([
    plan && runFlood({ ...plan, url: server.url, users, first: people, ms }),
    plan?.kind === 'logins' ? null : Bun.sleep(ms),
  ]);
  const times = [...group.ackTimes];
  group.stop();
  group.close();
  await server.stop();
  if (group.contradicted > 0) throw new Error('somebody who chats was refused');
  return {
    p50Ms: percentile(times, 0.5),
    p90Ms: percentile(times, 0.9),
    p99Ms: percentile(times, 0.99),
    flood: result,
  };
}
