// Fan-out: as many acknowledged sends a second as there can be, beside the ceiling and a rival.
import { inTurn, loadCells, loadHead, loadOnce, ratioCell, valuesOf } from './compare.ts';
import type { LoadResult } from './load.ts';
import type { Options } from './options.ts';
import { makeFolder } from './run.ts';
import { cell, median, printTable } from './table.ts';

const acksPerSecond = (one: LoadResult) => one.acksPerSecond;

export async function fanout({ members, targets, runs, seconds, full }: Options): Promise<void> {
  using folder = makeFolder();
  const measureMs = 1000 * (seconds ?? (full ? 8 : 3));
  const rows: string[][] = [];
  for (const count of members ?? [10, 100, 1000]) {
    const shape = { members: count, pace: null, measureMs };
    const results = await inTurn(targets, runs, (target) => loadOnce(target, folder.path, shape));
    for (const target of targets) {
      rows.push([
        String(count),
        target,
        cell(median(valuesOf(results, target, acksPerSecond))),
        ratioCell(results, [target, 'raw'], acksPerSecond),
        ratioCell(results, [target, 'socketio'], acksPerSecond),
        ...loadCells(results.get(target) ?? []),
      ]);
    }
  }
  printTable(
    'fanout',
    `10 senders with 10 messages in flight each, ${runs} runs of ${measureMs / 1000} s, medians`,
    ['members', 'server', 'acked/s', 'to raw', 'to socketio', ...loadHead],
    rows,
  );
}
