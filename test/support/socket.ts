// A WebSocket client for tests: keeps every frame it got, and waits for the next one.
import type { Person } from './people.ts';
import type { TestServer } from './server.ts';

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

  static async open(server: TestServer, path = '/ws', headers: Record<string, string> = {}): Promise<TestSocket> {
    const raw = new WebSocket(server.url.replace('http', 'ws') + path, { headers });
    const socket = new TestSocket(raw);
    await new Promise<void>((resolve, reject) => {
      raw.onopen = () => resolve();
      raw.onerror = () => reject(new Error(`no socket at ${path}`));
    });
    return socket;
  }

  /** Opens a socket and announces it as this person. */
  static async announced(server: TestServer, person: Person, path = '/ws'): Promise<TestSocket> {
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

  /** The next frame that was not looked at yet. @throws after 3 s without one */
  async next(): Promise<Frame> {
    const deadline = Date.now() + 3000;
    for (;;) {
      const frame = this.frames[this.#taken];
      if (frame) {
        this.#taken += 1;
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
}
