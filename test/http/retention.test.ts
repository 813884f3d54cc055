// Removing messages by their age: whose rule counts, what goes and what stays, and what those who return are told.
import { Database } from 'bun:sqlite';
import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { join as joinPath } from 'node:path';
import { ChatClient, type ClientState } from '../../src/client/client.ts';
import { directChatId, limits } from '../../src/protocol/entities.ts';
import { asAdmin } from '../support/admin.ts';
import { call, credentials, join, makeGroup, type Person } from '../support/people.ts';
import { fixedPort } from '../support/process.ts';
import { TestServer } from '../support/server.ts';
import { defaultGroup, TestSocket } from '../support/socket.ts';

const dayMs = 24 * 60 * 60 * 1000;

let server: TestServer;
let alice: Person;
let bob: Person;
let carol: Person;
let group: string;

beforeEach(async () => {
  server = await TestServer.start();
  [alice, bob, carol] = [await join(server, 'Alice'), await join(server, 'Bob'), await join(server, 'Carol')];
  group = await makeGroup(server, alice, [bob]);
});
afterEach(() => server.stop());

/** Says so many things in a chat and returns the last MESSAGE_ID. */
async function say(count: number, chat: string, by = alice): Promise<number> {
  await using socket = await TestSocket.announced(server, by);
  for (let index = 0; index < count; index += 1)
    socket.send('send_message_new_chat', { MESSAGE: `old text ${index}`, GROUP_ID: chat });
  let last = 0;
  for (let index = 0; index < count; index += 1) last = (await socket.next()).data.MESSAGE_ID;
  return last;
}

async function pass(days: number): Promise<void> {
  server.advance(days * dayMs);
  await server.running.keepHouse();
}

const setRetention = (asker: Person, days: unknown, id: unknown = group) =>
  call(server, 'setRetention', { ...credentials(asker), GROUP_ID: id, RETENTION_DAYS: days });

async function positions(asker: Person, chat: string, page: Record<string, unknown> = {}): Promise<number[]> {
  const asked = { ...credentials(asker), GROUP_ID: chat, LIMIT: 100, ...page };
  const { body } = await call(server, 'oldMessages', asked);
  return Object.keys(body.groups_messages[chat]).map(Number);
}

async function entryOf(asker: Person, chat: string) {
  return (await call(server, 'listChats', credentials(asker))).body.chats[chat];
}

describe('the rule for all', () => {
  test('without one nothing is removed, however old', async () => {
    await say(3, defaultGroup);
    await pass(80);
    expect(await positions(alice, defaultGroup)).toEqual([1, 2, 3]);
    expect(await entryOf(alice, defaultGroup)).toMatchObject({ FIRST_MESSAGE_ID: 1, RETENTION_DAYS: 0 });
  });

  test('with one all that is older goes, in groups and direct chats, and nothing that is not', async () => {
    await server.restart({ RETENTION_DAYS: '30' });
    const direct = directChatId(alice.uid, bob.uid);
    const chats = [defaultGroup, group, direct];
    for (const chat of chats) await say(3, chat);
    await pass(20);
    for (const chat of chats) await say(2, chat);
    await pass(9);
    for (const chat of chats) expect(await positions(alice, chat)).toEqual([1, 2, 3, 4, 5]);
    await pass(2);
    for (const chat of chats) {
      expect(await positions(alice, chat)).toEqual([4, 5]);
      expect(await entryOf(alice, chat)).toMatchObject({ FIRST_MESSAGE_ID: 4, RETENTION_DAYS: 30 });
    }
    expect(await positions(bob, directChatId(bob.uid, alice.uid))).toEqual([4, 5]);
  });

  test('what was removed is overwritten in the file', async () => {
    await server.restart({ RETENTION_DAYS: '1' });
    await say(40, group);
    const file = () => readFileSync(joinPath(server.dataDir, 'chat.db'), 'latin1');
    await server.restart();
    expect(file()).toContain('old text 17');
    await pass(2);
    await server.restart();
    expect(file()).not.toContain('old text');
  });

  test('a chat of more than one stretch is emptied, and others after it', async () => {
    await server.restart({ RETENTION_DAYS: '5' });
    fill(group, 1234);
    await say(3, defaultGroup);
    await say(1, directChatId(bob.uid, carol.uid), bob);
    await pass(6);
    expect(await positions(alice, group)).toEqual([]);
    expect(await positions(alice, defaultGroup)).toEqual([]);
    expect(await entryOf(alice, group)).toMatchObject({ FIRST_MESSAGE_ID: 1235, LAST_MESSAGE_ID: 1234 });
    expect(await say(1, group)).toBe(1235);
    expect(await positions(alice, group)).toEqual([1235]);
  });

  test('nobody is told of each, and those who send meanwhile are served', async () => {
    await server.restart({ RETENTION_DAYS: '5' });
    fill(group, 5000);
    server.advance(6 * dayMs);
    await using his = await TestSocket.announced(server, bob);
    const removing = server.running.keepHouse();
    for (let count = 1; count <= 20; count += 1)
      expect((await his.say('meanwhile', group)).data.MESSAGE_ID).toBe(5000 + count);
    await removing;
    expect(await his.rest()).toEqual([]);
    expect(await positions(bob, group)).toEqual(Array.from({ length: 20 }, (_, index) => 5001 + index));
  });
});

