// Roles: who is what in a group, who sees it, who may change it, and handing a group over.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test';
import { directChatId } from '../../src/protocol/entities.ts';
import { call, credentials, join, makeGroup, type Person, signUp } from '../support/people.ts';
import { TestServer } from '../support/server.ts';
import { defaultGroup } from '../support/socket.ts';

let server: TestServer;
let alice: Person;
let bob: Person;
let carol: Person;
let dave: Person;
let unverified: Person;
/** Alice's, with bob and dave; carol is the outsider. */
let group: string;

beforeAll(async () => {
  server = await TestServer.start();
  [alice, bob] = [await join(server, 'Alice'), await join(server, 'Bob')];
  [carol, dave] = [await join(server, 'Carol'), await join(server, 'Dave')];
  unverified = await signUp(server, 'Unverified');
});
beforeEach(async () => {
  group = await makeGroup(server, alice, [bob, dave]);
});
afterAll(() => server.stop());

async function setRole(asker: Person, uid: unknown, role: unknown, id: unknown = group): Promise<number> {
  const sent = { ...credentials(asker), GROUP_ID: id, MEMBER_UID: uid, ROLE: role };
  return (await call(server, 'setRole', sent)).status;
}

function members(asker: Person, id: unknown = group, page: Record<string, unknown> = {}) {
  return call(server, 'listMembers', { ...credentials(asker), GROUP_ID: id, ...page });
}

/** Everybody's role, as this member sees it. */
async function rolesSeenBy(asker: Person): Promise<Record<string, string>> {
  const { body } = await members(asker);
  const entries = Object.entries<{ ROLE: string }>(body.members);
  return Object.fromEntries(entries.map(([uid, { ROLE }]) => [uid, ROLE]));
}

const change = async (asker: Person, what: 'addMember' | 'removeMember', { uid }: Person) =>
  (await call(server, what, { ...credentials(asker), GROUP_ID: group, MEMBER_UID: uid })).status;

describe('the list of members', () => {
  test('a member sees everybody in the group by ascending number, with name, picture and role', async () => {
    const { status, body } = await members(bob);
    expect(status).toBe(200);
    expect(body.members).toEqual({
      [alice.uid]: { NAME: alice.name, PROFILE_PIC: '', ROLE: 'owner' },
      [bob.uid]: { NAME: bob.name, PROFILE_PIC: '', ROLE: 'member' },
      [dave.uid]: { NAME: dave.name, PROFILE_PIC: '', ROLE: 'member' },
    });
  });

  test('an outsider gets the very answer that an unknown group gets', async () => {
    const [foreign, unknown] = [await members(carol), await members(carol, '9999999999999')];
    expect(foreign.status).toBe(404);
    expect(foreign.body).toEqual(unknown.body);
    expect((await members(alice)).status).toBe(200);
  });

  test('who was removed sees it no more', async () => {
    expect((await members(bob)).status).toBe(200);
    expect(await change(alice, 'removeMember', bob)).toBe(200);
    expect((await members(bob)).status).toBe(404);
  });

  test('a direct chat has none, also for one of the two', async () => {
    expect((await members(alice, directChatId(alice.uid, bob.uid))).status).toBe(404);
  });

  test('it comes in pages: after a number, so many at once', async () => {
    const everybody = [alice, bob, carol, dave].map(({ uid }) => uid).sort((one, other) => one - other);
    const seen: string[] = [];
    for (let after = 0; ; ) {
      const { body } = await members(carol, defaultGroup, { AFTER: after, LIMIT: 3 });
      const page = Object.keys(body.members);
      if (page.length === 0) break;
      expect(page.length).toBeWithin(1, 4);
      seen.push(...page);
      after = Number(page.at(-1));
    }
    expect(seen.map(Number)).toEqual(everybody);
    for (const bad of [{ LIMIT: 1001 }, { LIMIT: 0 }, { AFTER: 'x' }, { AFTER: -1 }])
      expect([bad, (await members(alice, group, bad)).status]).toEqual([bad, 400]);
  });
});

