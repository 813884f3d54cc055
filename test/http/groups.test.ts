// Groups: making one, who may add and remove people, leaving, and handing over.
import { Database } from 'bun:sqlite';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test';
import { join as joinPath } from 'node:path';
import { directChatId } from '../../src/protocol/entities.ts';
import { call, credentials, join, makeGroup, type Person, signUp } from '../support/people.ts';
import { TestServer } from '../support/server.ts';
import { defaultGroup, TestSocket } from '../support/socket.ts';

let server: TestServer;
let alice: Person;
let bob: Person;
let carol: Person;
let dave: Person;
let unverified: Person;
/** Of alice and bob; carol is the outsider. */
let group: string;

beforeAll(async () => {
  server = await TestServer.start();
  [alice, bob] = [await join(server, 'Alice'), await join(server, 'Bob')];
  [carol, dave] = [await join(server, 'Carol'), await join(server, 'Dave')];
  unverified = await signUp(server, 'Unverified');
});
beforeEach(async () => {
  group = await makeGroup(server, alice, [bob]);
});
afterAll(() => server.stop());

type Change = 'addMember' | 'removeMember';

async function change(asker: Person, what: Change, uid: unknown, id: unknown = group): Promise<number> {
  const sent = { ...credentials(asker), GROUP_ID: id, MEMBER_UID: uid };
  return (await call(server, what, sent)).status;
}

async function leave(asker: Person, id: unknown = group): Promise<number> {
  return (await call(server, 'leaveGroup', { ...credentials(asker), GROUP_ID: id })).status;
}

/** The entry of the group in this person's list; undefined when there is none. */
async function entryOf(person: Person, id = group) {
  return (await call(server, 'listChats', credentials(person))).body.chats[id];
}

async function isMember(person: Person, id = group): Promise<boolean> {
  const listed = (await entryOf(person, id)) !== undefined;
  const history = await call(server, 'oldMessages', { ...credentials(person), GROUP_ID: id });
  expect(history.status).toBe(listed ? 200 : 403);
  return listed;
}

function setRole(person: Person, role: string, id = group): void {
  const database = new Database(joinPath(server.dataDir, 'chat.db'));
  const where = 'WHERE uid = ? AND chat_id = (SELECT id FROM chats WHERE group_id = ?)';
  database.run(`UPDATE members SET role = ? ${where}`, [role, person.uid, id]);
  database.close();
}

describe('making a group', () => {
  test('it is in the list of all its members, with its name and picture, and of nobody else', async () => {
    const sent = { ...credentials(alice), NAME: ' Équipe 🐎 ', PROFILE_PIC: 'https://example.test/g.png' };
    const members = [bob.uid, String(dave.uid), bob.uid, alice.uid];
    const { status, body } = await call(server, 'createGroup', { ...sent, MEMBERS: members });
    expect(status).toBe(200);
    expect(body.GROUP_ID).toMatch(/^[1-9]{13}$/);
    for (const member of [alice, bob, dave]) {
      const entry = await entryOf(member, body.GROUP_ID);
      expect(entry).toMatchObject({
        NAME: 'Équipe 🐎',
        PROFILE_PIC: 'https://example.test/g.png',
        KIND: 'group',
      });
    }
    expect(await entryOf(carol, body.GROUP_ID)).toBeUndefined();
  });

  test('it needs nobody but the one who makes it', async () => {
    for (const nobody of [
      {},
      { MEMBERS: [] },
      { MEMBERS: null },
      { MEMBERS: [alice.uid], PROFILE_PIC: '' },
    ]) {
      const { status } = await call(server, 'createGroup', {
        ...credentials(alice),
        NAME: 'Alone',
        ...nobody,
      });
      expect(status).toBe(200);
    }
  });

  test('a bad name, picture or list is 400 and named', async () => {
    const bad: [string, unknown][] = [
      ...[undefined, null, '', '  ', 'x'.repeat(101), 7, 'a\nb', '\u202e'].map((name): [string, unknown] => [
        'NAME',
        name,
      ]),
      ['PROFILE_PIC', 'javascript:1'],
      ...['x', 7, { 0: bob.uid }, [bob.uid, 'bob'], [null], [-1], Array(501).fill(bob.uid)].map(
        (list): [string, unknown] => ['MEMBERS', list],
      ),
    ];
    for (const [field, value] of bad) {
      const sent = { ...credentials(alice), NAME: 'Group', [field]: value };
      const { status, body } = await call(server, 'createGroup', sent);
      expect([value, status]).toEqual([value, 400]);
      expect(body.message).toContain(field);
    }
  });

  test('it is 404, and no group is made, when one of the people does not exist or is not verified', async () => {
    const before = Object.keys((await call(server, 'listChats', credentials(bob))).body.chats).length;
    for (const stranger of [123_456_789, unverified.uid]) {
      const sent = { ...credentials(alice), NAME: 'Group', MEMBERS: [bob.uid, stranger] };
      expect((await call(server, 'createGroup', sent)).status).toBe(404);
    }
    const after = Object.keys((await call(server, 'listChats', credentials(bob))).body.chats).length;
    expect(after).toBe(before);
  });
});

