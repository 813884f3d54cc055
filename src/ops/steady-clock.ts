// Whether the clock can be believed: what is removed by its age must not go because the clock was set ahead.
import type { Log } from '../log.ts';

/** For how long the clock must have run evenly, at the start too: by then whoever sets it mostly has. */
const steadyMs = 60 * 60 * 1000;
/** By how much the clock may be off the time that passed, in two looks at it: more is no slow correction. */
const toleranceMs = 60_000;

interface Clocks {
  /** ms since the epoch; whoever runs the machine may set it */
  readonly clock: () => number;
  /** ms since some moment, at an even pace */
  readonly elapsed: () => number;
  readonly log: Log;
}

/**
 * Begins to watch the clock.
 * @returns a look at it: true when it has not been set, neither ahead nor back, for an hour
 */
export function watchClock({ clock, elapsed, log }: Clocks): () => boolean {
  let last = { clock: clock(), elapsed: elapsed() };
  let steadySince = last.elapsed;
  return () => {
    const now = { clock: clock(), elapsed: elapsed() };
    const jumpMs = now.clock - last.clock - (now.elapsed - last.elapsed);
    if (Math.abs(jumpMs) > toleranceMs) {
      steadySince = now.elapsed;
      const seconds = Math.round(jumpMs / 1000);
      log.warn('the clock was set; nothing is removed for its age for an hour', { seconds });
    }
    last = now;
    return now.elapsed - steadySince >= steadyMs;
  };
}
