// Removed messages: who may remove, what stays in their place, and who is told.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test';
import { ChatClient, type ChatMessage } from '../../src/client/client.ts';
import { directChatId } from '../../src/protocol/entities.ts';
import { call, credentials, join, makeGroup, type Person } from '../support/people.ts';
import { TestServer } from '../support/server.ts';
import { defaultGroup, TestSocket } from '../support/socket.ts';

let server: TestServer;
let alice: Person;
let bob: Person;
let carol: Person;
let dave: Person;
/** Alice's, with bob and dave; carol is the outsider. */
let team: string;

const removedText = 'This message was removed';

beforeAll(async () => {
  server = await TestServer.start();
  [alice, bob] = [await join(server, 'Alice'), await join(server, 'Bob')];
  [carol, dave] = [await join(server, 'Carol'), await join(server, 'Dave')];
});
beforeEach(async () => {
  team = await makeGroup(server, alice, [bob, dave]);
});
afterAll(() => server.stop());

async function remove(asker: Person, seq: unknown, id: unknown = team): Promise<number> {
  const sent = { ...credentials(asker), GROUP_ID: id, MESSAGE_ID: seq };
  return (await call(server, 'removeMessage', sent)).status;
}

/** Says something and returns its position. */
async function say(person: Person, text: string, id = team, event = 'send_message'): Promise<number> {
  await using socket = await TestSocket.announced(server, person);
  const { data } = await socket.say(text, id, event);
  expect(data.status_code).toBe(200);
  return data.MESSAGE_ID;
}

async function historyOf(viewer: Person, id = team) {
  const { body } = await call(server, 'oldMessages', { ...credentials(viewer), GROUP_ID: id });
  return body.groups_messages[id];
}

const changed = (id: string, seq: number) => ({
  event: 'message_changed',
  data: { GROUP_ID: id, MESSAGE_ID: seq, MESSAGE: removedText, REMOVED: true },
});

