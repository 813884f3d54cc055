// Frames that no well-behaved client sends: each ends in an answer or a close, and the others are served meanwhile.
import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { connect, type Socket } from 'node:net';
import { join, type Person } from '../support/people.ts';
import { TestServer } from '../support/server.ts';
import { defaultGroup, RawSocket, TestSocket } from '../support/socket.ts';

setDefaultTimeout(20_000);

let server: TestServer;
let alice: Person;
let calm: TestSocket;
const log: string[] = [];

beforeAll(async () => {
  server = await TestServer.start({ onLog: (line) => log.push(line) });
  alice = await join(server, 'Alice');
  calm = await TestSocket.announced(server, alice);
});
afterAll(() => server.stop());

/** Whoever is open keeps being served, and nothing that a client does is an error of ours. */
afterEach(async () => {
  expect((await calm.ask('connect_user', {})).data.status_code).toBe(200);
  expect((await server.get('/uptime')).status).toBe(200);
  expect(log.filter((line) => line.includes('"level":"error"'))).toEqual([]);
});

const opcodes = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

interface FrameOptions {
  readonly opcode?: number;
  readonly isLast?: boolean;
  readonly isMasked?: boolean;
  /** Three reserved bits, as a number up to 7. */
  readonly reserved?: number;
  /** What the head says, if not the truth. */
  readonly length?: number | bigint;
}

/** A frame (RFC 6455, 5.2) as a client sends it, or as none should. */
function frame(payload: string | Uint8Array, options: FrameOptions = {}): Buffer {
  const { opcode = opcodes.text, isLast = true, isMasked = true, reserved = 0 } = options;
  const bytes = Buffer.from(payload as string);
  const length = options.length ?? bytes.length;
  const mask = isMasked ? 0x80 : 0;
  const first = (isLast ? 0x80 : 0) | (reserved << 4) | opcode;
  const key = isMasked ? Buffer.alloc(4) : Buffer.alloc(0);
  if (typeof length === 'number' && length < 126)
    return Buffer.concat([Buffer.from([first, mask | length]), key, bytes]);
  if (typeof length === 'number' && length < 65_536)
    return Buffer.concat([Buffer.from([first, mask | 126, length >> 8, length & 255]), key, bytes]);
  const size = Buffer.alloc(8);
  size.writeBigUInt64BE(BigInt(length));
  return Buffer.concat([Buffer.from([first, mask | 127]), size, key, bytes]);
}

const question = (id: string) => JSON.stringify({ event: 'connect_user', data: {}, id });

async function open(): Promise<RawSocket> {
  const { socket, status } = await RawSocket.open(server);
  expect(status).toBe(101);
  return socket;
}

/** Sends these bytes; resolves with what came back when the connection has ended. @throws when it does not end */
async function fatal(...parts: Uint8Array[]): Promise<string> {
  const socket = await open();
  socket.raw.write(Buffer.concat(parts));
  const ended = await Promise.race([socket.ended.then(() => true), Bun.sleep(5000).then(() => false)]);
  if (!ended) throw new Error('it stays open');
  return socket.received;
}

describe('frames that break the protocol end their connection', () => {
  const text = question('x');
  test.each<[string, Buffer[]]>([
    ['a continuation of nothing', [frame(text, { opcode: opcodes.continuation })]],
    ['reserved bits', [frame(text, { reserved: 4 })]],
    ['other reserved bits', [frame(text, { reserved: 3 })]],
    ['a reserved opcode', [frame(text, { opcode: 3 })]],
    ['a reserved control opcode', [frame('', { opcode: 11 })]],
    ['a ping of 126 bytes', [frame('x'.repeat(126), { opcode: opcodes.ping })]],
    ['a ping of 70,000 bytes', [frame('x'.repeat(70_000), { opcode: opcodes.ping })]],
    ['a ping in parts', [frame('x', { opcode: opcodes.ping, isLast: false })]],
    ['a text in the middle of another', [frame('{', { isLast: false }), frame(text)]],
    ['no UTF-8 in a text', [frame(new Uint8Array([0x7b, 0xff, 0xfe, 0x7d]))]],
    ['a surrogate as UTF-8', [frame(new Uint8Array([0xed, 0xa0, 0x80]))]],
    ['a length of 2^63', [frame('', { length: 1n << 63n })]],
    ['a length of 2^64 - 1', [frame('', { length: (1n << 64n) - 1n })]],
    ['one byte more than 64 KiB', [frame('x'.repeat(65_537))]],
    ['1 MB that is only announced', [frame('', { length: 1_000_000 })]],
    [
      'parts that are 64 KiB and more together',
      Array.from({ length: 80 }, (_none, index) =>
        frame('x'.repeat(1000), {
          opcode: index === 0 ? opcodes.text : opcodes.continuation,
          isLast: index === 79,
        }),
      ),
    ],
    ['a close of one byte', [frame('x', { opcode: opcodes.close })]],
  ])('%s', async (_what, parts) => {
    await fatal(...parts);
  });

  test('a frame without a mask is not served', async () => {
    const socket = await open();
    socket.raw.write(frame(question('unmasked'), { isMasked: false }));
    await Promise.race([socket.ended, Bun.sleep(500)]);
    expect(socket.received).not.toContain('unmasked');
    socket.raw.destroy();
  });
});

