// The endpoints behind the admin key: who is let in, what they show, and what they change.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { directChatId } from '../../src/protocol/entities.ts';
import type { endpoints } from '../../src/protocol/http.ts';
import { adminKey, asAdmin, auditLines, bearer } from '../support/admin.ts';
import { call, credentials, join, makeGroup, type Person, password, signUp } from '../support/people.ts';
import { TestServer, withServer } from '../support/server.ts';
import { defaultGroup, TestSocket } from '../support/socket.ts';

setDefaultTimeout(20_000);

type Name = keyof typeof endpoints;
let server: TestServer;
let alice: Person;
let bob: Person;

beforeAll(async () => {
  server = await TestServer.start();
  alice = await join(server, 'Alice');
  bob = await join(server, 'Bob');
});
afterAll(() => server.stop());

const statusOf = async (name: Name, body: unknown) => (await asAdmin(server, name, body)).status;

describe('the key', () => {
  test('a wrong one is noted with the address and the path, and with nothing of the key', async () => {
    await withServer(async (own) => {
      await call(own, 'adminUsers', { QUERY: 'x' }, bearer('a-wrong-key-of-mine'));
      const { body } = await asAdmin(own, 'adminAudit');
      expect(body.entries).toHaveLength(1);
      expect(body.entries[0]).toMatchObject({ KIND: 'admin_denied', UID: null, DETAIL: '/admin_users' });
      expect(body.entries[0].ADDRESS).toContain('127.0.0.1');
      expect(JSON.stringify(body)).not.toContain('wrong-key');
    });
  });

  test('after ten wrong ones an address waits, even with the right one; until then the right one sets it back', async () => {
    await withServer(
      async (own) => {
        const tries = (key: string) => call(own, 'adminUsers', {}, bearer(key));
        for (let wrong = 0; wrong < 9; wrong += 1) expect((await tries('wrong')).status).toBe(403);
        expect((await tries(adminKey(own))).status).toBe(200);
        for (let wrong = 0; wrong < 10; wrong += 1) expect((await tries('wrong')).status).toBe(403);
        expect((await tries('wrong')).status).toBe(429);
        expect((await tries(adminKey(own))).status).toBe(429);
        expect((await own.get('/uptime')).status).toBe(200);
      },
      { env: { RATE_LIMITS: 'on' } },
    );
  });
});

describe('the lists', () => {
  test('people are found by the beginning of a name or of the address, page by page', async () => {
    const dave = await signUp(server, 'Davina');
    const find = async (body: unknown) => (await asAdmin(server, 'adminUsers', body)).body.users;
    const everybody: { UID: number }[] = await find({});
    expect(everybody.map(({ UID }) => UID)).toEqual([alice.uid, bob.uid, dave.uid].sort((a, b) => a - b));
    for (const QUERY of ['davi', 'DAVINA@ex']) {
      const [found, ...others] = await find({ QUERY });
      expect(others).toEqual([]);
      expect(found).toMatchObject({
        UID: dave.uid,
        NAME: 'Davina Tester',
        EMAIL: dave.email,
        VERIFIED: false,
        BANNED: false,
        BAN_REASON: '',
        SESSIONS: 1,
      });
    }
    expect(await find({ QUERY: 'tester' })).toHaveLength(3);
    expect(await find({ QUERY: '%' })).toEqual([]);
    const [first] = await find({ LIMIT: 1 });
    expect(first.UID).toBe(everybody[0]?.UID);
    expect(await find({ AFTER: first.UID, LIMIT: 1 })).toMatchObject([{ UID: everybody[1]?.UID }]);
  });

  test('nothing secret is in any of them', async () => {
    const lists: Name[] = ['adminUsers', 'adminGroups', 'adminInvitations', 'adminAudit'];
    const { CODE } = (await asAdmin(server, 'adminInvite', { USES: 1, DAYS: 1 })).body;
    for (const name of lists) {
      const text = JSON.stringify((await asAdmin(server, name)).body);
      for (const secret of [alice.cookie, alice.token, '$argon2', CODE]) expect(text).not.toContain(secret);
    }
  });

  test('groups are listed with their owners and sizes, page by page', async () => {
    const group = await makeGroup(server, alice, [bob]);
    const { groups } = (await asAdmin(server, 'adminGroups')).body;
    const [first, second] = groups;
    expect([first.GROUP_ID, second.GROUP_ID].sort()).toEqual([defaultGroup, group].sort());
    const own = groups.find(({ GROUP_ID }: { GROUP_ID: string }) => GROUP_ID === group);
    expect(own).toMatchObject({ NAME: 'Team', MEMBERS: 2, OWNER_UID: alice.uid, LAST_MESSAGE_ID: 0 });
    const next = await asAdmin(server, 'adminGroups', { AFTER: first.GROUP_ID, LIMIT: 1 });
    expect(next.body.groups).toEqual([second]);
  });

  test('the audit log is shown newest first, of one account or of all, page by page', async () => {
    const [dora, dirk] = [await signUp(server, 'Dora'), await signUp(server, 'Dirk')];
    await asAdmin(server, 'adminBan', { MEMBER_UID: dora.uid, REASON: 'first' });
    await asAdmin(server, 'adminUnban', { MEMBER_UID: dora.uid });
    await asAdmin(server, 'adminEndSessions', { MEMBER_UID: dirk.uid });
    const { entries } = (await asAdmin(server, 'adminAudit', { MEMBER_UID: dora.uid, LIMIT: 2 })).body;
    expect(entries).toMatchObject([
      { KIND: 'unbanned', UID: dora.uid, ACTOR: 'admin' },
      { KIND: 'banned', UID: dora.uid, ACTOR: 'admin', DETAIL: 'first' },
    ]);
    const older = await asAdmin(server, 'adminAudit', {
      MEMBER_UID: dora.uid,
      BEFORE: entries[0].ID,
      LIMIT: 1,
    });
    expect(older.body.entries).toEqual([entries[1]]);
    const all = (await asAdmin(server, 'adminAudit', { LIMIT: 1 })).body.entries;
    expect(all).toMatchObject([{ KIND: 'sessions_ended', UID: dirk.uid }]);
  });
});

