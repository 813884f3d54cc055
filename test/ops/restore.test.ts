// Restoring from a real backup repository: what comes back, what is kept aside, who is refused, on this machine and on a new one.
import { Database } from 'bun:sqlite';
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { runBackup } from '../../src/ops/backup/backup.ts';
import { acquireLock } from '../../src/store/lock.ts';
import { localTarget } from '../support/backup.ts';
import { runCommand } from '../support/command.ts';
import { createRemote } from '../support/git.ts';
import { LogFile } from '../support/log-file.ts';
import { call, credentials, join, type Person, password } from '../support/people.ts';
import { TestServer } from '../support/server.ts';
import { defaultGroup, TestSocket } from '../support/socket.ts';

setDefaultTimeout(60_000);

const root = mkdtempSync(joinPath(tmpdir(), 'chat-restore-'));
const repo = joinPath(root, 'remote.git');
let server: TestServer;
let alice: Person;
/** Alice with the session that the snapshots have. */
let original: Person;

/** The commits of the snapshots after one message and after two. */
let first: string;
let second: string;

beforeAll(async () => {
  await createRemote(repo);
  server = await TestServer.start();
  alice = await join(server, 'Alice');
  original = alice;
  await say('one');
  first = await backUp();
  await Bun.sleep(1100); // times of snapshots are told in seconds
  await say('two');
  second = await backUp();
});
afterAll(async () => {
  await server.stop();
  rmSync(root, { recursive: true, force: true });
});

async function say(text: string): Promise<void> {
  await using socket = await TestSocket.announced(server, alice);
  expect((await socket.say(text)).data.status_code).toBe(200);
}

async function backUp(): Promise<string> {
  return (await runBackup(localTarget(server.dataDir, repo))).commit;
}

const restore = (args: string[] = [], dataDir = server.dataDir) =>
  runCommand(['restore', ...args], { DATA_DIR: dataDir, BACKUP_REPO: repo });

/** Runs it with --json and gives what it says of itself. */
async function report(args: string[] = [], dataDir = server.dataDir) {
  const { status, stdout, stderr } = await restore([...args, '--json'], dataDir);
  expect(stderr).toBe('');
  const line = JSON.parse(stdout);
  expect(line.ok).toBe(status === 0);
  return line;
}

const texts = (folder: string) => new LogFile(folder).rows().map(({ body }) => body);
const newFolder = () => mkdtempSync(joinPath(root, 'data-'));

/** What a client is told of itself and of the history's name. */
async function announce(person: Person) {
  await using socket = await TestSocket.open(server);
  return (await socket.ask('wants_all_his_chats', { UID: person.uid, TOKEN: person.token })).data;
}

describe('into the data folder', () => {
  test('The newest snapshot is back under another EPOCH, people are still logged in, and the old data lies aside.', async () => {
    const { EPOCH } = await announce(alice);
    await say('never backed up');
    await server.end();
    const done = await report();
    expect(done).toMatchObject({ commit: second, accounts: 1, messages: 2, erased: 0, endedSessions: 0 });
    expect(texts(server.dataDir)).toEqual(['one', 'two']);
    expect(texts(done.aside)).toEqual(['one', 'two', 'never backed up']);
    expect(statSync(done.aside).mode & 0o777).toBe(0o700);
    await server.start();
    const answer = await announce(alice);
    expect(answer).toMatchObject({ status_code: 200, chats: { 1000000000000: { LAST_MESSAGE_ID: 2 } } });
    expect(answer.EPOCH).not.toBe(EPOCH);
    expect((await call(server, 'getToken', credentials(alice))).body.TOKEN).toBe(alice.token);
    await say('three');
    expect(new LogFile(server.dataDir).problems()).toEqual([]);
    const [entry] = await server.store.listAudit({ uid: null, before: null, limit: 1 });
    expect(entry).toMatchObject({
      kind: 'restored',
      actor: 'command',
      detail: expect.stringContaining(second.slice(0, 12)),
    });
  });

  test('A commit, its beginning, or a time picks an older snapshot; nothing but them is taken for one.', async () => {
    await server.end();
    for (const at of [first, first.slice(0, 8)]) {
      expect(await report(['--at', at])).toMatchObject({ commit: first, messages: 1 });
      expect(texts(server.dataDir)).toEqual(['one']);
    }
    const { snapshots } = await report(['--list']);
    const [newest, oldest] = snapshots.map(({ takenAtMs }: { takenAtMs: number }) =>
      new Date(takenAtMs).toISOString(),
    );
    expect(await report(['--at', newest])).toMatchObject({ commit: second });
    const between = newest.slice(0, 19).replace('T', ' ');
    expect(await report(['--at', between])).toMatchObject({ commit: second });
    expect(await report(['--at', oldest])).toMatchObject({ commit: first });
    const early = await report(['--at', '2020-01-01 00:00']);
    expect(early).toMatchObject({
      ok: false,
      message: expect.stringMatching(/^No snapshot is so old: the oldest is of 20/),
    });
    const unknown = await report(['--at', '1234567']);
    expect(unknown).toMatchObject({
      ok: false,
      message: expect.stringContaining('1234567 is no commit of the branch'),
    });
    for (const at of ['yesterday', '2026-11-25', '2026-13-45 99:00'])
      expect(await restore(['--at', at])).toMatchObject({ status: 2, stdout: '' });
    expect(texts(server.dataDir)).toEqual(['one']);
    await server.start();
  });

  test('With --end-sessions everybody has to log in again.', async () => {
    await server.end();
    expect(await report(['--end-sessions'])).toMatchObject({ endedSessions: 1 });
    await server.start();
    expect((await announce(alice)).status_code).toBe(401);
    const login = await call(server, 'login', { EMAIL: alice.email, PASSWORD: password });
    alice = { ...alice, cookie: login.body.COOKIE, token: login.body.TOKEN };
    expect((await announce(alice)).status_code).toBe(200);
  });

  test('A running server refuses it, and so does a backup, a command, and another restore.', async () => {
    expect(await restore()).toMatchObject({
      status: 1,
      stderr: `A server runs on ${server.dataDir}. Stop it first.\n`,
    });
    await server.end();
    const before = texts(server.dataDir);
    {
      using _lock = acquireLock(joinPath(server.dataDir, 'backup/lock.db'), 0);
      expect(await report()).toMatchObject({
        ok: false,
        kind: 'running',
        message: expect.stringMatching(/^A backup/),
      });
    }
    {
      using command = new Database(joinPath(server.dataDir, 'chat.db'));
      command.run('PRAGMA journal_mode = WAL');
      command.query('SELECT COUNT(*) FROM accounts').get();
      expect(await report()).toMatchObject({
        ok: false,
        kind: 'running',
        message: expect.stringMatching(/^Another program/),
      });
    }
    const both = await Promise.all([report(), report()]);
    expect(both.map(({ ok }) => ok)).toContain(true);
    expect(texts(server.dataDir)).toEqual(before.slice(0, 2));
    await server.start();
  });

  test('A database that is none any more is kept aside as it is.', async () => {
    await server.end();
    const database = joinPath(server.dataDir, 'chat.db');
    writeFileSync(database, 'no database');
    const { aside } = await report();
    expect(readFileSync(joinPath(aside, 'chat.db'), 'utf8')).toBe('no database');
    expect(texts(server.dataDir)).toEqual(['one', 'two']);
    await server.start();
  });
});

