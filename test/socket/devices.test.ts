// Which sockets count as one device: one login and client id; each device gets a message once.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { join, makeGroup, type Person } from '../support/people.ts';
import { TestServer } from '../support/server.ts';
import { TestSocket } from '../support/socket.ts';

let server: TestServer;
let alice: Person;
let bob: Person;
let team: string;

beforeAll(async () => {
  server = await TestServer.start();
  [alice, bob] = await Promise.all([join(server, 'Alice'), join(server, 'Bob')]);
  team = await makeGroup(server, alice, [bob]);
});
afterAll(() => server.stop());

/** The same person logged in once more. */
async function logIn(person: Person): Promise<Person> {
  const { status, body } = await server.post('/login', { EMAIL: person.email, PASSWORD: person.password });
  expect(status).toBe(200);
  return { ...person, cookie: body.COOKIE, token: body.TOKEN };
}

/** What was pushed to a socket since it was last looked at. */
async function heard(socket: TestSocket): Promise<string[]> {
  return (await socket.rest()).map(({ data }) => data.MESSAGE);
}

test("what one sends reaches one's other logins and other client ids, once each", async () => {
  const elsewhere = await logIn(alice);
  await using sending = await TestSocket.announced(server, alice, '/ws/desk');
  await using sameLogin = await TestSocket.announced(server, alice, '/ws/phone');
  await using noClientId = await TestSocket.announced(server, alice);
  await using otherLogin = await TestSocket.announced(server, elsewhere, '/ws/desk');
  await using his = await TestSocket.announced(server, bob);
  await sending.say('from my desk', team);
  for (const socket of [sameLogin, noClientId, otherLogin, his]) {
    expect(await heard(socket)).toEqual(['from my desk']);
  }
  expect(await heard(sending)).toEqual([]);
  await sending.say('to bob', `${alice.uid}0000000000000000${bob.uid}`, 'send_message_new_chat');
  for (const socket of [sameLogin, noClientId, otherLogin, his]) {
    expect((await heard(socket)).filter(Boolean)).toEqual(['to bob']);
  }
  expect(await heard(sending)).toEqual([]);
});

for (const path of ['/ws', '/ws/4711']) {
  test(`of two sockets of one login at ${path} only the one that announced last receives`, async () => {
    await using his = await TestSocket.announced(server, bob);
    await using first = await TestSocket.announced(server, alice, path);
    await his.say('one', team);
    expect(await heard(first)).toEqual(['one']);

    await using second = await TestSocket.announced(server, alice, path);
    await his.say('two', team);
    expect([await heard(first), await heard(second)]).toEqual([[], ['two']]);

    await first.announce(alice);
    await his.say('three', team);
    expect([await heard(first), await heard(second)]).toEqual([['three'], []]);
  });
}

test('a socket opened but not announced takes nothing away from its sibling', async () => {
  await using his = await TestSocket.announced(server, bob);
  await using first = await TestSocket.announced(server, alice);
  await using second = await TestSocket.open(server);
  expect((await second.ask('get_all_messages', { UID: alice.uid, TOKEN: 'wrong' })).data.status_code).toBe(
    401,
  );
  await his.say('still the first', team);
  expect([await heard(first), await heard(second)]).toEqual([['still the first'], []]);
});

test('what one sibling sends is pushed to none of the others, whichever sends', async () => {
  await using his = await TestSocket.announced(server, bob);
  await using first = await TestSocket.announced(server, alice, '/ws/1');
  await using second = await TestSocket.announced(server, alice, '/ws/1');
  await using third = await TestSocket.announced(server, alice, '/ws/1');
  for (const sender of [first, second, third]) {
    expect((await sender.say('mine', team)).data.status_code).toBe(200);
    for (const socket of [first, second, third]) expect(await heard(socket)).toEqual([]);
    expect(await heard(his)).toEqual(['mine']);
  }
});

test('when the holder closes, the last other announced one receives again, down to the first', async () => {
  await using his = await TestSocket.announced(server, bob);
  await using first = await TestSocket.announced(server, alice);
  const second = await TestSocket.announced(server, alice);
  const third = await TestSocket.announced(server, alice);
  await his.say('to the third', team);
  expect([await heard(first), await heard(second), await heard(third)]).toEqual([[], [], ['to the third']]);
  await third.close();
  await his.say('to the second', team);
  expect([await heard(first), await heard(second)]).toEqual([[], ['to the second']]);
  await second.close();
  await his.say('to the first', team);
  expect(await heard(first)).toEqual(['to the first']);
});

test('a sibling that closes without being the holder changes nothing', async () => {
  await using his = await TestSocket.announced(server, bob);
  const first = await TestSocket.announced(server, alice);
  await using second = await TestSocket.announced(server, alice);
  await first.close();
  await his.say('once', team);
  expect(await heard(second)).toEqual(['once']);
});

test('a sibling that takes over knows the groups joined and left meanwhile', async () => {
  await using his = await TestSocket.announced(server, bob);
  await using first = await TestSocket.announced(server, alice);
  const second = await TestSocket.announced(server, alice);
  const joined = await makeGroup(server, bob, [alice]);
  const left = await makeGroup(server, alice, [bob]);
  await server.post('/leave_group', { UID: alice.uid, COOKIE: alice.cookie, GROUP_ID: left });
  await second.close();
  await his.rest();
  await his.say('in', joined);
  await his.say('out', left);
  expect(await heard(first)).toEqual(['in']);
});

test('when the holder announces as somebody else, its sibling receives again', async () => {
  await using his = await TestSocket.announced(server, bob, '/ws/his');
  await using first = await TestSocket.announced(server, alice);
  await using second = await TestSocket.announced(server, alice);
  await second.announce(bob);
  await his.say('again', team);
  expect([await heard(first), await heard(second)]).toEqual([['again'], ['again']]);
});
