// send_message: its reply, its pushes, and their order.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { credentials, join, makeGroup, type Person } from '../support/people.ts';
import { TestServer } from '../support/server.ts';
import { type Frame, TestSocket } from '../support/socket.ts';

let server: TestServer;
let alice: Person;
let bob: Person;
let carol: Person;

beforeAll(async () => {
  server = await TestServer.start();
  [alice, bob, carol] = await Promise.all([
    join(server, 'Alice'),
    join(server, 'Bob'),
    join(server, 'Carol'),
  ]);
});
afterAll(() => server.stop());

const count = (length: number, first = 1) => Array.from({ length }, (_, index) => first + index);
const idsOf = (frames: readonly Frame[]) => frames.map(({ data }) => data.MESSAGE_ID);

test('the reply and the push have exactly the documented fields, with the stored name and picture', async () => {
  const picture = 'https://pictures.example/alice.png';
  const changed = { ...credentials(alice), PROFILE_PIC: picture };
  expect((await server.request('PATCH', '/get_settings_data', changed)).status).toBe(200);
  const team = await makeGroup(server, alice, [bob]);
  await using hers = await TestSocket.announced(server, alice);
  await using his = await TestSocket.announced(server, bob);
  const before = server.clock();

  const message = {
    SENDER_ID: alice.uid,
    MESSAGE: 'h:6869',
    GROUP_ID: team,
    PROFILE_PIC: 'https://evil.example/x',
  };
  const reply = await hers.ask('send_message', message);
  const fields = {
    SENDER_ID: alice.uid,
    SENDER_NAME: 'Alice Tester',
    MESSAGE: 'h:6869',
    GROUP_ID: team,
    MESSAGE_ID: 1,
    TIME_STAMP: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
    PROFILE_PIC: picture,
  };
  expect(reply).toEqual({ event: 'send_message', data: { status_code: 200, ...fields } });
  expect(await his.next()).toEqual({
    event: 'send_message',
    data: { ...fields, TIME_STAMP: reply.data.TIME_STAMP },
  });
  const sentAt = Date.parse(reply.data.TIME_STAMP);
  expect(sentAt).toBeGreaterThanOrEqual(before);
  expect(sentAt).toBeLessThanOrEqual(server.clock());

  const { body } = await server.post('/get_old_messages', { ...credentials(bob), GROUP_ID: team });
  const { GROUP_ID, MESSAGE_ID, ...kept } = fields;
  expect(body.groups_messages[GROUP_ID][MESSAGE_ID]).toEqual({ ...kept, TIME_STAMP: reply.data.TIME_STAMP });
});

test('SENDER_ID may be absent, null, a number or a digit string of oneself', async () => {
  const team = await makeGroup(server, alice, []);
  await using hers = await TestSocket.announced(server, alice);
  for (const SENDER_ID of [undefined, null, alice.uid, String(alice.uid)]) {
    const { data } = await hers.ask('send_message', { SENDER_ID, MESSAGE: 'me', GROUP_ID: team });
    expect([data.status_code, data.SENDER_ID]).toEqual([200, alice.uid]);
  }
});

test('the correlation id comes back with the reply and with nothing else', async () => {
  const team = await makeGroup(server, alice, [bob]);
  await using hers = await TestSocket.announced(server, alice);
  await using his = await TestSocket.announced(server, bob);
  for (const id of ['abc', 0, 17]) {
    expect((await hers.ask('send_message', { MESSAGE: 'x', GROUP_ID: team }, { id })).id).toBe(id);
    expect(await his.next()).not.toHaveProperty('id');
  }
  expect(await hers.ask('send_message', { MESSAGE: 'x', GROUP_ID: team })).not.toHaveProperty('id');
});

test('GROUP_ID comes back in the reply exactly as it was spelled, and is the string everywhere else', async () => {
  const team = await makeGroup(server, alice, [bob]);
  await using hers = await TestSocket.announced(server, alice);
  await using his = await TestSocket.announced(server, bob);
  for (const spelled of [team, Number(team)]) {
    expect((await hers.say('x', spelled)).data.GROUP_ID).toBe(spelled);
    expect((await his.next()).data.GROUP_ID).toBe(team);
  }
  const zeros = '0'.repeat(16);
  const [own, mirror] = [`${alice.uid}${zeros}${bob.uid}`, `${bob.uid}${zeros}${alice.uid}`];
  for (const [index, spelled] of [own, mirror].entries()) {
    expect((await hers.say('x', spelled, 'send_message_new_chat')).data.GROUP_ID).toBe(spelled);
    if (index === 0) expect((await his.next()).event).toBe('chat_changed');
    expect((await his.next()).data.GROUP_ID).toBe(mirror);
  }
});

