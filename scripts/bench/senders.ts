// Senders that never give up: each keeps a message until it is acknowledged, and sends it again when it comes back.
import { dialects, groupId, type User } from './targets.ts';
import { type Connection, connect } from './wire.ts';

interface Waiting {
  readonly frame: string;
  /** performance.now() of the last time it went out; null while it could not. */
  sentAt: number | null;
}

interface Sender {
  readonly index: number;
  readonly user: User;
  connection: Connection | null;
  announced: (() => void) | null;
  /** By CLIENT_MESSAGE_ID, which is also the text. */
  readonly waiting: Map<string, Waiting>;
}

interface Answer {
  readonly event: string;
  readonly id?: string;
  readonly data: { readonly status_code?: number; readonly MESSAGE_ID?: number };
}

/** Where a message's frame has the `i` of `id` when it answers one of ours, else the `d` of `data`. */
const answerAt = '{"event":"send_message","'.length;
const pushed = 'd'.charCodeAt(0);

export class Senders {
  /** Position of each acknowledged text. */
  readonly positions = new Map<string, number>();
  /** Acknowledgements that named another position than an earlier one of the same text, and refusals. */
  contradicted = 0;
  /** ms from sending (again) to acknowledgement, of those that came since it was emptied. */
  ackTimes: number[] = [];
  #sent = 0;
  readonly #senders: Sender[];
  #pacer: ReturnType<typeof setInterval> | undefined;

  constructor(
    private readonly url: string,
    users: readonly User[],
  ) {
    this.#senders = users.map((user, index) => ({
      index,
      user,
      connection: null,
      announced: null,
      waiting: new Map(),
    }));
  }

  /** Messages that were not acknowledged yet. */
  get waiting(): number {
    return this.#senders.reduce((sum, { waiting }) => sum + waiting.size, 0);
  }

  /** Connects and announces all, and sends again what is not acknowledged. @throws Error when one is refused */
  async connect(): Promise<void> {
    await Promise.all(this.#senders.map((sender) => this.#join(sender)));
  }

  /** Sends `count` at once, then `perSecond`, until stopped. */
  start(perSecond: number, count = 0): void {
    for (let index = 0; index < count; index += 1) this.#sendOne();
    this.#pacer = setInterval(() => this.#sendOne(), 1000 / perSecond);
  }

  stop(): void {
    clearInterval(this.#pacer);
  }

  close(): void {
    for (const { connection } of this.#senders) connection?.close();
  }

  async #join(sender: Sender): Promise<void> {
    const announced = Promise.withResolvers<void>();
    sender.announced = announced.resolve;
    const connection = await connect(new URL(dialects.ours.path, this.url), {
      index: sender.index,
      onFrame: (_connection, bytes, from, to) => {
        if (bytes[from + answerAt] === pushed) return; // of somebody else: reading them all would slow the clock
        this.#onFrame(sender, JSON.parse(Buffer.from(bytes.subarray(from, to)).toString()) as Answer);
      },
      onClose: () => {
        sender.connection = null;
      },
    });
    connection.send(dialects.ours.hello(sender.user) ?? '');
    await announced.promise;
    sender.connection = connection;
    for (const waiting of sender.waiting.values()) transmit(connection, waiting);
  }

  #sendOne(): void {
    this.#sent += 1;
    const sender = this.#senders[this.#sent % this.#senders.length];
    if (!sender) return;
    const text = `text-${this.#sent}`;
    const data = { GROUP_ID: groupId, MESSAGE: text, CLIENT_MESSAGE_ID: text };
    const waiting = { frame: JSON.stringify({ event: 'send_message', id: text, data }), sentAt: null };
    sender.waiting.set(text, waiting);
    if (sender.connection) transmit(sender.connection, waiting);
  }

  #onFrame(sender: Sender, { event, id, data }: Answer): void {
    if (event === 'wants_all_his_chats') {
      sender.announced?.();
      return;
    }
    if (id === undefined) return;
    const known = this.positions.get(id);
    const position = data.MESSAGE_ID;
    if (data.status_code !== 200 || position === undefined || (known && known !== position)) {
      this.contradicted += 1;
      return;
    }
    const sentAt = sender.waiting.get(id)?.sentAt;
    if (sentAt != null) this.ackTimes.push(performance.now() - sentAt);
    sender.waiting.delete(id);
    this.positions.set(id, position);
  }
}

function transmit(connection: Connection, waiting: Waiting): void {
  waiting.sentAt = performance.now();
  connection.send(waiting.frame);
}
