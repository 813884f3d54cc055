// The client library: one connection that comes back by itself, sends each message once, and misses none.
import { backoffMs } from './backoff.ts';
import { ChatLog, type ChatMessage } from './chat-log.ts';
import { getJson, type Json, messageOf, pageOf } from './wire.ts';

export type { ChatMessage } from './chat-log.ts';

/** `stopped`: the server said not to come back (logged out, flooding), or `close` was called. */
export type ClientState = 'connecting' | 'catching_up' | 'online' | 'offline' | 'stopped';

export interface ClientOptions {
  /** The server, `http://host:22148` or `https://host`. */
  readonly url: string;
  readonly uid: number;
  readonly token: string;
  /** Names this device; two clients of one login need different ones to both get pushes. */
  readonly clientId?: string;
}

export interface ClientEvents {
  /** Every message of every chat, one's own too, in the order of each chat, once. */
  message: (message: ChatMessage) => void;
  /** The chat list, after each (re)connection; as `get_all_chats` has it. */
  chats: (chats: Record<string, Json>) => void;
  /** A push `chat_changed` or `mark_read`. */
  changed: (event: string, data: Json) => void;
  /** Positions have begun anew (the server was restored): what is shown must be loaded again. */
  reset: () => void;
  state: (state: ClientState) => void;
}

/** A message that was refused for good; `status` as in the contract. */
export class SendError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
    this.name = 'SendError';
  }
}

interface Outgoing {
  readonly event: 'send_message' | 'send_message_new_chat';
  readonly data: { readonly GROUP_ID: string; readonly MESSAGE: string; readonly CLIENT_MESSAGE_ID: string };
  readonly resolve: (message: ChatMessage) => void;
  readonly reject: (error: SendError) => void;
}

const heartbeatMs = 30_000;
const answerMs = 10_000;
/** How long a message may come before one that it follows, until the one between is fetched. */
const gapMs = 500;
const pageSize = 100;

export class ChatClient {
  state: ClientState = 'offline';
  readonly #logs = new Map<string, ChatLog>();
  /** By CLIENT_MESSAGE_ID, in the order they were sent; resent until acknowledged. */
  readonly #outbox = new Map<string, Outgoing>();
  readonly #listeners: { [Name in keyof ClientEvents]?: Set<ClientEvents[Name]> } = {};
  readonly #filling = new Set<string>();
  #socket: WebSocket | null = null;
  #epoch = '';
  #tries = 0;
  #sent = 0;
  #timers = new Set<ReturnType<typeof setTimeout>>();
  #lastHeardAt = 0;

  constructor(private readonly options: ClientOptions) {}