describe('on a new machine', () => {
  test('The repository alone is enough: passwords and cookies work as before.', async () => {
    const dataDir = joinPath(root, 'new', 'data');
    expect(await report([], dataDir)).toMatchObject({ commit: second, folder: dataDir, aside: null });
    expect(statSync(dataDir).mode & 0o777).toBe(0o700);
    expect(statSync(joinPath(dataDir, 'chat.db')).mode & 0o777).toBe(0o600);
    const elsewhere = await TestServer.start({ env: { DATA_DIR: dataDir } });
    try {
      const login = await call(elsewhere, 'login', { EMAIL: alice.email, PASSWORD: password });
      expect(login.status).toBe(200);
      const { status, body } = await call(elsewhere, 'getToken', credentials(original));
      expect(status).toBe(200);
      expect(body.TOKEN).not.toBe(original.token); // of another server secret, which is in no backup
      const page = await call(elsewhere, 'oldMessages', credentials(original));
      expect(Object.keys(page.body.groups_messages[defaultGroup])).toHaveLength(2);
    } finally {
      await elsewhere.stop();
    }
  });

  test('--to restores into a fresh folder beside a running server, which goes on.', async () => {
    const folder = joinPath(root, 'beside');
    expect(await report(['--to', folder, '--at', first])).toMatchObject({ folder, messages: 1 });
    expect(texts(folder)).toEqual(['one']);
    expect((await server.get('/uptime')).status).toBe(200);
    const again = await restore(['--to', folder]);
    expect(again).toMatchObject({ status: 1, stderr: expect.stringContaining(`${folder} is not empty`) });
    expect(texts(folder)).toEqual(['one']);
    const relative = await runCommand(['restore', '--to', 'nothing-here-yet', '--json'], {
      DATA_DIR: server.dataDir,
      BACKUP_REPO: repo,
    });
    rmSync(JSON.parse(relative.stdout).folder, { recursive: true });
  });

  test('--list shows every snapshot, the newest first, and makes nothing.', async () => {
    const dataDir = joinPath(root, 'never made');
    const { snapshots } = await report(['--list'], dataDir);
    expect(snapshots.map(({ commit }: { commit: string }) => commit)).toEqual([second, first]);
    const { stdout } = await restore(['--list'], dataDir);
    expect(stdout.split('\n')[0]).toMatch(
      new RegExp(`^${second.slice(0, 12)}  \\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d UTC  Snapshot`),
    );
    expect(existsSync(dataDir)).toBe(false);
  });
});

describe('words', () => {
  test('What stands alone is refused in company, and a missing repository is named.', async () => {
    for (const args of [
      ['--list', '--drill'],
      ['--list', '--at', first],
      ['--drill', '--end-sessions'],
      ['--to'],
    ])
      expect(await restore(args)).toMatchObject({ status: 2, stdout: '' });
    const { status, stderr } = await runCommand(['restore'], { DATA_DIR: newFolder() });
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: expect.stringContaining('BACKUP_REPO is not set'),
    });
  });

  test('It says what it did, and how far it is.', async () => {
    const folder = joinPath(root, 'told');
    const { status, stdout, stderr } = await restore(['--to', folder]);
    expect(status).toBe(0);
    expect(stdout).toInclude(`to ${folder}: 1 accounts, 2 messages`);
    for (const step of ['fetched', 'joined', 'checked', 'made ready', 'swapped in'])
      expect(stderr).toInclude(step);
  });
});
