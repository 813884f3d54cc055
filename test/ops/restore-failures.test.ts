// Restores that must not succeed: damaged, incomplete, foreign and newer snapshots, full disks, dead remotes; the data stay as they were.
import { Database } from 'bun:sqlite';
import { afterAll, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from 'bun:test';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { runCommand } from '../support/command.ts';
import { createRemote, git, rewriteRemote } from '../support/git.ts';
import { LogFile } from '../support/log-file.ts';
import { join } from '../support/people.ts';
import { entry, TestServer } from '../support/server.ts';
import { alterNewest } from '../support/snapshots.ts';
import { TestSocket } from '../support/socket.ts';

setDefaultTimeout(60_000);

const root = mkdtempSync(joinPath(tmpdir(), 'chat-restore-failures-'));
const key = 'a1'.repeat(32);
/** A data folder with a message after the snapshot, and the repositories with the snapshot in clear and sealed. */
const template = joinPath(root, 'template');
const wholeRepo = joinPath(root, 'whole.git');
const sealedRepo = joinPath(root, 'sealed.git');
let folder: string;
let dataDir: string;
let repo: string;

beforeAll(async () => {
  await createRemote(wholeRepo);
  await createRemote(sealedRepo);
  const server = await TestServer.start();
  const alice = await join(server, 'Alice');
  const say = async (text: string) => {
    await using socket = await TestSocket.announced(server, alice);
    expect((await socket.say(text)).data.status_code).toBe(200);
  };
  await say('in the snapshot');
  const env = { DATA_DIR: server.dataDir };
  await made({ ...env, BACKUP_REPO: wholeRepo });
  await made({ ...env, BACKUP_REPO: sealedRepo, BACKUP_KEY: key });
  await say('after it');
  await server.end();
  cpSync(server.dataDir, template, { recursive: true });
  rmSync(server.dataDir, { recursive: true });
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

async function made(env: Record<string, string>): Promise<void> {
  expect(await runCommand(['backup'], env)).toMatchObject({ status: 0 });
}

beforeEach(() => {
  folder = mkdtempSync(joinPath(root, 'case-'));
  dataDir = joinPath(folder, 'data');
  repo = joinPath(folder, 'remote.git');
  cpSync(template, dataDir, { recursive: true });
  cpSync(wholeRepo, repo, { recursive: true });
});

const restore = (args: string[] = [], env: Record<string, string> = {}) =>
  runCommand(['restore', ...args], { DATA_DIR: dataDir, BACKUP_REPO: repo, ...env });

const texts = () => new LogFile(dataDir).rows().map(({ body }) => body);

/** It fails in words that match, and nothing in the data folder is another. */
async function expectRefusal(words: RegExp, args: string[] = [], env: Record<string, string> = {}) {
  const { status, stdout, stderr } = await restore(args, env);
  expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
  expect(stderr).toMatch(words);
  expect(stderr).not.toInclude('    at ');
  expect(texts()).toEqual(['in the snapshot', 'after it']);
  expect(readdirSync(dataDir).filter((name) => /^(?:before-)?restore/.test(name))).toEqual([]);
}

/** The manifest of the newest snapshot, changed. */
function alterManifest(change: (manifest: Record<string, unknown>) => unknown): Promise<string> {
  return alterNewest(repo, (clone) => {
    const path = joinPath(clone, 'manifest.json');
    const manifest = JSON.parse(readFileSync(path, 'utf8'));
    change(manifest);
    writeFileSync(path, JSON.stringify(manifest));
  });
}

test('The twin of all these: the snapshot as it is can be restored, in clear and sealed.', async () => {
  for (const env of [{}, { BACKUP_REPO: sealedRepo, BACKUP_KEY: key }]) {
    expect(await restore([], env)).toMatchObject({ status: 0 });
    expect(texts()).toEqual(['in the snapshot']);
  }
});

describe('a snapshot that is not what it was', () => {
  test('A part with one other byte is named.', async () => {
    await alterNewest(repo, (clone) => {
      const path = joinPath(clone, 'parts/0001');
      const bytes = readFileSync(path);
      bytes[5000] = (bytes[5000] ?? 0) ^ 1;
      writeFileSync(path, bytes);
    });
    await expectRefusal(/parts\/0001 is damaged/);
  });

  test('A part that is missing is named, and so is a ledger; one that was cut or emptied is damaged.', async () => {
    await alterNewest(repo, (clone) => rmSync(joinPath(clone, 'parts/0001')));
    await expectRefusal(/is not whole: parts\/0001 is missing/);
    rmSync(repo, { recursive: true });
    cpSync(wholeRepo, repo, { recursive: true });
    await alterNewest(repo, (clone) => rmSync(joinPath(clone, 'erasures.jsonl')));
    await expectRefusal(/is not whole: erasures\.jsonl is missing/);
    await alterNewest(repo, (clone) => writeFileSync(joinPath(clone, 'erasures.jsonl'), '{"uid":7,"at'));
    await expectRefusal(/erasures\.jsonl is damaged/);
  });

  test('A manifest that says something else than the database holds is told with both.', async () => {
    await alterManifest((manifest) => {
      manifest.counts = { accounts: 1, chats: 1, messages: 2 };
    });
    await expectRefusal(/holds .*"messages":1.*, its manifest says .*"messages":2/);
  });

  test('A manifest of another format is refused by name, and so is one that is none.', async () => {
    await alterManifest((manifest) => {
      manifest.format = 2;
    });
    await expectRefusal(/has the format 2/);
    await alterNewest(repo, (clone) => truncateSync(joinPath(clone, 'manifest.json'), 100));
    await expectRefusal(/manifest\.json is damaged/);
  });

  test('A commit without any snapshot is told from a damaged one.', async () => {
    await alterNewest(repo, (clone) => {
      for (const name of readdirSync(clone))
        if (name !== '.git') rmSync(joinPath(clone, name), { recursive: true });
      writeFileSync(joinPath(clone, 'notes.txt'), 'mine');
    });
    await expectRefusal(/holds no snapshot\. Check BACKUP_BRANCH/);
  });

  test('An older snapshot is refused too when the newest one’s ledger is not whole: it may lack an erasure.', async () => {
    const [older = ''] = (await git('--git-dir', repo, 'rev-parse', 'main')).split('\n');
    await git('--git-dir', repo, 'update-ref', 'refs/heads/kept', older);
    await rewriteRemote(repo);
    const tree = await git('--git-dir', repo, 'rev-parse', `${older}^{tree}`);
    const child = await git('--git-dir', repo, 'commit-tree', tree, '-p', older, '-m', 'Newer');
    await git('--git-dir', repo, 'update-ref', 'refs/heads/main', child);
    await alterNewest(repo, (clone) => writeFileSync(joinPath(clone, 'erasures.jsonl'), '{}'));
    await expectRefusal(/erasures\.jsonl is damaged/, ['--at', older]);
  });
});

test('A sealed snapshot without a key, or with another, says so and names no key.', async () => {
  repo = sealedRepo;
  await expectRefusal(/is encrypted\. Set BACKUP_KEY/);
  const other = 'b2'.repeat(32);
  const { stderr } = await restore([], { BACKUP_KEY: other });
  expect(stderr).toMatch(/encrypted with another BACKUP_KEY/);
  expect(stderr).not.toInclude(other);
  await expectRefusal(/encrypted with another BACKUP_KEY/, [], { BACKUP_KEY: other });
});

test('With a key a newest snapshot in clear is taken for forged; an older one, of before there was a key, is told to be in clear.', async () => {
  const words = /BACKUP_KEY is set, but the newest snapshot is not encrypted/;
  await expectRefusal(words, [], { BACKUP_KEY: key });
  const older = await git('--git-dir', repo, 'rev-parse', 'main');
  await made({ DATA_DIR: dataDir, BACKUP_REPO: repo, BACKUP_KEY: key });
  const { status, stdout } = await restore(['--at', older], { BACKUP_KEY: key });
  expect(status).toBe(0);
  expect(stdout).toInclude('is not encrypted: who can write to the repository could have made it');
  expect((await restore([], { BACKUP_KEY: key })).stdout).not.toInclude('not encrypted');
});

describe('versions', () => {
  test('A snapshot of a newer schema is refused, and the program that made it is asked for.', async () => {
    const newer = joinPath(folder, 'newer');
    cpSync(template, newer, { recursive: true });
    using database = new Database(joinPath(newer, 'chat.db'));
    database.run('PRAGMA user_version = 99');
    database.close();
    const other = await createRemote(joinPath(folder, 'newer.git'));
    await made({ DATA_DIR: newer, BACKUP_REPO: other });
    await expectRefusal(/newer version \(schema 99/, [], { BACKUP_REPO: other });
  });

  test('Snapshots of every older schema are brought up to date, and no copy of before is left.', async () => {
    const sqlFolder = joinPath(import.meta.dir, '../../src/store/migrations');
    const migrations = readdirSync(sqlFolder).sort();
    for (const schema of [1, 2, migrations.length - 1]) {
      const older = joinPath(folder, `schema ${schema}`);
      mkdirSync(older);
      using database = new Database(joinPath(older, 'chat.db'), { create: true });
      for (const name of migrations.slice(0, schema))
        database.run(readFileSync(joinPath(sqlFolder, name), 'utf8'));
      database.run(`PRAGMA user_version = ${schema}`);
      database.run(`INSERT INTO accounts (uid, first_name, last_name, first_key, last_key, email, email_key, phone,
        picture, password_hash, created_at, verified_at) VALUES (7, 'Old', 'Hand', 'old', 'hand', 'old@example.test',
        'old@example.test', '', '', '', 1, 1)`);
      database.close();
      const other = await createRemote(joinPath(folder, `schema ${schema}.git`));
      await made({ DATA_DIR: older, BACKUP_REPO: other });
      const to = joinPath(folder, `restored ${schema}`);
      expect(await restore(['--to', to], { BACKUP_REPO: other })).toMatchObject({ status: 0 });
      expect(readdirSync(to).filter((name) => /upgrade|restore/.test(name))).toEqual([]);
      const { stdout } = await runCommand(['user', 'list'], { DATA_DIR: to });
      expect(stdout).toInclude('old@example.test');
    }
  });

  test('A snapshot of the layout of version 0.2, one database file, is restored; nothing in it says who was erased.', async () => {
    const old = await createRemote(joinPath(folder, 'old.git'));
    const clone = joinPath(folder, 'clone');
    await git('clone', '--quiet', '--', old, clone);
    using database = new Database(joinPath(dataDir, 'chat.db'), { readonly: true });
    database.run('VACUUM INTO ?', [joinPath(clone, 'chat.db')]);
    await git('-C', clone, 'add', 'chat.db');
    await git('-C', clone, 'commit', '--quiet', '-m', 'Snapshot of 2026-01-01 00:00:00 UTC, 1 bytes');
    await git('-C', clone, 'push', '--quiet', 'origin', 'HEAD:main');
    const to = joinPath(folder, 'restored');
    const { status, stdout } = await restore(['--to', to], { BACKUP_REPO: old });
    expect(status).toBe(0);
    expect(stdout).toInclude('does not say who was deleted');
    expect(new LogFile(to).rows()).toHaveLength(2);
    await alterNewest(old, (folderOfOld) => truncateSync(joinPath(folderOfOld, 'chat.db'), 50_000));
    await expectRefusal(/is damaged/, [], { BACKUP_REPO: old });
  });
});

describe('remotes', () => {
  test('A repository that is not there, a branch that is not, and a machine without git are told apart.', async () => {
    await expectRefusal(/cannot be read: .*does not appear to be a git repository/, [], {
      BACKUP_REPO: folder,
    });
    await expectRefusal(/couldn't find remote ref refs\/heads\/other/, [], { BACKUP_BRANCH: 'other' });
    const empty = await createRemote(joinPath(folder, 'empty.git'));
    await expectRefusal(/couldn't find remote ref refs\/heads\/main/, [], { BACKUP_REPO: empty });
    await expectRefusal(/The git program is not installed/, [], { PATH: joinPath(folder, 'no programs') });
  });
});

/** A mount namespace of its own, which ends with the command: a real file system that is really full. */
const isolated = ['unshare', '--user', '--map-root-user', '--mount', 'sh', '-c'];

function mayMount(): boolean {
  try {
    return Bun.spawnSync([...isolated, 'mount -t tmpfs tmpfs /mnt']).success;
  } catch {
    return false; // no such program here: these tests are left out
  }
}

describe.skipIf(!mayMount())('on a full disk', () => {
  /** Restores to a file system of so many KiB on which the data lie; gives also what is on it then. */
  async function restoreOn(kibibytes: number) {
    const small = joinPath(folder, 'small');
    mkdirSync(small, { recursive: true });
    const script = `mount -t tmpfs -o size=${kibibytes}k tmpfs "$DATA_DIR" && cp "$1" "$DATA_DIR/chat.db" || exit 9
      "$2" run "$3" restore; status=$?; cmp "$1" "$DATA_DIR/chat.db" > /dev/null 2>&1 && ls "$DATA_DIR"; exit $status`;
    const child = Bun.spawn(
      [...isolated, script, 'sh', joinPath(dataDir, 'chat.db'), process.execPath, entry],
      {
        env: { PATH: process.env.PATH ?? '', DATA_DIR: small, BACKUP_REPO: repo },
        stdin: 'ignore',
        stdout: 'pipe',
        stderr: 'pipe',
      },
    );
    const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    return { status: child.exitCode, left: stdout.trim().split('\n'), stderr };
  }

  /** A copy of the data with so many more bytes that nothing compresses, and its backup. */
  async function grow(bytes: number): Promise<void> {
    using database = new Database(joinPath(dataDir, 'chat.db'));
    database.run('CREATE TABLE ballast (bytes BLOB)');
    database.run('INSERT INTO ballast VALUES (randomblob(?))', [bytes]);
    repo = await createRemote(joinPath(folder, 'large.git'));
    await made({ DATA_DIR: dataDir, BACKUP_REPO: repo });
  }

  test('Too little room is said before anything is fetched, while it is fetched, and once the size is known.', async () => {
    const tooSmall = await restoreOn(4000);
    expect(tooSmall.stderr).toMatch(/The disk is too small: it needs \d+ MiB more, \d+ MiB are free/);
    await grow(10_000_000);
    const full = await restoreOn(18_944);
    expect(full.stderr).toMatch(/^fetched: .*\nThe disk is full\. Nothing was changed/);
    const tight = await restoreOn(35_000);
    expect(tight.stderr).toMatch(
      /^fetched: .*\nThe disk is too small: it needs \d+ MiB more, \d+ MiB are free/,
    );
    for (const { status, left } of [tooSmall, full, tight]) {
      expect(status).toBe(1);
      expect(left.filter((name) => name !== 'server.lock' && name !== 'backup')).toEqual(['chat.db']);
    }
    expect(existsSync(joinPath(folder, 'small', 'chat.db'))).toBe(false);
    expect(await restoreOn(60_000)).toMatchObject({ status: 0 });
  });
});