describe('messages', () => {
  const remove = (GROUP_ID: string, MESSAGE_ID: number) =>
    statusOf('adminRemoveMessage', { GROUP_ID, MESSAGE_ID });

  test('any of a group is removed, and those who see it are told', async () => {
    const team = await makeGroup(server, alice, [bob]);
    await using hers = await TestSocket.announced(server, alice);
    await using his = await TestSocket.announced(server, bob);
    expect((await hers.say('an insult', team)).data.status_code).toBe(200);
    await his.rest();
    expect(await remove(team, 2)).toBe(404);
    expect(await remove(team, 1)).toBe(200);
    for (const socket of [hers, his])
      expect(await socket.rest()).toMatchObject([
        { event: 'message_changed', data: { GROUP_ID: team, MESSAGE_ID: 1, REMOVED: true } },
      ]);
    expect(await remove(team, 1)).toBe(409);
    const { body } = await call(server, 'oldMessages', { ...credentials(bob), GROUP_ID: team });
    expect(JSON.stringify(body)).not.toContain('an insult');
    expect(await auditLines(server)).toContain(
      `message_removed ${alice.uid} admin message 1 of chat ${team}`,
    );
  });

  test('one of a direct chat is removed from either side, and of what is no chat nothing', async () => {
    await using hers = await TestSocket.announced(server, alice);
    const [own, his] = [directChatId(alice.uid, bob.uid), directChatId(bob.uid, alice.uid)];
    for (const text of ['one', 'two'])
      expect((await hers.say(text, own, 'send_message_new_chat')).data.status_code).toBe(200);
    expect(await remove(own, 1)).toBe(200);
    expect(await remove(his, 2)).toBe(200);
    expect((await hers.rest()).map(({ data }) => data.GROUP_ID)).toEqual([own, own]);
    for (const id of [directChatId(alice.uid, 123_456_789), '7777777777777', '9'.repeat(40)])
      expect(await remove(id, 1)).toBe(404);
  });
});

describe('accounts', () => {
  test('one that never got its code is verified and then like any other', async () => {
    const erin = await signUp(server, 'Erin');
    const listed = async () => JSON.stringify((await call(server, 'listPeople', credentials(alice))).body);
    const alicesLogin = await call(server, 'login', { EMAIL: alice.email, PASSWORD: password });
    expect(alicesLogin.status).toBe(200);
    expect(await listed()).not.toContain('Erin');
    expect(await statusOf('adminVerify', { MEMBER_UID: erin.uid })).toBe(200);
    expect(await listed()).toContain('Erin');
    const chats = await call(server, 'listChats', credentials(erin));
    expect(Object.keys(chats.body.chats)).toEqual([defaultGroup]);
    expect(await statusOf('adminVerify', { MEMBER_UID: erin.uid })).toBe(409);
    expect(await auditLines(server)).toContain(`verified ${erin.uid} admin `);
  });

  test('the sessions of one are ended everywhere, and a new login works', async () => {
    const fay = await join(server, 'Fay');
    await call(server, 'login', { EMAIL: fay.email, PASSWORD: password });
    expect((await call(server, 'listChats', credentials(fay))).status).toBe(200);
    const ended = await asAdmin(server, 'adminEndSessions', { MEMBER_UID: fay.uid });
    expect(ended).toMatchObject({ status: 200, body: { SESSIONS: 2 } });
    expect((await call(server, 'listChats', credentials(fay))).status).toBe(403);
    expect((await call(server, 'login', { EMAIL: fay.email, PASSWORD: password })).status).toBe(200);
  });

  test('what there is none of is 404', async () => {
    for (const name of ['adminVerify', 'adminBan', 'adminUnban', 'adminEndSessions'] as const)
      expect(await statusOf(name, { MEMBER_UID: 123_456_789 })).toBe(404);
  });

  test('bad fields are 400 and named', async () => {
    const bad: [Name, Record<string, unknown>, string][] = [
      ['adminBan', { REASON: 'x' }, 'MEMBER_UID'],
      ['adminBan', { MEMBER_UID: bob.uid, REASON: 'x'.repeat(201) }, 'REASON'],
      ['adminBan', { MEMBER_UID: bob.uid, REASON: 'a\u001b[2J' }, 'REASON'],
      ['adminUsers', { LIMIT: 0 }, 'LIMIT'],
      ['adminUsers', { LIMIT: 1001 }, 'LIMIT'],
      ['adminInvite', { USES: 0, DAYS: 1 }, 'USES'],
      ['adminInvite', { USES: 1001, DAYS: 1 }, 'USES'],
      ['adminInvite', { USES: 1, DAYS: 366 }, 'DAYS'],
      ['adminInvite', { USES: 1 }, 'DAYS'],
      ['adminAudit', { BEFORE: -1 }, 'BEFORE'],
    ];
    for (const [name, body, field] of bad) {
      const answer = await asAdmin(server, name, body);
      expect([name, answer.status]).toEqual([name, 400]);
      expect(answer.body.message).toContain(field);
    }
  });
});
