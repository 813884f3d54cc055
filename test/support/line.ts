// The line between a client and the server, which a test can freeze, thaw and cut: a TCP relay on a port of its own.
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

interface Pair {
  readonly client: Socket;
  readonly server: Socket;
}

export class Line {
  readonly #pairs = new Set<Pair>();
  #frozen = false;
  #sentBytes = 0;
  #alarm: { readonly bytes: number; readonly ring: () => void } | null = null;

  private constructor(
    private readonly relay: Server,
    private readonly target: number,
  ) {
    relay.on('connection', (client) => this.#connected(client));
  }

  /** Opens a line to the server that listens on this port, now or later. */
  static async open(target: number): Promise<Line> {
    const relay = createServer({ allowHalfOpen: false });
    const line = new Line(relay, target);
    await new Promise<void>((resolve, reject) => {
      relay.once('error', reject).listen(0, '127.0.0.1', resolve);
    });
    return line;
  }

  /** Where clients connect to. */
  get url(): string {
    return `http://127.0.0.1:${(this.relay.address() as AddressInfo).port}`;
  }

  /** Takes nothing from the server any more, as a reader that does not read. */
  freeze(): void {
    this.#frozen = true;
    for (const { server } of this.#pairs) server.pause();
  }

  /** As a cable that is pulled out: nothing goes either way, and nobody is told. */
  hold(): void {
    this.freeze();
    for (const { client } of this.#pairs) client.pause();
  }

  /** Once clients have sent so many bytes from now on, this is done, before they are passed on. */
  whenSent(bytes: number, ring: () => void): void {
    this.#alarm = { bytes: this.#sentBytes + bytes, ring };
  }

  thaw(): void {
    this.#frozen = false;
    for (const { server } of this.#pairs) server.resume();
  }

  /** Breaks every connection: with a reset, or with a plain end of TCP without a close frame. */
  cut(how: 'reset' | 'end' = 'reset'): void {
    for (const { client, server } of this.#pairs) {
      if (how === 'end') {
        client.end();
        server.end();
      } else {
        client.destroy();
        server.resetAndDestroy();
      }
    }
  }

  /** Ends the line itself. */
  close(): void {
    this.relay.close();
    for (const { client, server } of this.#pairs) {
      client.destroy();
      server.destroy();
    }
  }

  #count(bytes: number): void {
    this.#sentBytes += bytes;
    if (!this.#alarm || this.#sentBytes < this.#alarm.bytes) return;
    const { ring } = this.#alarm;
    this.#alarm = null;
    ring();
  }

  #connected(client: Socket): void {
    const server = connect(this.target, '127.0.0.1');
    const pair = { client, server };
    this.#pairs.add(pair);
    client.on('data', (bytes) => {
      this.#count(bytes.length);
      server.write(bytes);
    });
    server.on('data', (bytes) => client.write(bytes));
    if (this.#frozen) server.pause();
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const) {
      one.on('error', () => undefined); // a reset is one of the ways to end; a close follows
      one.on('end', () => other.end());
      one.on('close', () => {
        this.#pairs.delete(pair);
        other.destroySoon();
      });
    }
  }
}
