// Growing delays for whoever guesses a secret: five wrong tries in a row pass at once, then one a minute, two, four ...
import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible';
import { tooFast } from '../errors.ts';
import type { CountLimit } from './metrics.ts';

const freeTries = 5;
const firstDelayS = 60;
const longestDelayS = 60 * 60;
/** Four tries in four hours, which would never meet a delay, are no faster than one in each longest delay. */
const rememberedS = 4 * 60 * 60;

/** How long the first delay lasts, the second, ... */
const delayS = (count: number) => Math.min(firstDelayS * 2 ** (count - 1), longestDelayS);

export interface Guesses {
  /**
   * Counts a try before it is looked at, so that many at once are no way around the count.
   * @throws AppError `rate_limited` with the time to wait; the try is then not counted
   */
  begin(key: string): Promise<void>;
  /** A right one: forgets all tries before it. */
  succeed(key: string): Promise<void>;
}

/**
 * Counts in memory, whatever the keys stand for: what does not exist is delayed as what does. Allows `width` times the
 * free tries. `limited` is told of each refusal.
 * @see https://cheatsheetseries.owasp.org/cheatsheets/Authentication_Cheat_Sheet.html#account-lockout
 */
export function createGuesses(name: string, width = 1, limited: CountLimit = () => undefined): Guesses {
  const points = freeTries * width;
  const tries = new RateLimiterMemory({ points, duration: rememberedS, keyPrefix: `${name}Tries` });
  const delays = new RateLimiterMemory({ points, duration: rememberedS, keyPrefix: `${name}Delays` });
  const isLastTry = async (key: string, delaysBefore: number): Promise<boolean> => {
    try {
      // Once there was a delay a single try takes all the points, so that of many at once one passes.
      return (await tries.consume(key, delaysBefore === 0 ? 1 : points)).remainingPoints === 0;
    } catch (refusal) {
      if (!(refusal instanceof RateLimiterRes)) throw refusal;
      limited(`${name}Guesses`);
      // Counted by timers, which a clock that was set back does not hold up; it only makes this number too large.
      throw tooFast(Math.min(refusal.msBeforeNext, delayS(Math.max(delaysBefore, 1)) * 1000));
    }
  };
  return {
    async begin(key) {
      const delaysBefore = (await delays.get(key))?.consumedPoints ?? 0;
      if (!(await isLastTry(key, delaysBefore))) return;
      await delays.set(key, delaysBefore + 1, rememberedS);
      await tries.block(key, delayS(delaysBefore + 1));
    },
    async succeed(key) {
      await Promise.all([tries.delete(key), delays.delete(key)]);
    },
  };
}