describe('who may', () => {
  test('the sender removes his own, once', async () => {
    await say(bob, 'one');
    await say(bob, 'two');
    expect(await remove(bob, 1)).toBe(200);
    expect(await remove(bob, 1)).toBe(409);
    const history = await historyOf(dave);
    expect(history['1']).toMatchObject({ MESSAGE: removedText, REMOVED: true, SENDER_ID: bob.uid });
    expect(history['2']).toMatchObject({ MESSAGE: 'two' });
    expect(history['2']).not.toHaveProperty('REMOVED');
  });

  test('the owner and an admin remove anybody’s, a mere member only his own', async () => {
    for (const text of ['one', 'two', 'three']) await say(bob, text);
    expect(await remove(dave, 1)).toBe(403);
    expect(await remove(alice, 1)).toBe(200);
    expect(await remove(dave, 1)).toBe(403);
    const role = { ...credentials(alice), GROUP_ID: team, MEMBER_UID: dave.uid, ROLE: 'admin' };
    expect((await call(server, 'setRole', role)).status).toBe(200);
    expect(await remove(dave, 2)).toBe(200);
    await say(alice, 'four');
    expect(await remove(dave, 4)).toBe(200);
    expect((await historyOf(bob))['3']).toMatchObject({ MESSAGE: 'three' });
  });

  test('to an outsider there is no such chat, whether there is or not', async () => {
    await say(bob, 'one');
    const sent = { ...credentials(carol), MESSAGE_ID: 1 };
    const foreign = await call(server, 'removeMessage', { ...sent, GROUP_ID: team });
    const unknown = await call(server, 'removeMessage', { ...sent, GROUP_ID: '9999999999999' });
    const direct = await call(server, 'removeMessage', {
      ...sent,
      GROUP_ID: directChatId(alice.uid, bob.uid),
    });
    expect([foreign.status, foreign.body, direct.body]).toEqual([404, unknown.body, unknown.body]);
    expect((await historyOf(alice))['1'].MESSAGE).toBe('one');
    expect(await remove(bob, 1)).toBe(200);
  });

  test('who was removed from the group removes nothing any more, not even what was his', async () => {
    await say(bob, 'one');
    const removal = { ...credentials(alice), GROUP_ID: team, MEMBER_UID: bob.uid };
    expect((await call(server, 'removeMember', removal)).status).toBe(200);
    expect(await remove(bob, 1)).toBe(404);
    expect(await remove(alice, 1)).toBe(200);
  });

  test('in the default group and in direct chats it is the sender alone', async () => {
    const direct = directChatId(alice.uid, bob.uid);
    const places: [string, string][] = [
      [defaultGroup, 'send_message'],
      [direct, 'send_message_new_chat'],
    ];
    for (const [id, event] of places) {
      const seq = await say(bob, 'his', id, event);
      expect(await remove(alice, seq, id)).toBe(403);
      expect(await remove(bob, seq, id)).toBe(200);
    }
  });

  test('whoever runs the server removes any message, also of chats nobody else would be let into', async () => {
    const seq = await say(bob, 'bad words', defaultGroup);
    const ref = { kind: 'group', groupId: defaultGroup } as const;
    const removal = { uid: 0, ref, seq, byOperator: true, now: server.clock() };
    expect((await server.store.removeMessage({ ...removal, byOperator: false })).kind).toBe('no_chat');
    await using hers = await TestSocket.announced(server, alice);
    expect((await server.store.removeMessage(removal)).kind).toBe('removed');
    expect(await hers.rest()).toEqual([changed(defaultGroup, seq)]);
    await say(alice, 'words', directChatId(alice.uid, dave.uid), 'send_message_new_chat');
    const direct = {
      ...removal,
      uid: alice.uid,
      ref: { kind: 'direct', otherUid: dave.uid } as const,
      seq: 1,
    };
    expect((await server.store.removeMessage(direct)).kind).toBe('removed');
  });

  test('no such message is 404, a malformed request 400', async () => {
    for (const none of [0, 1, 999]) expect(await remove(alice, none)).toBe(404);
    for (const bad of [undefined, null, '', 'x', -1, 1.5, {}]) expect(await remove(alice, bad)).toBe(400);
    for (const bad of [null, '', 'x', -1, {}]) expect(await remove(alice, 1, bad)).toBe(400);
  });

  test('of many removals at once one wins', async () => {
    await say(bob, 'one');
    const statuses = await Promise.all([bob, alice, bob, alice].map((asker) => remove(asker, 1)));
    expect(statuses.sort()).toEqual([200, 409, 409, 409]);
  });
});

describe('what is left', () => {
  test('the text is nowhere any more: not in the list, the history or the audit log', async () => {
    const secret = 'h:73656372657420776f726473';
    const seq = await say(bob, secret);
    expect(await remove(alice, seq)).toBe(200);
    const list = (await call(server, 'listChats', credentials(bob))).body.chats[team];
    expect(list).toMatchObject({ LAST_MESSAGE: removedText, LAST_MESSAGE_ID: seq });
    const [noted] = await server.store.listAudit({ uid: bob.uid, before: null, limit: 1 });
    expect(noted).toMatchObject({ kind: 'message_removed', uid: bob.uid, address: '127.0.0.1' });
    expect(noted?.detail).toBe(`message ${seq} of chat ${team}, by ${alice.uid}`);
    expect(JSON.stringify(await historyOf(alice))).not.toContain(secret);
    // Positions go on without a hole.
    expect(await say(bob, 'next')).toBe(seq + 1);
  });

  test('a repeat with its CLIENT_MESSAGE_ID gets the removed one back', async () => {
    await using his = await TestSocket.announced(server, bob);
    const message = { MESSAGE: 'mine', GROUP_ID: team, CLIENT_MESSAGE_ID: `removed-${team}` };
    const first = await his.ask('send_message', message);
    expect(await remove(bob, 1)).toBe(200);
    await his.rest();
    const { data } = await his.ask('send_message', message);
    expect(data).toEqual({ ...first.data, MESSAGE: removedText, DUPLICATE: true, REMOVED: true });
    // In another chat it is still another message.
    expect((await his.ask('send_message', { ...message, GROUP_ID: defaultGroup })).data.status_code).toBe(
      409,
    );
    expect(Object.keys(await historyOf(bob))).toEqual(['1']);
  });

  test('it is replayed to who was away as removed', async () => {
    await say(bob, 'one');
    await say(bob, 'two');
    expect(await remove(bob, 1)).toBe(200);
    await using hers = await TestSocket.open(server);
    const EPOCH = server.store.epoch;
    hers.send('wants_all_his_chats', { UID: alice.uid, TOKEN: alice.token, EPOCH, CURSORS: { [team]: 0 } });
    const frames = [await hers.next(), await hers.next()];
    expect(frames.map(({ data }) => [data.MESSAGE, data.REMOVED])).toEqual([
      [removedText, true],
      ['two', undefined],
    ]);
  });
});

