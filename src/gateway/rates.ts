// What is counted of what sockets ask: frames before they are parsed, and what costs more by itself.
import { tooFast } from '../errors.ts';
import { Bucket } from '../infra/limiter.ts';
import type { CountLimit } from '../infra/metrics.ts';

/** For each kind, how many a second in the long run, and how many at once. */
const rates = {
  /** Of an account, before the announce of an address. */
  frame: { perSecond: 50, burst: 100 },
  message: { perSecond: 10, burst: 50 },
  /** A refused announce throws the client in use back to its login, so no honest device may ever meet this. */
  announce: { perSecond: 2, burst: 200 },
  resume: { perSecond: 1, burst: 100 },
  mark: { perSecond: 10, burst: 100 },
} as const;

export type RateName = keyof typeof rates;

export class Rates {
  readonly #buckets: Record<RateName, Bucket>;

  /** Every rate allows `width` times what it says; `limited` is told of each refusal. */
  constructor(
    clock: () => number,
    width: number,
    private readonly limited: CountLimit,
  ) {
    const entries = Object.entries(rates).map(([name, rate]) => [name, new Bucket(rate, clock, width)]);
    this.#buckets = Object.fromEntries(entries) as Record<RateName, Bucket>;
  }

  /** Counts one; returns 0, or the ms to wait when there are too many. */
  take(rate: RateName, key: string | number): number {
    const waitMs = this.#buckets[rate].take(key);
    if (waitMs > 0) this.limited(rate);
    return waitMs;
  }

  /**
   * Counts one.
   * @returns from when on the account is within its rate again, ms on the clock
   * @throws AppError `rate_limited`
   */
  spend(rate: RateName, uid: number): number {
    const waitMs = this.take(rate, uid);
    if (waitMs > 0) throw tooFast(waitMs);
    return this.#buckets[rate].dueAt(uid);
  }
}
