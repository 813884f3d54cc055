// Puts the messages of one chat in order: each is let through once, at its position, however it arrived.

/** A message as the client's listeners get it. */
export interface ChatMessage {
  readonly groupId: string;
  /** Position in the chat: 1, 2, 3, ... */
  readonly id: number;
  readonly senderUid: number;
  readonly senderName: string;
  /** As delivered; see protocol/text.ts. */
  readonly message: string;
  readonly picture: string;
  /** ISO 8601 */
  readonly sentAt: string;
}

export class ChatLog {
  readonly #held = new Map<number, ChatMessage>();

  /** `cursor`: position of the newest message let through; null when it is not known yet. */
  constructor(
    public cursor: number | null,
    private readonly deliver: (message: ChatMessage) => void,
  ) {}

  /** Takes a message; returns whether something before it is missing. */
  take(message: ChatMessage): boolean {
    this.cursor ??= message.id - 1;
    if (message.id > this.cursor) this.#held.set(message.id, message);
    this.#drain();
    return this.#held.size > 0;
  }

  /** The first position that is held back, null when none is. */
  get heldFrom(): number | null {
    return this.#held.size === 0 ? null : Math.min(...this.#held.keys());
  }

  /** Gives up what is missing before `position`: it exists no more. */
  skipTo(position: number): void {
    this.cursor = Math.max(this.cursor ?? 0, position - 1);
    for (const id of this.#held.keys()) if (id <= this.cursor) this.#held.delete(id);
    this.#drain();
  }

  #drain(): void {
    for (;;) {
      const next = this.#held.get((this.cursor ?? 0) + 1);
      if (!next) return;
      this.#held.delete(next.id);
      this.cursor = next.id;
      this.deliver(next);
    }
  }
}
