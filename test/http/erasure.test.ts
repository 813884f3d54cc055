// Deleting one's account: what goes, what stays and for whom, and that no restored backup brings it back.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { copyFileSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join as joinPath } from 'node:path';
import { closeCodes } from '../../src/errors.ts';
import { directChatId } from '../../src/protocol/entities.ts';
import { freshCode, joinGuarded } from '../support/authenticator.ts';
import { LogFile } from '../support/log-file.ts';
import {
  call,
  credentials,
  join,
  mailAt,
  makeGroup,
  type Person,
  password,
  signUpBody,
} from '../support/people.ts';
import { TestServer, withServer } from '../support/server.ts';
import { defaultGroup, TestSocket } from '../support/socket.ts';

// Hashing takes long on a busy machine.
setDefaultTimeout(20_000);

const removed = 'This message was removed';

function erase(server: TestServer, person: Person, more: Record<string, unknown> = {}) {
  return call(server, 'deleteAccount', { ...credentials(person), PASSWORD: person.password, ...more });
}

async function history(server: TestServer, person: Person, groupId: string) {
  const answer = await call(server, 'oldMessages', { ...credentials(person), GROUP_ID: groupId });
  return Object.values(answer.body.groups_messages?.[groupId] ?? {}) as Record<string, unknown>[];
}

async function say(server: TestServer, person: Person, text: string, groupId: string, id?: string) {
  await using socket = await TestSocket.announced(server, person);
  const more = id ? { CLIENT_MESSAGE_ID: id } : {};
  const data = { MESSAGE: text, GROUP_ID: groupId, ...more };
  const reply = await socket.ask('send_message_new_chat', data);
  if (reply.data.status_code !== 200) throw new Error(`not sent: ${reply.data.message}`);
}

async function chatNames(server: TestServer, person: Person): Promise<Record<string, string>> {
  const { body } = await call(server, 'listChats', credentials(person));
  return Object.fromEntries(
    Object.entries(body.chats as Record<string, { NAME: string }>).map(([id, { NAME }]) => [id, NAME]),
  );
}

function ledgerOf(server: TestServer): Record<string, unknown>[] {
  const text = readFileSync(joinPath(server.dataDir, 'erasures.jsonl'), 'utf8');
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
}

describe('who may', () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await TestServer.start();
  });
  afterAll(() => server.stop());

  test('A wrong or missing password, or another word than keep and remove, deletes nothing.', async () => {
    const alice = await join(server, 'Alice');
    expect((await erase(server, alice, { PASSWORD: 'wrong horse 42' })).status).toBe(401);
    expect((await erase(server, alice, { PASSWORD: undefined })).status).toBe(400);
    expect((await erase(server, alice, { MESSAGES: 'burn' })).status).toBe(400);
    expect((await call(server, 'listChats', credentials(alice))).status).toBe(200);
    // The twin: the right one does.
    expect((await erase(server, alice)).status).toBe(200);
    expect((await call(server, 'listChats', credentials(alice))).status).toBe(403);
  });

  test('A second factor that is on is asked for, and a wrong code deletes nothing.', async () => {
    const alice = await joinGuarded(server, 'Guarded');
    const bare = await erase(server, alice);
    expect([bare.status, bare.body.SECOND_FACTOR]).toEqual([403, true]);
    expect((await erase(server, alice, { TOTP: '12345' })).status).toBe(401);
    const noted = await server.store.listAudit({ uid: alice.uid, before: null, limit: 9 });
    expect(noted.map(({ kind }) => kind)).toEqual(['second_factor_on', 'verified', 'sign_up']);
    expect((await call(server, 'listChats', credentials(alice))).status).toBe(200);
    expect((await erase(server, alice, { TOTP: freshCode(server, alice.secret) })).status).toBe(200);
    expect((await call(server, 'listChats', credentials(alice))).status).toBe(403);
  });

  test('Guessing the password is limited.', async () => {
    await withServer(
      async (limited) => {
        const alice = await join(limited, 'Alice');
        const statuses: number[] = [];
        for (let guess = 0; guess < 12; guess++)
          statuses.push((await erase(limited, alice, { PASSWORD: `guess ${guess} of it` })).status);
        expect(statuses.at(0)).toBe(401);
        expect(statuses.at(-1)).toBe(429);
        expect((await erase(limited, alice)).status).toBe(429);
        expect((await call(limited, 'listChats', credentials(alice))).status).toBe(200);
      },
      { env: { RATE_LIMITS: 'on' } },
    );
  });
});