describe('odd frames that are none the less frames are answered', () => {
  test('parts make one text, with a ping between them', async () => {
    const socket = await open();
    const text = question('whole');
    socket.raw.write(
      Buffer.concat([
        frame(text.slice(0, 5), { isLast: false }),
        frame('are you there', { opcode: opcodes.ping }),
        frame('', { opcode: opcodes.continuation, isLast: false }),
        frame(text.slice(5), { opcode: opcodes.continuation }),
      ]),
    );
    await socket.take(/are you there/);
    await socket.take(/"id":"whole","data":\{"status_code":200/);
    socket.raw.destroy();
  });

  test('byte after byte makes a frame', async () => {
    const socket = await open();
    for (const byte of frame(question('slow'))) {
      socket.raw.write(Buffer.from([byte]));
      await Bun.sleep(1);
    }
    await socket.take(/"id":"slow"/);
    socket.raw.destroy();
  });

  test('a binary one, an empty one, a ping of 125 bytes and a pong nobody asked for', async () => {
    const socket = await open();
    socket.raw.write(frame(question('x'), { opcode: opcodes.binary }));
    await socket.take(/"event":"error","data":\{"status_code":400/);
    socket.raw.write(frame(''));
    await socket.take(/"event":"error","data":\{"status_code":400/);
    socket.raw.write(
      Buffer.concat([frame('', { opcode: opcodes.pong }), frame('y'.repeat(125), { opcode: opcodes.ping })]),
    );
    await socket.take(/y{125}/);
    socket.raw.destroy();
  });

  test('nested deeper than 32 levels is 400, up to there it is read', async () => {
    const nested = (levels: number) =>
      `{"event":"connect_user","data":{"deep":${'['.repeat(levels - 2)}${']'.repeat(levels - 2)}}}`;
    await using socket = await TestSocket.open(server);
    for (const [levels, event, status] of [
      [32, 'connect_user', 200],
      [33, 'error', 400],
      [20_000, 'error', 400],
    ] as const) {
      socket.raw.send(nested(levels));
      const reply = await socket.next();
      expect([levels, reply.event, reply.data.status_code]).toEqual([levels, event, status]);
    }
  });
});

describe('connections that hang', () => {
  test('a frame that stops half way keeps nobody waiting, and goes with its connection', async () => {
    const sockets = await Promise.all(Array.from({ length: 20 }, open));
    for (const socket of sockets) socket.raw.write(frame('{"event":', { length: 60_000 }));
    expect((await calm.say('I am served', defaultGroup)).data.status_code).toBe(200);
    for (const socket of sockets) socket.raw.destroy();
    await Promise.all(sockets.map(({ ended }) => ended));
  });

  test('1,000 handshakes that stop half way leave the server to the others', async () => {
    const { hostname, port } = server.running.url;
    const half: Socket[] = [];
    for (let count = 0; count < 1000; count += 1) {
      const socket = connect(Number(port), hostname).on('error', () => undefined);
      socket.write('GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgr');
      half.push(socket);
    }
    await using other = await TestSocket.announced(server, alice, '/ws/other');
    expect((await other.ask('connect_user', {})).data.status_code).toBe(200);
    const closed = half.map((socket) => new Promise((resolve) => socket.on('close', resolve)));
    await Promise.all(closed);
  });

  test('a handshake with nonsense in it is a 4xx or an end', async () => {
    for (const headers of [
      { 'Sec-WebSocket-Key': '' },
      { 'Sec-WebSocket-Version': '99' },
      { Upgrade: 'websocket, h2c' },
      { Connection: 'close' },
      { 'Sec-WebSocket-Extensions': 'permessage-deflate; server_max_window_bits=999999' },
      { 'Sec-WebSocket-Protocol': 'x'.repeat(5000) },
    ]) {
      const { status, socket } = await RawSocket.open(server, '/ws', headers);
      expect([headers, status]).toEqual([headers, expect.any(Number)]);
      expect(status).toBeLessThan(500);
      socket.raw.destroy();
    }
  });
});
