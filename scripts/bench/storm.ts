// The storm: the server is stopped or killed under thousands of sockets, which all come back at once and miss nothing.
import { join } from 'node:path';
import type { CrowdAnswer, CrowdCommand } from './crowd.ts';
import type { Options } from './options.ts';
import { cpuSecondsOf } from './proc.ts';
import { type Crowd, freePort, makeFolder, populate, startCrowd, startOurs } from './run.ts';
import { Senders } from './senders.ts';
import { cell, median, percentile, printTable } from './table.ts';
import { readUsers } from './targets.ts';

interface Outcome {
  readonly answeringMs: number;
  readonly liveMs: number;
  readonly liveFromKillMs: number;
  readonly p50Ms: number;
  readonly ackP50Ms: number;
  readonly ackP99Ms: number;
  readonly messages: number;
  readonly lost: number;
  readonly duplicated: number;
  readonly disordered: number;
  readonly gaps: number;
  readonly retries: number;
  readonly serverCpu: number;
}

interface Size {
  readonly sockets: number;
  readonly pace: number;
}

const signals = ['SIGTERM', 'SIGKILL'] as const;
const senders = 5;
/** Sent at once when the server answers again: these at least each socket has missed. */
const burst = 50;
const crowds = 2;
const addresses = 20;
const beforeMs = 2000;
const settleMs = 20_000;

export async function storm({ runs, sockets, pace, full }: Options): Promise<void> {
  using folder = makeFolder();
  const size = { sockets: sockets ?? (full ? 10_000 : 2000), pace: pace ?? 5 };
  const outcomes = new Map<string, Outcome[]>(signals.map((signal) => [signal, []]));
  for (let run = 0; run < runs; run += 1) {
    for (const signal of signals) {
      outcomes.get(signal)?.push(await once(signal, join(folder.path, `${signal}-${run}`), size));
    }
  }
  printTable(
    'storm',
    `${size.sockets} announced sockets in one group in ${crowds} processes, ${senders} senders, ${burst} messages at once after the start and then ${size.pace} a second, ${runs} runs, medians (faults: the worst)`,
    [
      'ended by',
      'answering after kill ms',
      'all live after answering ms',
      'p50 ms',
      'all live after kill ms',
      'ack p50 ms',
      'ack p99 ms',
      'messages',
      'lost',
      'duplicated',
      'disordered',
      'gaps',
      'connects retried',
      'server CPU',
    ],
    [...outcomes].map(([signal, all]) => row(signal, all)),
  );
}

function row(signal: string, all: readonly Outcome[]): string[] {
  const middle = (field: (one: Outcome) => number, digits = 0) => cell(median(all.map(field)), digits);
  const worst = (field: (one: Outcome) => number) => cell(Math.max(...all.map(field)));
  return [
    signal,
    middle((one) => one.answeringMs),
    middle((one) => one.liveMs),
    middle((one) => one.p50Ms),
    middle((one) => one.liveFromKillMs),
    middle((one) => one.ackP50Ms, 2),
    middle((one) => one.ackP99Ms, 2),
    middle((one) => one.messages),
    worst((one) => one.lost),
    worst((one) => one.duplicated),
    worst((one) => one.disordered),
    worst((one) => one.gaps),
    middle((one) => one.retries),
    middle((one) => one.serverCpu, 2),
  ];
}

async function once(signal: NodeJS.Signals, dataDir: string, { sockets, pace }: Size): Promise<Outcome> {
  const users = await populate(dataDir, { users: sockets + senders });
  const port = freePort();
  const first = await startOurs(dataDir, { port });
  const group = new Senders(first.url, readUsers(users).slice(sockets));
  const crowd = startCrowds(first.url, users, sockets);
  await group.connect();
  requireAll(await crowd.ask({ do: 'open' }), sockets);
  group.start(pace);
  await Bun.sleep(beforeMs);

  const killedAt = now();
  await first.stop(signal);
  group.stop();
  const second = await startOurs(dataDir, { port });
  const answeringAt = now();
  const cpu = cpuSecondsOf(second.pid);
  group.ackTimes = [];
  const returning = crowd.ask({ do: 'return' });
  await group.connect();
  group.start(pace, burst);
  const back = await returning;
  const liveAt = Math.max(...back.map(({ doneAt }) => doneAt));
  const serverCpu = (cpuSecondsOf(second.pid) - cpu) / ((now() - answeringAt) / 1000);
  const ackTimes = [...group.ackTimes];
  requireAll(back, sockets);

  await Bun.sleep(beforeMs); // live again: what comes now must reach all
  group.stop();
  for (let waited = 0; group.waiting > 0 && waited < settleMs; waited += 50) await Bun.sleep(50);
  const last = Math.max(0, ...group.positions.values());
  const settled = await crowd.ask({ do: 'settle', last });
  await crowd.stop();
  group.close();
  await second.stop();
  const sum = (field: (one: CrowdAnswer) => number) => settled.reduce((total, one) => total + field(one), 0);
  return {
    answeringMs: answeringAt - killedAt,
    liveMs: liveAt - answeringAt,
    liveFromKillMs: liveAt - killedAt,
    p50Ms: Math.max(...back.map(({ p50Ms }) => p50Ms)),
    ackP50Ms: percentile(ackTimes, 0.5),
    ackP99Ms: percentile(ackTimes, 0.99),
    messages: last,
    lost: sum((one) => one.lost) + group.waiting + unfit(group, settled) + group.contradicted,
    duplicated: sum((one) => one.duplicated),
    disordered: sum((one) => one.disordered),
    gaps: sum((one) => one.gaps),
    retries: sum((one) => one.retries),
    serverCpu,
  };
}

/** Acknowledged texts in whose place a receiver has another. */
function unfit({ positions }: Senders, settled: readonly CrowdAnswer[]): number {
  const textAt = new Map([...positions].map(([text, position]) => [position, text]));
  const differs = ([position, text]: readonly [number, string]) => (textAt.get(position) ?? text) !== text;
  return settled.reduce((total, { texts }) => total + texts.filter(differs).length, 0);
}

function requireAll(answers: readonly CrowdAnswer[], sockets: number): void {
  const live = answers.reduce((sum, one) => sum + one.live, 0);
  if (live !== sockets) throw new Error(`of ${sockets} sockets ${live} are live`);
}

interface Crowds {
  ask(command: CrowdCommand): Promise<CrowdAnswer[]>;
  stop(): Promise<unknown>;
}

/** Several processes that share the sockets. */
function startCrowds(url: string, users: string, sockets: number): Crowds {
  const share = Math.ceil(sockets / crowds);
  const all: Crowd[] = Array.from({ length: crowds }, (_, place) => {
    const first = place * share;
    return startCrowd({
      target: 'ours',
      url,
      users,
      first,
      sockets: Math.min(share, sockets - first),
      addresses,
    });
  });
  return {
    ask: (command) => Promise.all(all.map((one) => one.ask(command))),
    stop: () => Promise.all(all.map((one) => one.stop())),
  };
}

/** ms since the epoch, finer than Date.now. */
function now(): number {
  return performance.timeOrigin + performance.now();
}
