// Readers that do not read: closed when too much waits for them, and nobody else's affair.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { join, makeGroup, type Person } from '../support/people.ts';
import { TestServer } from '../support/server.ts';
import { RawSocket, TestSocket } from '../support/socket.ts';

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

/** 32,000 bytes on the wire; a thousand of them are far more than the system's own buffers take. */
const big = `h:${Buffer.from('😀'.repeat(4000)).toString('hex')}`;
const rounds = 1000;

async function announcedByHand(person: Person): Promise<RawSocket> {
  const { socket } = await RawSocket.open(server);
  socket.send({ event: 'get_all_messages', data: { UID: person.uid, TOKEN: person.token } });
  await socket.take(/"status_code":200[\s\S]*\}\}/);
  return socket;
}

test('one who never reads is closed, his sibling takes over, and others get everything in order', async () => {
  const team = await makeGroup(server, alice, [bob, carol]);
  await using hers = await TestSocket.announced(server, alice);
  await using sibling = await TestSocket.announced(server, bob);
  await using theirs = await TestSocket.announced(server, carol);
  const stuck = await announcedByHand(bob);
  stuck.raw.pause();
  for (let id = 1; id <= rounds; id += 1) {
    expect((await hers.say(big, team)).data.MESSAGE_ID).toBe(id);
  }
  expect((await theirs.rest()).map(({ data }) => data.MESSAGE_ID)).toEqual(
    Array.from({ length: rounds }, (_, index) => index + 1),
  );
  const taken = (await sibling.rest()).map(({ data }) => data.MESSAGE_ID);
  expect(taken.length).toBeGreaterThan(0);
  expect(taken).toEqual(Array.from(taken, (_, index) => rounds - taken.length + 1 + index));
  stuck.raw.resume();
  await stuck.ended;
}, 20_000);

test('a sender who does not read his replies for a while never sees a hole in them, and others see none either', async () => {
  const team = await makeGroup(server, alice, [bob]);
  await using his = await TestSocket.announced(server, bob);
  const stuck = await announcedByHand(alice);
  stuck.raw.pause();
  const message = { event: 'send_message', data: { MESSAGE: big, GROUP_ID: team } };
  for (let round = 1; round <= 50; round += 1) {
    stuck.send(...Array<typeof message>(20).fill(message));
    if (round === 30) stuck.raw.resume();
    await Bun.sleep(1);
  }
  await stuck.ended;
  const acknowledged = [...stuck.received.matchAll(/"MESSAGE_ID":(\d+)/g)].map(([, id]) => Number(id));
  expect(acknowledged).toEqual(Array.from(acknowledged, (_, index) => index + 1));

  await using hers = await TestSocket.announced(server, alice);
  const { MESSAGE_ID: newest } = (await hers.say('the end', team)).data;
  expect(newest).toBeGreaterThan(acknowledged.length);
  expect((await his.rest()).map(({ data }) => data.MESSAGE_ID)).toEqual(
    Array.from({ length: newest }, (_, index) => index + 1),
  );
}, 20_000);
