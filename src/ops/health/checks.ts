// What is looked at to say how an installation is: each check has a state, and words for whoever runs the server.
import { statfs } from 'node:fs/promises';
import { AppError } from '../../errors.ts';

/** `warn`: something is to be done, and people are served all the same. `fail`: they are not, or soon will not be. */
export type CheckState = 'ok' | 'warn' | 'fail';

export interface Check {
  readonly state: CheckState;
  /** What is so, and for what is not ok what to do. */
  readonly detail: string;
}

export const ok = (detail: string): Check => ({ state: 'ok', detail });
export const warn = (detail: string): Check => ({ state: 'warn', detail });
export const fail = (detail: string): Check => ({ state: 'fail', detail });

/** What could not even be looked at has failed. */
export function settled<C extends Check | null>(check: Promise<C>): Promise<C | Check> {
  return check.catch((error: unknown) => fail(wordsOf(error)));
}

/** As large as the write-ahead log grows between two checkpoints: with less than that nothing is sure to be saved. */
const leastDiskBytes = 16 * 1024 * 1024;
/** How long a probe may wait for its turn among the transactions. */
const probePatienceMs = 2000;

/** @param probe as the store's */
export async function checkDatabase(probe: () => Promise<void>): Promise<Check> {
  const late = Bun.sleep(probePatienceMs).then(() => `no turn to write within ${probePatienceMs} ms`);
  const problem = await Promise.race([probe().then(() => null, wordsOf), late]);
  return problem === null ? ok('can be written') : fail(`cannot be written: ${problem}`);
}

function wordsOf(error: unknown): string {
  const cause = error instanceof AppError ? error.cause : undefined;
  return (
    [error, cause].flatMap((one) => (one instanceof Error ? [one.message] : [])).join(' ') || String(error)
  );
}

/** Bytes that are left for this user on the file system of a path. */
export async function freeBytes(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path);
  return bavail * bsize;
}

/** @param lowBytes under which there is a warning */
export async function checkDisk(path: string, lowBytes: number): Promise<Check> {
  const free = await freeBytes(path);
  const words = `${formatBytes(free)} free`;
  if (free < leastDiskBytes) return fail(`${words}: make room, messages are about to be refused`);
  return free < lowBytes ? warn(`${words}, under DISK_LOW_BYTES: make room`) : ok(words);
}

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

/** A size for people: `512 B`, `4.5 MiB`. */
export function formatBytes(bytes: number): string {
  const power = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(bytes, 1)) / 10));
  const value = bytes / 1024 ** power;
  return `${value < 10 && power > 0 ? value.toFixed(1) : Math.round(value)} ${units[power]}`;
}

const spans: readonly [ms: number, unit: string][] = [
  [86_400_000, 'd'],
  [3_600_000, 'h'],
  [60_000, 'min'],
  [1000, 's'],
];

/** A span of time for people, by its largest unit of which it has two: `90 s`, `26 h`. */
export function formatSpan(ms: number): string {
  const [size, unit] = spans.find(([one]) => ms >= 2 * one) ?? [1000, 's'];
  return `${Math.round(ms / size)} ${unit}`;
}
