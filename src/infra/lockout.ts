// Stops who keeps guessing: some wrong tries in a row pass, after each further one there is a wait twice as long.
import { tooFast } from '../errors.ts';

export interface LockoutRule {
  /** The wrong try in a row that is the first to be followed by a wait. */
  readonly tries: number;
  readonly firstWaitMs: number;
  readonly longestWaitMs: number;
}

/** Counts in memory; keys should be such as cannot be made up, for nothing but a right try makes them forgotten. */
export class Lockout {
  readonly #wrong = new Map<string | number, { tries: number; until: number }>();

  constructor(
    private readonly rule: LockoutRule,
    private readonly clock: () => number,
  ) {}

  /**
   * Counts a try as a wrong one before it is looked at, so that many at once are no more than as many in a row.
   * @throws AppError `rate_limited` while a wait is on; the try must then not be looked at
   */
  begin(key: string | number): void {
    const { tries, firstWaitMs, longestWaitMs } = this.rule;
    const now = this.clock();
    const before = this.#wrong.get(key) ?? { tries: 0, until: 0 };
    if (before.until > now) throw tooFast(before.until - now);
    const waits = before.tries + 1 - tries;
    const until = waits < 0 ? 0 : now + Math.min(firstWaitMs * 2 ** waits, longestWaitMs);
    this.#wrong.set(key, { tries: before.tries + 1, until });
  }

  /** The try was right: what was wrong before it no longer counts. */
  succeed(key: string | number): void {
    this.#wrong.delete(key);
  }
}
