// What a socket is refused, how it is told, and that it stays open.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { join, makeGroup, type Person, signUp } from '../support/people.ts';
import { TestServer } from '../support/server.ts';
import { defaultGroup, RawSocket, TestSocket } from '../support/socket.ts';

let server: TestServer;
let alice: Person;
let bob: Person;
let carol: Person;

beforeAll(async () => {
  server = await TestServer.start();
  [alice, bob, carol] = await Promise.all([
    join(server, 'Alice'),
    join(server, 'Bob'),
    join(server, 'Carol'),
  ]);
});
afterAll(() => server.stop());

const sendEvents = ['send_message', 'send_message_new_chat'];
const directId = (one: Person, other: Person) => `${one.uid}${'0'.repeat(16)}${other.uid}`;

/** The status of the reply to a text sent there. */
async function statusOf(socket: TestSocket, groupId: unknown, event = 'send_message'): Promise<number> {
  return (await socket.ask(event, { MESSAGE: 'hello', GROUP_ID: groupId })).data.status_code;
}

test('sending without announcing is 401 and says to press CHATS and send again', async () => {
  await using socket = await TestSocket.open(server);
  for (const event of sendEvents) {
    const { data } = await socket.say('hello', defaultGroup, event);
    expect(data.status_code).toBe(401);
    expect(data.message).toMatch(/CHATS.* again/);
  }
  const { data } = await socket.say('hello', defaultGroup);
  expect(data.content.MESSAGE).toMatch(/CHATS.* again/);
  await socket.announce(alice);
  expect(await statusOf(socket, defaultGroup)).toBe(200);
});

test('a refused send_message carries what the open chat shows, GROUP_ID as it was sent', async () => {
  await using socket = await TestSocket.announced(server, alice);
  for (const spelled of ['9999999999999', 9999999999999, directId(bob, carol)]) {
    const reply = await socket.ask('send_message', { MESSAGE: 'hello', GROUP_ID: spelled }, { id: 'mine' });
    expect(reply).toEqual({
      event: 'send_message',
      id: 'mine',
      data: {
        status_code: expect.any(Number),
        message: expect.any(String),
        content: {
          SENDER_ID: 0,
          SENDER_NAME: 'Server',
          GROUP_ID: spelled,
          MESSAGE: expect.stringContaining(reply.data.message),
          MESSAGE_ID: 0,
          TIME_STAMP: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
        },
      },
    });
  }
});

test('writing as somebody else is 403 and is not delivered', async () => {
  await using hers = await TestSocket.announced(server, alice);
  await using his = await TestSocket.announced(server, bob);
  for (const event of sendEvents) {
    for (const SENDER_ID of [bob.uid, String(bob.uid), 1]) {
      const reply = await hers.ask(event, { SENDER_ID, MESSAGE: 'I am bob', GROUP_ID: defaultGroup });
      expect(reply.data.status_code).toBe(403);
    }
  }
  expect(await his.rest()).toEqual([]);
});

test('a group one is not in is 403, and its member may write', async () => {
  const team = await makeGroup(server, alice, [bob]);
  await using hers = await TestSocket.announced(server, alice);
  await using outsider = await TestSocket.announced(server, carol);
  expect(await statusOf(hers, team)).toBe(200);
  for (const event of sendEvents) expect(await statusOf(outsider, team, event)).toBe(403);
  expect(await hers.rest()).toEqual([]);
});

test('a group that does not exist is 404, and is not made by writing to it', async () => {
  await using hers = await TestSocket.announced(server, alice);
  for (const event of sendEvents) expect(await statusOf(hers, '9999999999999', event)).toBe(404);
  expect(await statusOf(hers, '9999999999999')).toBe(404);
});

test('the direct chat of two others is 403 whether it exists or not, and theirs to write in', async () => {
  await using his = await TestSocket.announced(server, bob);
  await using outsider = await TestSocket.announced(server, carol);
  for (const _state of ['before it exists', 'after']) {
    for (const event of sendEvents) {
      expect(await statusOf(outsider, directId(alice, bob), event)).toBe(403);
      expect(await statusOf(outsider, directId(bob, alice), event)).toBe(403);
    }
    expect(await statusOf(his, directId(bob, alice), 'send_message_new_chat')).toBe(200);
  }
});

test('nobody can be written to who does not exist or is not verified', async () => {
  const dora = await signUp(server, 'Dora');
  await using hers = await TestSocket.announced(server, alice);
  const nobody = { ...carol, uid: 123_456_789 };
  for (const person of [nobody, dora]) {
    expect(await statusOf(hers, directId(alice, person), 'send_message_new_chat')).toBe(404);
    expect(await statusOf(hers, directId(alice, person))).toBe(404);
  }
});