  /** Adds a listener; returns the function that removes it. */
  on<Name extends keyof ClientEvents>(name: Name, listener: ClientEvents[Name]): () => void {
    const listeners: Set<ClientEvents[Name]> = this.#listeners[name] ?? new Set();
    (this.#listeners as Record<string, unknown>)[name] = listeners;
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  /** Connects, and stays connected until `close` or until the server says to stop. */
  connect(): void {
    if (this.#socket) return;
    this.#setState('connecting');
    const path = `/ws${this.options.clientId ? `/${encodeURIComponent(this.options.clientId)}` : ''}`;
    const socket = new WebSocket(this.options.url.replace(/^http/, 'ws').replace(/\/$/, '') + path);
    this.#socket = socket;
    socket.onopen = () => {
      const { uid: UID, token: TOKEN } = this.options;
      this.#push('wants_all_his_chats', { UID, TOKEN });
      this.#later(heartbeatMs, () => this.#beat());
    };
    socket.onmessage = ({ data }) => this.#receive(String(data));
    socket.onclose = ({ code }) => this.#closed(socket, code);
    socket.onerror = () => undefined; // a close follows, and is acted upon
  }

  /** Ends the connection for good; what was not acknowledged is refused with status 0. */
  close(): void {
    const socket = this.#socket;
    this.#stop();
    socket?.close(1000);
  }

  /**
   * Sends a text to a chat (`groupId` as in the chat list, or the direct id of somebody not written to yet).
   * Resolves when it is on the server's disk, however often the connection broke in between.
   * @throws SendError when the server refuses it for good
   */
  send(groupId: string, message: string, { newChat = false } = {}): Promise<ChatMessage> {
    if (this.state === 'stopped') return Promise.reject(new SendError(0, 'The client is closed.'));
    this.#sent += 1;
    // Begins with the time, so that the server's index of these ids grows at its end.
    const random = Math.random().toString(36).slice(2, 10);
    const id = `${Date.now().toString(36)}-${this.#sent.toString(36)}-${random}`;
    return new Promise((resolve, reject) => {
      const data = { GROUP_ID: groupId, MESSAGE: message, CLIENT_MESSAGE_ID: id };
      this.#outbox.set(id, {
        event: newChat ? 'send_message_new_chat' : 'send_message',
        data,
        resolve,
        reject,
      });
      if (this.state === 'online') this.#transmit(id);
    });
  }

  /** Marks a chat as read up to a position. */
  markRead(groupId: string, position: number): void {
    if (this.state === 'online') this.#push('mark_read', { GROUP_ID: groupId, MESSAGE_ID: position });
  }

  /** Positions up to which this client has every message, by chat; lets another instance go on from there. */
  cursors(): Record<string, number> {
    return Object.fromEntries(
      [...this.#logs].flatMap(([id, { cursor }]) => (cursor === null ? [] : [[id, cursor]])),
    );
  }

  /** A page of a chat's history, ascending, before a position (the newest page without one). */
  async history(
    groupId: string,
    page: { before?: number; after?: number; limit?: number } = {},
  ): Promise<ChatMessage[]> {
    const { before: BEFORE, after: AFTER, limit: LIMIT = 30 } = page;
    const body = await getJson(this.options, '/get_old_messages', {
      GROUP_ID: groupId,
      BEFORE,
      AFTER,
      LIMIT,
    });
    return pageOf(groupId, body);
  }

  #receive(frame: string): void {
    this.#lastHeardAt = Date.now();
    const { event, id, data } = JSON.parse(frame) as { event: string; id?: string; data: Json };
    if (event === 'wants_all_his_chats') this.#announced(data);
    else if (event === 'resume') this.#resumed(data);
    else if (typeof id === 'string' && this.#outbox.has(id)) this.#settled(id, data);
    else if (event === 'send_message' && data.status_code === undefined) this.#take(messageOf(data));
    else if (event === 'chat_changed' || (event === 'mark_read' && data.status_code === undefined)) {
      if (data.REMOVED) this.#logs.delete(String(data.GROUP_ID));
      this.#emit('changed', event, data);
    }
  }

  #announced(data: Json): void {
    if (data.status_code !== 200) {
      this.#stop();
      return;
    }
    const chats = data.chats as Record<string, Json>;
    const epoch = String(data.EPOCH);
    const begun = this.#epoch === epoch;
    if (this.#epoch !== '' && !begun) {
      this.#logs.clear();
      this.#emit('reset');
    }
    this.#epoch = epoch;
    for (const [groupId, { KIND, LAST_MESSAGE_ID }] of Object.entries(chats)) {
      if (this.#logs.has(groupId)) continue;
      // Somebody who wrote for the first time while this client was away is heard from the first message on.
      this.#logs.set(groupId, this.#newLog(begun && KIND === 'direct' ? 0 : Number(LAST_MESSAGE_ID)));
    }
    this.#emit('chats', chats);
    if (!begun) this.#online();
    else {
      this.#setState('catching_up');
      this.#push('resume', { EPOCH: epoch, CURSORS: onlyChats(this.cursors(), chats) });
    }
  }

  #resumed(data: Json): void {
    if (data.GAP) return; // the newest page follows and is held until what is before it was fetched
    if (data.status_code === 200) this.#online();
    else this.#socket?.close(4000);
  }

  #online(): void {
    this.#tries = 0;
    this.#setState('online');
    for (const id of this.#outbox.keys()) this.#transmit(id);
  }

  #transmit(id: string): void {
    const outgoing = this.#outbox.get(id);
    if (outgoing) this.#push(outgoing.event, outgoing.data, id);
  }

