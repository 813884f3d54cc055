// Direct chats: made on first use, one conversation per pair, each viewer's own number first.
import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test';
import { credentials, join, type Person } from '../support/people.ts';
import { TestServer } from '../support/server.ts';
import { TestSocket } from '../support/socket.ts';

let server: TestServer;
let alice: Person;
let bob: Person;
let pairs = 0;

beforeAll(async () => {
  server = await TestServer.start();
});
afterAll(() => server.stop());
beforeEach(async () => {
  const letter = String.fromCharCode(97 + pairs++);
  [alice, bob] = await Promise.all([join(server, `Alice${letter}`), join(server, `Bob${letter}`)]);
});

const directId = (viewer: Person, other: Person) => `${viewer.uid}${'0'.repeat(16)}${other.uid}`;
const begin = 'send_message_new_chat';

test('the first message makes the chat for both and announces it before the message', async () => {
  await using hers = await TestSocket.announced(server, alice);
  await using herPhone = await TestSocket.announced(server, alice, '/ws/phone');
  await using his = await TestSocket.announced(server, bob);
  const reply = await hers.say('hello', directId(alice, bob), begin);
  expect(reply.event).toBe(begin);
  expect([reply.data.status_code, reply.data.MESSAGE_ID]).toEqual([200, 1]);
  expect(await hers.rest()).toEqual([]);

  const views = [
    { socket: herPhone, viewer: alice, other: bob },
    { socket: his, viewer: bob, other: alice },
  ];
  for (const { socket, viewer, other } of views) {
    const [made, pushed, ...more] = await socket.rest();
    expect(made).toEqual({
      event: 'chat_changed',
      data: {
        GROUP_ID: directId(viewer, other),
        NAME: other.name,
        PROFILE_PIC: '',
        CREATION_DATE: reply.data.TIME_STAMP,
        LAST_MESSAGE_ID: 0,
      },
    });
    const { status_code, ...fields } = reply.data;
    expect(pushed).toEqual({ event: 'send_message', data: { ...fields, GROUP_ID: directId(viewer, other) } });
    expect(more).toEqual([]);
    const { body } = await server.post('/get_all_chats', credentials(viewer));
    expect(Object.keys(body.chats)[0]).toBe(directId(viewer, other));
    expect(body.chats[directId(viewer, other)]).toMatchObject({ NAME: other.name, KIND: 'direct' });
  }
});

test('send_message_new_chat in a chat that exists just sends', async () => {
  await using hers = await TestSocket.announced(server, alice);
  await using his = await TestSocket.announced(server, bob);
  await hers.say('one', directId(alice, bob), begin);
  await his.rest();
  expect((await hers.say('two', directId(alice, bob), begin)).data.MESSAGE_ID).toBe(2);
  expect((await his.rest()).map(({ event, data }) => [event, data.MESSAGE])).toEqual([
    ['send_message', 'two'],
  ]);
});

test('both directions, spelled either way, are one conversation that each sees as his own', async () => {
  await using hers = await TestSocket.announced(server, alice);
  await using his = await TestSocket.announced(server, bob);
  const [hersId, hisId] = [directId(alice, bob), directId(bob, alice)];
  expect((await hers.say('1', hersId, begin)).data.MESSAGE_ID).toBe(1);
  await his.rest();
  const turns = [
    { from: his, to: hers, spelled: hisId, seen: hersId, event: 'send_message' },
    { from: his, to: hers, spelled: hersId, seen: hersId, event: 'send_message' },
    { from: hers, to: his, spelled: hisId, seen: hisId, event: 'send_message' },
    { from: his, to: hers, spelled: hisId, seen: hersId, event: begin },
    { from: hers, to: his, spelled: hisId, seen: hisId, event: begin },
  ];
  for (const [index, { from, to, spelled, seen, event }] of turns.entries()) {
    const reply = await from.say(String(index + 2), spelled, event);
    expect([reply.event, reply.data.GROUP_ID, reply.data.MESSAGE_ID]).toEqual([event, spelled, index + 2]);
    const pushed = await to.next();
    expect([pushed.event, pushed.data.GROUP_ID, pushed.data.MESSAGE_ID]).toEqual([
      'send_message',
      seen,
      index + 2,
    ]);
  }
  for (const [viewer, id] of [
    [alice, hersId],
    [bob, hisId],
  ] as const) {
    const { body } = await server.post('/get_old_messages', credentials(viewer));
    const texts = Object.values<{ MESSAGE: string }>(body.groups_messages[id]).map(({ MESSAGE }) => MESSAGE);
    expect(texts).toEqual(['1', '2', '3', '4', '5', '6']);
    const spelledOtherwise = id === hersId ? hisId : hersId;
    expect(body.groups_messages).not.toHaveProperty([spelledOtherwise]);
    const page = await server.post('/get_old_messages', {
      ...credentials(viewer),
      GROUP_ID: spelledOtherwise,
    });
    expect(Object.keys(page.body.groups_messages)).toEqual([id]);
  }
});