describe('who is told', () => {
  test('every device of every member, the remover’s too, and nobody else', async () => {
    await say(bob, 'one');
    const inside = [
      await TestSocket.announced(server, alice),
      await TestSocket.announced(server, alice, '/ws/phone'),
      await TestSocket.announced(server, bob),
      await TestSocket.announced(server, dave),
    ];
    await using outsider = await TestSocket.announced(server, carol);
    expect(await remove(bob, 1)).toBe(200);
    expect(await remove(dave, 1)).toBe(403);
    for (const socket of inside) expect(await socket.rest()).toEqual([changed(team, 1)]);
    expect(await outsider.rest()).toEqual([]);
    await Promise.all(inside.map((socket) => socket.close()));
  });

  test('in a direct chat each is told under his own id of it', async () => {
    const seq = await say(dave, 'hello', directChatId(dave.uid, bob.uid), 'send_message_new_chat');
    await using theirs = await TestSocket.announced(server, dave);
    await using his = await TestSocket.announced(server, bob);
    // Spelled from the other side, which is as good.
    expect(await remove(dave, seq, directChatId(bob.uid, dave.uid))).toBe(200);
    expect(await theirs.rest()).toEqual([changed(directChatId(dave.uid, bob.uid), seq)]);
    expect(await his.rest()).toEqual([changed(directChatId(bob.uid, dave.uid), seq)]);
  });

  test('when a removal races with a return, who returns never keeps the old text', async () => {
    await using writer = await TestSocket.announced(server, bob);
    for (let round = 1; round <= 30; round += 1) {
      await writer.rest();
      const { data } = await writer.say(`text ${round}`, team);
      await using hers = await TestSocket.announced(server, alice);
      const removed = remove(bob, data.MESSAGE_ID);
      if (round % 3) await Bun.sleep(round % 3);
      hers.send('resume', { EPOCH: server.store.epoch, CURSORS: { [team]: data.MESSAGE_ID - 1 } });
      await removed;
      const seen = (await hers.rest()).filter(({ data: { MESSAGE_ID } }) => MESSAGE_ID === data.MESSAGE_ID);
      expect(seen.at(-1)?.data).toMatchObject({ MESSAGE: removedText, REMOVED: true });
    }
  });

  test('the client library hands it on, as it does changes of members, and marks what it delivers', async () => {
    await say(bob, 'one');
    await say(bob, 'two');
    const client = new ChatClient({ url: server.url, uid: alice.uid, token: alice.token });
    const changes: unknown[] = [];
    const messages: ChatMessage[] = [];
    client.on('changed', (event, data) => changes.push({ event, data }));
    client.on('message', (message) => messages.push(message));
    const online = new Promise<void>((resolve) =>
      client.on('state', (state) => state === 'online' && resolve()),
    );
    client.connect();
    await online;
    expect(await remove(bob, 1)).toBe(200);
    const role = { ...credentials(alice), GROUP_ID: team, MEMBER_UID: bob.uid, ROLE: 'admin' };
    expect((await call(server, 'setRole', role)).status).toBe(200);
    await client.send(team, 'three'); // the pushes came before the reply
    const promoted = { GROUP_ID: team, MEMBER_UID: bob.uid, ROLE: 'admin' };
    expect(changes).toEqual([changed(team, 1), { event: 'member_changed', data: promoted }]);
    const history = await client.history(team);
    expect(history.map(({ message, removed }) => [message, removed])).toEqual([
      [removedText, true],
      ['two', false],
      ['three', false],
    ]);
    expect(messages.map(({ message, removed }) => [message, removed])).toEqual([['three', false]]);
    client.close();
  });
});
