// How the gateway stands at one moment, for whoever watches the server.
import type { Admission } from './admission.ts';
import type { CatchUp } from './catchup.ts';
import type { Presence } from './presence.ts';

export interface GatewayFigures {
  /** Sockets that are announced as somebody. */
  readonly announced: number;
  readonly unannounced: number;
  /** Accounts that have an announced socket. */
  readonly accounts: number;
  /** Bytes that all sockets together have still to take. */
  readonly bufferedBytes: number;
  /** Announces and resumes that wait for their turn. */
  readonly catchUpsWaiting: number;
}

interface Parts {
  readonly presence: Presence;
  readonly admission: Admission;
  readonly catchUp: CatchUp;
}

/** Looks at every socket. */
export function figuresOf({ presence, admission, catchUp }: Parts): GatewayFigures {
  const [announced, unannounced] = [presence.all(), admission.unannounced()];
  const buffered = [...announced, ...unannounced].map((socket) => socket.getBufferedAmount());
  return {
    announced: announced.length,
    unannounced: unannounced.length,
    accounts: presence.accountCount,
    bufferedBytes: buffered.reduce((sum, bytes) => sum + bytes, 0),
    catchUpsWaiting: catchUp.waiting,
  };
}
