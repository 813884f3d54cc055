// Readers that never read, seen from outside: they cost the server a bounded share of memory, and lose nothing later.
import { afterEach, beforeEach, expect, test } from 'bun:test';
import { socketLimits } from '../../src/gateway/limits.ts';
import { Line } from '../support/line.ts';
import { join, makeGroup, type Person } from '../support/people.ts';
import { ServerProcess } from '../support/process.ts';
import { type Frame, TestSocket } from '../support/socket.ts';

let server: ServerProcess;
let alice: Person;
let bob: Person;
let carol: Person;
let team: string;
let lines: Line[];

beforeEach(async () => {
  const { server: started, made } = await ServerProcess.prepared(async (inside) => {
    const [one, two, three] = await Promise.all([
      join(inside, 'Alice'),
      join(inside, 'Bob'),
      join(inside, 'Carol'),
    ]);
    return { one, two, three, team: await makeGroup(inside, one, [two, three]) };
  });
  server = started;
  [alice, bob, carol, team] = [made.one, made.two, made.three, made.team];
  lines = [];
}, 20_000);
afterEach(async () => {
  for (const line of lines) line.close();
  await server.remove();
});

const mebibyte = 1024 * 1024;
/** 32,000 bytes on the wire: 600 of them are 18 MiB to each reader, and still few enough to be replayed. */
const big = `h:${Buffer.from('😀'.repeat(4000)).toString('hex')}`;
const count = 600;
const readers = 6;
/** What the process may grow by besides: the garbage of what passes through it. Unread, it would be 110 MiB. */
const slack = 48 * mebibyte;

/** What it may hold for good besides its readers' shares: garbage is gone after a while, what waits for a reader is not. */
const keptSlack = 16 * mebibyte;

/** A reader on a line of its own, announced and then frozen. */
async function frozenReader(person: Person, device: string) {
  const line = await Line.open(server.port);
  lines.push(line);
  const socket = await TestSocket.open(line, `/ws/${device}`);
  const { EPOCH } = (await socket.announce(person)).data;
  line.freeze();
  return { line, socket, device, epoch: String(EPOCH) };
}

/** Publishes big messages, a few in flight at a time; returns the most memory the server had meanwhile. */
async function publish(sender: TestSocket, messages: number): Promise<number> {
  let most = 0;
  for (let sent = 0; sent < messages; sent += 10) {
    for (let one = 0; one < 10; one += 1) sender.send('send_message', { MESSAGE: big, GROUP_ID: team });
    for (let one = 0; one < 10; one += 1) expect((await sender.next()).data.status_code).toBe(200);
    most = Math.max(most, server.memory);
  }
  return most;
}

const positions = (frames: readonly Frame[]) =>
  frames.filter(({ event }) => event === 'send_message').map(({ data }) => data.MESSAGE_ID);
const upTo = (end: number, from = 1) => Array.from({ length: end - from + 1 }, (_, index) => from + index);

/** Lets a reader read what is on its way, and then come back from where it is; returns every position it got. */
async function readOn(
  person: Person,
  { line, socket, device, epoch }: Awaited<ReturnType<typeof frozenReader>>,
) {
  line.thaw();
  await socket.closed;
  const had = positions(socket.frames);
  await using again = await TestSocket.open(server, `/ws/${device}`);
  const has = { EPOCH: epoch, CURSORS: { [team]: had.at(-1) ?? 0 } };
  again.send('wants_all_his_chats', { UID: person.uid, TOKEN: person.token, ...has });
  await again.rest();
  expect(again.frames.some(({ data }) => data.GAP || data.RESET)).toBe(false);
  return { had, all: [...had, ...positions(again.frames)] };
}

test(`${readers} who never read cost at most their limit, are closed, lose nothing, and others get all of it`, async () => {
  await using hers = await TestSocket.announced(server, alice);
  await using theirs = await TestSocket.announced(server, carol);
  await publish(hers, 200); // the process grows to its working size before it is measured
  const before = server.memory;
  const frozen = await Promise.all(
    Array.from({ length: readers }, (_, index) => frozenReader(bob, `frozen-${index}`)),
  );
  const most = await publish(hers, count);
  expect(most - before).toBeLessThan(readers * socketLimits.backpressureBytes + slack);

  await theirs.rest();
  expect(positions(theirs.frames)).toEqual(upTo(200 + count));
  for (const reader of frozen) {
    const { had, all } = await readOn(bob, reader);
    expect(had.length).toBeLessThan(count);
    expect(all).toEqual(upTo(200 + count, 201));
  }
}, 60_000);

test(`${readers} who return and do not read what they missed cost no more, and keep nobody from anything`, async () => {
  await using hers = await TestSocket.announced(server, alice);
  const { EPOCH } = (await hers.announce(alice)).data;
  await publish(hers, count);
  const before = server.memory;
  const stuck: TestSocket[] = [];
  for (let index = 0; index < readers; index += 1) {
    const line = await Line.open(server.port);
    lines.push(line);
    const socket = await TestSocket.open(line, `/ws/stuck-${index}`);
    line.freeze();
    const has = { EPOCH, CURSORS: { [team]: 0 } };
    socket.send('wants_all_his_chats', { UID: bob.uid, TOKEN: bob.token, ...has });
    stuck.push(socket);
  }
  const bound = before + readers * socketLimits.backpressureBytes + keptSlack;
  await Bun.sleep(300); // as much as they may have is on its way to them
  for (const deadline = Date.now() + 6000; server.memory > bound && Date.now() < deadline; )
    await Bun.sleep(50);
  expect(server.memory).toBeLessThan(bound);
  await using theirs = await TestSocket.announced(server, carol);
  await publish(hers, 100);
  await theirs.rest();
  expect(positions(theirs.frames)).toEqual(upTo(count + 100, count + 1));

  for (const line of lines) line.thaw();
  for (const socket of stuck) {
    while (!socket.frames.some(({ event }) => event === 'wants_all_his_chats')) await Bun.sleep(10);
    await socket.rest();
    expect(positions(socket.frames)).toEqual(upTo(count + 100));
  }
}, 60_000);
