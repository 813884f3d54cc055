// A WebSocket client made for load: it walks frame headers in bulk and costs a fraction of a browser's API.
import type { Socket } from 'bun';

/** Called with the bytes of each text frame: `bytes[from]` up to, not including, `bytes[to]`. */
export type OnFrame = (connection: Connection, bytes: Uint8Array, from: number, to: number) => void;

export interface Connection {
  readonly index: number;
  send(text: string): void;
  close(): void;
}

interface State {
  connection: Connection;
  onFrame: OnFrame;
  opened: (() => void) | null;
  /** Bytes that came and are not a whole frame yet. */
  rest: Uint8Array;
  /** Bytes that the kernel did not take yet. */
  unsent: Uint8Array;
}

const encoder = new TextEncoder();
const empty = new Uint8Array(0);

/** The address of the client number `index` among `addresses` of 127.0.0.0/16, from 127.0.0.2 on. */
export function addressOf(index: number, addresses: number): string {
  const place = index % addresses;
  return `127.0.${Math.floor(place / 250)}.${2 + (place % 250)}`;
}

/**
 * Opens a socket at `ws://host:port/path`, from `localAddress` of this machine.
 * @throws Error when it is refused
 */
export async function connect(
  url: URL,
  {
    index,
    onFrame,
    onClose,
    localAddress,
  }: {
    index: number;
    onFrame: OnFrame;
    onClose?: (connection: Connection) => void;
    localAddress?: string;
  },
): Promise<Connection> {
  let raw: Socket<State> | null = null;
  const connection: Connection = {
    index,
    send: (text) => raw && write(raw, maskedFrame(text)),
    close: () => void raw?.end(),
  };
  const opened = Promise.withResolvers<void>();
  const state: State = { connection, onFrame, opened: opened.resolve, rest: empty, unsent: empty };
  // Bun binds `localAddress` as Node does; its types do not have it.
  const binding: object = localAddress ? { localAddress } : {};
  raw = await Bun.connect<State>({
    ...binding,
    hostname: url.hostname,
    port: Number(url.port),
    data: state,
    socket: {
      open(socket) {
        socket.data = state;
        socket.write(
          `GET ${url.pathname}${url.search} HTTP/1.1\r\nHost: ${url.host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
            `Sec-WebSocket-Key: ${btoa(String(index).padStart(16, '0'))}\r\nSec-WebSocket-Version: 13\r\n\r\n`,
        );
      },
      data: (socket, bytes) => receive(socket, bytes),
      drain(socket) {
        const { unsent } = socket.data;
        socket.data.unsent = empty;
        write(socket, unsent);
      },
      close() {
        opened.reject(new Error('the server closed the connection'));
        onClose?.(connection);
      },
      error: (_socket, error) => opened.reject(error),
    },
  });
  await opened.promise;
  return connection;
}

function write(socket: Socket<State>, bytes: Uint8Array): void {
  const { data: state } = socket;
  if (state.unsent.length > 0) state.unsent = Buffer.concat([state.unsent, bytes]);
  else {
    const taken = Math.max(0, socket.write(bytes));
    if (taken < bytes.length) state.unsent = bytes.subarray(taken);
  }
}

function receive(socket: Socket<State>, chunk: Uint8Array): void {
  const state = socket.data;
  let bytes = state.rest.length === 0 ? chunk : Buffer.concat([state.rest, chunk]);
  if (state.opened) {
    const end = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).indexOf('\r\n\r\n');
    if (end < 0) {
      state.rest = bytes.slice();
      return;
    }
    const status = Buffer.from(bytes.subarray(0, 12)).toString();
    if (!status.endsWith('101')) throw new Error(`the server answered ${status}`);
    bytes = bytes.subarray(end + 4);
    state.opened();
    state.opened = null;
  }
  const used = walk(socket, bytes);
  state.rest = used === bytes.length ? empty : bytes.slice(used);
}

/** Walks over the whole frames in `bytes` (RFC 6455, 5.2); returns where the first incomplete one begins. */
function walk(socket: Socket<State>, bytes: Uint8Array): number {
  const { connection, onFrame } = socket.data;
  let at = 0;
  for (;;) {
    const head = bytes[at];
    const short = bytes[at + 1];
    if (head === undefined || short === undefined) return at;
    let from = at + 2;
    let length = short & 0x7f;
    if (length === 126) {
      length = ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0);
      from = at + 4;
    } else if (length === 127) {
      if (at + 10 > bytes.length) return at;
      length = Number(new DataView(bytes.buffer, bytes.byteOffset + at + 2).getBigUint64(0));
      from = at + 10;
    }
    const to = from + length;
    if (to > bytes.length) return at;
    const opcode = head & 0x0f;
    if (opcode === 1) onFrame(connection, bytes, from, to);
    else if (opcode === 9) write(socket, pong);
    at = to;
  }
}

const pong = new Uint8Array([0x8a, 0x80, 0, 0, 0, 0]);

/** A client's frame must be masked; a mask of zeros leaves the text as it is. */
function maskedFrame(text: string): Uint8Array {
  const payload = encoder.encode(text);
  const isLong = payload.length > 125;
  const frame = new Uint8Array((isLong ? 8 : 6) + payload.length);
  frame[0] = 0x81;
  frame[1] = 0x80 | (isLong ? 126 : payload.length);
  if (isLong) {
    frame[2] = payload.length >> 8;
    frame[3] = payload.length & 0xff;
  }
  frame.set(payload, isLong ? 8 : 6);
  return frame;
}
