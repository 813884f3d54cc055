// What every check of the doctor is given, and what all of them are.
import type { Config } from '../../config.ts';
import type { Check } from '../health/checks.ts';

export interface Examination {
  readonly config: Config;
  /** Looks at the whole database. */
  readonly full: boolean;
  /** Whether a server holds the data folder. */
  readonly serverRuns: boolean;
  /** ms since the epoch */
  readonly now: number;
}

/** Null when there is nothing to say. */
export type Look = (seen: Examination) => Check | null | Promise<Check | null>;

/** Checks by their names, in the order they are shown. */
export type Looks = Readonly<Record<string, Look>>;