describe('what goes and what stays', () => {
  let server: TestServer;
  let bob: Person;
  let carol: Person;
  beforeAll(async () => {
    server = await TestServer.start();
    [bob, carol] = [await join(server, 'Bob'), await join(server, 'Carol')];
  });
  afterAll(() => server.stop());

  test('With keep the messages stay in their places without name and picture.', async () => {
    const alice = await join(server, 'Alice');
    const picture = 'https://pictures.example.test/alice.png';
    await server.request('PATCH', '/get_settings_data', { ...credentials(alice), PROFILE_PIC: picture });
    const team = await makeGroup(server, alice, [bob, carol]);
    await say(server, alice, 'first', team);
    await say(server, bob, 'second', team);
    expect((await history(server, bob, team))[0]).toMatchObject({ SENDER_NAME: 'Alice Tester' });
    expect((await erase(server, alice)).status).toBe(200);
    const [first, second] = await history(server, bob, team);
    expect(first).toMatchObject({
      SENDER_ID: alice.uid,
      SENDER_NAME: 'Deleted account',
      PROFILE_PIC: '',
      MESSAGE: 'first',
    });
    expect(second).toMatchObject({ SENDER_NAME: 'Bob Tester', MESSAGE: 'second' });
    expect((await call(server, 'listPeople', credentials(bob))).body).not.toHaveProperty(String(alice.uid));
  });

  test('With remove their texts go, their places stay, and nobody else loses anything.', async () => {
    const alice = await join(server, 'Alice');
    const team = await makeGroup(server, alice, [bob]);
    await say(server, alice, 'a marker of hers', team, 'phone-1');
    await say(server, bob, 'his stays', team, 'phone-1');
    await say(server, alice, 'another marker of hers', defaultGroup);
    expect((await erase(server, alice, { MESSAGES: 'remove' })).status).toBe(200);
    const [hers, his] = await history(server, bob, team);
    expect(hers).toMatchObject({ SENDER_NAME: 'Deleted account', MESSAGE: removed });
    expect(his).toMatchObject({ SENDER_NAME: 'Bob Tester', MESSAGE: 'his stays' });
    expect(JSON.stringify(await history(server, bob, defaultGroup))).not.toInclude('marker');
    const log = new LogFile(server.dataDir);
    expect(log.problems()).toEqual([]);
    const rows = log.rows().filter(({ chat }) => chat === team);
    expect(rows.map(({ clientMessageId }) => clientMessageId)).toEqual([null, 'phone-1']);
  });

  test('A group she owned is handed over, one of hers alone is deleted, the default group stays.', async () => {
    const alice = await join(server, 'Alice');
    const team = await makeGroup(server, alice, [bob, carol]);
    const own = await makeGroup(server, alice, []);
    await say(server, alice, 'a diary', own);
    const add = () =>
      call(server, 'removeMember', { ...credentials(bob), GROUP_ID: team, MEMBER_UID: carol.uid });
    expect((await add()).status).toBe(403);
    expect((await erase(server, alice)).status).toBe(200);
    // Bob and Carol joined at the same time: the smaller number is the heir.
    const heir = bob.uid < carol.uid ? bob : carol;
    const other = heir === bob ? carol : bob;
    const asked = { ...credentials(heir), GROUP_ID: team, MEMBER_UID: other.uid };
    expect((await call(server, 'removeMember', asked)).status).toBe(200);
    expect(new LogFile(server.dataDir).rows().filter(({ chat }) => chat === own)).toEqual([]);
    expect(await chatNames(server, bob)).toHaveProperty(defaultGroup);
  });

  test('A direct chat stays with the other as "Deleted account", and nothing can be sent to it.', async () => {
    const alice = await join(server, 'Alice');
    const [hers, his] = [directChatId(alice.uid, bob.uid), directChatId(bob.uid, alice.uid)];
    await say(server, alice, 'to bob alone', hers);
    expect((await chatNames(server, bob))[his]).toBe('Alice Tester');
    await using socket = await TestSocket.announced(server, bob);
    expect((await socket.say('still there?', his)).data.status_code).toBe(200);
    expect((await erase(server, alice)).status).toBe(200);
    const told = (await socket.rest()).filter(({ event }) => event === 'chat_changed');
    expect(told.map(({ data }) => data)).toContainEqual(
      expect.objectContaining({ GROUP_ID: his, NAME: 'Deleted account', PROFILE_PIC: '' }),
    );
    expect((await chatNames(server, bob))[his]).toBe('Deleted account');
    expect((await history(server, bob, his)).map(({ MESSAGE }) => MESSAGE)).toEqual([
      'to bob alone',
      'still there?',
    ]);
    for (const event of ['send_message', 'send_message_new_chat'])
      expect((await socket.say('hello?', his, event)).data.status_code).toBe(404);
    const add = { ...credentials(bob), GROUP_ID: await makeGroup(server, bob, []), MEMBER_UID: alice.uid };
    expect((await call(server, 'addMember', add)).status).toBe(404);
  });

  test('A direct chat whose two accounts are both deleted is gone with its messages.', async () => {
    const [alice, dave] = [await join(server, 'Alice'), await join(server, 'Dave')];
    await say(server, alice, 'between the two', directChatId(alice.uid, dave.uid));
    const texts = () => new LogFile(server.dataDir).rows().map(({ body }) => body);
    expect((await erase(server, alice)).status).toBe(200);
    expect(texts()).toContain('between the two');
    expect((await erase(server, dave)).status).toBe(200);
    expect(texts()).not.toContain('between the two');
  });

  test('All her sockets end at once with 4501, on every login, and nobody else’s does.', async () => {
    const alice = await join(server, 'Alice');
    const login = await call(server, 'login', { EMAIL: alice.email, PASSWORD: password });
    const other = { ...alice, cookie: login.body.COOKIE, token: login.body.TOKEN };
    const [one, two] = [await TestSocket.announced(server, alice), await TestSocket.announced(server, other)];
    await using bobs = await TestSocket.announced(server, bob);
    expect((await erase(server, alice)).status).toBe(200);
    for (const socket of [one, two]) expect((await socket.closed).code).toBe(closeCodes.sessionEnded);
    expect((await bobs.say('still here')).data.status_code).toBe(200);
    for (const session of [alice, other])
      expect((await call(server, 'listChats', credentials(session))).status).toBe(403);
    expect((await call(server, 'login', { EMAIL: alice.email, PASSWORD: password })).status).toBe(401);
  });

  test('A mail confirms it, it is noted, and the address is free again at once.', async () => {
    const alice = await join(server, 'Alice');
    const before = server.mailsTo(alice.email).length;
    expect((await erase(server, alice, { MESSAGES: 'remove' })).status).toBe(200);
    expect(await mailAt(server, alice.email, before + 1)).toInclude('account was deleted');
    const [entry] = await server.store.listAudit({ uid: alice.uid, before: null, limit: 1 });
    expect(entry).toMatchObject({ kind: 'account_deleted', actor: 'self', detail: 'messages: remove' });
    const again = await join(server, 'Alice');
    expect(again.uid).not.toBe(alice.uid);
  });

  test('The codes that could undo a change of its address die with it, and reserve nothing.', async () => {
    const mallory = await join(server, 'Mallory');
    const target = 'mallory.elsewhere@example.test';
    await call(server, 'resendCode', { ...credentials(mallory), MODE: 'EMAIL_CHANGE', EMAIL: target });
    const before = server.mailsTo(mallory.email).length;
    const OTP = server.codeFor(target);
    const moved = await call(server, 'changeSettings', { ...credentials(mallory), EMAIL: target, OTP });
    expect(moved.status).toBe(200);
    const undo = /^ {4}([A-Z0-9]{20})\r?$/m.exec(await mailAt(server, mallory.email, before + 1))?.[1];
    expect((await server.post('/sign_up', signUpBody('Mallory'))).status).toBe(409);
    expect((await erase(server, mallory)).status).toBe(200);
    expect((await call(server, 'undoEmailChange', { EMAIL: mallory.email, OTP: undo })).status).toBe(401);
    expect((await server.post('/sign_up', signUpBody('Mallory'))).status).toBe(200);
  });

  test('The ledger has a line of number, time and fate, and nothing that names anybody.', async () => {
    const dora = await join(server, 'Dora');
    expect((await erase(server, dora, { MESSAGES: 'remove' })).status).toBe(200);
    const line = ledgerOf(server).at(-1);
    expect(line).toEqual({ uid: dora.uid, at: expect.any(Number), messages: 'remove' });
    expect(statSync(joinPath(server.dataDir, 'erasures.jsonl')).mode & 0o777).toBe(0o600);
  });
});

