// Times what is asked of the store: each call by its method's name, and each transaction.
import { AsyncLocalStorage } from 'node:async_hooks';

export interface StoreWatch {
  /** A transaction ended, well or not, so many ms after it began. */
  transaction(ms: number): void;
  /** A method was called and has settled after so many ms, the waiting for other transactions not counted. */
  called(method: string, ms: number): void;
}

interface Call {
  /** How long its transactions waited for their turn. */
  waitedMs: number;
}

const calls = new AsyncLocalStorage<Call>();

/** Notes, inside a call, that its transaction waits from now on; returns the function that ends the wait. */
export function beginWait(): () => void {
  const call = calls.getStore();
  const beganAt = performance.now();
  return () => {
    if (call) call.waitedMs += performance.now() - beganAt;
  };
}

/** The same store, watched. */
export function watched<S extends object>(store: S, { called }: Pick<StoreWatch, 'called'>): S {
  const methods = Object.entries(store).map(([name, member]) => {
    if (typeof member !== 'function') return [name, member];
    return [name, (...asked: unknown[]) => timed(name, () => member(...asked), called)];
  });
  return Object.fromEntries(methods);
}

function timed(name: string, method: () => unknown, called: StoreWatch['called']): unknown {
  const call: Call = { waitedMs: 0 };
  const beganAt = performance.now();
  const end = () => called(name, performance.now() - beganAt - call.waitedMs);
  const result = calls.run(call, method);
  // A query that Drizzle built is no promise and runs only when somebody waits for it.
  if (isThenable(result)) return calls.run(call, async () => result).finally(end);
  end();
  return result;
}

export function isThenable(result: unknown): result is PromiseLike<unknown> {
  return typeof result === 'object' && result !== null && 'then' in result;
}