describe('adding and removing people', () => {
  test('the owner adds, and the newcomer reads and writes at once', async () => {
    expect(await isMember(carol)).toBe(false);
    expect(await change(alice, 'addMember', carol.uid)).toBe(200);
    expect(await isMember(carol)).toBe(true);
    const socket = await TestSocket.announced(server, carol);
    expect((await socket.say('hello', group)).data.status_code).toBe(200);
    await socket.close();
  });

  test('the owner removes, and whoever was removed is outside at once', async () => {
    expect(await isMember(bob)).toBe(true);
    expect(await change(alice, 'removeMember', bob.uid)).toBe(200);
    expect(await isMember(bob)).toBe(false);
    expect(await change(alice, 'addMember', bob.uid)).toBe(200);
    expect(await isMember(bob)).toBe(true);
  });

  test('an admin may add and remove members, but not the owner', async () => {
    expect(await change(bob, 'addMember', carol.uid)).toBe(403);
    setRole(bob, 'admin');
    expect(await change(bob, 'addMember', carol.uid)).toBe(200);
    expect(await change(bob, 'removeMember', carol.uid)).toBe(200);
    expect(await change(bob, 'removeMember', alice.uid)).toBe(403);
    expect(await isMember(alice)).toBe(true);
  });

  test('a mere member may do neither; an outsider is told what he is told of a group that does not exist', async () => {
    for (const [asker, of, status] of [
      [bob, group, 403],
      [carol, group, 404],
      [carol, '9999999999999', 404],
    ] as const) {
      expect(await change(asker, 'addMember', dave.uid, of)).toBe(status);
      expect(await change(asker, 'removeMember', alice.uid, of)).toBe(status);
      expect(await change(asker, 'removeMember', bob.uid, of)).toBe(status);
      expect(await change(asker, 'addMember', carol.uid, of)).toBe(status);
    }
    // The twin: for the owner the same requests are fine.
    expect(await change(alice, 'addMember', dave.uid)).toBe(200);
    expect(await change(alice, 'removeMember', bob.uid)).toBe(200);
  });

  test('whoever is (not) a member already is 409, an unknown person or group 404', async () => {
    expect(await change(alice, 'addMember', bob.uid)).toBe(409);
    expect(await change(alice, 'removeMember', carol.uid)).toBe(409);
    for (const what of ['addMember', 'removeMember'] as const) {
      expect(await change(alice, what, 123_456_789)).toBe(404);
      expect(await change(alice, what, unverified.uid)).toBe(404);
      expect(await change(alice, what, bob.uid, '9999999999999')).toBe(404);
      expect(await change(alice, what, bob.uid, directChatId(alice.uid, bob.uid))).toBe(404);
    }
  });

  test('missing and malformed fields are 400', async () => {
    for (const what of ['addMember', 'removeMember'] as const) {
      for (const bad of [null, '', 'bob', -1, {}, []]) expect(await change(alice, what, bad)).toBe(400);
      for (const bad of [null, '', 'x', -1, {}, '0123'])
        expect(await change(alice, what, bob.uid, bad)).toBe(400);
    }
  });

  test('the group may be named by a JSON number too', async () => {
    expect(await change(alice, 'addMember', String(carol.uid), Number(group))).toBe(200);
  });

  test('of two who add the same person at once one gets 409', async () => {
    setRole(bob, 'admin');
    const statuses = await Promise.all([alice, bob].map((asker) => change(asker, 'addMember', carol.uid)));
    expect(statuses.sort()).toEqual([200, 409]);
  });
});

