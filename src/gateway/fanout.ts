// Tells sockets what was committed: one native publish per group; what is one person's to his sockets.
import type { Server } from 'bun';
import { closeCodes } from '../errors.ts';
import type { Sent } from '../messages/service.ts';
import { chatIdFor, directChatId, removedText, wireTime } from '../protocol/entities.ts';
import type { ChatHead, DirectChat, RemovedMessage } from '../store/chat-store.ts';
import type { StoreEvent } from '../store/store.ts';
import type { Connection } from './connection.ts';
import { socketLimits } from './limits.ts';
import { chatTopic, type Device, type Presence } from './presence.ts';
import type { Replies } from './replies.ts';

export class Fanout {
  #server: Server<Connection> | null = null;
  /** Since it was last looked for slow readers. */
  #published = 0;

  constructor(
    private readonly presence: Presence,
    private readonly replies: Replies,
    private readonly delivered: (sockets: number) => void,
  ) {}

  /** The server whose sockets are told; known only once it listens. */
  use(server: Server<Connection>): void {
    this.#server = server;
  }

  /** Pushes a message, of which `fields` is the JSON, to every device of every member but the one it came from. */
  message({ ref, message, created }: Sent, fields: string, from: Device | null): void {
    if (ref.kind === 'group') {
      this.delivered(this.#publish(chatTopic(ref.groupId), messageFrame(ref.groupId, fields), from));
      return;
    }
    const { senderUid } = message;
    if (created) this.#directCreated(created, from);
    for (const [viewer, groupId] of directViews(senderUid, ref.otherUid))
      this.delivered(this.#tell(viewer, messageFrame(groupId, fields), from));
  }

  /** What the store's other events mean to sockets: topics follow in this turn, before anything else is published. */
  storeEvent(event: StoreEvent): void {
    if (event.kind === 'joined') {
      const { uid, chat } = event;
      if (chat.ref.kind === 'group') this.presence.join(uid, chat.ref.groupId);
      const entry = chatHead(chatIdFor(uid, chat.ref), chat);
      this.#tell(uid, pushFrame('chat_changed', entry), null);
    } else if (event.kind === 'left') {
      this.presence.leave(event.uid, event.groupId);
      const removed = { GROUP_ID: event.groupId, REMOVED: true };
      this.#tell(event.uid, pushFrame('chat_changed', removed), null);
    } else if (event.kind === 'member_changed') {
      this.#memberChanged(event);
    } else if (event.kind === 'message_removed') {
      this.#messageRemoved(event.message);
    } else {
      const ended = new Set(event.sessionIds);
      for (const socket of this.presence.socketsOf(event.uid)) {
        if (!socket.data.actor || !ended.has(socket.data.actor.sessionId)) continue;
        this.replies.flush();
        this.presence.detach(socket);
        socket.close(closeCodes.sessionEnded, 'This session has ended. Log in again.');
      }
    }
  }

  /** Tells the other devices of an account how far it has read; each spells the chat from its own side, as this one. */
  readMark(uid: number, groupId: string, seq: number, from: Device | null): void {
    this.#tell(uid, pushFrame('mark_read', { GROUP_ID: groupId, MESSAGE_ID: seq }), from);
  }

  /** A drop must be a disconnect: who cannot keep up is closed before anything has to be left out. */
  #closeSlowReaders(): void {
    this.#published = 0;
    const slow = this.presence
      .all()
      .filter((socket) => socket.getBufferedAmount() > socketLimits.backpressureBytes);
    for (const socket of slow) socket.terminate();
  }

  #memberChanged({ groupId, uid, role }: Extract<StoreEvent, { kind: 'member_changed' }>): void {
    const what = role === null ? { REMOVED: true } : { ROLE: role };
    const change = { GROUP_ID: groupId, MEMBER_UID: uid, ...what };
    this.#publish(chatTopic(groupId), pushFrame('member_changed', change), null);
  }

  /** Everybody is told, also who removed it: it was asked for over HTTP. */
  #messageRemoved({ ref, viewerUid, seq }: RemovedMessage): void {
    const change = { MESSAGE_ID: seq, MESSAGE: removedText, REMOVED: true };
    const frame = (groupId: string) => pushFrame('message_changed', { GROUP_ID: groupId, ...change });
    if (ref.kind === 'group') this.#publish(chatTopic(ref.groupId), frame(ref.groupId), null);
    else
      for (const [viewer, groupId] of directViews(viewerUid, ref.otherUid))
        this.#tell(viewer, frame(groupId), null);
  }

  #directCreated({ people, createdAt }: DirectChat, from: Device | null): void {
    const [one, other] = people;
    const views = new Map([
      [one.uid, other],
      [other.uid, one],
    ]);
    for (const [viewer, shown] of views) {
      const entry = chatHead(directChatId(viewer, shown.uid), { ...shown, createdAt, lastSeq: 0 });
      this.#tell(viewer, pushFrame('chat_changed', entry), from);
    }
  }

  /**
   * Pushes what is one person's to his other devices. Not by a topic of each account: that would cost every idle socket
   * 0.4 KiB, and publishing to one socket is no cheaper than sending.
   * @returns to how many
   */
  #tell(uid: number, frame: string, from: Device | null): number {
    const except = this.presence.holderOf(from);
    const told = this.presence.holders(uid).filter((holder) => holder !== except);
    for (const holder of told) this.replies.add(holder, frame);
    return told.length;
  }

  /**
   * Publishing from the holder of the sending device leaves that device out: its sending socket has a reply of its own,
   * and its other sockets count as the same one.
   * @returns to how many it was published
   */
  #publish(topic: string, frame: string, from: Device | null): number {
    this.replies.flush(); // a sender is told first, and everybody in the order of the log
    this.#published += frame.length;
    if (this.#published > socketLimits.publishedBetweenLooks) this.#closeSlowReaders();
    const holder = this.presence.holderOf(from);
    if (holder) holder.publish(topic, frame);
    else this.#server?.publish(topic, frame, false);
    return Math.max(0, (this.#server?.subscriberCount(topic) ?? 0) - (holder ? 1 : 0));
  }
}

/** How each of the two of a direct chat (one, in a chat with oneself) sees its id. */
function directViews(one: number, other: number): Map<number, string> {
  return new Map([
    [one, directChatId(one, other)],
    [other, directChatId(other, one)],
  ]);
}

/** The push of a message, of which `fields` is the JSON. */
export function messageFrame(groupId: string, fields: string): string {
  return `{"event":"send_message","data":{${fields},"GROUP_ID":"${groupId}"}}`;
}

/** A frame that answers nothing. */
export function pushFrame(event: string, data: Record<string, unknown>): string {
  return JSON.stringify({ event, data });
}

function chatHead(groupId: string, { name, picture, createdAt, lastSeq }: Omit<ChatHead, 'ref'>) {
  return {
    GROUP_ID: groupId,
    NAME: name,
    PROFILE_PIC: picture,
    CREATION_DATE: wireTime(createdAt),
    LAST_MESSAGE_ID: lastSeq,
  };
}