describe('a restored backup', () => {
  test('Nobody who was deleted comes back with it, and their messages are as they asked.', async () => {
    await withServer(async (server) => {
      const [alice, bob, carol] = [
        await join(server, 'Alice'),
        await join(server, 'Bob'),
        await join(server, 'Carol'),
      ];
      const team = await makeGroup(server, alice, [bob, carol]);
      await say(server, alice, 'hers is to go', team);
      await say(server, bob, 'his may stay', team);
      await server.running.stop();
      const database = joinPath(server.dataDir, 'chat.db');
      const backup = joinPath(server.dataDir, 'backup.db');
      copyFileSync(database, backup);
      await server.start();
      expect((await erase(server, alice, { MESSAGES: 'remove' })).status).toBe(200);
      expect((await erase(server, bob)).status).toBe(200);
      await server.running.stop();
      copyFileSync(backup, database);
      // The twin: they are in what was put back.
      expect(new LogFile(server.dataDir).rows().map(({ body }) => body)).toContain('hers is to go');
      await server.start();

      for (const person of [alice, bob]) {
        expect((await call(server, 'listChats', credentials(person))).status).toBe(403);
        expect((await call(server, 'login', { EMAIL: person.email, PASSWORD: password })).status).toBe(401);
        const [entry] = await server.store.listAudit({ uid: person.uid, before: null, limit: 1 });
        expect(entry).toMatchObject({ kind: 'account_deleted', actor: 'server' });
      }
      const shown = (await history(server, carol, team)).map(({ SENDER_NAME, MESSAGE }) => [
        SENDER_NAME,
        MESSAGE,
      ]);
      expect(shown).toEqual([
        ['Deleted account', removed],
        ['Deleted account', 'his may stay'],
      ]);
      expect(new LogFile(server.dataDir).problems()).toEqual([]);
      expect(ledgerOf(server)).toHaveLength(2);
      // Carol inherited the group.
      const add = { ...credentials(carol), GROUP_ID: team, MEMBER_UID: (await join(server, 'Dora')).uid };
      expect((await call(server, 'addMember', add)).status).toBe(200);
    });
  });

  test('What was deleted is in no byte of the database file once the server has stopped.', async () => {
    await withServer(async (server) => {
      const [alice, bob] = [await join(server, 'Alice'), await join(server, 'Bob')];
      const team = await makeGroup(server, alice, [bob]);
      const marker = 'a text that must not outlive her';
      await say(server, alice, marker, team);
      await say(server, bob, 'his own text', team);
      await server.restart();
      const bytes = () => readFileSync(joinPath(server.dataDir, 'chat.db'), 'latin1');
      expect(bytes()).toInclude(marker);
      expect((await erase(server, alice, { MESSAGES: 'remove' })).status).toBe(200);
      await server.running.stop();
      expect(statSync(joinPath(server.dataDir, 'chat.db-wal'), { throwIfNoEntry: false })?.size ?? 0).toBe(0);
      expect(bytes()).not.toInclude(marker);
      expect(bytes()).not.toInclude(alice.email);
      expect(bytes()).toInclude('his own text');
      await server.start();
    });
  });
});

