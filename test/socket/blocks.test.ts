// Blocks and direct messages: nothing passes while either of two has blocked the other, however it races.
import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test';
import { directChatId } from '../../src/protocol/entities.ts';
import { credentials, join, makeGroup, type Person } from '../support/people.ts';
import { TestServer } from '../support/server.ts';
import { type Frame, TestSocket } from '../support/socket.ts';

let server: TestServer;
let alice: Person;
let bob: Person;
let pairs = 0;

const refusal = "You can't write to this person.";
const begin = 'send_message_new_chat';

beforeAll(async () => {
  server = await TestServer.start();
});
afterAll(() => server.stop());
beforeEach(async () => {
  const letter = String.fromCharCode(97 + pairs++);
  [alice, bob] = [await join(server, `Alice${letter}`), await join(server, `Bob${letter}`)];
});

const idFor = (viewer: Person, other: Person) => directChatId(viewer.uid, other.uid);

async function change(path: '/block_user' | '/unblock_user', asker: Person, other: Person): Promise<void> {
  const { status } = await server.post(path, { ...credentials(asker), BLOCKED_UID: other.uid });
  expect([path, status]).toEqual([path, 200]);
}

/** The positions in the log of the direct chat, as this person reads it. */
async function logSeenBy(viewer: Person, other: Person): Promise<string[]> {
  const page = { ...credentials(viewer), GROUP_ID: idFor(viewer, other), LIMIT: 100 };
  const { body } = await server.post('/get_old_messages', page);
  return Object.keys(body.groups_messages?.[idFor(viewer, other)] ?? {});
}

test('neither can write to the other, in the same words, and both can again when it ends', async () => {
  await using hers = await TestSocket.announced(server, alice);
  await using his = await TestSocket.announced(server, bob);
  expect((await hers.say('before', idFor(alice, bob), begin)).data.status_code).toBe(200);
  await his.rest();
  expect((await his.say('before', idFor(bob, alice))).data.status_code).toBe(200);
  await hers.rest();
  await change('/block_user', alice, bob);
  for (const event of ['send_message', begin]) {
    for (const [socket, id] of [
      [hers, idFor(alice, bob)],
      [his, idFor(bob, alice)],
      [his, idFor(alice, bob)],
    ] as const) {
      expect((await socket.say('blocked', id, event)).data).toMatchObject({
        status_code: 403,
        message: refusal,
      });
    }
  }
  for (const socket of [hers, his]) expect(await socket.rest()).toEqual([]);
  expect(await logSeenBy(alice, bob)).toEqual(['1', '2']);
  await change('/unblock_user', alice, bob);
  expect((await his.say('after', idFor(bob, alice))).data).toMatchObject({ status_code: 200, MESSAGE_ID: 3 });
  expect((await hers.rest()).map(({ data }) => data.MESSAGE)).toEqual(['after']);
});

test('a block makes no chat, and no first message makes one through it', async () => {
  await change('/block_user', alice, bob);
  await using his = await TestSocket.announced(server, bob);
  await using hers = await TestSocket.announced(server, alice);
  for (const event of [begin, 'send_message'])
    expect((await his.say('hello', idFor(bob, alice), event)).data).toMatchObject({
      status_code: 403,
      message: refusal,
    });
  expect((await hers.say('hello', idFor(alice, bob), begin)).data.status_code).toBe(403);
  for (const person of [alice, bob]) {
    const { body } = await server.post('/get_all_chats', credentials(person));
    expect(Object.keys(body.chats)).toHaveLength(1);
  }
  // The twin: without it the same first message makes the chat.
  await change('/unblock_user', alice, bob);
  expect((await his.say('hello', idFor(bob, alice), begin)).data.status_code).toBe(200);
});

test('others, groups and notes to oneself go on', async () => {
  const carol = await join(server, `Carol${alice.name.slice(5, 6)}`);
  const team = await makeGroup(server, carol, [alice, bob]);
  await using hers = await TestSocket.announced(server, alice);
  await using his = await TestSocket.announced(server, bob);
  await change('/block_user', alice, bob);
  expect((await hers.say('to all', team)).data.status_code).toBe(200);
  expect((await his.rest()).map(({ data }) => data.MESSAGE)).toEqual(['to all']);
  for (const other of [alice, carol])
    expect((await hers.say('hello', idFor(alice, other), begin)).data.status_code).toBe(200);
  expect((await his.say('hello', idFor(bob, carol), begin)).data.status_code).toBe(200);
});

test('a repeat of what was sent before the block gets its first result, and reaches nobody again', async () => {
  await using hers = await TestSocket.announced(server, alice);
  await using his = await TestSocket.announced(server, bob);
  const message = { MESSAGE: 'mine', GROUP_ID: idFor(bob, alice), CLIENT_MESSAGE_ID: 'before-the-block' };
  expect((await his.ask(begin, message)).data.status_code).toBe(200);
  await hers.rest();
  await change('/block_user', alice, bob);
  expect((await his.ask(begin, message)).data).toMatchObject({
    status_code: 200,
    MESSAGE_ID: 1,
    DUPLICATE: true,
  });
  const fresh = { ...message, CLIENT_MESSAGE_ID: 'after-the-block' };
  expect((await his.ask(begin, fresh)).data.status_code).toBe(403);
  expect(await hers.rest()).toEqual([]);
});

test('when a block and messages race, what was acknowledged before its answer may arrive and nothing after', async () => {
  await using hers = await TestSocket.announced(server, alice);
  await using his = await TestSocket.announced(server, bob);
  await his.say('first', idFor(bob, alice), begin);
  await hers.rest();
  let sent = 1;
  for (let round = 0; round < 40; round += 1) {
    const burst = 1 + (round % 7);
    const write = () => his.send('send_message', { MESSAGE: 'x', GROUP_ID: idFor(bob, alice) });
    for (let number = 0; number < burst; number += 1) write();
    const blocked = change('/block_user', alice, bob);
    if (round % 3) await Bun.sleep(0);
    for (let number = 0; number < burst; number += 1) write();
    await blocked;
    for (let number = 0; number < burst; number += 1) write(); // after the answer: not one of these may pass
    const replies: Frame[] = [];
    while (replies.length < 3 * burst) replies.push(await his.next());
    const accepted = replies.filter(({ data }) => data.status_code === 200);
    expect(accepted.length).toBeLessThanOrEqual(2 * burst);
    // Once one is refused, so is each that follows.
    expect(replies.slice(0, accepted.length)).toEqual(accepted);
    const expected = accepted.map((_, index) => sent + index + 1);
    expect((await hers.rest()).map(({ data }) => data.MESSAGE_ID)).toEqual(expected);
    sent += accepted.length;
    await change('/unblock_user', alice, bob);
  }
  expect((await his.say('last', idFor(bob, alice))).data.MESSAGE_ID).toBe(sent + 1);
});

test('when the block races with the first message, there is a chat with it or none at all', async () => {
  await using hers = await TestSocket.announced(server, alice);
  for (let round = 0; round < 10; round += 1) {
    const other = await join(server, `Other${alice.name.slice(5, 6)}${String.fromCharCode(97 + round)}`);
    await using theirs = await TestSocket.announced(server, other);
    const blocked = change('/block_user', alice, other);
    if (round % 2) await Bun.sleep(1);
    const reply = await theirs.say('hello', idFor(other, alice), begin);
    await blocked;
    const passed = reply.data.status_code === 200;
    expect(await logSeenBy(alice, other)).toEqual(passed ? ['1'] : []);
    expect((await hers.rest()).map(({ event }) => event)).toEqual(
      passed ? ['chat_changed', 'send_message'] : [],
    );
  }
});
