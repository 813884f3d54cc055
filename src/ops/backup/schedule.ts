// A cron schedule that goes on when the clock was set back: Bun's own waits until the clock is where it was.

interface Schedule {
  /** Cron expression in the system's time zone. */
  readonly expression: string;
  /** Never rejects; while it runs it is not started again. */
  readonly run: () => Promise<void>;
  readonly clock: () => number;
  /** How often it is looked whether the clock was set back, in ms; every ten seconds unless given. */
  readonly lookMs?: number;
}

/** Runs what is due from now on; returns the function that ends it. */
export function startSchedule({ expression, run, clock, lookMs = 10_000 }: Schedule): () => void {
  let job = Bun.cron(expression, run).unref();
  let lookedAt = clock();
  const timer = setInterval(() => {
    const now = clock();
    if (now < lookedAt) {
      job.stop();
      job = Bun.cron(expression, run).unref();
    }
    lookedAt = now;
  }, lookMs).unref();
  return () => {
    clearInterval(timer);
    job.stop();
  };
}
