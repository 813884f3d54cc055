// Rate limits: named rules for requests, a synchronous bucket for frames, bounds on what is under way at once.
import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible';
import { AppError, type Standing, tooFast } from '../errors.ts';
import type { CountLimit } from './metrics.ts';
import { networkOf, siteOf } from './network.ts';

/**
 * How many points a key may use in a window of so many seconds; what the key is stands in the name. Addresses count by
 * their network.
 */
const rules = {
  requestByAddress: { points: 1200, duration: 60 },
  pictureByAddress: { points: 600, duration: 60 },
  historyByAccount: { points: 240, duration: 60 },
  readByAccount: { points: 240, duration: 60 },
  writeByAccount: { points: 120, duration: 60 },
  signUpByAddress: { points: 20, duration: 3600 },
  loginByAddress: { points: 100, duration: 300 },
  forgotByAddress: { points: 20, duration: 3600 },
  forgotByEmail: { points: 4, duration: 240 },
  forgotByEmailDaily: { points: 20, duration: 86_400 },
  resetByAddress: { points: 30, duration: 3600 },
  /** A point for each person that is put into a group. */
  addedPeopleByAccount: { points: 1000, duration: 600 },
  exportByAccount: { points: 3, duration: 86_400 },
  undoByAddress: { points: 20, duration: 3600 },
  adminKeyByAddress: { points: 10, duration: 300 },
  upgradeByAddress: { points: 300, duration: 60 },
} as const;

export type RuleName = keyof typeof rules;

export interface Limiter {
  /**
   * Uses one point of a key, or as many as said: an account's number, or something that begins with an address.
   * @returns where the key then stands
   * @throws AppError `rate_limited` with the time to wait
   */
  consume(rule: RuleName, key: string, points?: number): Promise<Standing>;
  /** Forgets what a key used. */
  reset(rule: RuleName, key: string): Promise<void>;
}

/** As many /64 of one /48 may use all they may at the same time: who has 65,536 of them is still one. */
const networksPerSite = 10;

/** How much wider limits are that are to be counted as always and yet to stop nobody: RATE_LIMITS=off. */
export const wide = 1_000_000;

/** A limiter that counts in memory; every rule allows `width` times what it says. `limited` is told of each refusal. */
export function createLimiter(width = 1, limited: CountLimit = () => undefined): Limiter {
  const [byKey, bySite] = [limitersOf(width), limitersOf(width * networksPerSite)];
  return {
    async consume(rule, key, points = 1) {
      const stands = (result: RateLimiterRes): Standing => ({
        rule,
        quota: byKey[rule].points,
        windowSeconds: rules[rule].duration,
        remaining: result.remainingPoints,
        // Counted by timers, which a clock that was set back does not hold up; it only makes this number too large.
        resetMs: Math.min(result.msBeforeNext, rules[rule].duration * 1000),
      });
      try {
        const [network, site] = [counted(key, networkOf), counted(key, siteOf)];
        if (site !== network) await bySite[rule].consume(site, points);
        return stands(await byKey[rule].consume(network, points));
      } catch (refusal) {
        if (!(refusal instanceof RateLimiterRes)) throw refusal;
        limited(rule);
        const standing = stands(refusal);
        throw tooFast(standing.resetMs, standing);
      }
    },
    async reset(rule, key) {
      await Promise.all([
        byKey[rule].delete(counted(key, networkOf)),
        bySite[rule].delete(counted(key, siteOf)),
      ]);
    },
  };
}

function limitersOf(width: number): Record<RuleName, RateLimiterMemory> {
  return Object.fromEntries(
    Object.entries(rules).map(([name, rule]) => [
      name,
      new RateLimiterMemory({ ...rule, points: rule.points * width, keyPrefix: name }),
    ]),
  ) as Record<RuleName, RateLimiterMemory>;
}

/** Here, so that no caller can forget it: who has one IPv6 address has 2^64 of them. */
function counted(key: string, place: (address: string) => string): string {
  const [address = '', ...rest] = key.split(' ');
  return [place(address), ...rest].join(' ');
}

