// The import run again: a second time, after a kill, after life has gone on; and the runs that must change nothing.
import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { acquireLock } from '../../src/store/lock.ts';
import { Move } from '../support/import.ts';
import { directId, everybody, type OldUser } from '../support/old-server.ts';
import type { TestServer } from '../support/server.ts';

setDefaultTimeout(60_000); // each starts whole programs, on a machine that may be busy

let move: Move;
let people: OldUser[];

beforeEach(() => {
  move = new Move();
  move.write((old) => {
    people = [2, 3, 4].map((UID) => old.addUser({ UID }));
    for (const { UID } of people) old.addToList(UID, 5123456789012);
    old.say(everybody, 2, 'to all');
    old.say('5123456789012', 3, 'to the group');
    old.say(directId(2, 3), 2, 'to three');
  });
});

afterEach(() => move[Symbol.dispose]());

const all = () => ({ ACCOUNTS: 3, GROUPS: 1, DIRECT_CHATS: 1, MESSAGES: 3 });
const bodies = () => move.rows('SELECT body FROM messages ORDER BY chat_id, seq').flat();

async function serving(act: (server: TestServer) => Promise<void>): Promise<void> {
  const server = await move.serve();
  try {
    await act(server);
  } finally {
    await server.running.stop();
  }
}

const as = (uid: number) => ({ UID: uid, COOKIE: people.find(({ UID }) => UID === uid)?.COOKIE });

describe('a second run', () => {
  test('It takes nothing twice and says what had been taken.', async () => {
    expect((await move.import()).taken).toEqual({ ...all(), LOGINS: 3 });
    const before = move.rows('SELECT * FROM messages').concat(move.rows('SELECT * FROM members'));
    expect(await move.import()).toMatchObject({ taken: {}, before: all(), mended: {}, refused: {} });
    expect(move.rows('SELECT * FROM messages').concat(move.rows('SELECT * FROM members'))).toEqual(before);
    expect(move.rows('SELECT COUNT(*) FROM sessions')).toEqual([[3]]);
  });

  test('What the old server wrote since comes after what was written here, which stays.', async () => {
    await move.import();
    const { store, stop } = (await move.serve()).running;
    const draft = { senderUid: 3, mayCreateChat: false, clientMessageId: null, sentAt: Date.now() };
    const ref = { kind: 'group', groupId: everybody } as const;
    await store.appendMessages([{ ...draft, ref, body: 'said here' }], () => undefined);
    await stop();
    move.write((old) => old.say(everybody, 4, 'said there', '2025-04-01 10:00:00'));
    expect((await move.import()).taken).toEqual({ MESSAGES: 1 });
    expect(bodies()).toEqual(['to all', 'said here', 'said there', 'to the group', 'to three']);
    const [[lastAt]] = move.rows('SELECT last_message_at FROM chats WHERE id = 1') as [[number]];
    expect(lastAt).toBe(draft.sentAt);
  });

  test('What was removed, left, logged out and deleted here does not come back.', async () => {
    await move.import();
    await serving(async (server) => {
      const group = { GROUP_ID: '5123456789012' };
      const ok = async (path: string, body: object) =>
        expect((await server.post(path, body)).status).toBe(200);
      await ok('/remove_message', { ...as(2), GROUP_ID: everybody, MESSAGE_ID: 1 });
      await ok('/leave_group', { ...as(4), ...group });
      await ok('/logout', as(4));
      await ok('/delete_account', { ...as(3), PASSWORD: 'pass word 3', MESSAGES: 'remove' });
    });
    move.write((old) => old.say(everybody, 3, 'from the deleted one'));
    const { taken, refused } = await move.import();
    expect({ taken, refused }).toEqual({ taken: {}, refused: { LIST_OWNER: 1, MESSAGE_DELETED: 1 } });
    expect(move.rows('SELECT uid FROM accounts ORDER BY uid')).toEqual([[2], [4]]);
    expect(move.rows('SELECT uid FROM sessions')).toEqual([[2]]);
    const sql = "SELECT uid FROM members JOIN chats ON id = chat_id WHERE group_id = '5123456789012'";
    expect(move.rows(sql)).toEqual([[2]]);
    expect(bodies().filter((body) => body !== 'This message was removed')).toEqual(['to three']);
  });

  // A short one goes at once, a long one little by little.
  for (const [what, messages] of [
    ['short', 1],
    ['long', 300],
  ] as const) {
    test(`A ${what} chat that went here stays away, and is not mixed up with the one made after it.`, async () => {
      move.write((old) => {
        old.addToList(2, 6123456789012);
        for (let index = 0; index < messages; index += 1) old.say('6123456789012', 2, 'x');
      });
      await move.import();
      await serving(async (server) => {
        const leave = { ...as(2), GROUP_ID: '6123456789012' };
        expect((await server.post('/leave_group', leave)).status).toBe(200);
        const make = { ...as(3), NAME: 'Private', MEMBERS: [] };
        expect((await server.post('/create_group', make)).status).toBe(200);
      });
      move.write((old) => old.say('6123456789012', 2, 'said there'));
      expect(await move.import()).toMatchObject({ taken: {}, refused: { CHAT_DELETED: 1 } });
      expect(bodies()).not.toContain('said there');
    });
  }

  test('An account deleted here stays so even when the database has forgotten that it was imported.', async () => {
    await move.import();
    await serving(async (server) => {
      const body = { ...as(3), PASSWORD: 'pass word 3', MESSAGES: 'remove' };
      expect((await server.post('/delete_account', body)).status).toBe(200);
    });
    for (const name of readdirSync(move.dataDir).filter((file) => file.startsWith('chat.db')))
      await Bun.file(join(move.dataDir, name)).delete();
    const { taken, refused } = await move.import();
    expect(taken).toMatchObject({ ACCOUNTS: 2, MESSAGES: 2 });
    expect(refused).toEqual({ ACCOUNT_DELETED: 1, LIST_OWNER: 1, MESSAGE_DELETED: 1 });
  });
});

