// Announcing: the only authentication a socket gets.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { credentials, join, makeGroup, type Person, signUp } from '../support/people.ts';
import { TestServer } from '../support/server.ts';
import { defaultGroup, TestSocket } from '../support/socket.ts';

let server: TestServer;
let alice: Person;
let bob: Person;

beforeAll(async () => {
  server = await TestServer.start();
  [alice, bob] = await Promise.all([join(server, 'Alice'), join(server, 'Bob')]);
});
afterAll(() => server.stop());

const announceEvents = ['wants_all_his_chats', 'get_all_messages', 'get_all_chat_list'];

test('each of the three events announces and is answered on its own name with the chat list of /get_all_chats', async () => {
  const group = await makeGroup(server, alice, [bob]);
  for (const event of announceEvents) {
    const { body } = await server.post('/get_all_chats', credentials(alice));
    expect(Object.keys(body.chats)).toContain(group);
    await using socket = await TestSocket.open(server);
    const reply = await socket.ask(event, { UID: alice.uid, TOKEN: alice.token }, { id: 7 });
    expect(reply).toEqual({
      event,
      id: 7,
      data: { status_code: 200, message: expect.any(String), EPOCH: expect.any(String), chats: body.chats },
    });
    expect((await socket.say('I am announced', group)).data.status_code).toBe(200);
  }
});

test('UID may be a digit string', async () => {
  await using socket = await TestSocket.open(server);
  const reply = await socket.ask('wants_all_his_chats', { UID: String(alice.uid), TOKEN: alice.token });
  expect(reply.data.status_code).toBe(200);
});

test('a missing, malformed or wrong UID or TOKEN is 401, never 400, and the socket stays open', async () => {
  const { uid: UID, token: TOKEN } = alice;
  const refused = [
    null,
    {},
    { UID },
    { TOKEN },
    { UID: null, TOKEN },
    { UID: 'x', TOKEN },
    { UID: 0, TOKEN },
    { UID: -UID, TOKEN },
    { UID: UID + 0.5, TOKEN },
    { UID: '', TOKEN },
    { UID: [UID], TOKEN },
    { UID, TOKEN: '' },
    { UID, TOKEN: null },
    { UID, TOKEN: 5 },
    { UID, TOKEN: {} },
    { UID, TOKEN: `${TOKEN}x` },
    { UID, TOKEN: 'x'.repeat(5000) },
    { UID, TOKEN: alice.cookie },
    { UID: bob.uid, TOKEN },
  ];
  await using socket = await TestSocket.open(server);
  for (const event of announceEvents) {
    for (const data of refused) {
      const reply = await socket.ask(event, data);
      expect([data, reply.event, reply.data.status_code]).toEqual([data, event, 401]);
      expect(reply.data.message).toBeString();
      expect(Object.keys(reply.data).sort()).toEqual(['message', 'status_code']);
    }
  }
  expect((await socket.announce(alice)).data.status_code).toBe(200);
});

test('a refused announce leaves an announced socket as it was', async () => {
  await using mine = await TestSocket.announced(server, alice);
  await using his = await TestSocket.announced(server, bob);
  expect((await mine.ask('get_all_messages', { UID: bob.uid, TOKEN: 'wrong' })).data.status_code).toBe(401);
  await his.say('still there?');
  expect((await mine.next()).data.MESSAGE).toBe('still there?');
  expect((await mine.say('yes')).data.SENDER_ID).toBe(alice.uid);
});

test('the token of an account that is not verified opens nothing', async () => {
  const dora = await signUp(server, 'Dora');
  await using socket = await TestSocket.open(server);
  expect((await socket.ask('get_all_messages', { UID: dora.uid, TOKEN: dora.token })).data.status_code).toBe(
    401,
  );
  expect((await socket.say('hello')).data.status_code).toBe(401);
  const entered = { ...credentials(dora), ENTERD_OTP: server.codeFor(dora.email) };
  expect((await server.post('/account_verification', entered)).status).toBe(200);
  expect((await socket.announce(dora)).data.chats).toHaveProperty([defaultGroup]);
});

test('announcing as another account ends what the socket received as the first', async () => {
  const carol = await join(server, 'Carol');
  const team = await makeGroup(server, bob, [alice]);
  await using his = await TestSocket.announced(server, bob);
  await using shared = await TestSocket.announced(server, alice);
  await his.say('before', team);
  expect((await shared.next()).data.MESSAGE).toBe('before');

  const reply = await shared.announce(carol);
  expect(reply.data.chats).not.toHaveProperty([team]);
  await his.say('after', team);
  await his.say('to alice', `${bob.uid}0000000000000000${alice.uid}`, 'send_message_new_chat');
  expect(await shared.rest()).toEqual([]);
  expect((await shared.say('may I?', team)).data.status_code).toBe(403);
  expect((await shared.say('as carol')).data.SENDER_ID).toBe(carol.uid);
  expect((await his.rest()).map(({ data }) => data.SENDER_ID)).toEqual([carol.uid]);
});

test('announcing again is harmless: each message still comes once', async () => {
  await using mine = await TestSocket.announced(server, alice, '/ws/1');
  await using his = await TestSocket.announced(server, bob);
  for (const _round of [1, 2, 3]) await mine.announce(alice);
  await his.say('once');
  expect((await mine.rest()).map(({ data }) => data.MESSAGE)).toEqual(['once']);
  await mine.say('own');
  expect(await mine.rest()).toEqual([]);
  expect((await his.rest()).map(({ data }) => data.MESSAGE)).toEqual(['own']);
});

test('nothing is pushed to a socket that is not announced', async () => {
  await using silent = await TestSocket.open(server);
  await using his = await TestSocket.announced(server, bob);
  await his.say('to members only');
  expect(await silent.rest()).toEqual([]);
});

test('between the list of an announce and the first push no message is missing', async () => {
  const team = await makeGroup(server, bob, [alice]);
  await using his = await TestSocket.announced(server, bob);
  for (let round = 0; round < 40; round += 1) {
    await using mine = await TestSocket.open(server);
    for (let number = 0; number < 5; number += 1) his.send('send_message', { MESSAGE: 'x', GROUP_ID: team });
    mine.send('wants_all_his_chats', { UID: alice.uid, TOKEN: alice.token });
    for (let number = 0; number < 5; number += 1) his.send('send_message', { MESSAGE: 'y', GROUP_ID: team });
    let newest = 0;
    for (let number = 0; number < 10; number += 1) newest = (await his.next()).data.MESSAGE_ID;
    const [reply, ...pushed] = await mine.rest();
    const known = reply?.data.chats[team].LAST_MESSAGE_ID;
    const ids = pushed.map(({ data }) => data.MESSAGE_ID);
    const expected = Array.from({ length: newest - known }, (_, index) => known + 1 + index);
    expect(ids.filter((id) => id > known)).toEqual(expected);
  }
});
