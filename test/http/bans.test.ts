// Bans: what one who is banned can not do any more, what stays, and that an end of the ban gives it back.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { directChatId } from '../../src/protocol/entities.ts';
import { asAdmin, auditLines } from '../support/admin.ts';
import { joinGuarded } from '../support/authenticator.ts';
import {
  call,
  credentials,
  join,
  mailAt,
  makeGroup,
  type Person,
  password,
  signUp,
} from '../support/people.ts';
import { TestServer } from '../support/server.ts';
import { defaultGroup, TestSocket } from '../support/socket.ts';

setDefaultTimeout(20_000);

let server: TestServer;
let alice: Person;
let bob: Person;

beforeAll(async () => {
  server = await TestServer.start();
  alice = await join(server, 'Alice');
  bob = await join(server, 'Bob');
});
afterAll(() => server.stop());

const ban = async ({ uid }: Person, REASON = '') => {
  expect((await asAdmin(server, 'adminBan', { MEMBER_UID: uid, REASON })).status).toBe(200);
};
const unban = async ({ uid }: Person) => {
  expect((await asAdmin(server, 'adminUnban', { MEMBER_UID: uid })).status).toBe(200);
};
const logIn = ({ email }: Person, PASSWORD = password) => call(server, 'login', { EMAIL: email, PASSWORD });

test("a ban closes the account's sockets with 4501 and nobody else's, and ends its sessions", async () => {
  const mallory = await join(server, 'Mallory');
  const again = (await logIn(mallory)).body;
  const phone = { ...mallory, cookie: again.COOKIE, token: again.TOKEN };
  await using his = await TestSocket.announced(server, bob);
  const sockets = [
    await TestSocket.announced(server, mallory),
    await TestSocket.announced(server, phone, '/ws/phone'),
  ];
  expect((await sockets[0]?.say('before'))?.data.status_code).toBe(200);
  await ban(mallory, 'spam');
  for (const socket of sockets) expect((await socket.closed).code).toBe(4501);
  expect((await his.rest()).map(({ data }) => data.MESSAGE)).toEqual(['before']);
  for (const person of [mallory, phone]) {
    expect((await call(server, 'getToken', credentials(person))).status).toBe(401);
    expect((await call(server, 'listChats', credentials(person))).status).toBe(403);
    await using socket = await TestSocket.open(server);
    const refused = await socket.ask('wants_all_his_chats', { UID: person.uid, TOKEN: person.token });
    expect(refused.data.status_code).toBe(401);
  }
  expect(await auditLines(server, ['login', 'sign_up'])).toContain(`banned ${mallory.uid} admin spam`);
});

test('only who knows the password learns of a ban at login, and no session comes of it', async () => {
  const nick = await join(server, 'Nick');
  await ban(nick);
  const refused = await logIn(nick);
  expect(refused).toMatchObject({ status: 403, body: { message: 'This account is banned.' } });
  expect(refused.body.COOKIE).toBeUndefined();
  const wrong = await logIn(nick, 'another horse 42');
  const unknown = await call(server, 'login', { EMAIL: 'nobody@example.test', PASSWORD: password });
  expect(wrong.status).toBe(401);
  expect(wrong.body).toEqual(unknown.body);
  const { users } = (await asAdmin(server, 'adminUsers', { QUERY: nick.email })).body;
  expect(users).toMatchObject([{ BANNED: true, SESSIONS: 0 }]);
  await unban(nick);
  expect((await logIn(nick)).status).toBe(200);
});

test('one who was never verified is banned like everybody else', async () => {
  const olga = await signUp(server, 'Olga');
  await ban(olga);
  expect((await logIn(olga)).body.message).toBe('This account is banned.');
  const code = server.codeFor(olga.email);
  const entered = { ...credentials(olga), ENTERD_OTP: code };
  expect((await call(server, 'verifyAccount', entered)).status).toBe(403);
});

test('one who is banned is not found, not added and not written to; what was written stays', async () => {
  const peter = await join(server, 'Peter');
  const group = await makeGroup(server, alice, [bob]);
  const direct = directChatId(alice.uid, peter.uid);
  await using his = await TestSocket.announced(server, peter);
  expect((await his.say('I was here')).data.status_code).toBe(200);
  await using hers = await TestSocket.announced(server, alice);
  const write = () => hers.say('Hello', direct, 'send_message_new_chat').then(({ data }) => data.status_code);
  const listed = async (body = {}) =>
    JSON.stringify((await call(server, 'listPeople', { ...credentials(alice), ...body })).body);
  const add = (person: Person) =>
    call(server, 'addMember', { ...credentials(alice), GROUP_ID: group, MEMBER_UID: person.uid });
  expect(await write()).toBe(200);
  await hers.rest();
  for (const body of [{}, { QUERY: 'Pet' }]) expect(await listed(body)).toContain('Peter');

  await ban(peter);
  expect(await write()).toBe(404);
  expect((await hers.say('Hello', direct)).data.status_code).toBe(404);
  for (const body of [{}, { QUERY: 'Pet' }]) expect(await listed(body)).not.toContain('Peter');
  expect((await add(peter)).status).toBe(404);
  const made = { ...credentials(alice), NAME: 'With Peter', MEMBERS: [peter.uid] };
  expect((await call(server, 'createGroup', made)).status).toBe(404);
  const history = await call(server, 'oldMessages', credentials(alice));
  const { [defaultGroup]: everybody, [direct]: between } = history.body.groups_messages;
  expect(JSON.stringify(everybody)).toContain('I was here');
  expect(JSON.stringify(between)).toContain('Hello');
  expect((await call(server, 'listChats', credentials(alice))).body.chats[direct].NAME).toBe(peter.name);

  await unban(peter);
  expect(await write()).toBe(200);
  expect((await add(peter)).status).toBe(200);
  expect(await listed()).toContain('Peter');
});

