// Notices what commands did to the database beside the running server: sessions they ended lose their sockets.
import type { Actor } from '../actor.ts';
import type { Log } from '../log.ts';
import type { AdminStore } from '../store/admin-store.ts';
import type { Emit } from '../store/store.ts';

/** How often the database is asked whether somebody else has written, which reads one number of shared memory. */
const lookMs = 500;
/** A socket that was being announced during the first look is there at the second. */
const looks = 2;

interface WatchDeps {
  readonly store: Pick<AdminStore, 'foreignVersion' | 'findEndedSessions'>;
  /** Whom the sockets are announced as. */
  readonly announced: () => readonly Actor[];
  readonly emit: Emit;
  readonly log: Log;
}

/** Returns the function that ends the watch. */
export function watchForeignWrites({ store, announced, emit, log }: WatchDeps): () => void {
  let seen = store.foreignVersion();
  let looksLeft = 0;
  const look = async (): Promise<void> => {
    const uids = new Map(announced().map(({ sessionId, uid }) => [sessionId, uid]));
    for (const sessionId of await store.findEndedSessions([...uids.keys()])) {
      emit({ kind: 'sessions_ended', uid: uids.get(sessionId) ?? 0, sessionIds: [sessionId] });
    }
  };
  const timer = setInterval(() => {
    const version = store.foreignVersion();
    if (version !== seen) looksLeft = looks;
    seen = version;
    if (looksLeft === 0) return;
    looksLeft -= 1;
    look().catch((error: unknown) => log.error('could not look for ended sessions', { error }));
  }, lookMs);
  timer.unref();
  return () => clearInterval(timer);
}