  #settled(id: string, data: Json): void {
    const outgoing = this.#outbox.get(id);
    if (!outgoing) return;
    const status = Number(data.status_code);
    if (status === 401) this.#socket?.close(4000);
    else if (status === 429 || status === 503) this.#later(1000 + backoffMs(2), () => this.#transmit(id));
    else {
      this.#outbox.delete(id);
      if (status === 200) outgoing.resolve(messageOf(data));
      else outgoing.reject(new SendError(status, String(data.message)));
      if (status === 200) this.#take(messageOf(data));
    }
  }

  #take(message: ChatMessage): void {
    const log = this.#logs.get(message.groupId) ?? this.#newLog(null);
    this.#logs.set(message.groupId, log);
    if (log.take(message)) this.#later(gapMs, () => void this.#fill(message.groupId));
  }

  /** Fetches what is missing before a held message, page by page. */
  async #fill(groupId: string): Promise<void> {
    if (this.#filling.has(groupId)) return;
    this.#filling.add(groupId);
    try {
      for (;;) {
        const log = this.#logs.get(groupId);
        const end = log?.heldFrom ?? null;
        if (!log || end === null) return;
        const page = await this.history(groupId, { after: log.cursor ?? 0, before: end, limit: pageSize });
        for (const message of page) log.take(message);
        if (page.length === 0) log.skipTo(end);
      }
    } catch {
      this.#later(1000 + backoffMs(2), () => void this.#fill(groupId)); // no network: it is asked again
    } finally {
      this.#filling.delete(groupId);
    }
  }

  #newLog(cursor: number | null): ChatLog {
    return new ChatLog(cursor, (message) => this.#emit('message', message));
  }

  #closed(socket: WebSocket, code: number): void {
    if (this.#socket !== socket) return;
    this.#socket = null;
    this.#clearTimers();
    if (code >= 4500) {
      this.#stop();
      return;
    }
    this.#setState('offline');
    this.#later(backoffMs(this.#tries), () => this.connect());
    this.#tries += 1;
  }

  /** A connection that broke without a word is found out by asking. */
  #beat(): void {
    if (Date.now() - this.#lastHeardAt > heartbeatMs + answerMs) {
      const socket = this.#socket;
      socket?.close(4000);
      if (socket) this.#closed(socket, 1006);
      return;
    }
    this.#push('ping', {});
    this.#later(heartbeatMs, () => this.#beat());
  }

  #stop(): void {
    this.#socket = null;
    this.#clearTimers();
    for (const { reject } of this.#outbox.values()) reject(new SendError(0, 'The connection was ended.'));
    this.#outbox.clear();
    this.#setState('stopped');
  }

  #push(event: string, data: Json, id?: string): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify({ event, id, data }));
  }

  #later(ms: number, work: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      work();
    }, ms);
    this.#timers.add(timer);
  }

  #clearTimers(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
  }

  #setState(state: ClientState): void {
    if (this.state === state) return;
    this.state = state;
    this.#emit('state', state);
  }

  #emit<Name extends keyof ClientEvents>(name: Name, ...details: Parameters<ClientEvents[Name]>): void {
    for (const listener of this.#listeners[name] ?? []) (listener as (...all: unknown[]) => void)(...details);
  }
}

/** Chats one was removed from meanwhile are not asked for. */
function onlyChats(cursors: Record<string, number>, chats: Record<string, Json>): Record<string, number> {
  return Object.fromEntries(Object.entries(cursors).filter(([groupId]) => Object.hasOwn(chats, groupId)));
}
