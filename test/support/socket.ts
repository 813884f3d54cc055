// A WebSocket client for tests: keeps every frame it got, and waits for the next one.
import { connect, type Socket } from 'node:net';
import { serverEvents } from '../../src/protocol/socket.ts';
import type { Person } from './people.ts';

/** All that a socket needs to know of a server. */
interface Reachable {
  /** `http://host:port`, or https */
  readonly url: string;
  /** Whose certificates are believed, as PEM; unset: those that the system believes. */
  readonly ca?: string;
}

export const defaultGroup = '1000000000000';

export interface Frame {
  readonly event: string;
  readonly id?: string | number;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into frames of every shape
  readonly data: any;
}

export class TestSocket {
  /** Every frame, in the order it came. */
  readonly frames: Frame[] = [];
  /** The close code and reason, when it is closed. */
  readonly closed: Promise<{ code: number; reason: string }>;
  #taken = 0;
  #arrived: () => void = () => undefined;

  private constructor(readonly raw: WebSocket) {
    raw.onmessage = ({ data }) => {
      this.frames.push(JSON.parse(String(data)));
      this.#arrived();
    };
    this.closed = new Promise((resolve) => {
      raw.onclose = ({ code, reason }) => resolve({ code, reason });
    });
  }

  static async open(
    server: Reachable,
    path = '/ws',
    headers: Record<string, string> = {},
  ): Promise<TestSocket> {
    const tls = server.ca === undefined ? {} : { tls: { ca: server.ca } };
    const raw = new WebSocket(server.url.replace('http', 'ws') + path, { headers, ...tls });
    const socket = new TestSocket(raw);
    await new Promise<void>((resolve, reject) => {
      raw.onopen = () => resolve();
      raw.onerror = () => reject(new Error(`no socket at ${path}`));
    });
    return socket;
  }

  /** Opens a socket and announces it as this person. */
  static async announced(server: Reachable, person: Person, path = '/ws'): Promise<TestSocket> {
    const socket = await TestSocket.open(server, path);
    await socket.announce(person);
    return socket;
  }

  async announce(person: Person): Promise<Frame> {
    const reply = await this.ask('wants_all_his_chats', { UID: person.uid, TOKEN: person.token });
    if (reply.data.status_code !== 200) throw new Error(`announce: ${reply.data.message}`);
    return reply;
  }

  send(event: string, data: unknown, extra: Record<string, unknown> = {}): void {
    this.raw.send(JSON.stringify({ event, data, ...extra }));
  }

  /** Sends and returns the next frame. */
  async ask(event: string, data: unknown, extra: Record<string, unknown> = {}): Promise<Frame> {
    this.send(event, data, extra);
    return this.next();
  }

  /** Says something in a chat and returns the next frame, which should be the reply. */
  say(text: string, groupId: string | number = defaultGroup, event = 'send_message'): Promise<Frame> {
    return this.ask(event, { MESSAGE: text, GROUP_ID: groupId });
  }

  /** The next frame that was not looked at yet. @throws after 3 s without one, and for one that breaks the contract */
  async next(): Promise<Frame> {
    const deadline = Date.now() + 3000;
    for (;;) {
      const frame = this.frames[this.#taken];
      if (frame) {
        this.#taken += 1;
        serverEvents[frame.event as keyof typeof serverEvents].parse(frame.data);
        return frame;
      }
      const left = deadline - Date.now();
      if (left <= 0) throw new Error('no frame came');
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#arrived = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /**
   * The frames that came and were not looked at. Waits until the server has answered a question of this socket, so that
   * whatever was published before has arrived.
   */
  async rest(): Promise<Frame[]> {
    this.send('connect_user', {}, { id: 'rest' });
    const rest: Frame[] = [];
    for (;;) {
      const frame = await this.next();
      if (frame.id === 'rest') return rest;
      rest.push(frame);
    }
  }

  async close(code = 1000): Promise<void> {
    this.raw.close(code);
    await this.closed;
  }

  /** Closes it at the end of a block that says `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** A WebSocket client by hand, for what a well-behaved one never does: being refused, not reading, not closing. */
export class RawSocket {
  /** When the connection ended, however it did. */
  readonly ended: Promise<void>;
  #received = Buffer.alloc(0);
  #arrived: () => void = () => undefined;

  private constructor(readonly raw: Socket) {
    raw.on('data', (bytes) => {
      this.#received = Buffer.concat([this.#received, Buffer.from(bytes)]);
      this.#arrived();
    });
    raw.on('error', () => undefined); // a reset is one of the ways to end; `ended` tells
    this.ended = new Promise((resolve) => raw.on('close', () => resolve()));
  }

  /** Asks for a socket; `status` is 101 when it became one, else `body` is the JSON that was answered. */
  static async open(server: Reachable, path = '/ws', headers: Record<string, string> = {}) {
    const { hostname, port, host } = new URL(server.url);
    const socket = new RawSocket(connect(Number(port), hostname));
    const all = { Host: host, Upgrade: 'websocket', Connection: 'Upgrade', ...headers };
    const key = { 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==' };
    const lines = Object.entries({ ...all, ...key }).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.raw.write(`GET ${path} HTTP/1.1\r\n${lines.join('')}\r\n`);
    const head = await socket.take(/^HTTP\/1\.1 (\d{3})[\s\S]*?\r\n\r\n/);
    const status = Number(head[1]);
    if (status === 101) return { socket, status, body: null };
    const length = Number(/content-length: (\d+)/i.exec(head[0])?.[1]);
    const [text] = await socket.take(new RegExp(`^[\\s\\S]{${length}}`));
    socket.raw.destroy();
    return { socket, status, body: JSON.parse(text) };
  }

  /** Waits for bytes that match, and takes them out of what came. */
  async take(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this.#received.toString('latin1'));
      if (match) {
        this.#received = this.#received.subarray(match[0].length);
        return match;
      }
      await new Promise<void>((resolve) => {
        this.#arrived = resolve;
      });
    }
  }

  /** Sends frames in one go; the mask is zero, which is a mask too. */
  send(...frames: { event: string; data: unknown }[]): void {
    this.raw.write(Buffer.concat(frames.map((frame) => maskedFrame(Buffer.from(JSON.stringify(frame))))));
  }

  /** What came and was not taken. */
  get received(): string {
    return this.#received.toString('latin1');
  }
}

/** A text frame as a client sends it (RFC 6455, 5.2). */
function maskedFrame(payload: Buffer): Buffer {
  const { length } = payload;
  const size =
    length < 126 ? Buffer.from([0x80 | length]) : Buffer.from([0x80 | 126, length >> 8, length & 255]);
  return Buffer.concat([Buffer.from([0x81]), size, Buffer.alloc(4), payload]);
}