describe('changing roles', () => {
  test('the owner makes a member admin, who may then do what admins do, and member again', async () => {
    expect(await change(bob, 'addMember', carol)).toBe(403);
    expect(await setRole(alice, bob.uid, 'admin')).toBe(200);
    expect(await rolesSeenBy(dave)).toEqual({
      [alice.uid]: 'owner',
      [bob.uid]: 'admin',
      [dave.uid]: 'member',
    });
    expect(await change(bob, 'addMember', carol)).toBe(200);
    expect(await setRole(alice, bob.uid, 'member')).toBe(200);
    expect(await change(bob, 'removeMember', carol)).toBe(403);
  });

  test('handing the group over leaves exactly one owner, and the former one an admin', async () => {
    expect(await setRole(alice, bob.uid, 'owner')).toBe(200);
    expect(await rolesSeenBy(alice)).toEqual({
      [alice.uid]: 'admin',
      [bob.uid]: 'owner',
      [dave.uid]: 'member',
    });
    expect(await setRole(alice, dave.uid, 'admin')).toBe(403);
    expect(await setRole(bob, dave.uid, 'admin')).toBe(200);
    expect(await change(alice, 'removeMember', bob)).toBe(403);
  });

  test('a member, an admin and an outsider may not, not even for themselves', async () => {
    expect(await setRole(alice, bob.uid, 'admin')).toBe(200);
    const before = await rolesSeenBy(alice);
    for (const role of ['owner', 'admin', 'member']) {
      for (const asker of [bob, dave])
        for (const { uid } of [alice, bob, carol, dave]) expect(await setRole(asker, uid, role)).toBe(403);
      for (const { uid } of [alice, bob, carol]) expect(await setRole(carol, uid, role)).toBe(404);
    }
    expect(await rolesSeenBy(alice)).toEqual(before);
    // The twin: the owner may.
    expect(await setRole(alice, dave.uid, 'admin')).toBe(200);
  });

  test('to an outsider the group looks like none', async () => {
    const sent = { ...credentials(carol), MEMBER_UID: bob.uid, ROLE: 'admin' };
    const foreign = await call(server, 'setRole', { ...sent, GROUP_ID: group });
    const unknown = await call(server, 'setRole', { ...sent, GROUP_ID: '9999999999999' });
    expect([foreign.status, foreign.body]).toEqual([404, unknown.body]);
  });

  test('an owner does not give up the role without an heir', async () => {
    expect(await setRole(alice, alice.uid, 'owner')).toBe(409);
    expect(await setRole(alice, alice.uid, 'admin')).toBe(403);
    expect(await setRole(alice, alice.uid, 'member')).toBe(403);
    expect((await rolesSeenBy(alice))[alice.uid]).toBe('owner');
  });

  test('the role one has already and one who is no member are 409, unknown people and groups 404', async () => {
    expect(await setRole(alice, bob.uid, 'member')).toBe(409);
    expect(await setRole(alice, carol.uid, 'admin')).toBe(409);
    for (const stranger of [123_456_789, unverified.uid])
      expect(await setRole(alice, stranger, 'admin')).toBe(404);
    for (const id of ['9999999999999', directChatId(alice.uid, bob.uid)])
      expect(await setRole(alice, bob.uid, 'admin', id)).toBe(404);
    expect(await rolesSeenBy(alice)).not.toHaveProperty([String(carol.uid)]);
  });

  test('in the default group there are no roles', async () => {
    for (const role of ['owner', 'admin', 'member'])
      for (const { uid } of [alice, bob]) expect(await setRole(alice, uid, role, defaultGroup)).toBe(403);
  });

  test('missing and malformed fields are 400', async () => {
    for (const bad of [undefined, null, '', 'Owner', 'god', 1, {}, ['admin']])
      expect(await setRole(alice, bob.uid, bad)).toBe(400);
    for (const bad of [null, 'x', -1, {}]) {
      expect(await setRole(alice, bad, 'admin')).toBe(400);
      expect(await setRole(alice, bob.uid, 'admin', bad)).toBe(400);
    }
  });

  test('of many handings over at once one wins', async () => {
    for (let round = 0; round < 20; round += 1) {
      group = await makeGroup(server, alice, [bob, dave]);
      const statuses = await Promise.all(
        [bob, dave, bob, dave].map(({ uid }) => setRole(alice, uid, 'owner')),
      );
      expect(statuses.sort()).toEqual([200, 403, 403, 403]);
      expect(Object.values(await rolesSeenBy(bob)).sort()).toEqual(['admin', 'member', 'owner']);
    }
  });

  test('it is in the audit log by numbers alone', async () => {
    expect(await setRole(alice, bob.uid, 'admin')).toBe(200);
    expect(await setRole(dave, bob.uid, 'member')).toBe(403);
    const [newest] = await server.store.listAudit({ uid: bob.uid, before: null, limit: 1 });
    expect(newest).toMatchObject({ kind: 'role_changed', uid: bob.uid, actor: 'self', address: '127.0.0.1' });
    expect(newest?.detail).toBe(`admin of group ${group}, by ${alice.uid}`);
  });
});
