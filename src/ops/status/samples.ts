// Reads the metrics of a server, and says what happened between two readings of them.

/** Values by series, as `name` or `name{label="value"}`. */
export type Values = ReadonlyMap<string, number>;

export interface Sample {
  /** ms, of a clock that only goes forward */
  readonly at: number;
  readonly values: Values;
}

/** @see https://prometheus.io/docs/instrumenting/exposition_formats/#text-format-details */
export function readMetrics(text: string): Values {
  const values = new Map<string, number>();
  for (const line of text.split('\n')) {
    const space = line.lastIndexOf(' ');
    if (space > 0 && !line.startsWith('#')) values.set(line.slice(0, space), Number(line.slice(space + 1)));
  }
  return values;
}

/** The value of a label of a series that has the same labels always; '' without one. */
export function labelOf(values: Values, name: string, label: string): string {
  const series = [...values.keys()].find((key) => key.startsWith(`${name}{`)) ?? '';
  return new RegExp(`[{,]${label}="([^"]*)"`).exec(series)?.[1] ?? '';
}

/** The sum over all labels of a series. */
export function sumOf(values: Values, name: string): number {
  let sum = 0;
  for (const [key, value] of values) if (key === name || key.startsWith(`${name}{`)) sum += value;
  return sum;
}

/** How much a series grew, over all its labels. */
export function growthOf([from, to]: readonly [Sample, Sample], name: string): number {
  return sumOf(to.values, name) - sumOf(from.values, name);
}

/** How much it grew in a second. */
export function rateOf(between: readonly [Sample, Sample], name: string): number {
  const [from, to] = between;
  return growthOf(between, name) / Math.max(0.001, (to.at - from.at) / 1000);
}

/**
 * The value below which a share of what a histogram counted lies, as far as its buckets tell; null when it counted
 * nothing. What lies above all bounds counts as the highest.
 */
export function quantileOf(
  [from, to]: readonly [Sample, Sample],
  name: string,
  share: number,
): number | null {
  const buckets = boundsOf(to.values, name).map(([series, bound]) => {
    return { bound, count: (to.values.get(series) ?? 0) - (from.values.get(series) ?? 0) };
  });
  const rank = share * (buckets.at(-1)?.count ?? 0);
  if (rank === 0) return null;
  let [below, counted] = [0, 0];
  for (const { bound, count } of buckets) {
    if (count >= rank) {
      if (bound === Number.POSITIVE_INFINITY) return below;
      return below + ((bound - below) * (rank - counted)) / (count - counted);
    }
    [below, counted] = [bound, count];
  }
  return below;
}

/** The bucket series of a histogram, by ascending bounds. */
function boundsOf(values: Values, name: string): [series: string, bound: number][] {
  const prefix = `${name}_bucket{le="`;
  return [...values.keys()]
    .filter((series) => series.startsWith(prefix))
    .map((series): [string, number] => {
      const text = series.slice(prefix.length, -2);
      return [series, text === '+Inf' ? Number.POSITIVE_INFINITY : Number(text)];
    })
    .sort(([, one], [, other]) => one - other);
}
