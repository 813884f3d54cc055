// A device of the model that looks at every frame: it resumes with the announce, and forgives nothing.
import type { Line } from '../line.ts';
import type { Person } from '../people.ts';
import type { Device, Sending } from './device.ts';
import { Follower, type Message } from './follower.ts';

// biome-ignore lint/suspicious/noExplicitAny: frames of every shape
type Fields = any;

const returnMs = 20;

export class FrameDevice implements Device {
  readonly follower: Follower;
  readonly sendings: Sending[] = [];
  readonly overtaken: Pick<Message, 'groupId' | 'id'>[] = [];
  ready = false;
  #socket: WebSocket | null = null;
  #epoch: string | null = null;
  #closed = false;
  /** What went along with the announce. */
  #asked: Record<string, number> = {};
  /**
   * What waits for messages before it. Own ones come as replies alone, sooner than pushes of the same turn, or later: when
   * the line broke between sending and reply, as replies to the repeats.
   */
  readonly #ahead = new Map<string, Message>();
  readonly #lastPush = new Map<string, number>();

  constructor(
    readonly person: Person,
    readonly line: Line,
    private readonly clientId: string,
  ) {
    this.follower = new Follower(`${person.name}'s frames ${clientId}`, false);
    this.#connect();
  }

  send(groupId: string, text: string, newChat: boolean): void {
    const { uid } = this.person;
    const event = newChat ? 'send_message_new_chat' : 'send_message';
    const sending = { uid, groupId, text, acknowledged: [], refused: null, event };
    this.sendings.push(sending);
    this.retry(sending);
  }

  retry(sending: Sending): void {
    const { groupId, text } = sending;
    const event = 'event' in sending ? String(sending.event) : 'send_message';
    const id = this.sendings.indexOf(sending);
    const data = { GROUP_ID: groupId, MESSAGE: text, CLIENT_MESSAGE_ID: `${this.clientId}-${id}` };
    if (this.ready) this.#push(event, data, id);
  }

  hangUp(): void {
    this.#socket?.close(1000);
  }

  close(): void {
    this.#closed = true;
    this.#socket?.close(1000);
    this.line.close();
  }

  #connect(): void {
    const socket = new WebSocket(`${this.line.url.replace('http', 'ws')}/ws/${this.clientId}`);
    this.#socket = socket;
    socket.onopen = () => {
      this.#asked = Object.fromEntries(this.follower.cursors);
      const had = this.#epoch === null ? {} : { EPOCH: this.#epoch, CURSORS: this.#asked };
      this.#push('wants_all_his_chats', { UID: this.person.uid, TOKEN: this.person.token, ...had });
    };
    socket.onmessage = ({ data }) => this.#take(JSON.parse(String(data)));
    socket.onclose = () => {
      this.ready = false;
      this.#ahead.clear();
      this.#lastPush.clear();
      if (!this.#closed) setTimeout(() => this.#closed || this.#connect(), returnMs);
    };
  }

  #take({ event, id, data }: Fields): void {
    if (event === 'wants_all_his_chats') this.#announced(data);
    else if (event === 'resume' && data.GAP) this.follower.skip(data.GROUP_ID, data.FROM, data.TO);
    else if (event === 'chat_changed' && data.REMOVED) this.#removed(data.GROUP_ID);
    else if (event === 'chat_changed') this.follower.joined(data.GROUP_ID, data.LAST_MESSAGE_ID);
    else if (id !== undefined) this.#replied(id, data);
    else if (event === 'send_message') this.#pushed(messageOf(data));
    else if (event === 'member_changed')
      return; // who else is in a group is no message
    else this.follower.complain(`a frame ${event} ${JSON.stringify(data)}`);
  }

  #announced(data: Fields): void {
    if (data.status_code !== 200 || data.RESET) {
      this.follower.complain(`announce: ${JSON.stringify(data).slice(0, 200)}`);
      return;
    }
    // The replay is over: with the reply there is everything that the list says there is.
    for (const groupId of Object.keys(this.#epoch === null ? {} : this.#asked)) {
      const end = data.chats[groupId]?.LAST_MESSAGE_ID;
      if (end !== undefined && end !== this.follower.cursors.get(groupId))
        this.follower.complain(`the replay of ${groupId} did not end at ${end}`);
    }
    this.#epoch = data.EPOCH;
    this.follower.listed(data.chats);
    this.ready = true;
    for (const sending of this.sendings)
      if (sending.acknowledged.length === 0 && sending.refused === null) this.retry(sending);
  }

  #removed(groupId: string): void {
    this.follower.removed(groupId);
    this.#lastPush.delete(groupId);
    for (const [key, message] of this.#ahead) if (message.groupId === groupId) this.#ahead.delete(key);
  }

  #replied(id: number, data: Fields): void {
    const sending = this.sendings[id];
    if (!sending) this.follower.complain(`a reply to ${id}, which was not asked`);
    else if (data.status_code !== 200) sending.refused = data.status_code;
    else {
      sending.acknowledged.push(data.MESSAGE_ID);
      const message = messageOf(data);
      const had = this.follower.cursors.get(message.groupId);
      // It was replayed, or this is the reply to a repeat; also to one of a group that the person has left since.
      const isOver = had === undefined ? !isDirect(message.groupId) : message.id <= had;
      if (isOver) return;
      this.#ahead.set(place(message), message);
      this.#catchUp(message.groupId);
    }
  }

  /** The replay leaves nothing out; live pushes only what this device itself sent. Neither goes back. */
  #pushed(message: Message): void {
    const { groupId, id } = message;
    const cursor = this.follower.cursors.get(groupId);
    if (cursor === undefined || !this.ready) {
      this.follower.message(message);
      return;
    }
    const last = Math.max(cursor, this.#lastPush.get(groupId) ?? 0);
    if (id <= last || this.#ahead.has(place(message)))
      this.follower.complain(`a push of ${place(message)} again or too late`);
    for (let between = last + 1; between < id; between += 1)
      if (!this.#ahead.has(place({ groupId, id: between }))) this.overtaken.push({ groupId, id: between });
    this.#lastPush.set(groupId, id);
    this.#ahead.set(place(message), message);
    this.#catchUp(groupId);
  }

  #catchUp(groupId: string): void {
    for (;;) {
      const next = place({ groupId, id: (this.follower.cursors.get(groupId) ?? 0) + 1 });
      const message = this.#ahead.get(next);
      if (!message) return;
      this.#ahead.delete(next);
      this.follower.message(message);
    }
  }

  #push(event: string, data: Fields, id?: number): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify({ event, id, data }));
  }
}

/** Of a direct chat, which its first message begins; ids of groups are shorter. */
function isDirect(groupId: string): boolean {
  return groupId.length > 20;
}

function place({ groupId, id }: Pick<Message, 'groupId' | 'id'>): string {
  return `${id} of ${groupId}`;
}

function messageOf({ GROUP_ID, MESSAGE_ID, SENDER_ID, MESSAGE }: Fields): Message {
  return { groupId: String(GROUP_ID), id: MESSAGE_ID, senderUid: SENDER_ID, text: MESSAGE };
}
