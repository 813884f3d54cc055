// Groups changed over HTTP while sockets are open: what each person is told, and when messages begin and stop.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { credentials, join, makeGroup, type Person } from '../support/people.ts';
import { TestServer } from '../support/server.ts';
import { defaultGroup, type Frame, TestSocket } from '../support/socket.ts';

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

/** Does something to a group over HTTP as this person, and expects 200. */
async function change(path: string, person: Person, groupId: string, member?: Person): Promise<void> {
  const fields = member ? { GROUP_ID: groupId, MEMBER_UID: member.uid } : { GROUP_ID: groupId };
  const { status, body } = await server.post(path, { ...credentials(person), ...fields });
  expect([path, status, body.message]).toEqual([path, 200, expect.any(String)]);
}

const memberChanged = (groupId: string, { uid }: Person, what: { ROLE: string } | { REMOVED: true }) => ({
  event: 'member_changed',
  data: { GROUP_ID: groupId, MEMBER_UID: uid, ...what },
});

test('create_group tells all its people, and messages begin at once', async () => {
  await using hers = await TestSocket.announced(server, alice);
  await using his = await TestSocket.announced(server, bob);
  await using outsider = await TestSocket.announced(server, carol);
  const team = await makeGroup(server, alice, [bob]);
  for (const socket of [hers, his]) {
    expect(await socket.next()).toEqual({
      event: 'chat_changed',
      data: {
        GROUP_ID: team,
        NAME: 'Team',
        PROFILE_PIC: '',
        CREATION_DATE: expect.any(String),
        LAST_MESSAGE_ID: 0,
      },
    });
  }
  expect((await hers.say('welcome', team)).data.status_code).toBe(200);
  expect((await his.rest()).map(({ data }) => data.MESSAGE)).toEqual(['welcome']);
  expect(await outsider.rest()).toEqual([]);
});

test('add_member tells the new one of the chat and the others of him; he receives and may write from then on', async () => {
  const team = await makeGroup(server, alice, [bob]);
  await using hers = await TestSocket.announced(server, alice);
  await using theirs = await TestSocket.announced(server, carol);
  await using theirPhone = await TestSocket.announced(server, carol, '/ws/phone');
  await hers.say('before', team);
  expect(await theirs.rest()).toEqual([]);
  expect((await theirs.say('may I?', team)).data.status_code).toBe(403);
  await change('/add_member', alice, team, carol);
  expect(await hers.rest()).toEqual([memberChanged(team, carol, { ROLE: 'member' })]);
  await hers.say('after', team);
  for (const socket of [theirs, theirPhone]) {
    const frames = await socket.rest();
    expect(frames.map(({ event, data }) => [event, data.GROUP_ID, data.MESSAGE])).toEqual([
      ['chat_changed', team, undefined],
      ['send_message', team, 'after'],
    ]);
  }
  expect((await theirs.say('thanks', team)).data.status_code).toBe(200);
  expect((await hers.rest()).map(({ event, data }) => [event, data.MESSAGE])).toEqual([
    ['send_message', 'thanks'],
  ]);
});

test('a removed member is told and stops receiving and writing at once', async () => {
  const team = await makeGroup(server, alice, [bob, carol]);
  await using hers = await TestSocket.announced(server, alice);
  await using his = await TestSocket.announced(server, bob);
  await using hisPhone = await TestSocket.announced(server, bob, '/ws/phone');
  await hers.say('before', team);
  for (const socket of [his, hisPhone]) expect((await socket.next()).data.MESSAGE).toBe('before');
  await change('/remove_member', alice, team, bob);
  expect(await hers.rest()).toEqual([memberChanged(team, bob, { REMOVED: true })]);
  await hers.say('after', team);
  for (const socket of [his, hisPhone]) {
    expect(await socket.rest()).toEqual([{ event: 'chat_changed', data: { GROUP_ID: team, REMOVED: true } }]);
  }
  expect((await his.say('and I?', team)).data.status_code).toBe(403);
  await hers.say('the default group goes on', defaultGroup);
  expect((await his.next()).data.GROUP_ID).toBe(defaultGroup);
  expect(await hers.rest()).toEqual([]);
});

test('one who leaves is told on every device and stops receiving at once', async () => {
  const team = await makeGroup(server, alice, [bob]);
  await using hers = await TestSocket.announced(server, alice);
  await using his = await TestSocket.announced(server, bob);
  await using hisPhone = await TestSocket.announced(server, bob, '/ws/phone');
  await change('/leave_group', bob, team);
  expect(await hers.rest()).toEqual([memberChanged(team, bob, { REMOVED: true })]);
  await hers.say('after', team);
  for (const socket of [his, hisPhone]) {
    expect(await socket.rest()).toEqual([{ event: 'chat_changed', data: { GROUP_ID: team, REMOVED: true } }]);
  }
  expect((await his.say('and I?', team)).data.status_code).toBe(403);
});

test('one who is removed and added again receives again', async () => {
  const team = await makeGroup(server, alice, [bob]);
  await using hers = await TestSocket.announced(server, alice);
  await using his = await TestSocket.announced(server, bob);
  await change('/remove_member', alice, team, bob);
  await hers.rest();
  await hers.say('unheard', team);
  await change('/add_member', alice, team, bob);
  await hers.rest();
  await hers.say('heard', team);
  const frames = await his.rest();
  expect(frames.map(({ data }) => data.MESSAGE ?? data.REMOVED ?? data.NAME)).toEqual([
    true,
    'Team',
    'heard',
  ]);
});

