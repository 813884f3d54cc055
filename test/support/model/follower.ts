// What one device was told, held to the rule: from where it begins, a chat's messages come one by one, each once.
//
// A device follows a chat from the position it had when the device was told of it: LAST_MESSAGE_ID of the announce's list
// or of the push that says it was joined; a direct chat from its first message. It follows it until it is told that it
// left, by a push or by a list without the chat, and then gets nothing of it until it is told of it again.

export interface Message {
  readonly groupId: string;
  readonly id: number;
  readonly senderUid: number;
  readonly text: string;
}

interface Listed {
  readonly KIND?: string;
  readonly LAST_MESSAGE_ID?: number;
}

export class Follower {
  /** Everything that came, in the order it came. */
  readonly log: Message[] = [];
  readonly problems: string[] = [];
  /** By GROUP_ID: the newest position up to which there is everything. */
  readonly cursors = new Map<string, number>();
  readonly #newest = new Map<string, number>();
  #begun = false;

  constructor(
    readonly name: string,
    /** Whether direct chats that began while it was away are brought to it from their first message on. */
    private readonly getsNewDirectChats: boolean,
  ) {}

  listed(chats: Record<string, Listed>): void {
    for (const groupId of this.cursors.keys())
      if (!Object.hasOwn(chats, groupId)) this.cursors.delete(groupId);
    for (const [groupId, { KIND, LAST_MESSAGE_ID = 0 }] of Object.entries(chats)) {
      const isNew = this.#begun && KIND === 'direct' && this.getsNewDirectChats;
      if (!this.cursors.has(groupId)) this.cursors.set(groupId, isNew ? 0 : LAST_MESSAGE_ID);
    }
    this.#begun = true;
  }

  joined(groupId: string, lastMessageId: number): void {
    if (!this.cursors.has(groupId)) this.cursors.set(groupId, lastMessageId);
  }

  removed(groupId: string): void {
    this.cursors.delete(groupId);
  }

  /** Messages up to this position are said to be left out. */
  skip(groupId: string, from: number, to: number): void {
    if (this.cursors.get(groupId) !== from - 1) this.complain(`a gap from ${from} to ${to} of ${groupId}`);
    this.cursors.set(groupId, to);
  }

  message(message: Message): void {
    const { groupId, id } = message;
    // The first message of a direct chat that this device itself begins tells of it.
    const cursor = this.cursors.get(groupId) ?? (id === 1 && groupId.length > 20 ? 0 : undefined);
    if (cursor === undefined) this.complain(`${id} of ${groupId}, which it is not in`);
    else if (id <= cursor) this.complain(`${id} of ${groupId} again or too late`);
    else if (id > cursor + 1) this.complain(`${id} of ${groupId} without what is before it`);
    this.log.push(message);
    this.#newest.set(groupId, Math.max(id, this.newest(groupId)));
    if (cursor !== undefined && id > cursor) this.cursors.set(groupId, id);
  }

  /** The newest position of a chat that it ever got. */
  newest(groupId: string): number {
    return this.#newest.get(groupId) ?? 0;
  }

  complain(what: string): void {
    this.problems.push(
      `${this.name}, after ${this.log.length} messages: ${what}, at ${JSON.stringify(Object.fromEntries(this.cursors))}`,
    );
  }
}
