// Says in the log that the database cannot be used, and not once for each message that is refused meanwhile.
import type { AppError } from '../errors.ts';
import type { Log } from '../log.ts';

const everyMs = 60_000;

/** Takes each failure; the first is logged at once, then one line a minute. `elapsed`: ms that pass evenly. */
export function createOutageLog(log: Log, elapsed: () => number): (failure: AppError) => void {
  let toldAt = Number.NEGATIVE_INFINITY;
  let untold = 0;
  return (failure) => {
    untold += 1;
    if (elapsed() - toldAt < everyMs) return;
    toldAt = elapsed();
    const cause = failure.cause instanceof Error ? failure.cause.message : undefined;
    log.error('the database cannot be used', { reason: failure.message, cause, failures: untold });
    untold = 0;
  };
}
