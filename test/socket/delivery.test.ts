// Delivery that loses nothing: idempotent sends, resuming, read marks, the application's ping.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { directChatId } from '../../src/protocol/entities.ts';
import { encodeText } from '../../src/protocol/text.ts';
import { credentials, join, makeGroup, type Person } from '../support/people.ts';
import { TestServer } from '../support/server.ts';
import { type Frame, TestSocket } from '../support/socket.ts';

/** Large enough that a replay of many takes several turns. */
const big = 'x'.repeat(3000);

let server: TestServer;
let alice: Person;
let bob: Person;
let carol: Person;

beforeAll(async () => {
  server = await TestServer.start();
  alice = await join(server, 'Alice');
  bob = await join(server, 'Bob');
  carol = await join(server, 'Carol');
}, 20_000);
afterAll(() => server.stop());

const send = (socket: TestSocket, groupId: string, text: string, id: string) =>
  socket.ask('send_message', { MESSAGE: text, GROUP_ID: groupId, CLIENT_MESSAGE_ID: id });

/** Opens a socket, announces it and says what it has; returns what came until the reply. */
async function resume(person: Person, epoch: string, cursors: Record<string, number>) {
  const socket = await TestSocket.announced(server, person);
  socket.send('resume', { EPOCH: epoch, CURSORS: cursors });
  const frames: Frame[] = [];
  for (;;) {
    const frame = await socket.next();
    if (frame.event === 'resume' && frame.data.status_code) return { socket, frames, reply: frame.data };
    frames.push(frame);
  }
}

async function epochOf(person: Person): Promise<string> {
  await using socket = await TestSocket.open(server);
  return (await socket.announce(person)).data.EPOCH;
}

test('a repeat with the same CLIENT_MESSAGE_ID gets the first result and reaches nobody again', async () => {
  const team = await makeGroup(server, alice, [bob]);
  await using hers = await TestSocket.announced(server, alice);
  await using his = await TestSocket.announced(server, bob);
  const first = await send(hers, team, 'once', 'id-1');
  const again = await send(hers, team, 'once', 'id-1');
  expect(again.data).toEqual({ ...first.data, DUPLICATE: true });
  expect((await his.rest()).map(({ data }) => data.MESSAGE)).toEqual(['once']);
  expect((await send(hers, team, 'next', 'id-2')).data.MESSAGE_ID).toBe(2);
});

test('repeats in one go and repeats after a restart are one message', async () => {
  const team = await makeGroup(server, alice, []);
  await using hers = await TestSocket.announced(server, alice);
  const one = { MESSAGE: 'x', GROUP_ID: team, CLIENT_MESSAGE_ID: 'in-one-go' };
  for (let count = 0; count < 5; count += 1) hers.send('send_message', one);
  const replies: Frame[] = [];
  while (replies.length < 5) replies.push(await hers.next());
  expect(replies.map(({ data }) => [data.MESSAGE_ID, data.DUPLICATE ?? false])).toEqual([
    [1, false],
    ...Array.from({ length: 4 }, () => [1, true]),
  ]);
  await server.restart();
  await using after = await TestSocket.announced(server, alice);
  expect((await after.ask('send_message', one)).data).toMatchObject({ MESSAGE_ID: 1, DUPLICATE: true });
});

test('the same CLIENT_MESSAGE_ID with another text or chat is a conflict, and of another sender none', async () => {
  const [team, other] = [await makeGroup(server, alice, [bob]), await makeGroup(server, alice, [])];
  await using hers = await TestSocket.announced(server, alice);
  await using his = await TestSocket.announced(server, bob);
  await send(hers, team, 'mine', 'shared-id');
  expect((await send(hers, team, 'changed', 'shared-id')).data.status_code).toBe(409);
  expect((await send(hers, other, 'mine', 'shared-id')).data.status_code).toBe(409);
  await his.rest();
  expect((await send(his, team, 'mine', 'shared-id')).data).toMatchObject({
    status_code: 200,
    MESSAGE_ID: 2,
  });
});