test('a direct chat that was never begun is 404 for send_message', async () => {
  await using hers = await TestSocket.announced(server, alice);
  expect(await statusOf(hers, directId(alice, carol))).toBe(404);
  expect(await statusOf(hers, directId(carol, alice))).toBe(404);
});

test('malformed fields are 400 on the same event', async () => {
  await using hers = await TestSocket.announced(server, alice);
  const GROUP_ID = defaultGroup;
  const malformed = [
    null,
    {},
    { GROUP_ID },
    { MESSAGE: 'x' },
    { MESSAGE: 5, GROUP_ID },
    { MESSAGE: null, GROUP_ID },
    { MESSAGE: { toString: 1 }, GROUP_ID },
    { MESSAGE: 'x', GROUP_ID: null },
    { MESSAGE: 'x', GROUP_ID: '' },
    { MESSAGE: 'x', GROUP_ID: 'abc' },
    { MESSAGE: 'x', GROUP_ID: -1 },
    { MESSAGE: 'x', GROUP_ID: 1.5 },
    { MESSAGE: 'x', GROUP_ID: 1e300 },
    { MESSAGE: 'x', GROUP_ID: '1'.repeat(41) },
    { MESSAGE: 'x', GROUP_ID: [defaultGroup] },
    { MESSAGE: 'x', GROUP_ID: { toString: 1 } },
    { MESSAGE: 'x', GROUP_ID, SENDER_ID: 'me' },
    { MESSAGE: 'x', GROUP_ID, SENDER_ID: {} },
  ];
  for (const event of sendEvents) {
    for (const data of malformed) {
      const reply = await hers.ask(event, data);
      expect([data === null ? null : Object.keys(data), reply.event, reply.data.status_code]).toEqual([
        data === null ? null : Object.keys(data),
        event,
        400,
      ]);
    }
  }
  expect(await statusOf(hers, defaultGroup)).toBe(200);
});

test('nobody who is not even logged in can break a socket by what GROUP_ID is', async () => {
  await using socket = await TestSocket.open(server);
  for (const GROUP_ID of [{ toString: 1, valueOf: 1 }, [[[]]], null, true]) {
    expect((await socket.ask('send_message', { MESSAGE: 'x', GROUP_ID })).data.status_code).toBe(401);
  }
  socket.raw.send(
    '{"event":"send_message","data":{"__proto__":{"toString":1},"GROUP_ID":{"__proto__":null}}}',
  );
  expect((await socket.next()).data.status_code).toBe(401);
});

test('frames that are no envelope get an error on event `error` and the socket stays open', async () => {
  await using socket = await TestSocket.announced(server, alice);
  const frames = [
    '',
    'hello',
    '{',
    'null',
    '5',
    '"send_message"',
    '[]',
    '[{"event":"send_message"}]',
    '{}',
    '{"data":{}}',
    '{"event":5,"data":{}}',
    '{"event":null}',
    '{"event":"send_message","data":[]}',
    '{"event":"send_message","data":"x"}',
    '{"event":"send_message","id":{},"data":{}}',
    '{"event":"no_such_event","data":{}}',
    '{"event":"__proto__"}',
    '{"event":"constructor"}',
    '{"event":"toString","data":{}}',
    `{"event":"${'x'.repeat(1000)}"}`,
    '['.repeat(60_000),
    new Uint8Array([123, 125]),
    new TextEncoder().encode('{"event":"connect_user","data":{}}'),
  ];
  for (const frame of frames) {
    socket.raw.send(frame);
    const { event, data } = await socket.next();
    expect([String(frame).slice(0, 60), event, data.status_code]).toEqual([
      String(frame).slice(0, 60),
      'error',
      400,
    ]);
    expect(data.message).toBeString();
  }
  expect((await socket.ask('no_such_event', {}, { id: 'q' })).id).toBe('q');
  expect(await statusOf(socket, defaultGroup)).toBe(200);
});

test('a frame larger than 64 KiB closes its socket, and one of just that size does not', async () => {
  await using socket = await TestSocket.open(server);
  const frame = (size: number) => `{"event":"connect_user","data":{"x":"${'x'.repeat(size - 40)}"}}`;
  expect(frame(65_536)).toHaveLength(65_536);
  socket.raw.send(frame(65_536));
  expect((await socket.next()).data.status_code).toBe(200);
  socket.raw.send(frame(65_537));
  const { code } = await socket.closed;
  expect([1006, 1009]).toContain(code);
});

test('a frame that is cut off with its connection harms nobody', async () => {
  const { socket } = await RawSocket.open(server);
  socket.raw.write(Buffer.from([0x81, 0xfe, 0xff, 0xff, 0, 0, 0, 0, 0x7b]));
  socket.raw.destroy();
  await socket.ended;
  await using other = await TestSocket.open(server);
  expect((await other.ask('connect_user', {})).data.status_code).toBe(200);
});
