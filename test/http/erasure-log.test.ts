// What an erased account leaves in a long message log: taken out while others go on, whatever happens in between.
import { Database } from 'bun:sqlite';
import { afterEach, expect, setDefaultTimeout, test } from 'bun:test';
import { join as joinPath } from 'node:path';
import { directChatId } from '../../src/protocol/entities.ts';
import { LogFile } from '../support/log-file.ts';
import { call, credentials, join, makeGroup, type Person } from '../support/people.ts';
import { ServerProcess } from '../support/process.ts';
import { withServer } from '../support/server.ts';
import { defaultGroup, type Frame, TestSocket } from '../support/socket.ts';

// A hundred thousand messages take their time on a busy machine.
setDefaultTimeout(60_000);

const removed = 'This message was removed';
let server: ServerProcess | undefined;
afterEach(async () => {
  await server?.remove();
  server = undefined;
});

interface Filling {
  readonly groupId: string;
  readonly count: number;
  /** Whose messages they are, in turn. */
  readonly senders: readonly Person[];
  readonly withIds?: boolean;
}

/** Appends messages to a chat in the database itself, which is quicker than to send them; its server must not run. */
function fill(dataDir: string, { groupId, count, senders, withIds = false }: Filling): void {
  const database = new Database(joinPath(dataDir, 'chat.db'), { strict: true });
  const { id } = database.query('SELECT id FROM chats WHERE group_id = ?').get(groupId) as { id: number };
  const insert = database.query('INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, NULL)');
  database.transaction(() => {
    for (let seq = 1; seq <= count; seq += 1) {
      const uid = senders[seq % senders.length]?.uid ?? 0;
      insert.run(id, seq, uid, `text ${seq} of ${uid}`, Date.now(), withIds ? `id ${seq}` : null);
    }
    database.query('UPDATE chats SET last_seq = ? WHERE id = ?').run(count, id);
  })();
  database.close();
}

/** A server process in whose default group Alice and Bob wrote in turn. */
async function longLog(count: number): Promise<{ alice: Person; bob: Person; process: ServerProcess }> {
  const prepared = await ServerProcess.prepared(async (inside) => {
    const people = { alice: await join(inside, 'Alice'), bob: await join(inside, 'Bob') };
    await inside.running.stop();
    fill(inside.dataDir, { groupId: defaultGroup, count, senders: [people.alice, people.bob] });
    await inside.start();
    return people;
  });
  server = prepared.server;
  return { ...prepared.made, process: prepared.server };
}

function erase(at: ServerProcess, person: Person, MESSAGES: string) {
  return at.post('/delete_account', { ...credentials(person), PASSWORD: person.password, MESSAGES });
}

/** The removed messages that somebody was told of, as `chat position`. */
function changesIn(frames: readonly Frame[]): string[] {
  return frames
    .filter(({ event, data }) => event === 'message_changed' && data.REMOVED && data.MESSAGE === removed)
    .map(({ data }) => `${data.GROUP_ID} ${data.MESSAGE_ID}`);
}

/** Waits until the first text of the default group is gone. */
async function isUnderWay(dataDir: string): Promise<void> {
  using database = new Database(joinPath(dataDir, 'chat.db'), { readonly: true });
  const isGone = database.query(
    `SELECT 1 FROM messages JOIN chats ON chats.id = chat_id
     WHERE group_id = ? AND seq = 2 AND removed_at IS NOT NULL`,
  );
  for (const deadline = Date.now() + 10_000; Date.now() < deadline; await Bun.sleep(1))
    if (isGone.get(defaultGroup)) return;
  throw new Error('nothing was taken out');
}

/** How many texts of this person are still there. */
function textsOf({ uid }: Person, dataDir: string): number {
  return new LogFile(dataDir).rows().filter((row) => row.senderUid === uid && row.body !== removed).length;
}

/** Says something and waits for the reply, past what is pushed meanwhile. */
async function say(socket: TestSocket, text: string, groupId = defaultGroup): Promise<Frame> {
  const data = { MESSAGE: text, GROUP_ID: groupId, CLIENT_MESSAGE_ID: text };
  socket.send('send_message_new_chat', data, { id: text });
  for (;;) {
    const frame = await socket.next();
    if (frame.id === text) return frame;
  }
}

/** Says one thing after the other while an account is erased; how long each took, and how long all of it. */
async function whileErasing(at: ServerProcess, person: Person, socket: TestSocket) {
  const waits: number[] = [];
  let erasing = true;
  const begun = performance.now();
  const erased = erase(at, person, 'remove').finally(() => {
    erasing = false;
  });
  while (erasing) {
    const asked = performance.now();
    expect((await say(socket, `meanwhile ${waits.length}`)).data.status_code).toBe(200);
    waits.push(performance.now() - asked);
  }
  expect((await erased).message).toBe('The account is deleted.');
  return { waits, took: performance.now() - begun };
}

test('While a hundred thousand messages are gone through, nobody waits long; then every text is gone', async () => {
  const { alice, bob, process } = await longLog(100_000);
  await using socket = await TestSocket.announced(process, bob);
  const { waits, took } = await whileErasing(process, alice, socket);
  expect(waits.length).toBeGreaterThan(20);
  expect(Math.max(...waits)).toBeLessThan(took / 2);
  expect(textsOf(alice, process.dataDir)).toBe(0);
  expect(textsOf(bob, process.dataDir)).toBe(50_000 + waits.length);
  expect(new LogFile(process.dataDir).problems()).toEqual([]);
});