test('one who returns gets what was missed, in order, once, in groups and direct chats', async () => {
  const team = await makeGroup(server, alice, [bob]);
  const direct = directChatId(bob.uid, alice.uid);
  const epoch = await epochOf(bob);
  await using hers = await TestSocket.announced(server, alice);
  for (let count = 1; count <= 250; count += 1) {
    hers.send('send_message', { MESSAGE: `m${count}`, GROUP_ID: team });
  }
  for (let count = 1; count <= 250; count += 1) await hers.next();
  await hers.say('hi', directChatId(alice.uid, bob.uid), 'send_message_new_chat');
  const { socket, frames, reply } = await resume(bob, epoch, { [team]: 7, [direct]: 0 });
  expect(reply).toMatchObject({ EPOCH: epoch });
  expect(reply.RESET).toBeUndefined();
  const of = (id: string) =>
    frames.filter(({ data }) => data.GROUP_ID === id).map(({ data }) => data.MESSAGE_ID);
  expect(of(team)).toEqual(Array.from({ length: 243 }, (_, index) => index + 8));
  expect(of(direct)).toEqual([1]);
  await socket.close();
});

test('a chat with more than a thousand missed gets a marked gap and its newest page', async () => {
  const team = await makeGroup(server, alice, [bob]);
  await using hers = await TestSocket.announced(server, alice);
  for (let count = 1; count <= 1100; count += 1) {
    hers.send('send_message', { MESSAGE: 'x', GROUP_ID: team });
    if (count % 100 === 0) for (let reply = 0; reply < 100; reply += 1) await hers.next();
  }
  const { socket, frames } = await resume(bob, await epochOf(bob), { [team]: 10 });
  expect(frames[0]?.data).toEqual({ GROUP_ID: team, GAP: true, FROM: 11, TO: 1070 });
  expect(frames.slice(1).map(({ data }) => data.MESSAGE_ID)).toEqual(
    Array.from({ length: 30 }, (_, index) => 1071 + index),
  );
  await socket.close();
});

test('positions of another history are answered with RESET and nothing is replayed', async () => {
  const { socket, frames, reply } = await resume(bob, 'another-epoch', { '1000000000000': 0 });
  expect(reply).toMatchObject({ RESET: true, EPOCH: await epochOf(bob) });
  expect(frames).toEqual([]);
  await socket.close();
});

test('an outsider is replayed nothing of a chat he is not in, and a member is', async () => {
  const team = await makeGroup(server, alice, [bob]);
  await using hers = await TestSocket.announced(server, alice);
  await hers.say('secret', team);
  const outside = await resume(carol, await epochOf(carol), { [team]: 0 });
  expect(outside.frames).toEqual([]);
  await outside.socket.close();
  const inside = await resume(bob, await epochOf(bob), { [team]: 0 });
  expect(inside.frames.map(({ data }) => data.MESSAGE)).toEqual(['secret']);
  await inside.socket.close();
});

test('resuming and marking need an announced socket', async () => {
  await using socket = await TestSocket.open(server);
  expect((await socket.ask('resume', { EPOCH: 'x', CURSORS: {} })).data.status_code).toBe(401);
  expect((await socket.ask('mark_read', { GROUP_ID: '1', MESSAGE_ID: 1 })).data.status_code).toBe(401);
});

