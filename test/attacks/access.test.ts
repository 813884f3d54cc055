// Attack: a member of the server reaches for what is other people's, by their numbers and by ids of their chats.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { directChatId } from '../../src/protocol/entities.ts';
import { credentials, join, makeGroup, type Person } from '../support/people.ts';
import { TestServer } from '../support/server.ts';
import { TestSocket } from '../support/socket.ts';

let server: TestServer;
let alice: Person;
let bob: Person;
let carol: Person;
let team: string;

beforeAll(async () => {
  server = await TestServer.start();
  [alice, bob, carol] = [await join(server, 'Alice'), await join(server, 'Bob'), await join(server, 'Carol')];
  team = await makeGroup(server, alice, [bob]);
  await using hers = await TestSocket.announced(server, alice);
  await hers.say('for the team', team);
  await hers.say('for Bob', directChatId(alice.uid, bob.uid), 'send_message_new_chat');
});
afterAll(() => server.stop());

const page = (person: Person, GROUP_ID: string) =>
  server.post('/get_old_messages', { ...credentials(person), GROUP_ID });

test("an outsider reads a group's history", async () => {
  expect((await page(bob, team)).status).toBe(200);
  const answer = await page(carol, team);
  expect(answer.status).not.toBe(200);
  expect(JSON.stringify(answer.body)).not.toContain('for the team');
});

test('an outsider reads what two others said to each other', async () => {
  expect((await page(bob, directChatId(bob.uid, alice.uid))).status).toBe(200);
  for (const chatId of [directChatId(alice.uid, bob.uid), directChatId(bob.uid, alice.uid)]) {
    const answer = await page(carol, chatId);
    expect(answer.status).not.toBe(200);
    expect(JSON.stringify(answer.body)).not.toContain('for Bob');
  }
});

test('an outsider writes into a group', async () => {
  await using his = await TestSocket.announced(server, bob);
  await using hers = await TestSocket.announced(server, carol);
  expect((await his.say('I may', team)).data.status_code).toBe(200);
  expect((await hers.say('I may not', team)).data.status_code).not.toBe(200);
  expect(JSON.stringify((await page(bob, team)).body)).not.toContain('I may not');
});

test("an own cookie is sent with somebody else's number", async () => {
  const settings = await server.post('/get_settings_data', { UID: alice.uid, COOKIE: carol.cookie });
  expect(settings.status).not.toBe(200);
  expect(JSON.stringify(settings.body)).not.toContain(alice.email);
});

test('an outsider finds out which groups there are', async () => {
  const tried = async (path: string, GROUP_ID: string) => {
    const more = { MEMBER_UID: bob.uid, ROLE: 'admin', MESSAGE_ID: 1, RETENTION_DAYS: 1 };
    const asked = { ...credentials(carol), GROUP_ID, ...more };
    const { status, body } = await server.post(path, asked);
    return { path, status, body };
  };
  for (const path of [
    'add_member',
    'remove_member',
    'set_role',
    'get_members',
    'leave_group',
    'set_retention',
    'remove_message',
  ])
    expect(await tried(`/${path}`, team)).toEqual(await tried(`/${path}`, '9999999999999'));
});

test('a member makes himself owner of a group', async () => {
  const asked = { ...credentials(bob), GROUP_ID: team, MEMBER_UID: bob.uid, ROLE: 'owner' };
  expect((await server.post('/set_role', asked)).status).not.toBe(200);
  const { body } = await server.post('/get_members', { ...credentials(alice), GROUP_ID: team });
  expect(body.members[alice.uid].ROLE).toBe('owner');
  expect(body.members[bob.uid].ROLE).toBe('member');
});

test("somebody says something in another's name", async () => {
  await using hers = await TestSocket.announced(server, carol);
  const message = { MESSAGE: 'I am Alice', GROUP_ID: '1000000000000', SENDER_ID: alice.uid };
  const reply = await hers.ask('send_message', message);
  expect(reply.data.status_code).toBe(403);
});