/** Puts messages into the log of a chat as if they had been sent now, quicker than by sending them. */
function fill(chat: string, count: number): void {
  using file = new Database(joinPath(server.dataDir, 'chat.db'));
  file.run('PRAGMA busy_timeout = 2000');
  file
    .query(`INSERT INTO messages (chat_id, seq, sender_uid, body, sent_at)
      WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?4)
      SELECT chats.id, n, ?2, 'old text', ?3 FROM chats, numbers WHERE group_id = ?1`)
    .run(chat, alice.uid, server.clock(), count);
  file
    .query('UPDATE chats SET last_seq = ?2, last_message_at = ?3 WHERE group_id = ?1')
    .run(chat, count, server.clock());
}

describe("a group's own rule", () => {
  test('owner and admins set it, members and outsiders do not, nor anybody for the default group', async () => {
    expect(await setRetention(alice, 7)).toMatchObject({ status: 200, body: { RETENTION_DAYS: 7 } });
    expect((await entryOf(bob, group)).RETENTION_DAYS).toBe(7);
    expect((await setRetention(bob, 0)).status).toBe(403);
    expect((await setRetention(carol, 0)).status).toBe(404);
    expect((await setRetention(alice, 7, defaultGroup)).status).toBe(403);
    expect((await setRetention(alice, 7, directChatId(alice.uid, bob.uid))).status).toBe(404);
    expect((await entryOf(bob, group)).RETENTION_DAYS).toBe(7);
    const role = { GROUP_ID: group, MEMBER_UID: bob.uid, ROLE: 'admin' };
    await call(server, 'setRole', { ...credentials(alice), ...role });
    expect(await setRetention(bob, 0)).toMatchObject({ status: 200, body: { RETENTION_DAYS: 0 } });
    expect((await entryOf(alice, group)).RETENTION_DAYS).toBe(0);
  });

  test('whole days from 0 to ten years are taken, and nothing else', async () => {
    for (const days of [0, 1, '30', limits.retentionDays])
      expect([days, (await setRetention(alice, days)).status]).toEqual([days, 200]);
    for (const days of [-1, 1.5, limits.retentionDays + 1, 'x', '', null, undefined])
      expect([days, (await setRetention(alice, days)).status]).toEqual([days, 400]);
  });

  test('it holds for that group alone, and is noted in the audit log', async () => {
    await setRetention(alice, 7);
    await say(2, group);
    await say(2, defaultGroup);
    await pass(8);
    expect(await positions(alice, group)).toEqual([]);
    expect(await positions(alice, defaultGroup)).toEqual([1, 2]);
    const { body } = await asAdmin(server, 'adminAudit', { MEMBER_UID: alice.uid });
    const noted = body.entries.find(({ KIND }: { KIND: string }) => KIND === 'retention_changed');
    expect(noted).toMatchObject({ UID: alice.uid, ACTOR: 'self', DETAIL: `7 days in group ${group}` });
  });

  test('beside a rule for all the shorter of the two counts', async () => {
    await server.restart({ RETENTION_DAYS: '30' });
    expect((await setRetention(alice, 365)).body.RETENTION_DAYS).toBe(30);
    expect((await entryOf(bob, group)).RETENTION_DAYS).toBe(30);
    const own = await makeGroup(server, alice, []);
    expect((await setRetention(alice, 7, own)).body.RETENTION_DAYS).toBe(7);
    await say(1, group);
    await say(1, own);
    await pass(8);
    expect([await positions(alice, group), await positions(alice, own)]).toEqual([[1], []]);
    await pass(23);
    expect(await positions(alice, group)).toEqual([]);
  });
});

