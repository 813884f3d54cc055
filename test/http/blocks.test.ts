// Blocking people: who may, what it does to the list of people, and what it leaves alone.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test';
import { call, credentials, join, makeGroup, type Person, signUp } from '../support/people.ts';
import { TestServer } from '../support/server.ts';

let server: TestServer;
let alice: Person;
let bob: Person;
/** Has blocked nobody and is blocked by nobody. */
let carol: Person;
let unverified: Person;
let round = 0;

beforeAll(async () => {
  server = await TestServer.start();
  carol = await join(server, 'Carol');
  unverified = await signUp(server, 'Unverified');
});
beforeEach(async () => {
  const letter = String.fromCharCode(97 + round++);
  [alice, bob] = [await join(server, `Alice${letter}`), await join(server, `Bob${letter}`)];
});
afterAll(() => server.stop());

async function change(asker: Person, what: 'blockUser' | 'unblockUser', uid: unknown): Promise<number> {
  return (await call(server, what, { ...credentials(asker), BLOCKED_UID: uid })).status;
}
const block = (asker: Person, { uid }: Person) => change(asker, 'blockUser', uid);
const unblock = (asker: Person, { uid }: Person) => change(asker, 'unblockUser', uid);

async function blockedBy(asker: Person) {
  return (await call(server, 'listBlocked', credentials(asker))).body.users;
}

/** The numbers in this person's list of people, whole or by pages. */
async function peopleSeenBy(asker: Person, page: Record<string, unknown> = {}): Promise<number[]> {
  const { status, body } = await call(server, 'listPeople', { ...credentials(asker), ...page });
  return status === 404 ? [] : Object.keys(body).map(Number);
}

describe('blocking', () => {
  test('it is answered 200 once and 409 then, and so is unblocking', async () => {
    expect(await unblock(alice, bob)).toBe(409);
    expect(await block(alice, bob)).toBe(200);
    expect(await block(alice, bob)).toBe(409);
    expect(await unblock(bob, alice)).toBe(409);
    expect(await unblock(alice, bob)).toBe(200);
    expect(await unblock(alice, bob)).toBe(409);
    expect(await block(alice, bob)).toBe(200);
  });

  test('oneself is 400; who does not exist or is not verified 404, and stays so', async () => {
    for (const what of ['blockUser', 'unblockUser'] as const) {
      expect(await change(alice, what, alice.uid)).toBe(400);
      for (const stranger of [123_456_789, unverified.uid])
        expect(await change(alice, what, stranger)).toBe(404);
      for (const bad of [undefined, null, '', 'bob', -1, 0, {}, []])
        expect(await change(alice, what, bad)).toBe(400);
    }
    expect(await blockedBy(alice)).toEqual({});
  });

  test('the list has whom one has blocked oneself, with name and picture, and nobody else', async () => {
    expect(await blockedBy(alice)).toEqual({});
    expect(await block(alice, bob)).toBe(200);
    expect(await block(alice, carol)).toBe(200);
    expect(await blockedBy(alice)).toEqual({
      [bob.uid]: { NAME: bob.name, PROFILE_PIC: '' },
      [carol.uid]: { NAME: carol.name, PROFILE_PIC: '' },
    });
    expect(await blockedBy(bob)).toEqual({});
    expect(await unblock(alice, bob)).toBe(200);
    expect(Object.keys(await blockedBy(alice))).toEqual([String(carol.uid)]);
  });

  test('a number may come as a digit string', async () => {
    expect(await change(alice, 'blockUser', String(bob.uid))).toBe(200);
    expect(Object.keys(await blockedBy(alice))).toEqual([String(bob.uid)]);
  });

  test('of many at once one wins', async () => {
    const statuses = await Promise.all(Array.from({ length: 5 }, () => block(alice, bob)));
    expect(statuses.sort()).toEqual([200, 409, 409, 409, 409]);
  });
});

describe('the list of people', () => {
  /** Whole, by name, and by pages: `get_all_users` makes each in its own way. */
  const pages = [{}, { QUERY: 'tester' }, { LIMIT: 1000 }, { AFTER: 1 }];

  test('neither of the two is in the other one’s, and both are in everybody else’s', async () => {
    for (const page of pages) {
      expect(await peopleSeenBy(alice, page)).toContain(bob.uid);
      expect(await peopleSeenBy(bob, page)).toContain(alice.uid);
    }
    expect(await block(alice, bob)).toBe(200);
    for (const page of pages) {
      const [hers, his] = [await peopleSeenBy(alice, page), await peopleSeenBy(bob, page)];
      expect(hers).not.toContain(bob.uid);
      expect(his).not.toContain(alice.uid);
      for (const list of [hers, his]) expect(list).toContain(carol.uid);
      expect(await peopleSeenBy(carol, page)).toEqual(expect.arrayContaining([alice.uid, bob.uid]));
    }
    expect(await unblock(alice, bob)).toBe(200);
    for (const page of pages) {
      expect(await peopleSeenBy(alice, page)).toContain(bob.uid);
      expect(await peopleSeenBy(bob, page)).toContain(alice.uid);
    }
  });

  test('when both have blocked each other, it takes both to end it', async () => {
    expect([await block(alice, bob), await block(bob, alice)]).toEqual([200, 200]);
    expect(await unblock(alice, bob)).toBe(200);
    expect(await peopleSeenBy(alice)).not.toContain(bob.uid);
    expect(await unblock(bob, alice)).toBe(200);
    expect(await peopleSeenBy(alice)).toContain(bob.uid);
  });

  test('with several blocked, exactly they are missing', async () => {
    const before = await peopleSeenBy(alice);
    const others = [
      await join(server, `X${bob.name.slice(3, 4)}`),
      await join(server, `Y${bob.name.slice(3, 4)}`),
    ];
    for (const other of [...others, bob]) expect(await block(alice, other)).toBe(200);
    expect(await block(carol, alice)).toBe(200);
    const gone = [bob.uid, carol.uid];
    expect(await peopleSeenBy(alice)).toEqual(before.filter((uid) => !gone.includes(uid)));
    expect(await peopleSeenBy(alice, { LIMIT: 1000 })).toEqual(before.filter((uid) => !gone.includes(uid)));
    expect(await unblock(carol, alice)).toBe(200);
  });
});

test('groups are unaffected: both stay, see each other and may be added by a third', async () => {
  const group = await makeGroup(server, carol, [alice, bob]);
  expect(await block(alice, bob)).toBe(200);
  const { body } = await call(server, 'listMembers', { ...credentials(alice), GROUP_ID: group });
  expect(Object.keys(body.members)).toContain(String(bob.uid));
  expect(await makeGroup(server, carol, [alice, bob])).toMatch(/^\d{13}$/);
});

test('a block outlives a restart', async () => {
  expect(await block(alice, bob)).toBe(200);
  await server.restart();
  expect(await block(alice, bob)).toBe(409);
  expect(await peopleSeenBy(bob)).not.toContain(alice.uid);
});
