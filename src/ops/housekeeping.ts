// What the server does now and then by itself: removes what is too old, and takes back the room of the write-ahead log.
import type { Log } from '../log.ts';
import type { Store } from '../store/store.ts';
import { watchClock } from './steady-clock.ts';

const everyMs = 10 * 60 * 1000;
/** Between two stretches, so that messages and whoever reads have their turns. */
const pauseMs = 20;
/** As large as the log is between two checkpoints at most: more is left of a time when somebody read for long. */
const logBytes = 16 * 1024 * 1024;
/** So large only somebody lets it become who reads for very long, and has perhaps been forgotten. */
const largeLogBytes = 64 * 1024 * 1024;
const quietMs = 500;
/** How often a quiet moment is looked for; where there is none, those who write reuse the log by themselves. */
const quietTries = 60;

export interface Housekeeping {
  /** Does all of it once, or waits for the time that is under way. Never rejects. */
  run(): Promise<void>;
  /** Begins nothing more; resolves when the stretch under way is done. */
  stop(): Promise<void>;
}

interface HousekeepingDeps {
  readonly store: Pick<Store, 'removeExpired' | 'removeOldMessages' | 'trimLog'>;
  /** By when sessions must have been made and used to be kept, and what the time is. */
  readonly expiry: () => Parameters<Store['removeExpired']>[0];
  /** What else is done each time, whatever the clock says; long work ends when `goesOn` says no. */
  readonly besides: readonly ((goesOn: () => boolean) => Promise<void>)[];
  /** After how many days messages are removed at the latest; null for never. */
  readonly retentionDays: number | null;
  readonly clock: () => number;
  /** ms that pass evenly, whatever the clock is set to. */
  readonly elapsed: () => number;
  readonly log: Log;
}

/** Starts it. Nothing is removed by its age before the clock has run evenly for an hour. */
export function startHousekeeping(deps: HousekeepingDeps): Housekeeping {
  const isSteady = watchClock(deps);
  let stopped = false;
  const goesOn = () => !stopped;
  let underWay: Promise<void> | null = null;
  const work = async (): Promise<void> => {
    if (isSteady()) {
      await attempt(deps.log, () => deps.store.removeExpired(deps.expiry()));
      await attempt(deps.log, () => removeOldMessages(deps, goesOn));
    }
    for (const besides of deps.besides) await attempt(deps.log, () => besides(goesOn));
    await attempt(deps.log, () => trimLog(deps, goesOn));
    underWay = null;
  };
  const run = (): Promise<void> => {
    underWay ??= work();
    return underWay;
  };
  const timer = setInterval(() => void run(), everyMs).unref();
  return {
    run,
    async stop() {
      stopped = true;
      clearInterval(timer);
      await underWay;
    },
  };
}

/** What could not be done is done the next time. */
async function attempt(log: Log, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    log.error('housekeeping failed', { error });
  }
}

async function removeOldMessages(
  { store, retentionDays: mostDays, clock, log }: HousekeepingDeps,
  goesOn: () => boolean,
): Promise<void> {
  const now = clock();
  let place: number | null = 0;
  let removed = 0;
  while (place !== null && goesOn()) {
    const stretch = await store.removeOldMessages({ mostDays, now }, place);
    removed += stretch.removed;
    place = stretch.next;
    if (place !== null) await Bun.sleep(pauseMs);
  }
  if (removed > 0) log.info('messages were removed for their age', { messages: removed });
}

async function trimLog({ store, log }: HousekeepingDeps, goesOn: () => boolean): Promise<void> {
  for (let tries = 0; tries < quietTries && goesOn(); tries += 1) {
    const { outcome, bytes } = await store.trimLog({ overBytes: logBytes, quietMs });
    if (outcome === 'held' && bytes > largeLogBytes) {
      const remedy = 'end the program that reads chat.db all this time';
      log.warn('the write-ahead log grows because something reads the database', { bytes, remedy });
    }
    if (outcome !== 'busy') return;
    await Bun.sleep(quietMs);
  }
}