test('What was not gone through when the server was killed is gone through at the next start', async () => {
  const { alice, bob, process } = await longLog(100_000);
  const erased = erase(process, alice, 'remove').catch(() => null);
  await isUnderWay(process.dataDir);
  await process.end('SIGKILL');
  expect(await erased).toBeNull();
  // The twin: it was in the midst of it.
  expect(textsOf(alice, process.dataDir)).toBeWithin(1, 50_000);
  await process.start();
  expect(textsOf(alice, process.dataDir)).toBe(0);
  expect(textsOf(bob, process.dataDir)).toBe(50_000);
});

test('Who has a chat open is told of the texts that went from its newest thirty messages, once of each', async () => {
  await withServer(async (inside) => {
    const [alice, bob, carol] = [
      await join(inside, 'Alice'),
      await join(inside, 'Bob'),
      await join(inside, 'Carol'),
    ];
    const team = await makeGroup(inside, alice, [bob]);
    const direct = directChatId(bob.uid, alice.uid);
    await inside.running.stop();
    fill(inside.dataDir, { groupId: team, count: 500, senders: [alice, bob] });
    await inside.start();
    {
      await using hers = await TestSocket.announced(inside, alice);
      for (const text of ['one', 'two']) await say(hers, text, directChatId(alice.uid, bob.uid));
      const taken = { ...credentials(alice), GROUP_ID: direct, MESSAGE_ID: 1 };
      expect((await call(inside, 'removeMessage', taken)).status).toBe(200);
    }
    await using his = await TestSocket.announced(inside, bob);
    await using others = await TestSocket.announced(inside, carol);
    const asked = { ...credentials(alice), PASSWORD: alice.password, MESSAGES: 'remove' };
    expect((await call(inside, 'deleteAccount', asked)).status).toBe(200);
    const told = changesIn(await his.rest());
    const even = Array.from({ length: 15 }, (_, index) => `${team} ${472 + 2 * index}`);
    expect(told).toEqual([...even, `${direct} 2`]);
    expect(changesIn(await others.rest())).toEqual([]);
    expect(new LogFile(inside.dataDir).rows().filter((row) => row.body.startsWith('text 2 '))).toEqual([]);
  });
});

test('With keep, the ids that her devices gave to hundreds of messages go, and nothing else', async () => {
  await withServer(async (inside) => {
    const [alice, bob] = [await join(inside, 'Alice'), await join(inside, 'Bob')];
    await inside.running.stop();
    fill(inside.dataDir, { groupId: defaultGroup, count: 999, senders: [alice, bob, alice], withIds: true });
    await inside.start();
    const asked = { ...credentials(alice), PASSWORD: alice.password, MESSAGES: 'keep' };
    expect((await call(inside, 'deleteAccount', asked)).status).toBe(200);
    const rows = new LogFile(inside.dataDir).rows();
    const idsOf = (person: Person) =>
      rows.filter((row) => row.senderUid === person.uid && row.clientMessageId !== null).length;
    expect([idsOf(alice), idsOf(bob)]).toEqual([0, 333]);
    expect(textsOf(alice, inside.dataDir)).toBe(666);
  });
});

test('Nor does anybody wait long for a chat of a hundred thousand messages that goes with its last member', async () => {
  const prepared = await ServerProcess.prepared(async (inside) => {
    const people = { alice: await join(inside, 'Alice'), bob: await join(inside, 'Bob') };
    const groupId = await makeGroup(inside, people.alice, []);
    await inside.running.stop();
    fill(inside.dataDir, { groupId, count: 100_000, senders: [people.alice] });
    await inside.start();
    return people;
  });
  server = prepared.server;
  const { alice, bob } = prepared.made;
  await using socket = await TestSocket.announced(server, bob);
  expect(textsOf(alice, server.dataDir)).toBe(100_000);
  const { waits, took } = await whileErasing(server, alice, socket);
  expect(waits.length).toBeGreaterThan(20);
  expect(Math.max(...waits)).toBeLessThan(took / 2);
  expect(new LogFile(server.dataDir).rows().map(({ senderUid }) => senderUid)).toEqual(
    waits.map(() => bob.uid),
  );
});

test('A long group that its last member leaves is nobody’s at once, and gone at the latest at the next start', async () => {
  await withServer(async (inside) => {
    const [alice, bob] = [await join(inside, 'Alice'), await join(inside, 'Bob')];
    const [long, other] = [await makeGroup(inside, alice, []), await makeGroup(inside, alice, [])];
    await inside.running.stop();
    fill(inside.dataDir, { groupId: long, count: 1000, senders: [alice] });
    fill(inside.dataDir, { groupId: other, count: 1000, senders: [alice] });
    await inside.start();
    const leave = { ...credentials(alice), GROUP_ID: long };
    expect((await call(inside, 'leaveGroup', leave)).status).toBe(200);
    const history = { ...credentials(alice), GROUP_ID: long };
    expect((await call(inside, 'oldMessages', history)).status).toBe(403);
    const add = { ...credentials(alice), GROUP_ID: long, MEMBER_UID: bob.uid };
    expect((await call(inside, 'addMember', add)).status).toBe(404);
    const rowsOf = (groupId: string) =>
      new LogFile(inside.dataDir).rows().filter(({ chat }) => chat === groupId);
    expect(rowsOf(long)).toHaveLength(1000);
    await inside.restart();
    expect(rowsOf(long)).toEqual([]);
    expect(rowsOf(other)).toHaveLength(1000);
    expect((await call(inside, 'addMember', add)).status).toBe(404);
  });
});