test('a message reaches every member once and nobody else', async () => {
  const team = await makeGroup(server, alice, [bob]);
  await using hers = await TestSocket.announced(server, alice);
  await using his = await TestSocket.announced(server, bob);
  await using outsider = await TestSocket.announced(server, carol);
  await hers.say('for bob', team);
  expect((await his.rest()).map(({ data }) => data.MESSAGE)).toEqual(['for bob']);
  expect(await outsider.rest()).toEqual([]);
  expect(await hers.rest()).toEqual([]);
  await hers.say('for all');
  expect((await outsider.rest()).map(({ data }) => data.MESSAGE)).toEqual(['for all']);
});

test('frames sent without waiting are answered in order, from the announce on', async () => {
  const team = await makeGroup(server, alice, [bob]);
  await using his = await TestSocket.announced(server, bob);
  await using hers = await TestSocket.open(server);
  hers.send('wants_all_his_chats', { UID: alice.uid, TOKEN: alice.token }, { id: 0 });
  for (const id of count(90)) hers.send('send_message', { MESSAGE: `m${id}`, GROUP_ID: team }, { id });
  const replies: Frame[] = [];
  for (const _frame of count(91)) replies.push(await hers.next());
  expect(replies.map(({ id }) => id)).toEqual([0, ...count(90)]);
  expect(replies.slice(1).map(({ data }) => [data.MESSAGE_ID, data.MESSAGE])).toEqual(
    count(90).map((id) => [id, `m${id}`]),
  );
  expect(idsOf(await his.rest())).toEqual(count(90));
});

test('short and long messages keep their order on the way to others', async () => {
  const team = await makeGroup(server, alice, [bob]);
  await using hers = await TestSocket.announced(server, alice);
  await using his = await TestSocket.announced(server, bob);
  const texts = count(60).map((id) => (id % 3 === 0 ? '😀'.repeat(4000) : `short ${id}`));
  for (const text of texts) hers.send('send_message', { MESSAGE: text, GROUP_ID: team });
  for (const id of count(60)) expect((await hers.next()).data.MESSAGE_ID).toBe(id);
  const pushed = await his.rest();
  expect(idsOf(pushed)).toEqual(count(60));
  expect(pushed.map(({ data }) => data.MESSAGE)).toEqual(texts);
});

test('of two who write at once every receiver sees ascending ids without a hole or a repeat', async () => {
  const team = await makeGroup(server, alice, [bob, carol]);
  await using hers = await TestSocket.announced(server, alice);
  await using his = await TestSocket.announced(server, bob);
  await using theirs = await TestSocket.announced(server, carol);
  const each = 150;
  for (const id of count(each)) {
    for (const writer of [hers, his]) writer.send('send_message', { MESSAGE: `m${id}`, GROUP_ID: team });
    if (id % 10 === 0) await Bun.sleep(0);
  }
  // A writer has its own as replies, which come before the pushes of their turn: each kind in order, together the log.
  for (const socket of [hers, his, theirs]) {
    const frames: Frame[] = [];
    while (frames.length < 2 * each) frames.push(await socket.next());
    const ids = (isReply: boolean) =>
      frames.filter(({ data }) => (data.status_code === 200) === isReply).map(({ data }) => data.MESSAGE_ID);
    for (const kind of [ids(true), ids(false)]) expect(kind).toEqual([...kind].sort((a, b) => a - b));
    expect([...ids(true), ...ids(false)].sort((a, b) => a - b)).toEqual(count(2 * each));
    expect(await socket.rest()).toEqual([]);
  }
});

test('each chat counts for itself, from 1', async () => {
  const [one, two] = [await makeGroup(server, alice, []), await makeGroup(server, alice, [])];
  await using hers = await TestSocket.announced(server, alice);
  for (const id of count(3)) {
    expect((await hers.say('x', one)).data.MESSAGE_ID).toBe(id);
    expect((await hers.say('x', two)).data.MESSAGE_ID).toBe(id);
  }
});

test('a message whose sender closes at once is kept and reaches the others', async () => {
  const team = await makeGroup(server, alice, [bob]);
  await using his = await TestSocket.announced(server, bob);
  for (const id of count(20)) {
    const hers = await TestSocket.announced(server, alice);
    hers.send('send_message', { MESSAGE: 'bye', GROUP_ID: team });
    await hers.close();
    expect((await his.next()).data.MESSAGE_ID).toBe(id);
  }
});
