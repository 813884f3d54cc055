// Growth: a day in small, messages and people who come and go, while memory and files are watched.
import { statSync } from 'node:fs';
import { join } from 'node:path';
import type { Options } from './options.ts';
import { memoryOf } from './proc.ts';
import { makeFolder, populate, runLoad, startCrowd, startOurs } from './run.ts';
import { cell, printTable } from './table.ts';

interface Sample {
  readonly messages: number;
  readonly connects: number;
  readonly rssMiB: number;
  readonly dirtyMiB: number;
  readonly fileMiB: number;
  readonly walMiB: number;
  readonly faults: number;
}

const steps = 10;
const people = 1000;
const members = 10;
/** Enough that nearly every visitor comes from another one. */
const addresses = 50_000;
const stepTimeoutMs = 10 * 60_000;
const restMs = 1000;

export async function growth({ full, messages, connects }: Options): Promise<void> {
  using folder = makeFolder();
  const perStep = {
    messages: Math.ceil((messages ?? (full ? 10_000_000 : 300_000)) / steps),
    connects: Math.ceil((connects ?? (full ? 100_000 : 5000)) / steps),
  };
  const samples = await watch(join(folder.path, 'ours'), perStep);
  printTable(
    'growth',
    `${members} members who send as fast as they are acknowledged, then visitors who come, announce themselves and go, from ${addresses} addresses; ${steps} times`,
    [
      'messages',
      'connects',
      'RSS MiB',
      'private dirty MiB',
      'file MiB',
      'WAL MiB',
      'lost, duplicated, disordered',
    ],
    samples.map((one) => [
      one.messages,
      one.connects,
      cell(one.rssMiB, 1),
      cell(one.dirtyMiB, 1),
      cell(one.fileMiB, 1),
      cell(one.walMiB, 1),
      one.faults,
    ]),
  );
  // Collections make memory go up and down: the lowest points and the slope over millions say more than single samples.
  const [early, late] = [samples.slice(1, 1 + steps / 2), samples.slice(1 + steps / 2)];
  const lowest = (some: readonly Sample[]) => cell(Math.min(...some.map((one) => one.rssMiB)), 1);
  console.log(
    `\nLowest RSS in the first half ${lowest(early)} MiB, in the second ${lowest(late)} MiB; ` +
      `slope of the second half ${cell(slope(late) * 1e6, 1)} MiB per million messages.`,
  );
}

async function watch(dataDir: string, perStep: { messages: number; connects: number }): Promise<Sample[]> {
  const users = await populate(dataDir, { users: people });
  const server = await startOurs(dataDir, { users });
  const { url, pid: serverPid } = server;
  const target = 'ours';
  const visitors = startCrowd({ target, url, users, first: 0, sockets: 0, addresses });
  await Bun.sleep(restMs);
  const samples = [sampleOf(serverPid, dataDir, { messages: 0, connects: 0, faults: 0 })];
  let messages = 0;
  for (let step = 1; step <= steps; step += 1) {
    const shape = { members, senders: members, inFlight: 10, pace: null, warmUpMs: 0 };
    const plan = { target, url, users, serverPid, ...shape, measureMs: stepTimeoutMs } as const;
    const load = await runLoad({ ...plan, messages: perStep.messages });
    messages += load.acked;
    await visitors.ask({ do: 'churn', times: perStep.connects });
    await Bun.sleep(restMs);
    const faults = load.lost + load.duplicated + (load.disordered ?? 0);
    samples.push(sampleOf(serverPid, dataDir, { messages, connects: step * perStep.connects, faults }));
  }
  await visitors.stop();
  await server.stop();
  return samples;
}

function sampleOf(
  pid: number,
  dataDir: string,
  done: Pick<Sample, 'messages' | 'connects' | 'faults'>,
): Sample {
  const memory = memoryOf(pid);
  const sizeMiB = (name: string) => {
    return (statSync(join(dataDir, name), { throwIfNoEntry: false })?.size ?? 0) / 2 ** 20;
  };
  return {
    ...done,
    rssMiB: memory.rssKiB / 1024,
    dirtyMiB: memory.privateDirtyKiB / 1024,
    fileMiB: sizeMiB('chat.db'),
    walMiB: sizeMiB('chat.db-wal'),
  };
}

/** MiB of memory a message, by least squares. */
function slope(samples: readonly Sample[]): number {
  const mean = (field: (one: Sample) => number) =>
    samples.reduce((sum, one) => sum + field(one), 0) / samples.length;
  const [x, y] = [mean((one) => one.messages), mean((one) => one.rssMiB)];
  const along = mean((one) => (one.messages - x) * (one.rssMiB - y));
  return along / mean((one) => (one.messages - x) ** 2);
}
