// Sums up and prints: medians of runs, ratios inside one run, Markdown tables with the machine they were made on.
import { cpus, totalmem } from 'node:os';

/** Middle one of the values, the higher of two; NaN of none. */
export function median(values: readonly number[]): number {
  return percentile([...values], 0.5);
}

/** The value that `share` (0 to 1) of the values do not exceed; NaN of none. Sorts them in place. */
export function percentile(values: number[], share: number): number {
  values.sort((a, b) => a - b);
  return values[Math.min(values.length - 1, Math.floor(values.length * share))] ?? Number.NaN;
}

/** Median of `one` divided by `other`, run by run: what changes on the machine meanwhile is in both. */
export function medianRatio(one: readonly number[], other: readonly number[]): number {
  return median(one.slice(0, other.length).map((value, run) => value / (other[run] ?? Number.NaN)));
}

/** A number for a cell: `-` when there is none. */
export function cell(value: number | null, digits = 0): string {
  return value === null || !Number.isFinite(value) ? '-' : value.toFixed(digits);
}

/** What machine this is, for the head of a table. */
export function machine(): string {
  const [cpu] = cpus();
  return `${cpu?.model.trim()}, ${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB, Bun ${Bun.version}`;
}

/** Prints a heading, the machine and the conditions, and rows as a Markdown table. */
export function printTable(
  title: string,
  conditions: string,
  head: readonly string[],
  rows: readonly (readonly (string | number)[])[],
): void {
  console.log(`\n### ${title}\n\n${machine()}; ${conditions}\n`);
  for (const row of [head, head.map(() => '---'), ...rows]) console.log(`| ${row.join(' | ')} |`);
}