test('set_role tells everybody in the group, and nobody else', async () => {
  const team = await makeGroup(server, alice, [bob]);
  await using hers = await TestSocket.announced(server, alice);
  await using his = await TestSocket.announced(server, bob);
  await using outsider = await TestSocket.announced(server, carol);
  const set = (ROLE: string) =>
    server.post('/set_role', { ...credentials(alice), GROUP_ID: team, MEMBER_UID: bob.uid, ROLE });
  expect((await set('admin')).status).toBe(200);
  for (const socket of [hers, his])
    expect(await socket.rest()).toEqual([memberChanged(team, bob, { ROLE: 'admin' })]);
  expect((await set('owner')).status).toBe(200);
  for (const socket of [hers, his])
    expect(await socket.rest()).toEqual([
      memberChanged(team, alice, { ROLE: 'admin' }),
      memberChanged(team, bob, { ROLE: 'owner' }),
    ]);
  expect((await set('member')).status).toBe(403);
  for (const socket of [hers, his, outsider]) expect(await socket.rest()).toEqual([]);
});

test('when the owner leaves, the others are told who follows', async () => {
  const team = await makeGroup(server, alice, [bob]);
  await using hers = await TestSocket.announced(server, alice);
  await using his = await TestSocket.announced(server, bob);
  await change('/leave_group', alice, team);
  expect(await his.rest()).toEqual([
    memberChanged(team, alice, { REMOVED: true }),
    memberChanged(team, bob, { ROLE: 'owner' }),
  ]);
  expect((await hers.rest()).map(({ event }) => event)).toEqual(['chat_changed']);
});

test('who comes into the default group is told to nobody', async () => {
  await using hers = await TestSocket.announced(server, alice);
  await join(server, 'Erin');
  expect(await hers.rest()).toEqual([]);
});

test('one who announces after having been removed gets nothing of the group', async () => {
  const team = await makeGroup(server, alice, [bob]);
  await using hers = await TestSocket.announced(server, alice);
  await change('/remove_member', alice, team, bob);
  await hers.rest();
  await using his = await TestSocket.open(server);
  expect((await his.announce(bob)).data.chats).not.toHaveProperty([team]);
  await hers.say('after', team);
  expect(await his.rest()).toEqual([]);
});

/** The next frame but what is told of members. */
async function nextReply(socket: TestSocket): Promise<Frame> {
  const frame = await socket.next();
  return frame.event === 'member_changed' ? nextReply(socket) : frame;
}

/** Lets a sender write while somebody is removed, and looks at what the removed one got. */
async function race(hers: TestSocket, his: TestSocket, round: number): Promise<number> {
  const team = await makeGroup(server, alice, [bob]);
  await Promise.all([hers.rest(), his.rest()]);
  const burst = 1 + (round % 8);
  const write = () => hers.send('send_message', { MESSAGE: 'x', GROUP_ID: team });
  for (let number = 0; number < burst; number += 1) write();
  const removed = change('/remove_member', alice, team, bob);
  if (round % 2) await Bun.sleep(0);
  for (let number = 0; number < burst; number += 1) write();
  await removed;
  let newest = 0;
  for (let number = 0; number < 2 * burst; number += 1) newest = (await nextReply(hers)).data.MESSAGE_ID;
  expect(newest).toBe(2 * burst);

  const frames = await his.rest();
  const ids = frames.slice(0, -1).map(({ data }) => data.MESSAGE_ID);
  expect(ids).toEqual(Array.from(ids, (_, index) => index + 1));
  expect(frames.at(-1)?.data).toEqual({ GROUP_ID: team, REMOVED: true });
  await change('/leave_group', alice, team); // one may own only so many
  return ids.length;
}

test('when a removal and messages race, the removed one gets what was written before it and not one more', async () => {
  await using hers = await TestSocket.announced(server, alice);
  await using his = await TestSocket.announced(server, bob);
  for (let round = 0; round < 60; round += 1) await race(hers, his, round);
});

test('when one announces while he is removed, he gets nothing of the group after it', async () => {
  await using hers = await TestSocket.announced(server, alice);
  for (let round = 0; round < 30; round += 1) {
    const team = await makeGroup(server, alice, [bob]);
    await using his = await TestSocket.open(server);
    const removed = change('/remove_member', alice, team, bob);
    if (round % 3) await Bun.sleep(round % 3);
    his.send('wants_all_his_chats', { UID: bob.uid, TOKEN: bob.token });
    await removed;
    await hers.rest();
    await hers.say('after', team);
    expect((await his.rest()).filter(({ event }) => event === 'send_message')).toEqual([]);
  }
});

test('when one announces while he is added, he gets everything written after the adding', async () => {
  await using hers = await TestSocket.announced(server, alice);
  for (let round = 0; round < 30; round += 1) {
    const team = await makeGroup(server, alice, []);
    await using his = await TestSocket.open(server);
    his.send('wants_all_his_chats', { UID: bob.uid, TOKEN: bob.token });
    await change('/add_member', alice, team, bob);
    await his.next();
    await hers.rest();
    await hers.say('after', team);
    const pushed = (await his.rest()).filter(({ event }) => event === 'send_message');
    expect(pushed.map(({ data }) => data.MESSAGE)).toEqual(['after']);
  }
});
