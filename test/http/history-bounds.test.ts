// History answers that stay small however much was written.
import { Database } from 'bun:sqlite';
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { join as joinPath } from 'node:path';
import { limits } from '../../src/protocol/entities.ts';
import { credentials, join, makeGroup, type Person } from '../support/people.ts';
import { TestServer } from '../support/server.ts';
import { TestSocket } from '../support/socket.ts';

let server: TestServer;
let alice: Person;

beforeAll(async () => {
  server = await TestServer.start();
  alice = await join(server, 'Alice');
});
afterAll(() => server.stop());

/** Writes straight into the file: `count` messages of `size` characters. */
function fill(groupId: string, count: number, size: number): void {
  using database = new Database(joinPath(server.dataDir, 'chat.db'));
  const chat = database.query('SELECT id FROM chats WHERE group_id = ?').get(groupId) as { id: number };
  const insert = database.query(
    'INSERT INTO messages (chat_id, seq, sender_uid, body, sent_at) VALUES (?, ?, ?, ?, ?)',
  );
  database.transaction(() => {
    for (let seq = 1; seq <= count; seq += 1) insert.run(chat.id, seq, alice.uid, 'x'.repeat(size), 1);
    database.run('UPDATE chats SET last_seq = ?, last_message_at = ? WHERE id = ?', [
      count,
      Date.now(),
      chat.id,
    ]);
  })();
}

async function recent(): Promise<Record<string, Record<string, { MESSAGE: string }>>> {
  return (await server.post('/get_old_messages', credentials(alice))).body.groups_messages;
}

test('the newest of every chat come whole while they are short, and are bounded in all when they are long', async () => {
  const small = await makeGroup(server, alice, []);
  fill(small, 40, 10);
  expect(Object.keys((await recent())[small] ?? {})).toEqual(
    Array.from({ length: 30 }, (_, index) => String(index + 11)),
  );
  const groups: string[] = [];
  for (let count = 0; count < 10; count += 1) {
    const group = await makeGroup(server, alice, []);
    fill(group, 30, 30_000);
    groups.push(group);
  }
  const seen = await recent();
  const texts = Object.values(seen).flatMap((messages) => Object.values(messages));
  const characters = texts.reduce((sum, { MESSAGE }) => sum + MESSAGE.length, 0);
  expect(characters).toBeLessThanOrEqual(limits.recentCharacters);
  expect(characters).toBeGreaterThan(limits.recentCharacters - 60_000);
  // Every chat is in it, and what a chat has are its newest without a hole.
  for (const group of [...groups, small]) {
    const ids = Object.keys(seen[group] ?? {}).map(Number);
    expect(ids).toEqual(ids.map((_, index) => (group === small ? 40 : 30) - ids.length + 1 + index));
  }
});

test('a replay of many pages reads the chat list at its beginning and its end, and misses nothing', async () => {
  const group = await makeGroup(server, alice, []);
  fill(group, 900, 3000);
  await using first = await TestSocket.open(server);
  const { EPOCH } = (await first.announce(alice)).data;
  await first.close();
  const { listChats } = server.store;
  let lists = 0;
  server.store.listChats = (uid) => {
    lists += 1;
    return listChats(uid);
  };
  await using socket = await TestSocket.open(server);
  const CURSORS = { [group]: 0 };
  socket.send('wants_all_his_chats', { UID: alice.uid, TOKEN: alice.token, EPOCH, CURSORS });
  for (let id = 1; id <= 900; id += 1) expect((await socket.next()).data.MESSAGE_ID).toBe(id);
  expect((await socket.next()).data.status_code).toBe(200);
  expect(lists).toBeGreaterThan(0);
  expect(lists).toBeLessThanOrEqual(3);
});
