// Idle sockets: the memory that each one costs, beside the ceiling and a rival.
import { inTurn, ratioCell, valuesOf } from './compare.ts';
import type { Options } from './options.ts';
import { memoryOf } from './proc.ts';
import { makeFolder, startCrowd, startTarget } from './run.ts';
import { cell, median, printTable } from './table.ts';
import type { TargetName } from './targets.ts';

interface Cost {
  readonly beforeMiB: number;
  readonly afterMiB: number;
  readonly perSocketKiB: number;
  readonly dirtyPerSocketKiB: number;
  readonly openedInSeconds: number;
}

const addresses = 20;

export async function idle({ targets, runs, sockets = 10_000, seconds, full }: Options): Promise<void> {
  using folder = makeFolder();
  // Long enough for the garbage of the announces to be collected, which happens by itself some seconds later.
  const settleMs = 1000 * (seconds ?? (full ? 30 : 15));
  const once = (target: TargetName) => costOf(target, folder.path, { sockets, settleMs });
  const results = await inTurn(targets, runs, once);
  const middle = (target: TargetName, field: (one: Cost) => number, digits: number) =>
    cell(median(valuesOf(results, target, field)), digits);
  printTable(
    'idle',
    `${sockets} announced sockets of as many people from ${addresses} addresses, ${settleMs / 1000} s after the last, ${runs} runs, medians`,
    [
      'server',
      'KiB RSS/socket',
      'to raw',
      'to socketio',
      'private dirty KiB/socket',
      'RSS before MiB',
      'after MiB',
      'opened in s',
    ],
    targets.map((target) => [
      target,
      middle(target, (one) => one.perSocketKiB, 2),
      ratioCell(results, [target, 'raw'], (one) => one.perSocketKiB),
      ratioCell(results, [target, 'socketio'], (one) => one.perSocketKiB),
      middle(target, (one) => one.dirtyPerSocketKiB, 2),
      middle(target, (one) => one.beforeMiB, 1),
      middle(target, (one) => one.afterMiB, 1),
      middle(target, (one) => one.openedInSeconds, 1),
    ]),
  );
}

async function costOf(
  target: TargetName,
  folder: string,
  { sockets, settleMs }: { sockets: number; settleMs: number },
): Promise<Cost> {
  const server = await startTarget(target, folder, sockets);
  const { url, users } = server;
  const crowd = startCrowd({ target, url, users, first: 0, sockets, addresses });
  await Bun.sleep(1000);
  const before = memoryOf(server.pid);
  const begun = performance.now();
  const { live } = await crowd.ask({ do: 'open' });
  const openedInSeconds = (performance.now() - begun) / 1000;
  if (live !== sockets) throw new Error(`of ${sockets} sockets ${live} are open at ${target}`);
  await Bun.sleep(settleMs);
  const after = memoryOf(server.pid);
  await crowd.stop();
  await server.stop();
  return {
    beforeMiB: before.rssKiB / 1024,
    afterMiB: after.rssKiB / 1024,
    perSocketKiB: (after.rssKiB - before.rssKiB) / sockets,
    dirtyPerSocketKiB: (after.privateDirtyKiB - before.privateDirtyKiB) / sockets,
    openedInSeconds,
  };
}
