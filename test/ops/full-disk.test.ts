// A full disk, a real one: what is refused, that nothing of it is half-written, and that all goes on once there is room.
import { Database } from 'bun:sqlite';
import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { sql } from 'drizzle-orm';
import { AppError } from '../../src/errors.ts';
import { tellingFailures } from '../../src/store/failures.ts';
import * as schema from '../../src/store/schema.ts';
import { openDatabase } from '../../src/store/sqlite.ts';
import { join, type Person, signUpBody } from '../support/people.ts';
import { fixedPort, ServerProcess } from '../support/process.ts';
import { TestServer } from '../support/server.ts';
import { SmallDisk } from '../support/small-disk.ts';
import { defaultGroup, TestSocket } from '../support/socket.ts';

const mebibyte = 1024 * 1024;
const noRoom = /^The disk is full\. /;

const canMount = (() => {
  using disk = SmallDisk.make(mebibyte);
  return disk !== null;
})();

test('PRAGMA max_page_count stands in for a full disk, for where none can be mounted', async () => {
  const folder = mkdtempSync(joinPath(tmpdir(), 'chat-max-pages-'));
  const driver = openDatabase(joinPath(folder, 'chat.db'));
  const setMost = (pages: number) => driver.writer.run(sql.raw(`PRAGMA max_page_count = ${pages}`));
  const add = (groupId: string) =>
    driver.write((tx) =>
      tx.insert(schema.chats).values({ groupId, name: 'x'.repeat(3000), picture: '', createdAt: 1 }),
    );
  setMost(1); // as many as there are
  let added = 0;
  let refusal: unknown = null;
  while (refusal === null)
    await add(`${added + 1}`).then(
      () => {
        added += 1;
      },
      (error: unknown) => {
        refusal = error;
      },
    );
  expect(refusal).toMatchObject({ code: 'unavailable', status: 503, message: expect.stringMatching(noRoom) });
  const count = async () => (await driver.reader.select({ id: schema.chats.id }).from(schema.chats)).length;
  expect(await count()).toBe(added);
  setMost(1_000_000);
  await add('999');
  expect(await count()).toBe(added + 1);
  await driver.close();
  rmSync(folder, { recursive: true });
});

