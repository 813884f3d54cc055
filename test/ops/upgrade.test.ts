// Upgrades: databases of every older schema, a migration that fails, no room, a server in the way.
import { Database } from 'bun:sqlite';
import { afterAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { acquireLock } from '../../src/store/lock.ts';
import { entry, TestServer } from '../support/server.ts';

setDefaultTimeout(60_000); // each starts whole programs, on a machine that may be busy

const folder = mkdtempSync(join(tmpdir(), 'chat-upgrade-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const sqlFolder = join(import.meta.dir, '../../src/store/migrations');
const migrations = readdirSync(sqlFolder)
  .sort()
  .map((name) => readFileSync(join(sqlFolder, name), 'utf8'));
const newest = migrations.length;

const isolated = ['unshare', '--user', '--map-root-user', '--mount', 'sh', '-c'];

/** A data folder with the database of a program that knew this many migrations, with somebody who has written in it. */
function olderFolder(name: string, schema: number): string {
  const dataDir = join(folder, name);
  mkdirSync(dataDir, { mode: 0o700 });
  const db = new Database(join(dataDir, 'chat.db'), { create: true });
  db.run('PRAGMA journal_mode = WAL');
  for (const sql of migrations.slice(0, schema)) db.run(sql);
  db.run(`PRAGMA user_version = ${schema}`);
  db.run(`INSERT INTO accounts (uid, first_name, last_name, first_key, last_key, email, email_key, phone, picture,
    password_hash, created_at, verified_at) VALUES (7, 'Old', 'Hand', 'old', 'hand', 'old@example.test',
    'old@example.test', '', '', 'none', 1, 1)`);
  db.run(`INSERT INTO chats (id, group_id, name, picture, created_at, last_seq, last_message_at)
    VALUES (1, '1000000000000', 'ACODE CHAT', '', 1, 1, 2)`);
  db.run("INSERT INTO members (chat_id, uid, role, joined_at) VALUES (1, 7, 'member', 1)");
  db.run("INSERT INTO messages (chat_id, seq, sender_uid, body, sent_at) VALUES (1, 1, 7, 'from before', 2)");
  db.close();
  return dataDir;
}

/** What a file has, as far as every schema has it. */
function contents(path: string) {
  using db = new Database(path, { readonly: true });
  return {
    schema: db.query('PRAGMA user_version').values()[0]?.[0],
    sound: db.query('PRAGMA integrity_check').values(),
    tables: db.query('SELECT name, sql FROM sqlite_schema ORDER BY name').values(),
    accounts: db.query('SELECT uid, email FROM accounts').values(),
    messages: db.query('SELECT body FROM messages').values(),
  };
}

function copiesIn(dataDir: string): string[] {
  return readdirSync(dataDir).filter((name) => name.startsWith('before-upgrade-'));
}

async function run(dataDir: string, command: string[] = [process.execPath, entry, 'user', 'list']) {
  const env = { PATH: process.env.PATH ?? '', DATA_DIR: dataDir };
  const child = Bun.spawn(command, { env, stdin: 'ignore', stdout: 'pipe', stderr: 'pipe' });
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { status: child.exitCode, stdout, stderr };
}

describe('an older database', () => {
  for (let schema = 1; schema < newest; schema += 1) {
    test(`One of schema ${schema} is upgraded with all that is in it, and lies aside as it was.`, async () => {
      const dataDir = olderFolder(`schema ${schema}`, schema);
      const before = contents(join(dataDir, 'chat.db'));
      const { status, stdout } = await run(dataDir);
      expect({ status, stdout }).toMatchObject({ status: 0, stdout: expect.stringContaining('Old Hand') });
      const after = contents(join(dataDir, 'chat.db'));
      const { accounts, messages } = before;
      expect(after).toMatchObject({ schema: newest, sound: [['ok']], accounts, messages });
      const copies = copiesIn(dataDir);
      expect(copies).toEqual([
        expect.stringMatching(new RegExp(`^before-upgrade-${schema}-\\d{8}T\\d{6}Z.db$`)),
      ]);
      const copy = join(dataDir, copies[0] ?? '');
      expect(contents(copy)).toEqual(before);
      expect(statSync(copy).mode & 0o777).toBe(0o600);
    });
  }

  test('The server upgrades it at its start and says where the copy is.', async () => {
    const dataDir = olderFolder('by server', newest - 1);
    const lines: string[] = [];
    const server = await TestServer.start({ env: { DATA_DIR: dataDir }, onLog: (line) => lines.push(line) });
    await server.running.stop();
    const said = lines.map((line) => JSON.parse(line)).find(({ copy }) => copy);
    const [copy = ''] = copiesIn(dataDir);
    expect(said).toMatchObject({ from: newest - 1, to: newest, copy: join(dataDir, copy) });
  });

  test('Of the copies the newest two stay.', async () => {
    const dataDir = olderFolder('many', newest - 1);
    const older = ['before-upgrade-1-20200101T000000Z.db', 'before-upgrade-10-20190101T000000Z.db'];
    for (const name of [...older, 'before-upgrade-1-note.txt']) writeFileSync(join(dataDir, name), '');
    expect((await run(dataDir)).status).toBe(0);
    const copies = copiesIn(dataDir);
    expect(copies).toContain(older[0] ?? '');
    expect(copies).not.toContain(older[1] ?? '');
    expect(copies).toContain('before-upgrade-1-note.txt');
    expect(copies).toHaveLength(3);
  });

  test('What a killed upgrade left of a copy is gone after the next.', async () => {
    const dataDir = olderFolder('killed', newest - 1);
    writeFileSync(join(dataDir, 'before-upgrade-1-20200101T000000Z.db.part'), 'half');
    expect((await run(dataDir)).status).toBe(0);
    expect(copiesIn(dataDir)).toEqual([expect.stringMatching(/Z\.db$/)]);
  });
});

describe('no copy', () => {
  test('A new database and one that is up to date are not copied.', async () => {
    const dataDir = join(folder, 'new');
    const add = ['user', 'create', '--email', 'a@example.test', '--first-name', 'A', '--last-name', 'B'];
    expect((await run(dataDir, [process.execPath, entry, ...add])).status).toBe(0);
    expect(copiesIn(dataDir)).toEqual([]);
    expect((await run(dataDir)).status).toBe(0);
    expect(copiesIn(dataDir)).toEqual([]);
  });
});

describe('an upgrade that cannot be made', () => {
  test('A migration that fails leaves the file as it was, with the ones before it undone too.', async () => {
    const dataDir = olderFolder('fails', 1);
    const path = join(dataDir, 'chat.db');
    const db = new Database(path);
    db.run('CREATE TABLE blocks (mine)'); // what a later migration will stumble over
    db.close();
    const before = contents(path);
    const { status, stdout, stderr } = await run(dataDir);
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toMatch(/^The upgrade of the database from schema 1 to \d+ failed: .*blocks.*as it was/);
    expect(stderr.trim().split('\n')).toHaveLength(1);
    expect(contents(path)).toEqual(before);
    expect(copiesIn(dataDir)).toEqual([]);
  });

  test('A command does not upgrade under a server.', async () => {
    const dataDir = olderFolder('served', newest - 1);
    const before = contents(join(dataDir, 'chat.db'));
    {
      using _server = acquireLock(join(dataDir, 'server.lock'), 0);
      const { status, stderr } = await run(dataDir);
      expect({ status, stderr }).toEqual({
        status: 1,
        stderr: expect.stringMatching(/stop the server\.\n$/),
      });
    }
    expect(contents(join(dataDir, 'chat.db'))).toEqual(before);
    expect((await run(dataDir)).status).toBe(0);
  });

  test.skipIf(!mayMount())(
    'Without room for the copy it is refused in clear words, and nothing changes.',
    async () => {
      const dataDir = olderFolder('full', newest - 1);
      const small = join(folder, 'small');
      mkdirSync(small);
      copyFileSync(join(dataDir, 'chat.db'), join(folder, 'full.db'));
      // A real file system of 4 MiB in a mount namespace of its own, which ends with the command.
      const script = `mount -t tmpfs -o size=4m tmpfs "$DATA_DIR" && cp "$1" "$DATA_DIR/chat.db" && { "$2" "$3" user list
      status=$?; cmp "$1" "$DATA_DIR/chat.db" && ls "$DATA_DIR"; exit $status; }`;
      const arguments_ = [join(folder, 'full.db'), process.execPath, entry];
      const { status, stdout, stderr } = await run(small, [...isolated, script, 'sh', ...arguments_]);
      expect({ status, stderr }).toEqual({
        status: 1,
        stderr: expect.stringMatching(/needs \d+ MiB in .* Make room/),
      });
      expect(stdout.split('\n').filter((name) => !/^chat\.db|^$|^server\.lock/.test(name))).toEqual([]);
      expect(existsSync(join(small, 'chat.db'))).toBe(false);
    },
  );
});

function mayMount(): boolean {
  try {
    return Bun.spawnSync([...isolated, 'mount -t tmpfs tmpfs /mnt']).success;
  } catch {
    return false; // no such program here
  }
}
