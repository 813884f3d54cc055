// What the server keeps for each open socket.
import type { ServerWebSocket } from 'bun';
import type { Actor } from '../actor.ts';

/** Where sockets come from, shared by all from there. */
export interface Origin {
  readonly address: string;
  open: number;
  unannounced: number;
}

export interface Connection {
  origin: Origin;
  /** The device name of the path, '' for none; proves nothing. */
  readonly clientId: string;
  /** Null until announced. */
  actor: Actor | null;
  /**
   * Where its chats stood when it was subscribed to them: what came later it was pushed, what came before it may resume.
   * As `endsToText` makes it, because every idle socket keeps one. Null before the announce and once it has resumed.
   */
  ends: string | null;
  /** ms since the epoch of the last frame, or of the opening. */
  lastHeardAt: number;
  /** Frames that were run since it last waited for a turn. */
  ran: number;
  /** Frames that came while one was being looked up, to be taken in their order; null when nothing is. */
  backlog: string[] | null;
  /** Frames refused for their number since the last that was taken. */
  strikes: number;
}

export type Socket = ServerWebSocket<Connection>;

/** What is kept of a socket that opens at `now`, ms since the epoch. */
export function newConnection(origin: Origin, clientId: string, now: number): Connection {
  return { origin, clientId, actor: null, ends: null, lastHeardAt: now, backlog: null, strikes: 0, ran: 0 };
}
