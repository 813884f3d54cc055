// Replays to a returning socket what it missed, a page a turn, so that thousands at once starve nobody.
import type { Actor } from '../actor.ts';
import { closeCodes } from '../errors.ts';
import type { MessageService } from '../messages/service.ts';
import { chatIdFor, limits, messageFields, readChatId } from '../protocol/entities.ts';
import type { Socket } from './connection.ts';
import { messageFrame, pushFrame } from './fanout.ts';
import { catchUpLimits } from './limits.ts';

/** Positions by chat, the chats named as their viewer sees them. */
export type Positions = ReadonlyMap<string, number>;

/** Reads CURSORS as `uid` may mean them; what can be no chat of his is left out. */
export function readCursors(uid: number, cursors: Readonly<Record<string, number>>): Positions {
  return new Map(
    Object.entries(cursors).flatMap(([id, position]) => {
      const ref = readChatId(id, uid);
      return ref ? [[chatIdFor(uid, ref), position]] : [];
    }),
  );
}

export function endsToText(ends: Positions): string {
  return JSON.stringify([...ends]);
}

/** @param text of `endsToText` */
export function endsOfText(text: string): Positions {
  return new Map(JSON.parse(text) as [string, number][]);
}

/** Frames to push next, and where the socket stands once it has them. */
interface Page {
  readonly frames: string[];
  readonly cursors: Map<string, number>;
  bytes: number;
}

export class CatchUp {
  /** Counts what was told to sockets. */
  #told = 0;
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(private readonly messages: MessageService) {}

  /** How many wait for their turn. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Notes that sockets are told of a change: what is being read is then read again before it is used. */
  told(): void {
    this.#told += 1;
  }

  /**
   * Reads and uses, step after step, each when it is its turn, until `use` returns true or the socket is gone. A bounded
   * number runs at once, the others in the order they came; a slow reader is waited for outside the turns.
   */
  async untilDone<T>(socket: Socket, read: () => Promise<T>, use: (seen: T) => boolean): Promise<void> {
    while (await roomToSend(socket)) if (await this.#inTurn(() => this.#asOfNow(read, use))) return;
  }

  /**
   * What is missing between the cursors and the ends, chat by chat and in order, as much of it as one turn may hold. A
   * chat with more than the limit gets a marked gap and its newest page. Chats without a cursor miss nothing.
   */
  async nextPage(actor: Actor, cursors: Positions, ends: Positions): Promise<Page & { last: boolean }> {
    const page: Page = { frames: [], cursors: new Map(cursors), bytes: 0 };
    for (const [groupId, end] of ends) {
      while ((page.cursors.get(groupId) ?? end) < end) {
        if (page.bytes >= catchUpLimits.bytesPerTurn) return { ...page, last: false };
        await this.#add(page, actor, groupId, end);
      }
    }
    return { ...page, last: true };
  }

  /** Adds what follows in one chat to the page. */
  async #add(page: Page, actor: Actor, groupId: string, end: number): Promise<void> {
    let after = page.cursors.get(groupId) ?? end;
    if (end - after > catchUpLimits.messagesPerChat) {
      const gap = { FROM: after + 1, TO: end - limits.historyPageDefault };
      page.frames.push(gapFrame(groupId, gap));
      after = gap.TO;
    }
    const limit = Math.min(limits.historyPageMax, end - after);
    const found = await this.messages.find(actor, groupId, { before: null, after, limit });
    const messages = found?.messages ?? [];
    const beforeNext = (messages[0]?.seq ?? end + 1) - 1;
    // Only what was removed for its age leaves a hole. Of a chat that is none of the actor's any more nothing is told.
    if (found && beforeNext > after)
      page.frames.push(gapFrame(groupId, { FROM: after + 1, TO: beforeNext, REMOVED: true }));
    if (messages.length === 0) after = end;
    for (const message of messages) {
      const frame = messageFrame(groupId, messageFields(message));
      page.frames.push(frame);
      page.bytes += frame.length;
      after = message.seq;
      if (page.bytes >= catchUpLimits.bytesPerTurn) break;
    }
    page.cursors.set(groupId, after);
  }

  /** Nothing was told between the reading and the use, not even in the same turn: a push must not be undone by a page. */
  async #asOfNow<T, R>(read: () => Promise<T>, use: (seen: T) => R): Promise<R> {
    for (;;) {
      const told = this.#told;
      const seen = await read();
      if (told === this.#told) return use(seen);
    }
  }

  #startNext(): void {
    const start = this.#waiting.shift();
    if (start) start();
    else this.#running -= 1;
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running >= catchUpLimits.atOnce) await new Promise<void>((start) => this.#waiting.push(start));
    else this.#running += 1;
    try {
      return await work();
    } finally {
      setImmediate(() => this.#startNext()); // messages that arrived meanwhile go first
    }
  }
}

/** Says that messages of a chat are not replayed; with REMOVED that there are none to be fetched either. */
function gapFrame(groupId: string, gap: { FROM: number; TO: number; REMOVED?: true }): string {
  return pushFrame('resume', { GROUP_ID: groupId, GAP: true, ...gap });
}

/** Waits until a slow reader has taken enough; false when the socket is gone, or the reader never does. */
async function roomToSend(socket: Socket): Promise<boolean> {
  for (let tries = 0; tries < catchUpLimits.drainTries; tries += 1) {
    if (socket.readyState !== WebSocket.OPEN) return false;
    if (socket.getBufferedAmount() < catchUpLimits.bufferedBytes) return true;
    await Bun.sleep(catchUpLimits.drainWaitMs);
  }
  socket.close(closeCodes.tooSlow, 'Too slow a reader. Connect again and resume.');
  return false;
}
