// The list of chats and their history, as each of their members sees them.
import { Database } from 'bun:sqlite';
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { join as joinPath } from 'node:path';
import { call, credentials, join, makeGroup, type Person } from '../support/people.ts';
import { TestServer, withServer } from '../support/server.ts';
import { defaultGroup, TestSocket } from '../support/socket.ts';

let server: TestServer;
let alice: Person;
let bob: Person;
let carol: Person;
/** Of alice and bob, with 35 messages. */
let group: string;
const fromAlice = () => `${alice.uid}0000000000000000${bob.uid}`;
const fromBob = () => `${bob.uid}0000000000000000${alice.uid}`;
const picture = 'https://example.test/bob.png';

beforeAll(async () => {
  server = await TestServer.start();
  alice = await join(server, 'Alice');
  bob = await join(server, 'Bob');
  carol = await join(server, 'Carol');
  await call(server, 'changeSettings', { ...credentials(bob), PROFILE_PIC: picture });
  group = await makeGroup(server, alice, [bob]);
  const socket = await TestSocket.announced(server, alice);
  for (let number = 1; number <= 35; number += 1) await say(socket, `text ${number}`, group);
  server.advance(1000);
  await say(socket, 'hello Bob', fromAlice(), 'send_message_new_chat');
  await socket.close();
});
afterAll(() => server.stop());

async function say(socket: TestSocket, text: string, id: string, event?: string): Promise<void> {
  const reply = await socket.say(text, id, event);
  expect(reply.data.status_code).toBe(200);
}

async function chatsOf(person: Person, at = server) {
  const { status, body } = await call(at, 'listChats', credentials(person));
  expect(status).toBe(200);
  return body.chats;
}

/** Message numbers of one page, in the order they came. */
async function page(person: Person, fields: Record<string, unknown>): Promise<number[]> {
  const { status, body } = await call(server, 'oldMessages', { ...credentials(person), ...fields });
  expect(status).toBe(200);
  const pages = Object.values(body.groups_messages);
  expect(pages).toHaveLength(1);
  return Object.keys(pages[0] as object).map(Number);
}

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

async function refused(person: Person, fields: Record<string, unknown>): Promise<number> {
  return (await call(server, 'oldMessages', { ...credentials(person), ...fields })).status;
}

