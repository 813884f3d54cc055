// Compares targets under one load, run by run and in turn, and makes the rows of the table that says how they did.
import type { LoadPlan, LoadResult } from './load.ts';
import { runLoad, startTarget } from './run.ts';
import { cell, median, medianRatio } from './table.ts';
import type { TargetName } from './targets.ts';

export type Results<T> = ReadonlyMap<TargetName, readonly T[]>;

type Shape = Pick<LoadPlan, 'members' | 'pace' | 'measureMs'>;

/** One run of each target after the other, `runs` times: what the machine does meanwhile meets all of them. */
export async function inTurn<T>(
  targets: readonly TargetName[],
  runs: number,
  once: (target: TargetName) => Promise<T>,
): Promise<Results<T>> {
  const results = new Map<TargetName, T[]>(targets.map((target) => [target, []]));
  for (let run = 0; run < runs; run += 1) {
    for (const target of targets) results.get(target)?.push(await once(target));
  }
  return results;
}

/** One run of ten senders, with ten messages in flight each unless there is a pace. */
export async function loadOnce(target: TargetName, folder: string, shape: Shape): Promise<LoadResult> {
  const server = await startTarget(target, folder, shape.members);
  const { url, users, pid: serverPid } = server;
  const fixed = { senders: 10, inFlight: 10, warmUpMs: 1500 };
  const result = await runLoad({ target, url, users, serverPid, ...fixed, ...shape });
  await server.stop();
  return result;
}

/** One field of a target's runs. */
export function valuesOf<T>(results: Results<T>, target: TargetName, field: (one: T) => number): number[] {
  return (results.get(target) ?? []).map(field);
}

/** Median of a field's ratio to the same field of another target, as a cell. */
export function ratioCell<T>(
  results: Results<T>,
  [one, other]: readonly [TargetName, TargetName],
  field: (one: T) => number,
): string {
  return cell(medianRatio(valuesOf(results, one, field), valuesOf(results, other, field)), 2);
}

export const loadHead = [
  'delivered/s',
  'ack p50 ms',
  'ack p99 ms',
  'delivery p50 ms',
  'delivery p99 ms',
  'lost',
  'duplicated',
  'disordered',
  'load CPU',
  'server CPU',
] as const;

/** The cells below `loadHead`: medians, and of the faults the worst. */
export function loadCells(results: readonly LoadResult[]): string[] {
  const middle = (field: (one: LoadResult) => number, digits = 2) => cell(median(results.map(field)), digits);
  const worst = (field: (one: LoadResult) => number | null) => {
    const known = results.map(field).filter((value) => value !== null);
    return known.length === 0 ? '-' : cell(Math.max(...known));
  };
  return [
    middle((one) => one.deliveriesPerSecond, 0),
    middle((one) => one.ackP50Ms),
    middle((one) => one.ackP99Ms),
    middle((one) => one.deliveryP50Ms),
    middle((one) => one.deliveryP99Ms),
    worst((one) => one.lost),
    worst((one) => one.duplicated),
    worst((one) => one.disordered),
    middle((one) => one.loadCpu),
    middle((one) => one.serverCpu),
  ];
}
