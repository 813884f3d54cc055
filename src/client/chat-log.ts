// Puts the messages of one chat in order: each is let through once, at its position, however it arrived.

/** A message as the client's listeners get it. */
export interface ChatMessage {
  readonly groupId: string;
  /** Position in the chat: 1, 2, 3, ... */
  readonly id: number;
  readonly senderUid: number;
  readonly senderName: string;
  /** As delivered; see protocol/text.ts. Of a removed one, the words that say so. */
  readonly message: string;
  readonly removed: boolean;
  readonly picture: string;
  /** ISO 8601 */
  readonly sentAt: string;
}

export class ChatLog {
  readonly #held = new Map<number, ChatMessage>();
  /** What removed messages that were not let through yet now say. */
  readonly #removed = new Map<number, string>();
  /** The newest position that is known to exist. */
  #end = 0;

  /** `cursor`: position of the newest message let through. */
  constructor(
    public cursor: number,
    private readonly deliver: (message: ChatMessage) => void,
  ) {}

  /** Takes a message: lets it through, holds it until what is before it has come, or drops it as one it had. */
  take(message: ChatMessage): void {
    if (message.id > this.cursor) this.#held.set(message.id, message);
    this.#drain();
  }

  /** Takes back a message that may still be on its way, as it was before: it is let through as removed. */
  remove(id: number, message: string): void {
    if (id > this.cursor) this.#removed.set(id, message);
  }

  /** Says that there are messages up to this position. */
  expect(position: number): void {
    this.#end = Math.max(this.#end, position);
  }

  /** What is missing between the messages that are here, both ends exclusive; null when nothing is. */
  get gap(): { after: number; before: number } | null {
    const after = this.cursor;
    if (this.#held.size > 0) return { after, before: Math.min(...this.#held.keys()) };
    return after < this.#end ? { after, before: this.#end + 1 } : null;
  }

  /** Gives up what is missing before `position`: it exists no more. */
  skipTo(position: number): void {
    this.cursor = Math.max(this.cursor, position - 1);
    for (const late of [this.#held, this.#removed])
      for (const id of late.keys()) if (id <= this.cursor) late.delete(id);
    this.#drain();
  }

  #drain(): void {
    for (;;) {
      const next = this.#held.get(this.cursor + 1);
      if (!next) return;
      this.#held.delete(next.id);
      this.cursor = next.id;
      const message = this.#removed.get(next.id);
      this.#removed.delete(next.id);
      this.deliver(message === undefined ? next : { ...next, message, removed: true });
    }
  }
}