describe('the list of chats', () => {
  test('everybody has the default group, from the first moment', async () => {
    const chats = await chatsOf(carol);
    expect(Object.keys(chats)).toEqual([defaultGroup]);
    expect(chats[defaultGroup]).toMatchObject({ NAME: 'ACODE CHAT', PROFILE_PIC: '', KIND: 'group' });
    expect(chats[defaultGroup].LAST_MESSAGE_TIME).toBeNull();
  });

  test('a direct chat begins with the number of who asks, and is named after the other', async () => {
    const entry = { KIND: 'direct', LAST_MESSAGE: 'hello Bob', LAST_MESSAGE_ID: 1, READ_MESSAGE_ID: 0 };
    const [alices, bobs] = [await chatsOf(alice), await chatsOf(bob)];
    expect(alices[fromAlice()]).toMatchObject({ ...entry, NAME: 'Bob Tester', PROFILE_PIC: picture });
    expect(bobs[fromBob()]).toMatchObject({ ...entry, NAME: 'Alice Tester', PROFILE_PIC: '' });
    expect(alices).not.toHaveProperty([fromBob()]);
    expect(bobs).not.toHaveProperty([fromAlice()]);
  });

  test('an entry says what was last said, where and when', async () => {
    const entry = (await chatsOf(bob))[group];
    expect(entry).toMatchObject({
      NAME: 'Team',
      KIND: 'group',
      LAST_MESSAGE_ID: 35,
      LAST_MESSAGE: 'text 35',
    });
    expect(entry.LAST_MESSAGE_TIME).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    expect(entry.CREATION_DATE <= entry.LAST_MESSAGE_TIME).toBe(true);
  });

  test('the most recently active is first', async () => {
    await withServer(async (own) => {
      const [ann, ben] = [await join(own, 'Ann'), await join(own, 'Ben')];
      const later = <T>(work: () => Promise<T>): Promise<T> => {
        own.advance(1000);
        return work();
      };
      const one = await later(() => makeGroup(own, ann, [ben]));
      const two = await later(() => makeGroup(own, ann, [ben]));
      const order = async () => Object.keys(await chatsOf(ann, own));
      expect(await order()).toEqual([two, one, defaultGroup]);
      const socket = await TestSocket.announced(own, ben);
      await later(() => say(socket, 'one', one));
      expect(await order()).toEqual([one, two, defaultGroup]);
      await later(() => say(socket, 'all', defaultGroup));
      expect(await order()).toEqual([defaultGroup, one, two]);
      const direct = `${ben.uid}0000000000000000${ann.uid}`;
      await later(() => say(socket, 'you', direct, 'send_message_new_chat'));
      expect(await order()).toEqual([`${ann.uid}0000000000000000${ben.uid}`, defaultGroup, one, two]);
      await socket.close();
    });
  });

  test('writing to oneself is a chat of one, under a name of the same form', async () => {
    const dora = await join(server, 'Dora');
    const id = `${dora.uid}0000000000000000${dora.uid}`;
    const socket = await TestSocket.announced(server, dora);
    await say(socket, 'note to self', id, 'send_message_new_chat');
    await socket.close();
    const chats = await chatsOf(dora);
    expect(Object.keys(chats)).toEqual([id, defaultGroup]);
    expect(chats[id]).toMatchObject({ NAME: 'Dora Tester', LAST_MESSAGE: 'note to self', KIND: 'direct' });
    expect(await page(dora, { GROUP_ID: id })).toEqual([1]);
    expect(await refused(carol, { GROUP_ID: id })).toBe(403);
  });

  test('an account with no chat at all gets 404, and its group back at the next start', async () => {
    await withServer(async (own) => {
      const loner = await join(own, 'Loner');
      const database = new Database(joinPath(own.dataDir, 'chat.db'));
      database.run('DELETE FROM members WHERE uid = ?', [loner.uid]);
      database.close();
      expect((await call(own, 'listChats', credentials(loner))).status).toBe(404);
      const history = await call(own, 'oldMessages', credentials(loner));
      expect(history).toMatchObject({ status: 200, body: { groups_messages: {} } });
      await own.restart();
      expect(Object.keys(await chatsOf(loner, own))).toEqual([defaultGroup]);
    });
  });

  test('the group of everybody has the name and number of the configuration', async () => {
    const env = { DEFAULT_GROUP_ID: '7777777777777', DEFAULT_GROUP_NAME: 'Lobby' };
    await withServer(
      async (own) => {
        const chats = await chatsOf(await join(own, 'Alice'), own);
        expect(Object.keys(chats)).toEqual(['7777777777777']);
        expect(chats['7777777777777'].NAME).toBe('Lobby');
      },
      { env },
    );
  });
});

describe('the history of all chats', () => {
  test('it has the last 30 messages of each chat, ascending, under the ids of the list', async () => {
    for (const person of [alice, bob]) {
      const { status, body } = await call(server, 'oldMessages', credentials(person));
      expect(status).toBe(200);
      const ids = Object.keys(await chatsOf(person));
      expect(Object.keys(body.groups_messages).sort()).toEqual(ids.sort());
      expect(Object.keys(body.groups_messages[group]).map(Number)).toEqual(range(6, 35));
      expect(body.groups_messages[defaultGroup]).toEqual({});
    }
  });

  test('a message is told with who sent it, when, and what was said', async () => {
    const { body } = await call(server, 'oldMessages', { UID: bob.uid, TOKEN: bob.token });
    expect(body.groups_messages[fromBob()]).toEqual({
      '1': {
        SENDER_ID: alice.uid,
        SENDER_NAME: 'Alice Tester',
        MESSAGE: 'hello Bob',
        PROFILE_PIC: '',
        TIME_STAMP: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      },
    });
  });

  test('an outsider gets nothing of it', async () => {
    const { body } = await call(server, 'oldMessages', credentials(carol));
    expect(body.groups_messages).toEqual({ [defaultGroup]: {} });
  });
});