test('a read mark moves only forward, never beyond the end, and is told to own other devices alone', async () => {
  const team = await makeGroup(server, alice, [bob]);
  await using phone = await TestSocket.announced(server, alice, '/ws/phone');
  await using desk = await TestSocket.announced(server, alice, '/ws/desk');
  await using his = await TestSocket.announced(server, bob);
  for (const text of ['one', 'two', 'three']) await phone.say(text, team);
  await desk.rest();
  await his.rest();
  const mark = async (id: number) => (await phone.ask('mark_read', { GROUP_ID: team, MESSAGE_ID: id })).data;
  expect(await mark(2)).toEqual({ status_code: 200, GROUP_ID: team, MESSAGE_ID: 2 });
  expect(await mark(1)).toMatchObject({ MESSAGE_ID: 2 });
  expect(await mark(99)).toMatchObject({ MESSAGE_ID: 3 });
  const pushed = (await desk.rest()).map(({ event, data }) => [event, data.MESSAGE_ID]);
  expect(pushed).toEqual([
    ['mark_read', 2],
    ['mark_read', 2],
    ['mark_read', 3],
  ]);
  expect(await his.rest()).toEqual([]);
  const { body } = await server.post('/get_all_chats', credentials(alice));
  expect(body.chats[team]).toMatchObject({ LAST_MESSAGE_ID: 3, READ_MESSAGE_ID: 3 });
  await using theirs = await TestSocket.announced(server, carol);
  const refused = await theirs.ask('mark_read', { GROUP_ID: team, MESSAGE_ID: 1 });
  expect(refused.data.status_code).toBe(403);
});

test('ping is answered before and after the announce', async () => {
  await using socket = await TestSocket.open(server);
  expect((await socket.ask('ping', {}, { id: 1 })).data.status_code).toBe(200);
  await socket.announce(alice);
  expect((await socket.ask('ping', {}, { id: 2 })).data.status_code).toBe(200);
});

test('a repeat by one who was removed meanwhile still gets the first result', async () => {
  const team = await makeGroup(server, alice, [bob]);
  await using his = await TestSocket.announced(server, bob);
  expect((await send(his, team, 'mine', 'before-removal')).data.MESSAGE_ID).toBe(1);
  const removal = { ...credentials(alice), GROUP_ID: team, MEMBER_UID: bob.uid };
  expect((await server.post('/remove_member', removal)).status).toBe(200);
  await his.rest();
  expect((await send(his, team, 'mine', 'before-removal')).data).toMatchObject({
    status_code: 200,
    MESSAGE_ID: 1,
    DUPLICATE: true,
  });
  expect((await send(his, team, 'new', 'after-removal')).data.status_code).toBe(403);
});

test('a socket that is announced and announces again with cursors gets nothing twice or out of order', async () => {
  const team = await makeGroup(server, alice, [bob]);
  await using hers = await TestSocket.announced(server, alice);
  for (let count = 0; count < 400; count += 1) hers.send('send_message', { MESSAGE: big, GROUP_ID: team });
  for (let count = 0; count < 400; count += 1) await hers.next();
  await using his = await TestSocket.announced(server, bob);
  const EPOCH = await epochOf(bob);
  his.send('wants_all_his_chats', { UID: bob.uid, TOKEN: bob.token, EPOCH, CURSORS: { [team]: 0 } });
  for (let count = 0; count < 100; count += 1) {
    await hers.say('live', team);
    await Bun.sleep(1);
  }
  const got = (await his.rest()).flatMap(({ data }) => data.MESSAGE_ID ?? []);
  expect(got).toEqual(Array.from({ length: 500 }, (_, index) => index + 1));
});

test('the chat list shows the first 200 characters of a long message, encoded as it was', async () => {
  const team = await makeGroup(server, alice, []);
  await using hers = await TestSocket.announced(server, alice);
  const lastShown = async (text: string) => {
    await hers.say(text, team);
    const { body } = await server.post('/get_all_chats', credentials(alice));
    return body.chats[team].LAST_MESSAGE;
  };
  expect(await lastShown('😀'.repeat(201))).toBe('😀'.repeat(200));
  expect(await lastShown(encodeText('ä'.repeat(4000)))).toBe(encodeText('ä'.repeat(200)));
  expect(await lastShown(encodeText('ä'.repeat(200)))).toBe(encodeText('ä'.repeat(200)));
});