describe('after a removal', () => {
  /** Ten messages, of which the first six are gone. */
  async function sixOfTen(): Promise<void> {
    await setRetention(alice, 30);
    await say(6, group);
    server.advance(20 * dayMs);
    await say(4, group);
    await pass(11);
  }

  test('pages begin with what is left, whatever position was asked for', async () => {
    await sixOfTen();
    expect(await positions(bob, group)).toEqual([7, 8, 9, 10]);
    expect(await positions(bob, group, { AFTER: 0, LIMIT: 2 })).toEqual([7, 8]);
    expect(await positions(bob, group, { AFTER: 3, BEFORE: 7 })).toEqual([]);
    expect(await positions(bob, group, { BEFORE: 9 })).toEqual([7, 8]);
    expect(await positions(bob, group, { BEFORE: 5 })).toEqual([]);
    const { body } = await call(server, 'oldMessages', credentials(bob));
    expect(Object.keys(body.groups_messages[group])).toEqual(['7', '8', '9', '10']);
  });

  test('what is gone is not unread', async () => {
    await setRetention(alice, 30);
    await say(6, group);
    const unread = async () => {
      const entry = await entryOf(bob, group);
      return entry.LAST_MESSAGE_ID - entry.READ_MESSAGE_ID;
    };
    expect(await unread()).toBe(6);
    await pass(31);
    expect(await unread()).toBe(0);
    expect(await entryOf(bob, group)).toMatchObject({ LAST_MESSAGE: '', LAST_MESSAGE_ID: 6 });
    await say(1, group);
    expect(await unread()).toBe(1);
  });

  test('who returns with an older position gets a marked hole and then what is left', async () => {
    await setRetention(alice, 30);
    await say(6, group);
    const socket = await TestSocket.announced(server, bob);
    const { EPOCH } = (await socket.announce(bob)).data;
    await socket.close();
    server.advance(20 * dayMs);
    await say(4, group);
    await pass(11);

    for (const [position, hole] of [
      [2, { FROM: 3, TO: 6 }],
      [6, null],
      [8, null],
    ] as const) {
      await using back = await TestSocket.open(server);
      back.send('wants_all_his_chats', {
        UID: bob.uid,
        TOKEN: bob.token,
        EPOCH,
        CURSORS: { [group]: position },
      });
      if (hole) expect(await back.next()).toMatchObject(holeFrame(hole));
      for (const id of [7, 8, 9, 10].filter((left) => left > position))
        expect((await back.next()).data.MESSAGE_ID).toBe(id);
      expect((await back.next()).data.status_code).toBe(200);
    }
  });

  test('who returns to a chat that nothing is left of is told so, also by resume', async () => {
    await setRetention(alice, 30);
    await say(6, group);
    await pass(31);
    await using socket = await TestSocket.open(server);
    const { EPOCH } = (await socket.announce(bob)).data;
    socket.send('resume', { EPOCH, CURSORS: { [group]: 4 } });
    expect(await socket.next()).toMatchObject(holeFrame({ FROM: 5, TO: 6 }));
    expect((await socket.next()).data.status_code).toBe(200);
    expect((await socket.say('anew', group)).data.MESSAGE_ID).toBe(7);
  });

  const holeFrame = (hole: { FROM: number; TO: number }) => ({
    event: 'resume',
    data: { GROUP_ID: group, GAP: true, REMOVED: true, ...hole },
  });

  test('the client library waits for nothing that is gone and misses nothing that is left', async () => {
    const port = String(await fixedPort());
    await server.restart({ PORT: port });
    await setRetention(alice, 30);
    const seen: number[] = [];
    const client = new ChatClient({ url: server.url, uid: bob.uid, token: bob.token });
    client.on('message', ({ groupId, id }) => groupId === group && seen.push(id));
    client.connect();
    await comesTo(client, 'online');
    await say(3, group);
    await Promise.all([comesTo(client, 'offline'), server.restart({ PORT: '0' })]);
    await say(3, group);
    server.advance(20 * dayMs);
    await say(2, group);
    await pass(11);

    const asked: string[] = [];
    using _counted = countFetches(asked);
    await Promise.all([comesTo(client, 'online'), server.restart({ PORT: port })]);
    await say(1, group);
    for (const deadline = Date.now() + 3000; seen.length < 6 && Date.now() < deadline; ) await Bun.sleep(2);
    expect(seen).toEqual([1, 2, 3, 7, 8, 9]);
    expect(asked).toEqual([]);
    client.close();
  }, 20_000);
});

function comesTo(client: ChatClient, wanted: ClientState): Promise<void> {
  return new Promise((resolve) => {
    const off = client.on('state', (state) => {
      if (state !== wanted) return;
      off();
      resolve();
    });
  });
}

/** Notes the addresses that are fetched until it is disposed of. */
function countFetches(asked: string[]): Disposable {
  const real = globalThis.fetch;
  globalThis.fetch = Object.assign(
    (...[input, init]: Parameters<typeof fetch>) => {
      asked.push(String(input));
      return real(input, init);
    },
    { preconnect: real.preconnect },
  );
  return {
    [Symbol.dispose]: () => {
      globalThis.fetch = real;
    },
  };
}
