// Three hundred who return at once while somebody sends: everybody gets everything once and in order, the sender goes on.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { LogFile } from '../support/log-file.ts';
import { join, makeGroup, type Person } from '../support/people.ts';
import { ServerProcess } from '../support/process.ts';
import { type Frame, TestSocket } from '../support/socket.ts';

const returning = 300;
const missed = 200;

let server: ServerProcess;
let alice: Person;
let others: Person[];
let team: string;

beforeAll(async () => {
  const { server: started, made } = await ServerProcess.prepared(async (inside) => {
    const sender = await join(inside, 'Alice');
    // An account may have 50 sockets.
    const names = ['Bob', 'Carol', 'Dave', 'Erin', 'Frank', 'Grace'];
    const members = await Promise.all(names.map((name) => join(inside, name)));
    return { sender, members, team: await makeGroup(inside, sender, members) };
  });
  server = started;
  [alice, others, team] = [made.sender, made.members, made.team];
}, 20_000);
afterAll(() => server.remove());

/** A device that has everything up to a position, and returns with the announce. */
async function comeBack(index: number, epoch: string, position: number): Promise<TestSocket> {
  const socket = await TestSocket.open(server, `/ws/device-${index}`);
  const { uid, token } = others[index % others.length] as Person;
  const has = { EPOCH: epoch, CURSORS: { [team]: position } };
  socket.send('wants_all_his_chats', { UID: uid, TOKEN: token, ...has });
  return socket;
}

const positions = (frames: readonly Frame[]) =>
  frames.filter(({ event }) => event === 'send_message').map(({ data }) => data.MESSAGE_ID);
const upTo = (end: number, from = 1) => Array.from({ length: end - from + 1 }, (_, index) => from + index);

/** Sends one message after the other, each when the one before was acknowledged, until `isOver`. */
async function sendUntil(socket: TestSocket, isOver: () => boolean): Promise<number> {
  let sent = 0;
  for (; !isOver(); sent += 1) {
    expect((await socket.say(`live ${sent}`, team)).data.status_code).toBe(200);
    await Bun.sleep(1);
  }
  return sent;
}

test(`${returning} sockets that resume at once get each message once and in order while another sends`, async () => {
  const file = new LogFile(server.dataDir);
  await using hers = await TestSocket.announced(server, alice);
  const { EPOCH } = (await hers.announce(alice)).data;
  for (let count = 1; count <= missed; count += 1)
    hers.send('send_message', { MESSAGE: 'x', GROUP_ID: team });
  for (let count = 1; count <= missed; count += 1) await hers.next();

  let isOver = false;
  const sending = sendUntil(hers, () => isOver);
  const sockets = await Promise.all(
    Array.from({ length: returning }, (_, index) => comeBack(index, EPOCH, index % 50)),
  );
  const announced = (socket: TestSocket) =>
    socket.frames.some(({ event }) => event === 'wants_all_his_chats');
  for (const deadline = Date.now() + 20_000; !sockets.every(announced); await Bun.sleep(10))
    if (Date.now() > deadline) throw new Error('somebody was not let in');
  await Bun.sleep(50);
  isOver = true;
  expect(await sending).toBeGreaterThan(5);

  const end = file.end(team);
  for (const [index, socket] of sockets.entries()) {
    await socket.rest(); // whatever was published has arrived
    const reply = socket.frames.findIndex(({ event }) => event === 'wants_all_his_chats');
    const { data } = socket.frames[reply] as Frame;
    expect(positions(socket.frames)).toEqual(upTo(end, (index % 50) + 1));
    // With the reply the replay is over: not a message more or less than the list says.
    expect(positions(socket.frames.slice(0, reply)).at(-1)).toBe(data.chats[team].LAST_MESSAGE_ID);
  }
  await Promise.all(sockets.map((socket) => socket.close()));
}, 60_000);
