// What groups may cost: how many one owns and is in, how many people one adds, and nobody across a block.
import { Database } from 'bun:sqlite';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test';
import { join as joinPath } from 'node:path';
import { limits } from '../../src/protocol/entities.ts';
import { call, credentials, join, makeGroup, type Person } from '../support/people.ts';
import { TestServer, withServer } from '../support/server.ts';

let server: TestServer;
let alice: Person;
let bob: Person;
let carol: Person;
let round = 0;
let nextGroup = 7_000_000_000_000;

beforeAll(async () => {
  server = await TestServer.start();
});
beforeEach(async () => {
  const letter = String.fromCharCode(97 + round++);
  alice = await join(server, `Alice${letter}`);
  bob = await join(server, `Bob${letter}`);
  carol = await join(server, `Carol${letter}`);
});
afterAll(() => server.stop());

/** Puts somebody into so many new groups, behind the back of the server. */
function giveGroups({ uid }: Person, role: 'owner' | 'admin' | 'member', groups: number): void {
  const database = new Database(joinPath(server.dataDir, 'chat.db'));
  database.run('PRAGMA busy_timeout = 3000');
  database.transaction(() => {
    for (let made = 0; made < groups; made += 1) {
      nextGroup += 1;
      database.run("INSERT INTO chats (group_id, name, picture, created_at) VALUES (?, 'Group', '', 1)", [
        String(nextGroup),
      ]);
      database.run(
        'INSERT INTO members (chat_id, uid, role, joined_at) VALUES (last_insert_rowid(), ?, ?, 1)',
        [uid, role],
      );
    }
  })();
  database.close();
}

function create(asker: Person, others: readonly Person[] = [], on = server) {
  const MEMBERS = others.map(({ uid }) => uid);
  return call(on, 'createGroup', { ...credentials(asker), NAME: 'Team', MEMBERS });
}

function add(asker: Person, GROUP_ID: string, { uid }: Person, on = server) {
  return call(on, 'addMember', { ...credentials(asker), GROUP_ID, MEMBER_UID: uid });
}

async function chatsOf(person: Person): Promise<string[]> {
  return Object.keys((await call(server, 'listChats', credentials(person))).body.chats);
}

describe('groups owned', () => {
  test('the hundredth is made, the next is 409, and one that is left makes room', async () => {
    giveGroups(alice, 'owner', limits.groupsOwned - 1);
    const hundredth = await makeGroup(server, alice, [bob]);
    const { status, body } = await create(alice, [bob]);
    expect([status, body.message]).toEqual([409, 'You own 100 groups; more are not allowed.']);
    expect(await chatsOf(alice)).toHaveLength(limits.groupsOwned + 1);
    expect(await chatsOf(bob)).toHaveLength(2);
    await call(server, 'leaveGroup', { ...credentials(alice), GROUP_ID: hundredth });
    expect((await create(alice, [bob])).status).toBe(200);
  });

  test('of many made at once no more pass than there is room for', async () => {
    giveGroups(alice, 'owner', limits.groupsOwned - 2);
    const answers = await Promise.all(Array.from({ length: 6 }, () => create(alice)));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, 409, 409, 409, 409]);
  });

  test('groups in which one is admin or member do not count as owned', async () => {
    giveGroups(alice, 'admin', limits.groupsOwned);
    giveGroups(alice, 'member', limits.groupsOwned);
    expect((await create(alice)).status).toBe(200);
  });
});

describe('memberships', () => {
  test('the five hundredth is given, the next is 409 to whoever adds or names that person', async () => {
    giveGroups(bob, 'member', limits.groupMemberships - 1);
    const groups = [await makeGroup(server, alice, []), await makeGroup(server, alice, [])] as const;
    expect((await add(alice, groups[0], bob)).status).toBe(200);
    const added = await add(alice, groups[1], bob);
    expect([added.status, added.body.message]).toEqual([
      409,
      'This person is in 500 groups; more are not allowed.',
    ]);
    expect((await create(alice, [carol, bob])).status).toBe(409);
    expect(await chatsOf(carol)).toHaveLength(1);
    expect((await create(alice, [carol])).status).toBe(200);
  });

  test('who is in five hundred makes no group either', async () => {
    giveGroups(alice, 'member', limits.groupMemberships - 1);
    expect((await create(alice)).status).toBe(200);
    expect((await create(alice)).status).toBe(409);
  });

  test('the default group and direct chats do not count', async () => {
    giveGroups(bob, 'member', limits.groupMemberships - 1);
    const database = new Database(joinPath(server.dataDir, 'chat.db'));
    const [low, high] = [alice.uid, bob.uid].sort((one, other) => one - other) as [number, number];
    database.run(
      "INSERT INTO chats (low_uid, high_uid, name, picture, created_at) VALUES (?, ?, '', '', 1)",
      [low, high],
    );
    database.run(
      "INSERT INTO members (chat_id, uid, role, joined_at) VALUES (last_insert_rowid(), ?, 'member', 1)",
      [bob.uid],
    );
    database.close();
    expect(await chatsOf(bob)).toHaveLength(limits.groupMemberships + 1);
    expect((await create(alice, [bob])).status).toBe(200);
  });
});

describe('people added', () => {
  const most = 1000;

  test('after a thousand in ten minutes it is 429, for this account alone', async () => {
    await withServer(
      async (own) => {
        const [dave, erin] = [await join(own, 'Dave'), await join(own, 'Erin')];
        const half = Array<Person>(most / 2 - 1).fill(erin);
        const group = (await create(dave, half, own)).body.GROUP_ID;
        expect((await create(dave, half, own)).status).toBe(200);
        for (let left = 2; left > 0; left -= 1) expect((await add(dave, group, erin, own)).status).toBe(409); // a member already; counted
        const refused = await add(dave, group, erin, own);
        expect(refused.status).toBe(429);
        expect(Number(refused.headers.get('retry-after'))).toBeWithin(1, 601);
        expect((await create(dave, [erin], own)).status).toBe(429);
        expect((await create(dave, [], own)).status).toBe(200);
        expect((await create(erin, [dave], own)).status).toBe(200);
      },
      { env: { RATE_LIMITS: 'on' } },
    );
  });
});

describe('a block', () => {
  const change = (asker: Person, what: 'blockUser' | 'unblockUser', { uid }: Person) =>
    call(server, what, { ...credentials(asker), BLOCKED_UID: uid });

  test('keeps each from putting the other into a group, whoever made it, until it ends', async () => {
    for (const [blocker, blocked] of [
      [alice, bob],
      [bob, alice],
    ] as const) {
      const group = await makeGroup(server, alice, []);
      expect((await change(blocker, 'blockUser', blocked)).status).toBe(200);
      const before = await chatsOf(bob);
      const added = await add(alice, group, bob);
      expect([added.status, added.body.message]).toEqual([404, 'There is no such person.']);
      expect((await create(alice, [carol, bob])).status).toBe(404);
      expect(await chatsOf(bob)).toEqual(before);
      expect((await change(blocker, 'unblockUser', blocked)).status).toBe(200);
      expect((await add(alice, group, bob)).status).toBe(200);
      expect((await create(alice, [carol, bob])).status).toBe(200);
    }
  });

  test('between two others keeps neither out of the group of a third', async () => {
    expect((await change(alice, 'blockUser', bob)).status).toBe(200);
    expect((await create(carol, [alice, bob])).status).toBe(200);
    const group = await makeGroup(server, carol, [alice]);
    expect((await add(carol, group, bob)).status).toBe(200);
  });
});
