// Listens to the server's parts as they work: what the store, the message log, the audit log and the event loop do is counted.
import type { Counts, Metrics } from '../../infra/metrics.ts';
import type { Log } from '../../log.ts';
import type { MessageStore } from '../../store/chat-store.ts';
import type { Note } from '../../store/store.ts';

/** Counts transactions, and logs calls of the store that take `slowMs` or more; with 0 none is logged. */
export function watchStore(counts: Counts, slowMs: number, log: Log) {
  return {
    transaction: counts.transaction,
    called: (method: string, ms: number) => {
      if (slowMs === 0 || ms < slowMs) return;
      counts.slowQuery();
      log.warn('slow query', { method, ms: Math.round(ms) });
    },
  };
}

/** The same store, with the batches counted that are appended to the message log. */
export function watchAppends<S extends MessageStore>(store: S, { batch }: Counts): S {
  const appendMessages: MessageStore['appendMessages'] = (drafts, committed) => {
    batch(drafts.length);
    return store.appendMessages(drafts, committed);
  };
  return { ...store, appendMessages };
}

const loginResults: Partial<Record<string, 'ok' | 'failed'>> = { login: 'ok', login_failed: 'failed' };

/** The same note, with the logins among what is noted counted. */
export function watchLogins(note: Note, { login }: Counts): Note {
  return (what) => {
    const result = loginResults[what.kind];
    if (result) login(result);
    return note(what);
  };
}

/** How often it is looked whether the event loop is late. */
const loopLookMs = 50;

/** Notes how late timers come, as long as everything else then has to wait; returns the function that ends it. */
export function watchEventLoop(metrics: Metrics): () => void {
  const late = metrics.addTally(
    'chat_event_loop_delay_seconds',
    'How late the event loop was, looked at 20 times a second.',
  );
  let dueAt = performance.now() + loopLookMs;
  const timer = setInterval(() => {
    const now = performance.now();
    late.observe(Math.max(0, now - dueAt) / 1000);
    dueAt = now + loopLookMs;
  }, loopLookMs);
  timer.unref();
  return () => clearInterval(timer);
}
