// The client library: one connection that comes back by itself, sends each message once, and misses none.
import { looksDirect } from '../protocol/entities.ts';
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
  /** The WebSocket of runtimes that have no global one (Node before 22), such as the package `ws`. */
  readonly webSocket?: typeof WebSocket;
}

export interface ClientEvents {
  /** Every message of every chat, one's own too, in the order of each chat, once. */
  message: (message: ChatMessage) => void;
  /** The chat list, after each (re)connection; as `get_all_chats` has it. */
  chats: (chats: Record<string, Json>) => void;
  /** A push `chat_changed`, `member_changed`, `message_changed` or `mark_read`. */
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
/** Below what a server lets one account send at once. */
const windowSize = 40;

export class ChatClient {
  state: ClientState = 'offline';
  readonly #logs = new Map<string, ChatLog>();
  /** By CLIENT_MESSAGE_ID, in the order they were sent; resent until acknowledged. */
  readonly #outbox = new Map<string, Outgoing>();
  readonly #listeners: { [Name in keyof ClientEvents]?: Set<ClientEvents[Name]> } = {};
  readonly #filling = new Set<string>();
  /** What of the outbox is on its way on this connection. */
  readonly #inFlight = new Set<string>();
  /** Whether the server asked to wait with what is in the outbox. */
  #waiting = false;
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
    const { url, webSocket: Socket = WebSocket } = this.options;
    const socket = new Socket(url.replace(/^http/, 'ws').replace(/\/$/, '') + path);
    this.#socket = socket;
    this.#later(answerMs, () => {
      if (this.state === 'connecting' && this.#socket === socket) this.#abandon(socket);
    });
    socket.onopen = () => {
      const { uid: UID, token: TOKEN } = this.options;
      const had = this.#epoch === '' ? {} : { EPOCH: this.#epoch, CURSORS: this.cursors() };
      if (this.#epoch !== '') this.#setState('catching_up');
      this.#push('wants_all_his_chats', { UID, TOKEN, ...had });
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
      this.#transmit();
    });
  }

  /** Marks a chat as read up to a position. */
  markRead(groupId: string, position: number): void {
    if (this.state === 'online') this.#push('mark_read', { GROUP_ID: groupId, MESSAGE_ID: position });
  }

  /** Positions up to which this client has every message, by chat; lets another instance go on from there. */
  cursors(): Record<string, number> {
    return Object.fromEntries([...this.#logs].map(([id, { cursor }]) => [id, cursor]));
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
    this.#lastHeardAt = performance.now();
    const { event, id, data } = JSON.parse(frame) as { event: string; id?: string; data: Json };
    if (event === 'wants_all_his_chats') this.#announced(data);
    else if (typeof id === 'string' && this.#outbox.has(id)) this.#settled(id, data);
    else if (event === 'send_message' && data.status_code === undefined) this.#take(messageOf(data));
    else if (event === 'chat_changed') this.#changed(data);
    else if (event === 'message_changed') this.#removed(data);
    else if (event === 'resume' && data.GAP && data.REMOVED) this.#skip(data);
    else if (event === 'member_changed') this.#emit('changed', event, data);
    else if (event === 'mark_read' && data.status_code === undefined) this.#emit('changed', event, data);
  }

  #announced(data: Json): void {
    if (data.status_code === 401)
      this.#stop(); // logged out
    else if (data.status_code !== 200) this.#socket?.close(4000); // busy: tried again later
    if (data.status_code !== 200) return;
    const chats = data.chats as Record<string, Json>;
    const begun = this.#epoch !== '' && !data.RESET;
    if (data.RESET) {
      this.#logs.clear();
      this.#emit('reset');
    }
    this.#epoch = String(data.EPOCH);
    for (const groupId of this.#logs.keys()) if (!Object.hasOwn(chats, groupId)) this.#logs.delete(groupId);
    for (const [groupId, { KIND, LAST_MESSAGE_ID }] of Object.entries(chats)) {
      if (this.#logs.has(groupId)) continue;
      // Somebody who wrote for the first time while this client was away is heard from the first message on.
      const log = this.#newLog(begun && KIND === 'direct' ? 0 : Number(LAST_MESSAGE_ID));
      this.#logs.set(groupId, log);
    }
    for (const [groupId, log] of this.#logs) {
      log.expect(Number(chats[groupId]?.LAST_MESSAGE_ID));
      if (log.gap) void this.#fill(groupId);
    }
    this.#emit('chats', chats);
    this.#online();
  }

  /** A chat that is joined is followed from here on; one that is left is forgotten. */
  #changed(data: Json): void {
    const groupId = String(data.GROUP_ID);
    if (data.REMOVED) this.#logs.delete(groupId);
    else if (!this.#logs.has(groupId)) this.#logs.set(groupId, this.#newLog(Number(data.LAST_MESSAGE_ID)));
    this.#emit('changed', 'chat_changed', data);
  }

  #removed(data: Json): void {
    this.#logs.get(String(data.GROUP_ID))?.remove(Number(data.MESSAGE_ID), String(data.MESSAGE));
    this.#emit('changed', 'message_changed', data);
  }

  /** What was removed for its age while this client was away is not waited for. */
  #skip({ GROUP_ID, TO }: Json): void {
    this.#logs.get(String(GROUP_ID))?.skipTo(Number(TO) + 1);
  }

  #online(): void {
    this.#tries = 0;
    this.#setState('online');
    this.#transmit();
  }

  /**
   * Sends what is not acknowledged, in its order, so many at a time that no server takes it for a flood. What the server
   * has already it answers with the first result.
   */
  #transmit(): void {
    if (this.state !== 'online' || this.#waiting) return;
    for (const [id, { event, data }] of this.#outbox) {
      if (this.#inFlight.size >= windowSize) return;
      if (this.#inFlight.has(id)) continue;
      this.#inFlight.add(id);
      this.#push(event, data, id);
    }
  }

  #settled(id: string, data: Json): void {
    const outgoing = this.#outbox.get(id);
    if (!outgoing) return;
    const status = Number(data.status_code);
    if (status === 401) this.#socket?.close(4000);
    else if (status === 429 || status === 503) this.#hold();
    else {
      this.#outbox.delete(id);
      this.#inFlight.delete(id);
      this.#transmit();
      if (status === 200) outgoing.resolve(messageOf(data));
      else outgoing.reject(new SendError(status, String(data.message)));
      if (status === 200) this.#take(messageOf(data));
    }
  }

  /** The server asks to wait: nothing is sent for a while, so that what was refused is not overtaken. */
  #hold(): void {
    if (this.#waiting) return;
    this.#waiting = true;
    this.#later(1000 + backoffMs(2), () => {
      this.#waiting = false;
      this.#inFlight.clear();
      this.#transmit();
    });
  }

  #take(message: ChatMessage): void {
    const log = this.#logs.get(message.groupId) ?? (looksDirect(message.groupId) ? this.#newLog(0) : null);
    if (!log) return; // a late answer about a group one is no longer in
    this.#logs.set(message.groupId, log);
    log.take(message);
    if (log.gap) this.#later(gapMs, () => void this.#fill(message.groupId));
  }

  /** Fetches what is missing before a held message, page by page. */
  async #fill(groupId: string): Promise<void> {
    if (this.#filling.has(groupId)) return;
    this.#filling.add(groupId);
    try {
      for (;;) {
        const log = this.#logs.get(groupId);
        const gap = log?.gap;
        if (!log || !gap) return;
        const page = await this.history(groupId, { ...gap, limit: pageSize });
        for (const message of page) log.take(message);
        if (page.length === 0) log.skipTo(gap.before);
      }
    } catch {
      this.#later(1000 + backoffMs(2), () => void this.#fill(groupId)); // no network: it is asked again
    } finally {
      this.#filling.delete(groupId);
    }
  }

  #newLog(cursor: number): ChatLog {
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
    if (performance.now() - this.#lastHeardAt > heartbeatMs + answerMs) {
      if (this.#socket) this.#abandon(this.#socket);
      return;
    }
    this.#push('ping', {});
    this.#later(heartbeatMs, () => this.#beat());
  }

  /** Does not wait for the other end, which may never answer. */
  #abandon(socket: WebSocket): void {
    socket.close(4000);
    this.#closed(socket, 1006);
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
    this.#waiting = false;
    this.#inFlight.clear();
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
