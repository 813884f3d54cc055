// The server as a process of its own that is killed or told to stop: acknowledged means on disk, and it is soon back.
import { afterEach, beforeEach, expect, test } from 'bun:test';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import type { Subprocess } from 'bun';
import { join, makeGroup, type Person } from '../support/people.ts';
import { entry, TestServer } from '../support/server.ts';
import { RawSocket, TestSocket } from '../support/socket.ts';

/** `bun run src/index.ts` on a fixed port with a data folder of its own. */
class ServerProcess {
  readonly url: string;
  #child: Subprocess | null = null;

  constructor(
    private readonly dataDir: string,
    private readonly port: number,
  ) {
    this.url = `http://127.0.0.1:${port}`;
  }

  /** Starts it and waits until it answers. */
  async start(): Promise<void> {
    const { PATH = '', HOME = '' } = process.env;
    const env = { PATH, HOME, PORT: String(this.port), HOST: '127.0.0.1', DATA_DIR: this.dataDir };
    this.#child = Bun.spawn([process.execPath, 'run', entry], {
      env: { ...env, RATE_LIMITS: 'off', LOG_LEVEL: 'error' },
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    for (const deadline = Date.now() + 10_000; Date.now() < deadline; ) {
      const alive = await fetch(`${this.url}/uptime`).then(
        ({ ok }) => ok,
        () => false,
      );
      if (alive) return;
      await Bun.sleep(10);
    }
    throw new Error('the server process does not answer');
  }

  /** Sends a signal and waits for the end. */
  async end(signal: 'SIGKILL' | 'SIGTERM'): Promise<number | null> {
    this.#child?.kill(signal);
    await this.#child?.exited;
    return this.#child?.exitCode ?? null;
  }

  async post(path: string, body: unknown) {
    const headers = { 'content-type': 'application/json' };
    const answer = await fetch(this.url + path, { method: 'POST', headers, body: JSON.stringify(body) });
    // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape
    return (await answer.json()) as any;
  }

  /** The positions that a chat's history has on disk. */
  async history({ uid, cookie }: Person, groupId: string): Promise<number[]> {
    const ids: number[] = [];
    for (;;) {
      const page = { UID: uid, COOKIE: cookie, GROUP_ID: groupId, AFTER: ids.at(-1) ?? 0, LIMIT: 100 };
      const { groups_messages } = await this.post('/get_old_messages', page);
      const more = Object.keys(groups_messages[groupId]).map(Number);
      if (more.length === 0) return ids;
      ids.push(...more);
    }
  }
}

let server: ServerProcess;
let dataDir: string;
let alice: Person;
let bob: Person;
let team: string;

beforeEach(async () => {
  dataDir = mkdtempSync(joinPath(tmpdir(), 'chat-test-'));
  const prepared = await TestServer.start();
  [alice, bob] = await Promise.all([join(prepared, 'Alice'), join(prepared, 'Bob')]);
  team = await makeGroup(prepared, alice, [bob]);
  const port = Number(new URL(prepared.url).port);
  await prepared.running.stop();
  cpSync(prepared.dataDir, dataDir, { recursive: true });
  rmSync(prepared.dataDir, { recursive: true });
  server = new ServerProcess(dataDir, port);
  await server.start();
});
afterEach(async () => {
  await server.end('SIGKILL');
  rmSync(dataDir, { recursive: true });
});

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