test('one who is banned stays in the lists of members, to be removed there; the picture is handed out no more', async () => {
  const walt = await join(server, 'Walt');
  const picture = 'https://pictures.example.test/walt.png';
  const change = { ...credentials(walt), PROFILE_PIC: picture };
  expect((await call(server, 'changeSettings', change)).status).toBe(200);
  const group = await makeGroup(server, alice, [walt, bob]);
  const handedOut = async () => (await server.get(`/get_profile_pic_link/${walt.uid}`)).body.PROFILE_PIC;
  const members = async () => {
    const { body } = await call(server, 'listMembers', { ...credentials(bob), GROUP_ID: group });
    return JSON.stringify(body);
  };
  expect(await handedOut()).toBe(picture);
  await ban(walt);
  expect(await handedOut()).toBe('');
  expect(await members()).toContain(walt.name);
  const remove = { ...credentials(alice), GROUP_ID: group, MEMBER_UID: walt.uid };
  expect((await call(server, 'removeMember', remove)).status).toBe(200);
  expect(await members()).not.toContain(walt.name);
  await unban(walt);
  expect(await handedOut()).toBe(picture);
});

test('a direct chat that never was is not made with one who is banned, and is when the ban ends', async () => {
  const quinn = await join(server, 'Quinn');
  const direct = directChatId(bob.uid, quinn.uid);
  await using socket = await TestSocket.announced(server, bob);
  await ban(quinn);
  expect((await socket.say('Hello', direct, 'send_message_new_chat')).data.status_code).toBe(404);
  await unban(quinn);
  expect((await socket.say('Hello', direct, 'send_message_new_chat')).data.status_code).toBe(200);
});

test('to ban twice or to end no ban is 409', async () => {
  const rita = await join(server, 'Rita');
  expect((await asAdmin(server, 'adminUnban', { MEMBER_UID: rita.uid })).status).toBe(409);
  await ban(rita);
  expect((await asAdmin(server, 'adminBan', { MEMBER_UID: rita.uid })).status).toBe(409);
  await unban(rita);
});

test('logins that run while the account is banned leave no session behind', async () => {
  const sven = await join(server, 'Sven');
  const logins = Array.from({ length: 6 }, () => logIn(sven));
  await Bun.sleep(30);
  await ban(sven);
  for (const { status } of await Promise.all(logins)) expect([200, 403]).toContain(status);
  const { users } = (await asAdmin(server, 'adminUsers', { QUERY: sven.email })).body;
  expect(users).toMatchObject([{ BANNED: true, SESSIONS: 0 }]);
});

test('a password is not reset while its account is banned, and nobody can tell from outside', async () => {
  const tina = await join(server, 'Tina');
  const forgot = async (EMAIL: string) => {
    const { status, body } = await call(server, 'forgotPassword', { EMAIL });
    return { status, body };
  };
  const reset = (OTP: string) =>
    call(server, 'resetPassword', { EMAIL: tina.email, OTP, NEW_PASSWORD: 'another horse 44' });
  await forgot(tina.email);
  const mailed = /^ {4}(\d{6})\r?$/m.exec(await mailAt(server, tina.email, 2))?.[1] ?? '';
  expect(mailed).not.toBe('');
  await ban(tina);
  expect((await reset(mailed)).status).toBe(401);
  expect(await forgot(tina.email)).toEqual(await forgot('nobody@example.test'));
  await Bun.sleep(200); // a mail would go out after the answer
  expect(server.mailsTo(tina.email)).toHaveLength(2);
  await unban(tina);
  expect((await reset(mailed)).status).toBe(401);
  expect((await logIn(tina)).status).toBe(200);
  await forgot(tina.email);
  const fresh = /^ {4}(\d{6})\r?$/m.exec(await mailAt(server, tina.email, 3))?.[1] ?? '';
  expect((await reset(fresh)).status).toBe(200);
});

test('one who is banned is told so before a recovery code is asked for and used up', async () => {
  const ute = await joinGuarded(server, 'Ute');
  const [code = ''] = ute.recoveryCodes;
  const withCode = () => call(server, 'login', { EMAIL: ute.email, PASSWORD: password, CODE: code });
  await ban(ute);
  for (const answer of [await logIn(ute), await withCode()])
    expect(answer).toMatchObject({ status: 403, body: { message: 'This account is banned.' } });
  await unban(ute);
  expect((await logIn(ute)).body.SECOND_FACTOR).toBe(true);
  expect((await withCode()).status).toBe(200);
});
