// Replays to a returning socket what it missed, a page a turn, so that thousands at once starve nobody.
import type { Actor } from '../actor.ts';
import type { MessageService } from '../messages/service.ts';
import { type ChatView, chatIdFor, limits, messageOnWire, readChatId } from '../protocol/entities.ts';
import type { Socket } from './connection.ts';
import { pushFrame } from './fanout.ts';
import { catchUpLimits } from './limits.ts';

interface CatchUpDeps {
  readonly listChats: (actor: Actor) => Promise<ChatView[]>;
  readonly messages: MessageService;
}

/** What a socket has, chat by chat: the position of the newest message. */
export type Cursors = Readonly<Record<string, number>>;

export class CatchUp {
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(private readonly deps: CatchUpDeps) {}

  /** Runs some work when it is its turn: a bounded number at once, the others in the order they came. */
  async inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running >= catchUpLimits.atOnce) await new Promise<void>((start) => this.#waiting.push(start));
    else this.#running += 1;
    try {
      return await work();
    } finally {
      await nextTurn(); // messages that arrived meanwhile go first
      const start = this.#waiting.shift();
      if (start) start();
      else this.#running -= 1;
    }
  }

  /**
   * Pushes every message after the cursors, chat by chat, in order. A chat with more than the limit gets a marked gap
   * and its newest page. Live messages may come in between: positions tell where they belong.
   */
  async replay(socket: Socket, actor: Actor, cursors: Cursors): Promise<void> {
    const ends = new Map(
      (await this.inTurn(() => this.deps.listChats(actor))).map(({ ref, lastSeq }) => [
        chatIdFor(actor.uid, ref),
        lastSeq,
      ]),
    );
    for (const [groupId, cursor] of Object.entries(cursors)) {
      const ref = readChatId(groupId, actor.uid);
      const end = ref && ends.get(chatIdFor(actor.uid, ref));
      if (end && end > cursor) await this.#replayChat(socket, actor, groupId, { after: cursor, end });
      if (socket.readyState !== WebSocket.OPEN || socket.data.actor?.sessionId !== actor.sessionId) return;
    }
  }

  async #replayChat(
    socket: Socket,
    actor: Actor,
    groupId: string,
    { after, end }: { after: number; end: number },
  ): Promise<void> {
    let position = after;
    if (end - after > catchUpLimits.messagesPerChat) {
      position = end - limits.historyPageDefault;
      socket.send(pushFrame('resume', { GROUP_ID: groupId, GAP: true, FROM: after + 1, TO: position }));
    }
    // A slow reader is waited for outside the turns: it must not keep others from theirs.
    while (position < end && (await roomToSend(socket))) {
      const last = await this.inTurn(() => this.#sendPage(socket, actor, groupId, position));
      if (last === null) return;
      position = last;
    }
  }

  /** Pushes the page after a position; returns the last position in it, null when there is none. */
  async #sendPage(socket: Socket, actor: Actor, groupId: string, after: number): Promise<number | null> {
    const page = { before: null, after, limit: limits.historyPageMax };
    const { messages } = await this.deps.messages.list(actor, groupId, page);
    for (const message of messages) socket.send(pushFrame('send_message', messageOnWire(groupId, message)));
    return messages.at(-1)?.seq ?? null;
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Waits until a slow reader has taken enough; false when the socket is gone, or the reader never does. */
async function roomToSend(socket: Socket): Promise<boolean> {
  for (let tries = 0; tries < catchUpLimits.drainTries; tries += 1) {
    if (socket.readyState !== WebSocket.OPEN) return false;
    if (socket.getBufferedAmount() < catchUpLimits.bufferedBytes) return true;
    await Bun.sleep(catchUpLimits.drainWaitMs);
  }
  socket.terminate(); // what has a hole must not go on: it resumes from where it is
  return false;
}
