// The server as a process of its own that is killed or told to stop: acknowledged means on disk, and it is soon back.
import { afterEach, beforeEach, expect, test } from 'bun:test';
import { join, makeGroup, type Person } from '../support/people.ts';
import { ServerProcess } from '../support/process.ts';
import { RawSocket, TestSocket } from '../support/socket.ts';

let server: ServerProcess;
let alice: Person;
let bob: Person;
let team: string;

beforeEach(async () => {
  const { server: started, made } = await ServerProcess.prepared(async (inside) => {
    const [one, other] = await Promise.all([join(inside, 'Alice'), join(inside, 'Bob')]);
    return { one, other, team: await makeGroup(inside, one, [other]) };
  });
  server = started;
  [alice, bob, team] = [made.one, made.other, made.team];
});
afterEach(() => server.remove());

const ascending = (ids: readonly number[]) => Array.from(ids, (_, index) => index + 1);

/** Writes without waiting until the socket closes; returns the positions that were acknowledged. */
async function writeUntilClosed(socket: TestSocket): Promise<() => number[]> {
  const writing = setInterval(() => {
    for (let number = 0; number < 10; number += 1)
      socket.send('send_message', { MESSAGE: 'x'.repeat(500), GROUP_ID: team });
  }, 1);
  void socket.closed.then(() => clearInterval(writing));
  for (let number = 0; number < 50; number += 1) await socket.next();
  return () => socket.frames.flatMap(({ data }) => (data.MESSAGE_ID ? [data.MESSAGE_ID] : []));
}

test('kill -9 right after an acknowledgement loses nothing that was acknowledged', async () => {
  for (let round = 0; round < 3; round += 1) {
    const socket = await TestSocket.announced(server, alice);
    const acknowledged = await writeUntilClosed(socket);
    await server.end('SIGKILL');
    await socket.closed;
    await server.start();
    const kept = await server.history(bob, team);
    expect(kept).toEqual(ascending(kept));
    expect(kept.length).toBeGreaterThanOrEqual(acknowledged().at(-1) ?? Number.POSITIVE_INFINITY);
  }
}, 30_000);

test('the very next thing after an acknowledgement may be kill -9', async () => {
  const socket = await TestSocket.announced(server, alice);
  expect((await socket.say('acknowledged', team)).data.MESSAGE_ID).toBe(1);
  await server.end('SIGKILL');
  await server.start();
  expect(await server.history(bob, team)).toEqual([1]);
  await using again = await TestSocket.announced(server, alice);
  expect((await again.say('goes on', team)).data.MESSAGE_ID).toBe(2);
}, 20_000);

test('SIGTERM closes every socket with 4000, exits with 0 in 1.5 s and is back within 2.5 s', async () => {
  const sockets = [
    await TestSocket.announced(server, alice),
    await TestSocket.announced(server, alice),
    await TestSocket.announced(server, bob, '/ws/1'),
    await TestSocket.open(server),
  ];
  const silent = await RawSocket.open(server); // one that never answers a close frame
  const startedAt = performance.now();
  expect(await server.end('SIGTERM')).toBe(0);
  const exitedAt = performance.now();
  for (const socket of sockets) expect((await socket.closed).code).toBe(4000);
  await silent.socket.ended;
  expect(silent.socket.received).toStartWith('\x88'); // a close frame
  await server.start();
  const servingAt = performance.now();
  expect(exitedAt - startedAt).toBeLessThan(1500);
  expect(servingAt - startedAt).toBeLessThan(2500);
}, 20_000);

test('everything acknowledged before SIGTERM is there afterwards, and every writer was told goodbye', async () => {
  const socket = await TestSocket.announced(server, alice);
  const acknowledged = await writeUntilClosed(socket);
  expect(await server.end('SIGTERM')).toBe(0);
  expect((await socket.closed).code).toBe(4000);
  await server.start();
  const kept = await server.history(bob, team);
  expect(kept).toEqual(ascending(kept));
  expect(acknowledged()).toEqual(ascending(acknowledged()));
  expect(kept.length).toBeGreaterThanOrEqual(acknowledged().length);
}, 20_000);

test('get_token gives the same token after a restart, and it still announces', async () => {
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    await server.end(signal);
    await server.start();
    const { TOKEN } = await server.post('/get_token', { UID: alice.uid, COOKIE: alice.cookie });
    expect(TOKEN).toBe(alice.token);
    await using _socket = await TestSocket.announced(server, alice);
  }
}, 20_000);