/**
 * A token bucket per key for the socket's hot path, which must not wait for a promise: the generic cell rate algorithm
 * (ITU-T I.371) keeps one number per key.
 */
export class Bucket {
  readonly #allowedAt = new Map<string | number, number>();
  #forgotAt = 0;

  constructor(
    private readonly rate: { perSecond: number; burst: number },
    private readonly clock: () => number,
    private readonly width = 1,
  ) {}

  /** Takes one; returns 0, or the ms to wait when none is left. */
  take(key: string | number): number {
    const now = this.clock();
    const interval = 1000 / this.rate.perSecond / this.width;
    const fullMs = interval * this.rate.burst * this.width;
    const stood = this.#allowedAt.get(key) ?? 0;
    // Further ahead than all of the burst it stands only after the clock was set back, and then begins anew.
    const allowedAt = stood > now + fullMs ? now : Math.max(stood, now);
    const waitMs = allowedAt - now - (fullMs - interval);
    if (waitMs > 0) return waitMs;
    this.#allowedAt.set(key, allowedAt + interval);
    if (this.#allowedAt.size > 10_000 && Math.abs(now - this.#forgotAt) > 10_000) this.#forgetFull(now);
    return 0;
  }

  /** From when on the key is within its rate again, on the clock: the past, or as far ahead as its burst has brought it. */
  dueAt(key: string | number): number {
    return this.#allowedAt.get(key) ?? 0;
  }

  /** Looks at every key, so it is done now and then, not at every take. */
  #forgetFull(now: number): void {
    this.#forgotAt = now;
    for (const [key, allowedAt] of this.#allowedAt) if (allowedAt <= now) this.#allowedAt.delete(key);
  }
}

/** Bounds what is under way at once: `perKey` for one key, `inAll` for everybody; `full` is told of each refusal. */
export class InFlight {
  readonly #underWay = new Map<string, number>();
  #all = 0;

  constructor(
    private readonly perKey: number,
    private readonly inAll: number,
    private readonly full: () => void = () => undefined,
  ) {}

  /**
   * Counts one in; what is returned counts it out.
   * @throws AppError `rate_limited` when as much is under way as may be
   */
  enter(key: string): () => void {
    const underWay = this.#underWay.get(key) ?? 0;
    if (underWay >= this.perKey || this.#all >= this.inAll) {
      this.full();
      throw tooFast(1000);
    }
    this.#underWay.set(key, underWay + 1);
    this.#all += 1;
    return () => {
      this.#all -= 1;
      const left = (this.#underWay.get(key) ?? 1) - 1;
      if (left === 0) this.#underWay.delete(key);
      else this.#underWay.set(key, left);
    };
  }
}

export interface Gate {
  /** @throws AppError `rate_limited` when too many wait */
  pass<T>(work: () => Promise<T>): Promise<T>;
  /** @throws AppError `rate_limited` when too many wait */
  assertRoom(): void;
  /** How many wait. */
  readonly waiting: number;
  /** How many were told to come back. */
  readonly refused: number;
}

/** Lets `atOnce` pieces of work run and `most` more wait; whoever comes then is told to come back. */
export function createGate(atOnce: number, most: number): Gate {
  let running = 0;
  let refused = 0;
  const queue: (() => void)[] = [];
  const assertRoom = (): void => {
    if (queue.length >= most) {
      refused += 1;
      throw new AppError('rate_limited', 'Too busy. Try again soon.', { retryAfterMs: 2000 });
    }
  };
  const pass: Gate['pass'] = async (work) => {
    if (running >= atOnce) {
      assertRoom();
      await new Promise<void>((start) => queue.push(start));
    } else running += 1;
    try {
      return await work();
    } finally {
      const next = queue.shift();
      if (next) next();
      else running -= 1;
    }
  };
  return {
    pass,
    assertRoom,
    get waiting() {
      return queue.length;
    },
    get refused() {
      return refused;
    },
  };
}