test('when both begin at once it is still one chat, made once', async () => {
  await using hers = await TestSocket.announced(server, alice);
  await using his = await TestSocket.announced(server, bob);
  hers.send(begin, { MESSAGE: 'from her', GROUP_ID: directId(alice, bob) });
  his.send(begin, { MESSAGE: 'from him', GROUP_ID: directId(bob, alice) });
  const seen = [];
  for (const socket of [hers, his]) {
    const ids: number[] = [];
    while (ids.length < 2) {
      const { event, data } = await socket.next();
      if (event === 'chat_changed') seen.push(data.GROUP_ID);
      else ids.push(data.MESSAGE_ID);
    }
    expect(ids.sort()).toEqual([1, 2]);
  }
  expect(seen).toHaveLength(1);
});

test('many first messages in one go make one chat', async () => {
  await using hers = await TestSocket.announced(server, alice);
  await using his = await TestSocket.announced(server, bob);
  for (let id = 1; id <= 10; id += 1) hers.send(begin, { MESSAGE: 'x', GROUP_ID: directId(alice, bob) });
  for (let id = 1; id <= 10; id += 1) expect((await hers.next()).data.MESSAGE_ID).toBe(id);
  const [made, ...pushed] = await his.rest();
  expect(made?.event).toBe('chat_changed');
  expect(pushed.map(({ event, data }) => [event, data.MESSAGE_ID])).toEqual(
    Array.from({ length: 10 }, (_, index) => ['send_message', index + 1]),
  );
});

test('a refused first message makes no chat', async () => {
  await using hers = await TestSocket.announced(server, alice);
  await using his = await TestSocket.announced(server, bob);
  expect((await hers.say('', directId(alice, bob), begin)).data.status_code).toBe(400);
  expect((await hers.say('x'.repeat(4001), directId(alice, bob), begin)).data.status_code).toBe(413);
  expect((await hers.say('x', directId(alice, bob))).data.status_code).toBe(404);
  expect(await his.rest()).toEqual([]);
  const { body } = await server.post('/get_all_chats', credentials(bob));
  expect(body.chats).not.toHaveProperty([directId(bob, alice)]);
});

test('writing to oneself is a chat of one', async () => {
  await using hers = await TestSocket.announced(server, alice);
  await using herPhone = await TestSocket.announced(server, alice, '/ws/phone');
  const notes = directId(alice, alice);
  expect((await hers.say('note', notes)).data.status_code).toBe(404);
  expect((await hers.say('note', notes, begin)).data).toMatchObject({ status_code: 200, GROUP_ID: notes });
  expect((await hers.say('more', notes)).data.MESSAGE_ID).toBe(2);
  expect(await hers.rest()).toEqual([]);
  const frames = await herPhone.rest();
  expect(frames.map(({ event, data }) => [event, data.GROUP_ID])).toEqual([
    ['chat_changed', notes],
    ['send_message', notes],
    ['send_message', notes],
  ]);
  const { body } = await server.post('/get_old_messages', credentials(alice));
  expect(Object.keys(body.groups_messages[notes])).toEqual(['1', '2']);
});