describe('leaving', () => {
  test('whoever leaves is outside; the others stay', async () => {
    expect(await leave(bob)).toBe(200);
    expect(await isMember(bob)).toBe(false);
    expect(await isMember(alice)).toBe(true);
    expect(await leave(bob)).toBe(404);
  });

  test('an owner hands over to the member who is there longest', async () => {
    server.advance(1000);
    await change(alice, 'addMember', carol.uid);
    server.advance(1000);
    await change(alice, 'addMember', dave.uid);
    expect(await change(bob, 'removeMember', dave.uid)).toBe(403);
    expect(await leave(alice)).toBe(200);
    expect(await change(carol, 'removeMember', dave.uid)).toBe(403);
    expect(await change(bob, 'removeMember', dave.uid)).toBe(200);
  });

  test('an owner hands over to an admin before any member', async () => {
    server.advance(1000);
    await change(alice, 'addMember', carol.uid);
    setRole(carol, 'admin');
    expect(await leave(alice)).toBe(200);
    expect(await change(carol, 'removeMember', bob.uid)).toBe(200);
    // What only an owner's rank protects from: an admin could not be kept from it.
    expect(await change(carol, 'addMember', bob.uid)).toBe(200);
    setRole(bob, 'admin');
    expect(await change(bob, 'removeMember', carol.uid)).toBe(403);
  });

  test('the last one out takes the group along with all that was said in it', async () => {
    const socket = await TestSocket.announced(server, alice);
    await socket.say('the last word', group);
    await socket.close();
    expect(await leave(bob)).toBe(200);
    expect(await leave(alice)).toBe(200);
    expect(await change(alice, 'addMember', bob.uid)).toBe(404);
    expect(await leave(alice)).toBe(404);
    const database = new Database(joinPath(server.dataDir, 'chat.db'), { readonly: true });
    const rows = database.query(
      'SELECT (SELECT count(*) FROM chats WHERE group_id = ?) AS chats, (SELECT count(*) FROM messages WHERE body = ?) AS messages',
    );
    expect(rows.get(group, 'the last word')).toEqual({ chats: 0, messages: 0 });
    database.close();
  });

  test('an outsider can not leave, and an unknown, direct or malformed id is refused', async () => {
    expect(await leave(carol)).toBe(404);
    expect(await leave(alice, '9999999999999')).toBe(404);
    expect(await leave(alice, directChatId(alice.uid, bob.uid))).toBe(404);
    for (const bad of [null, '', 'x', -1, {}]) expect(await leave(alice, bad)).toBe(400);
    expect(await leave(alice)).toBe(200);
  });
});

describe('the default group', () => {
  test('nobody leaves it and nobody is removed from it, not even by one in charge', async () => {
    expect(await leave(alice, defaultGroup)).toBe(403);
    expect(await change(alice, 'removeMember', bob.uid, defaultGroup)).toBe(403);
    for (const role of ['admin', 'owner']) {
      setRole(alice, role, defaultGroup);
      expect(await change(alice, 'removeMember', bob.uid, defaultGroup)).toBe(403);
      expect(await leave(alice, defaultGroup)).toBe(403);
    }
    // The twin: she is in charge, only everybody is in already.
    expect(await change(alice, 'addMember', bob.uid, defaultGroup)).toBe(409);
    setRole(alice, 'member', defaultGroup);
    for (const person of [alice, bob]) expect(await isMember(person, defaultGroup)).toBe(true);
  });
});