describe('a kill', () => {
  test('After kill -9 in the middle the same command completes it, with everything once and in order.', async () => {
    const many = 40_000;
    move.write((old) => {
      for (let index = 1; index <= many; index += 1) old.say(directId(3, 4), 3, `number ${index}`);
    });
    const child = move.start();
    const came = () => {
      try {
        return Number(move.rows('SELECT COUNT(*) FROM messages')[0]?.[0]);
      } catch {
        return 0; // not there yet
      }
    };
    while (came() < 4000 && child.exitCode === null) await Bun.sleep(1);
    child.kill('SIGKILL');
    await child.exited;
    const half = came();
    expect(half).toBeGreaterThanOrEqual(4000);
    expect(half).toBeLessThan(many);

    const { taken } = await move.import();
    expect(taken.MESSAGES).toBe(many + 3 - half);
    const texts = bodies().filter((body) => String(body).startsWith('number'));
    expect(texts).toEqual(Array.from({ length: many }, (_, index) => `number ${index + 1}`));
    const unread = 'SELECT COUNT(*) FROM members JOIN chats ON id = chat_id WHERE read_seq <> last_seq';
    expect(move.rows(unread)).toEqual([[0]]);
    expect(move.rows("SELECT origin FROM imported WHERE origin LIKE 'unread:%'")).toEqual([]);
  });
});

describe('a run that changes nothing', () => {
  test('Beside a server it is refused.', async () => {
    await move.import();
    using _server = acquireLock(join(move.dataDir, 'server.lock'), 0);
    const { status, stderr } = await move.run();
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: `A server or another import runs on ${move.dataDir}. Stop it first.\n`,
    });
  });

  test('After a restore that was interrupted a dry run is refused.', async () => {
    mkdirSync(join(move.dataDir, 'restore.ready'), { recursive: true });
    const { status, stderr } = await move.run('--dry-run');
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: expect.stringMatching(/^A restore was interrupted/),
    });
    expect(readdirSync(move.dataDir)).toEqual(['restore.ready']);
  });

  test('A dry run on nothing says what would be taken, and makes nothing.', async () => {
    const TMPDIR = join(move.root, 'temporary');
    mkdirSync(TMPDIR);
    move.env = { TMPDIR };
    expect((await move.import('--dry-run')).taken).toEqual({ ...all(), LOGINS: 3 });
    expect(existsSync(move.dataDir)).toBe(false);
    expect(readdirSync(TMPDIR)).toEqual([]);
  });

  test('A dry run on a database leaves it as it is, also beside a server.', async () => {
    await move.import();
    move.write((old) => old.say(everybody, 4, 'said there'));
    const file = readFileSync(join(move.dataDir, 'chat.db'));
    using _server = acquireLock(join(move.dataDir, 'server.lock'), 0);
    expect(await move.import('--dry-run')).toMatchObject({ taken: { MESSAGES: 1 }, before: all() });
    expect(readFileSync(join(move.dataDir, 'chat.db')).equals(file)).toBe(true);
  });
});

describe('what is said', () => {
  test('Without --json it is a line for each kind, with progress beside it on standard error.', async () => {
    move.write((old) => old.say(everybody, 77, 'a: stranger'));
    const { status, stdout, stderr } = await move.run();
    expect(status).toBe(0);
    expect(stdout).toMatch(/^Taken:\n +3 {2}accounts\n/);
    expect(stdout).toMatch(/^ +1 {2}messages of senders who are not .*\(G_1000000000000 2\)$/m);
    expect(stderr).toMatch(/^accounts: 3 of 3, 100 %, \d+ s\nmessages: 4 of 4, 100 %, \d+ s\n$/);
    expect(stdout + stderr).not.toInclude('stranger');
    expect(stdout + stderr).not.toInclude('pass word');
    expect((await move.run()).stdout).toMatch(/^ +0 {2}accounts, 3 more by an earlier import$/m);
  });

  for (const [what, words] of [
    ['no folder', ['import']],
    ['two folders', ['import', 'a', 'b']],
    ['an unknown flag', ['import', 'a', '--fast']],
  ] as const) {
    test(`A line with ${what} gets the help and exit status 2.`, async () => {
      const command = [process.execPath, 'run', join(import.meta.dir, '../../src/index.ts'), ...words];
      const env = { PATH: process.env.PATH ?? '', DATA_DIR: move.dataDir };
      const child = Bun.spawn(command, { env, stdin: 'ignore', stdout: 'pipe', stderr: 'pipe' });
      const stderr = await child.stderr.text();
      expect([await child.exited, stderr]).toEqual([2, expect.stringContaining('import FOLDER [--dry-run]')]);
    });
  }
});
