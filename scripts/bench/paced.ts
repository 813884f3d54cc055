// Paced sends: the times below saturation, beside the ceiling and a rival.
import { inTurn, loadCells, loadHead, loadOnce, ratioCell } from './compare.ts';
import type { LoadResult } from './load.ts';
import type { Options } from './options.ts';
import { makeFolder } from './run.ts';
import { printTable } from './table.ts';

const ackP99Ms = (one: LoadResult) => one.ackP99Ms;

export async function paced({ members, targets, runs, seconds, full, pace }: Options): Promise<void> {
  using folder = makeFolder();
  const measureMs = 1000 * (seconds ?? (full ? 20 : 5));
  const perSecond = pace ?? 500;
  const rows: string[][] = [];
  for (const count of members ?? [100]) {
    const shape = { members: count, pace: perSecond, measureMs };
    const results = await inTurn(targets, runs, (target) => loadOnce(target, folder.path, shape));
    for (const target of targets) {
      rows.push([
        String(count),
        target,
        ratioCell(results, [target, 'raw'], ackP99Ms),
        ratioCell(results, [target, 'socketio'], ackP99Ms),
        ...loadCells(results.get(target) ?? []),
      ]);
    }
  }
  printTable(
    'paced',
    `${perSecond} sends a second of 10 senders, ${runs} runs of ${measureMs / 1000} s, medians`,
    ['members', 'server', 'ack p99 to raw', 'to socketio', ...loadHead],
    rows,
  );
}