describe('pages of one chat', () => {
  test('without BEFORE and AFTER it is the newest 30, or as many as LIMIT says', async () => {
    expect(await page(alice, { GROUP_ID: group })).toEqual(range(6, 35));
    expect(await page(alice, { GROUP_ID: group, LIMIT: 3 })).toEqual([33, 34, 35]);
    expect(await page(alice, { GROUP_ID: group, LIMIT: '100' })).toEqual(range(1, 35));
  });

  test('BEFORE excludes its message and takes the ones right before it', async () => {
    expect(await page(alice, { GROUP_ID: group, BEFORE: 6 })).toEqual(range(1, 5));
    expect(await page(alice, { GROUP_ID: group, BEFORE: '20', LIMIT: 2 })).toEqual([18, 19]);
    expect(await page(alice, { GROUP_ID: group, BEFORE: 1 })).toEqual([]);
    expect(await page(alice, { GROUP_ID: group, BEFORE: 1e9, LIMIT: 1 })).toEqual([35]);
  });

  test('AFTER excludes its message and takes the ones right after it', async () => {
    expect(await page(alice, { GROUP_ID: group, AFTER: 33 })).toEqual([34, 35]);
    expect(await page(alice, { GROUP_ID: group, AFTER: 0, LIMIT: 2 })).toEqual([1, 2]);
    expect(await page(alice, { GROUP_ID: group, AFTER: 35 })).toEqual([]);
    expect(await page(alice, { GROUP_ID: group, AFTER: 10, BEFORE: 13 })).toEqual([11, 12]);
  });

  test('a direct chat is found by either spelling, and named as its reader sees it', async () => {
    for (const person of [alice, bob]) {
      const own = person === alice ? fromAlice() : fromBob();
      for (const id of [fromAlice(), fromBob()]) {
        const { body } = await call(server, 'oldMessages', { ...credentials(person), GROUP_ID: id });
        expect(Object.keys(body.groups_messages)).toEqual([own]);
        expect(body.groups_messages[own]['1'].MESSAGE).toBe('hello Bob');
      }
    }
  });

  test('a group may be named by a JSON number', async () => {
    expect(await page(bob, { GROUP_ID: Number(group), LIMIT: 1 })).toEqual([35]);
  });

  test("a chat of others, one that does not exist and one's own unwritten one are all 403", async () => {
    const unwritten = `${carol.uid}0000000000000000${alice.uid}`;
    for (const id of [group, fromAlice(), fromBob(), '9999999999999', unwritten, '5', '1'.repeat(40)])
      expect([id, await refused(carol, { GROUP_ID: id })]).toEqual([id, 403]);
    // The twin: for those inside the same ids are good.
    for (const id of [group, fromAlice(), fromBob()])
      expect(await refused(alice, { GROUP_ID: id })).toBe(200);
  });

  test('malformed pages are 400', async () => {
    for (const bad of [
      { GROUP_ID: 'x' },
      { GROUP_ID: '' },
      { GROUP_ID: {} },
      { GROUP_ID: '0123' },
      { GROUP_ID: '1'.repeat(41) },
    ])
      expect([bad, await refused(alice, bad)]).toEqual([bad, 400]);
    for (const bad of [
      { LIMIT: 0 },
      { LIMIT: 101 },
      { LIMIT: 1.5 },
      { BEFORE: -1 },
      { BEFORE: 'x' },
      { AFTER: {} },
      { AFTER: 0.5 },
    ])
      expect([bad, await refused(alice, { GROUP_ID: group, ...bad })]).toEqual([bad, 400]);
  });
});