// Skipped where nothing can be mounted; the one above is then all there is.
describe.skipIf(!canMount)('on a full disk', () => {
  let disk: SmallDisk;
  let server: ServerProcess;
  let alice: Person;
  /** Not on the disk that is full. */
  let logFile: string;

  beforeEach(async () => {
    const made = SmallDisk.make(48 * mebibyte);
    if (!made) throw new Error('it could be mounted a moment ago');
    disk = made;
    const inside = await TestServer.start();
    alice = await join(inside, 'Alice');
    await inside.end();
    cpSync(inside.dataDir, disk.folder, { recursive: true });
    rmSync(inside.dataDir, { recursive: true });
    server = new ServerProcess(disk.folder, await fixedPort());
    logFile = joinPath(tmpdir(), `chat-full-disk-${server.port}.log`);
  });
  afterEach(async () => {
    await server.end('SIGKILL');
    disk[Symbol.dispose]();
    rmSync(logFile, { force: true });
  });

  const ask = async (path: string, body: unknown) => {
    const headers = { 'content-type': 'application/json' };
    const answer = await fetch(server.url + path, { method: 'POST', headers, body: JSON.stringify(body) });
    // biome-ignore lint/suspicious/noExplicitAny: answers have every shape
    return { status: answer.status, headers: answer.headers, body: (await answer.json()) as any };
  };
  const cookie = () => ({ UID: alice.uid, COOKIE: alice.cookie });
  const logBytes = () => statSync(joinPath(disk.folder, 'chat.db-wal')).size;
  const fileBytes = () => statSync(joinPath(disk.folder, 'chat.db')).size;

  /** Says things until one is refused; returns the positions that were acknowledged, and the refusal. */
  async function sayUntilRefused(socket: TestSocket, text: string) {
    const acknowledged: number[] = [];
    for (let index = 0; index < 1000; index += 1) {
      const { data } = await socket.say(`${text} ${index} ${'x'.repeat(2000)}`);
      if (data.status_code !== 200) return { acknowledged, refusal: data };
      acknowledged.push(data.MESSAGE_ID);
    }
    throw new Error('nothing was refused');
  }

  /** Says long things, many at once, until the condition holds. */
  async function sayMuch(socket: TestSocket, isEnough: () => boolean): Promise<number> {
    let last = 0;
    while (!isEnough()) {
      for (let count = 0; count < 20; count += 1)
        socket.send('send_message', { MESSAGE: 'y'.repeat(3900), GROUP_ID: defaultGroup });
      for (let count = 0; count < 20; count += 1) last = (await socket.next()).data.MESSAGE_ID;
    }
    return last;
  }

  const upTo = (end: number) => Array.from({ length: end }, (_, index) => index + 1);

  test('what writes is 503 with clear words, what reads goes on, and all goes on when there is room', async () => {
    await server.start({ logFile });
    await using socket = await TestSocket.announced(server, alice);
    disk.fill(100 * 1024);
    const { acknowledged, refusal } = await sayUntilRefused(socket, 'first');
    expect(refusal).toMatchObject({ status_code: 503, message: expect.stringMatching(noRoom) });
    expect(refusal.content.MESSAGE).toStartWith('Not sent. The disk is full.');
    for (let tries = 0; tries < 50; tries += 1)
      expect((await socket.say('x'.repeat(2000))).data.status_code).toBe(503);

    const writes: [string, unknown][] = [
      ['/sign_up', signUpBody('Bob')],
      ['/login', { EMAIL: alice.email, PASSWORD: alice.password }],
      ['/create_group', { ...cookie(), NAME: 'Team' }],
    ];
    for (const [path, body] of writes) {
      const answer = await ask(path, body);
      expect([path, answer.status]).toEqual([path, 503]);
      expect(answer.body.message).toMatch(noRoom);
      expect(answer.headers.get('retry-after')).toBe('5');
    }
    for (const path of ['/get_all_chats', '/get_token', '/get_settings_data', '/get_old_messages'])
      expect([path, (await ask(path, cookie())).status]).toEqual([path, 200]);
    expect((await ask('/get_all_users', cookie())).status).toBe(404); // as always: there is nobody else
    await using another = await TestSocket.announced(server, alice, '/ws/another');
    expect((await another.ask('ping', {})).data.status_code).toBe(200);
    expect(await server.history(alice, defaultGroup)).toEqual(acknowledged);

    disk.makeRoom();
    expect((await socket.say('after')).data.MESSAGE_ID).toBe(acknowledged.length + 1);
    for (const [path, body] of writes) expect([path, (await ask(path, body)).status]).toEqual([path, 200]);
    expect(await server.history(alice, defaultGroup)).toEqual(upTo(acknowledged.length + 1));
    const told = readFileSync(logFile, 'utf8').match(/"the database cannot be used"/g);
    expect(told?.length).toBe(1); // and not once for each that was refused
  }, 30_000);

  test('a refused message is nowhere and an acknowledged one is there, also after a kill', async () => {
    await server.start({ logFile });
    const socket = await TestSocket.announced(server, alice);
    disk.fill(150 * 1024);
    // Many at once, so that whole batches are refused.
    const sent = 400;
    for (let index = 0; index < sent; index += 1)
      socket.send('send_message', { MESSAGE: `burst ${index} ${'x'.repeat(1500)}`, GROUP_ID: defaultGroup });
    const acknowledged = new Map<number, string>();
    for (let index = 0; index < sent; index += 1) {
      const { data } = await socket.next();
      if (data.status_code === 200) acknowledged.set(data.MESSAGE_ID, data.MESSAGE);
      else expect(data.status_code).toBe(503);
    }
    expect(acknowledged.size).toBeWithin(0, sent);
    await server.end('SIGKILL');
    disk.makeRoom();
    await server.start({ logFile });
    expect(await server.history(alice, defaultGroup)).toEqual(upTo(acknowledged.size));
    for (const after of acknowledged.keys()) {
      const page = { ...cookie(), GROUP_ID: defaultGroup, AFTER: after - 1, LIMIT: 1 };
      const { body } = await ask('/get_old_messages', page);
      expect(body.groups_messages[defaultGroup][after].MESSAGE).toBe(acknowledged.get(after) ?? '');
    }
  }, 30_000);

  test('a checkpoint that finds no room loses nothing, and is made up for when there is some', async () => {
    await server.start({ logFile });
    await using socket = await TestSocket.announced(server, alice);
    // Almost as long as the log becomes before it is brought into the file.
    const before = await sayMuch(socket, () => logBytes() > 15.5 * mebibyte);
    const file = fileBytes();
    disk.fill(mebibyte);
    const { acknowledged, refusal } = await sayUntilRefused(socket, 'full');
    expect(acknowledged[0]).toBe(before + 1);
    expect(refusal.message).toMatch(noRoom);
    // It was to be brought in meanwhile, and the file had not the room to grow by all of it.
    expect(logBytes()).toBeGreaterThan(4000 * 4096);
    expect(fileBytes() - file).toBeLessThan(2 * mebibyte);
    expect(await server.history(alice, defaultGroup)).toEqual(upTo(before + acknowledged.length));

    disk.makeRoom();
    const last = await sayMuch(socket, () => fileBytes() > file + 4 * mebibyte);
    expect(await server.history(alice, defaultGroup)).toEqual(upTo(last));
  }, 60_000);

  test('a sign-up whose mail finds no room is 503 and undone', async () => {
    await server.start({ logFile });
    await using socket = await TestSocket.announced(server, alice);
    // From here on the log is written over, for which it needs no room.
    const file = fileBytes();
    await sayMuch(socket, () => fileBytes() > file + mebibyte);
    await socket.say('the log begins anew');
    disk.fill(0);
    expect((await socket.say('for which there is room')).data.status_code).toBe(200);
    const answer = await ask('/sign_up', signUpBody('Bob'));
    expect([answer.status, answer.body.message]).toEqual([
      503,
      expect.stringMatching(/^The mail could not be kept/),
    ]);
    const outbox = joinPath(disk.folder, 'outbox');
    expect(readdirSync(outbox, { recursive: true }).filter((name) => String(name).endsWith('.tmp'))).toEqual(
      [],
    );
    expect((await ask('/login', { EMAIL: 'bob@example.test', PASSWORD: alice.password })).status).toBe(401);
    disk.makeRoom();
    expect((await ask('/sign_up', signUpBody('Bob'))).status).toBe(200);
  }, 60_000);

  test('it stops in order, and a start says why there is none', async () => {
    await server.start({ logFile });
    await using socket = await TestSocket.announced(server, alice);
    disk.fill(100 * 1024);
    const { acknowledged } = await sayUntilRefused(socket, 'full');
    disk.fill(0);
    expect(await server.end('SIGTERM')).toBe(0);

    const words = `The disk of ${disk.folder} is full: the server cannot start. Make room and start again.\n`;
    for (const lacking of ['', 'chat.db-shm', 'server.secret']) {
      if (lacking) rmSync(joinPath(disk.folder, lacking), { force: true });
      rmSync(logFile, { force: true });
      disk.fill(0);
      expect([lacking, await server.spawn({ logFile }).exited]).toEqual([lacking, 1]);
      expect([lacking, readFileSync(logFile, 'utf8')]).toEqual([lacking, words]);
    }
    disk.makeRoom();
    await server.start({ logFile });
    expect(await server.history(alice, defaultGroup)).toEqual(acknowledged);
  }, 30_000);
});