describe('the ledger', () => {
  const path = (server: TestServer) => joinPath(server.dataDir, 'erasures.jsonl');

  test('A number in it is never given again.', async () => {
    await withServer(async (server) => {
      const alice = await join(server, 'Alice');
      expect((await erase(server, alice)).status).toBe(200);
      const now = server.clock();
      const account = {
        uid: alice.uid,
        firstName: 'Eve',
        lastName: 'Tester',
        email: 'eve@example.test',
        phone: '',
        dob: null,
        picture: '',
        passwordHash: '',
        createdAt: now,
        expiresAt: null,
      };
      const keys = (uid: number) => ({
        uid,
        cookieHash: `c${uid}`,
        tokenHash: `t${uid}`,
        createdAt: now,
        device: '',
      });
      const code = (uid: number) =>
        ({ uid, purpose: 'verify', target: '', codeHash: '', createdAt: now, expiresAt: now }) as const;
      const make = (uid: number) =>
        server.store.createAccount({ ...account, uid }, keys(uid), code(uid), null);
      expect(await make(alice.uid)).toBe('uid_taken');
      expect(await make(alice.uid - 1)).toBe('created');
    });
  });

  test('A part of a line that a killed process left is dropped; a whole one is taken without its end.', async () => {
    await withServer(async (server) => {
      const [alice, bob] = [await join(server, 'Alice'), await join(server, 'Bob')];
      await server.running.stop();
      writeFileSync(path(server), `{"uid":${bob.uid},"at":1,"me`);
      await server.start();
      expect((await call(server, 'listChats', credentials(bob))).status).toBe(200);
      expect((await erase(server, alice)).status).toBe(200);
      expect(ledgerOf(server).map(({ uid }) => uid)).toEqual([alice.uid]);
      await server.running.stop();
      writeFileSync(path(server), `{"uid":${bob.uid},"at":1,"messages":"keep"}`);
      await server.start();
      expect((await call(server, 'listChats', credentials(bob))).status).toBe(403);
    });
  });

  test('A line that cannot be read stops the start and is named.', async () => {
    await withServer(async (server) => {
      await server.running.stop();
      writeFileSync(path(server), '{"uid":5,"at":1,"messages":"keep"}\n{"uid":"six"}\n');
      await expect(server.start()).rejects.toThrow(/erasures\.jsonl, line 2/);
      rmSync(path(server));
      await server.start();
    });
  });
});
