// The in-process bus: carries what the store committed to whoever tells people about it, in the order of the commits.
import type { Log } from '../log.ts';

export interface Bus<Event> {
  /** Calls every listener before it returns; a listener that throws is logged and does not stop the others. */
  emit(event: Event): void;
  /** Returns the function that ends the subscription. */
  subscribe(listener: (event: Event) => void): () => void;
}

export function createBus<Event>(log: Log): Bus<Event> {
  const listeners = new Set<(event: Event) => void>();
  return {
    emit(event) {
      for (const listener of listeners) {
        try {
          listener(event);
        } catch (error) {
          log.error('a bus listener failed', { error });
        }
      }
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