describe('a disk that fails', () => {
  test('makes what cannot be read unavailable too, tells of each failure, and leaves defects what they are', async () => {
    const open = async (path: string) => void new Database(path, { readonly: true });
    const failures: AppError[] = [];
    const store = {
      read: () => open(joinPath(tmpdir(), 'no such folder', 'chat.db')),
      defect: async () => void new Database(':memory:').run('SELECT * FROM nothing'),
      sound: async (one: number) => one + 1,
      epoch: 'e',
    };
    const telling = tellingFailures(store, (failure) => failures.push(failure));
    expect(await telling.read().catch((error: unknown) => error)).toMatchObject({ status: 503 });
    expect(await telling.defect().catch((error: unknown) => error)).not.toBeInstanceOf(AppError);
    expect([await telling.sound(1), telling.epoch]).toEqual([2, 'e']);
    expect(failures.map(({ code }) => code)).toEqual(['unavailable']);
  });

  test.skipIf(process.platform === 'win32')(
    'makes 503 of what cannot be written, never 500',
    async () => {
      const { server, made } = await ServerProcess.prepared(async (inside) => join(inside, 'Alice'));
      await server.end('SIGTERM');
      // Beyond this a write fails with another error than that of a full disk.
      await server.start({ fileKiB: 256 });
      try {
        const socket = await TestSocket.announced(server, made);
        const outcomes: number[] = [];
        let said = '';
        while (outcomes.length < 200 && outcomes.at(-1) !== 503) {
          const { data } = await socket.say('x'.repeat(3000));
          outcomes.push(data.status_code);
          said = data.message;
        }
        expect(outcomes.at(-1)).toBe(503);
        expect(said).toStartWith('The disk does not answer as it should.');
        const login = { EMAIL: made.email, PASSWORD: made.password };
        const headers = { 'content-type': 'application/json' };
        const answer = await fetch(`${server.url}/login`, {
          method: 'POST',
          headers,
          body: JSON.stringify(login),
        });
        expect(answer.status).toBe(503);
        expect((await server.history(made, defaultGroup)).length).toBe(outcomes.length - 1);
      } finally {
        await server.remove();
      }
    },
    30_000,
  );

  test.skipIf(process.platform !== 'linux')(
    'ends no server whose log it has no room for',
    async () => {
      const { server, made } = await ServerProcess.prepared(async (inside) => join(inside, 'Alice'));
      await server.end('SIGTERM');
      await server.start({ logFile: '/dev/full', logLevel: 'debug' });
      try {
        const socket = await TestSocket.announced(server, made);
        for (let count = 0; count < 20; count += 1) {
          await server.history(made, defaultGroup);
          expect((await socket.say('still here')).data.status_code).toBe(200);
        }
      } finally {
        await server.remove();
      }
    },
    30_000,
  );
});
