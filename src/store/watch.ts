// Times what is asked of the store: each call by its method's name, and each transaction.

export interface StoreWatch {
  /** A transaction ended, well or not, so many ms after it began. */
  transaction(ms: number): void;
  /** A method was called and has settled after so many ms. */
  called(method: string, ms: number): void;
}

/** The same store, watched. SQLite does what it is asked in one turn, so that the time of a call is mostly its own. */
export function watched<S extends object>(store: S, { called }: Pick<StoreWatch, 'called'>): S {
  const methods = Object.entries(store).map(([name, member]) => {
    if (typeof member !== 'function') return [name, member];
    const settled = (ms: number) => called(name, ms);
    return [name, (...asked: unknown[]) => timed(() => member(...asked), settled)];
  });
  return Object.fromEntries(methods);
}

function timed(method: () => unknown, settled: (ms: number) => void): unknown {
  const beganAt = performance.now();
  const end = () => settled(performance.now() - beganAt);
  const result = method();
  // A query that Drizzle built is no promise, and runs only when somebody waits for it.
  if (isThenable(result)) return (async () => result)().finally(end);
  end();
  return result;
}

export function isThenable(result: unknown): result is PromiseLike<unknown> {
  return typeof result === 'object' && result !== null && 'then' in result;
}
