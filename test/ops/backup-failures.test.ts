// Backups that go wrong, by the command as a person or timer runs it: what is said, noted and returned, and that the next one works.
import { afterAll, beforeEach, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { chmod, mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { accessOf } from '../../src/ops/backup/access.ts';
import { scrub } from '../../src/ops/backup/git.ts';
import { Installation, isAlive, localTarget, readIfThere, until, wrapGit } from '../support/backup.ts';
import { runCommand } from '../support/command.ts';
import {
  advanceRemote,
  createRemote,
  git,
  listCommits,
  refusePushes,
  rewriteRemote,
} from '../support/git.ts';

setDefaultTimeout(60_000);

const root = await mkdtemp(join(tmpdir(), 'backup-failures-'));
const backupScript = join(import.meta.dir, '../../scripts/backup.ts');
let count = 0;
let home: Installation;

beforeEach(async () => {
  count += 1;
  home = await Installation.make(join(root, `case ${count}`), 'one');
});
afterAll(() => rm(root, { recursive: true, force: true }));

type Env = Record<string, string>;

function environment(more: Env = {}): Env {
  return { DATA_DIR: home.dataDir, BACKUP_REPO: home.repo, ...more };
}

/** Runs the command, which must fail: with status 1, the reason on standard error alone, and the same noted. */
async function reasonOf(env: Env = {}): Promise<string> {
  const before = Date.now();
  const { status, stdout, stderr } = await runCommand(['backup'], environment(env));
  expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
  const { lastFailure } = home.state;
  expect(`${lastFailure?.message}\n`).toBe(stderr);
  expect(lastFailure?.atMs).toBeGreaterThanOrEqual(before);
  return stderr.trim();
}

/** Runs it again, and it must work: the remote has every text. */
async function expectRetry(env: Env = {}): Promise<void> {
  home.say('after the failure');
  const { status, stdout, stderr } = await runCommand(['backup', '--json'], environment(env));
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  const { commit } = JSON.parse(stdout);
  expect(home.state.lastSuccess?.commit).toBe(commit);
  expect(home.state.lastSuccess?.atMs).toBeGreaterThanOrEqual(home.state.lastFailure?.atMs ?? 0);
  expect(await home.stored(commit)).toEqual(textsOf());
}

const textsOf = () =>
  home.database
    .prepare('SELECT body FROM messages ORDER BY seq')
    .values()
    .map(([text]) => String(text));

describe('the machine', () => {
  test('has no git program', async () => {
    expect(await reasonOf({ PATH: home.folder })).toBe(
      'The git program is not installed, or not in PATH. Install git.',
    );
    await expectRetry();
  });

  test('has no database there, or a damaged one, of which nothing leaves', async () => {
    const empty = join(home.folder, 'empty');
    await mkdir(empty);
    const { status, stderr } = await runCommand(['backup'], environment({ DATA_DIR: empty }));
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: `There is no database in ${empty}. Check DATA_DIR.\n`,
    });
    expect(await readdir(empty)).toEqual([]);
    await Bun.write(join(empty, 'chat.db'), 'not a database '.repeat(500));
    const damaged = await runCommand(['backup'], environment({ DATA_DIR: empty }));
    expect(damaged).toMatchObject({ status: 1, stderr: expect.stringContaining('file is not a database') });
    expect(await listCommits(home.repo)).toEqual([]);
  });

  test('has a database that lost its newest messages, which is told before it takes the place of better ones', async () => {
    home.say('two');
    home.database.run('DELETE FROM messages WHERE seq = 2');
    expect(await reasonOf()).toBe(
      'The database is damaged, nothing was pushed: chat 1 does not end at the position that it counts to. Restore a backup.',
    );
    home.database.run('UPDATE chats SET last_seq = 1');
    await expectRetry();
  });

  test('has no token where BACKUP_TOKEN_FILE says', async () => {
    const file = join(home.folder, 'token');
    const env = environment({ BACKUP_TOKEN_FILE: file });
    const { status, stderr } = await runCommand(['backup'], env);
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: expect.stringContaining('BACKUP_TOKEN_FILE cannot be read'),
    });
    await Bun.write(file, 'a token');
    await expectRetry({ BACKUP_TOKEN_FILE: file });
  });

  test('has a wrong configuration, which is status 2', async () => {
    for (const [name, value] of [
      ['BACKUP_KEEP', '0'],
      ['BACKUP_KEY', 'too short a secret'],
      ['BACKUP_BRANCH', '../x'],
    ] as const) {
      const { status, stderr } = await runCommand(['backup'], environment({ [name]: value }));
      expect(status).toBe(2);
      expect(stderr).toContain(`${name}: `);
      expect(stderr).not.toContain('too short a secret');
    }
  });
});

describe('the remote', () => {
  test('is not there', async () => {
    const repo = join(home.folder, 'nowhere.git');
    const reason = await reasonOf({ BACKUP_REPO: repo });
    expect(reason).toStartWith(`The backup repository cannot be read: '${repo}' does not appear to be a git`);
    expect(reason).toEndWith('Check BACKUP_REPO, BACKUP_BRANCH, the network and the access of this machine.');
    await createRemote(repo);
    await expectRetry();
  });

  test('does not take the push', async () => {
    const allow = await refusePushes(home.repo, 'The disk quota is used up');
    expect(await reasonOf()).toBe(
      'The backup repository did not take the push: The disk quota is used up; ! [remote rejected] ' +
        `${await rejectedCommit()} -> main (pre-receive hook declined). ` +
        'Check the rights of this machine there; the next backup tries again.',
    );
    await allow();
    await expectRetry();
  });

  const rejectedCommit = async () =>
    /rejected\] ([0-9a-f]{40}) /.exec(home.state.lastFailure?.message ?? '')?.[1];

  test('has got commits of somebody else on top, which are never overwritten', async () => {
    await home.backUp();
    const foreign = await advanceRemote(home.repo, 'notes.md', 'mine');
    home.say('two');
    const reason = await reasonOf();
    expect(reason).toStartWith(
      'The branch main of the backup repository holds what is no backup, its newest commit is',
    );
    expect(reason).toContain('"Add notes.md" of Test. Nothing was pushed. Set BACKUP_BRANCH');
    expect((await listCommits(home.repo))[0]?.hash).toBe(foreign);
    await expectRetry({ BACKUP_BRANCH: 'backups' });
    await git('--git-dir', home.repo, 'update-ref', 'refs/heads/main', `${foreign}~1`);
    await expectRetry();
  });

  test('was rewritten by somebody else', async () => {
    await home.backUp();
    const { hash = '' } = (await listCommits(home.repo))[0] ?? {};
    const foreign = await rewriteRemote(home.repo);
    home.say('two');
    expect(await reasonOf()).toContain('its newest commit is "Start anew" of Test.');
    expect((await listCommits(home.repo)).map((commit) => commit.hash)).toEqual([foreign]);
    await git('--git-dir', home.repo, 'update-ref', 'refs/heads/main', hash);
    await expectRetry();
  });

  test('is the code of something else', async () => {
    const clone = join(home.folder, 'code');
    await git('clone', '--quiet', home.repo, clone);
    for (const name of ['a', 'b', 'c']) {
      await Bun.write(join(clone, name), 'code');
      await git('-C', clone, 'add', '.');
      await git('-C', clone, 'commit', '--quiet', '-m', `Add ${name}`);
    }
    await git('-C', clone, 'push', '--quiet', 'origin', 'HEAD:main');
    const before = await listCommits(home.repo);
    expect(await reasonOf()).toContain('"Add c" of Test');
    expect(await listCommits(home.repo)).toEqual(before);
    await expectRetry({ BACKUP_BRANCH: 'backups' });
  });
});

describe('the disk', () => {
  /** A file system of its own, of so many KiB. */
  async function withSmallDisk(kibibytes: number, body: (folder: string) => Promise<void>): Promise<void> {
    const folder = join(home.folder, 'small');
    await mkdir(folder);
    const mounted = Bun.spawnSync(['mount', '-t', 'tmpfs', '-o', `size=${kibibytes}k`, 'tmpfs', folder]);
    if (mounted.exitCode !== 0) return console.warn('skipped: this user may not mount a tmpfs');
    try {
      await body(folder);
    } finally {
      Bun.spawnSync(['umount', '--lazy', folder]);
    }
  }

  const random = (bytes: number) =>
    Buffer.from(crypto.getRandomValues(new Uint8Array(bytes))).toString('hex');

  for (const [what, spareShare] of [
    ['of the machine is full when the snapshot is taken', 0.5],
    ['of the machine is full when the parts are stored', 1.2],
  ] as const) {
    test(what, async () => {
      home.say(...Array.from({ length: 60 }, () => random(8192)));
      home.database.run('PRAGMA wal_checkpoint(TRUNCATE)');
      const bytes = Bun.file(join(home.dataDir, 'chat.db')).size;
      await withSmallDisk(Math.ceil((bytes * 8) / 1024), async (folder) => {
        await Bun.write(join(folder, 'chat.db'), Bun.file(join(home.dataDir, 'chat.db')));
        const filler = join(folder, 'filler');
        await Bun.write(filler, new Uint8Array(bytes * (7 - spareShare) - 150_000));
        const { status, stderr } = await runCommand(['backup'], environment({ DATA_DIR: folder }));
        expect(status).toBe(1);
        expect(stderr).toMatch(/disk is full|No space left|ENOSPC|full/i);
        expect(await listCommits(home.repo)).toEqual([]);
        expect(await readIfThere(join(folder, 'backup', 'snapshot.db'))).toBe('');
        await rm(filler);
        const again = await runCommand(['backup'], environment({ DATA_DIR: folder }));
        expect(again).toMatchObject({ status: 0, stderr: '' });
        expect(await home.stored()).toEqual(textsOf());
      });
    });
  }

  test('of the remote is full', async () => {
    home.say(...Array.from({ length: 60 }, () => random(8192)));
    await withSmallDisk(300, async (folder) => {
      const repo = await createRemote(join(folder, 'remote.git'));
      home = home.with({ access: accessOf({ repo }) });
      const reason = await reasonOf();
      expect(reason).toContain('The backup repository did not take the push');
      expect(reason).toMatch(/No space left|disk/i);
      Bun.spawnSync(['mount', '-o', 'remount,size=8m', folder]);
      await expectRetry();
    });
  });
});

describe('another process', () => {
  test('makes a backup already: the second is told so, and the first goes on', async () => {
    const PATH = await wrapGit(home.folder, 'push', `touch '${home.folder}/pushing'; sleep 1`);
    const first = runCommand(['backup'], environment({ PATH }));
    await until(() => Bun.file(join(home.folder, 'pushing')).exists());
    const second = await runCommand(['backup', '--json'], environment());
    expect(second.status).toBe(1);
    expect(JSON.parse(second.stdout)).toEqual({
      ok: false,
      kind: 'running',
      message: 'Another backup is running. Try again when it is done.',
    });
    expect(home.state.lastFailure).toBeNull();
    expect((await first).status).toBe(0);
    expect(await listCommits(home.repo)).toHaveLength(1);
  });

  test('stops it by SIGTERM: it ends at once with its git, and that is no failure', async () => {
    const PATH = await wrapGit(home.folder, 'push', `echo $$ > '${home.folder}/pid'; exec sleep 30`);
    const child = Bun.spawn([process.execPath, backupScript], {
      env: { ...process.env, ...environment({ PATH }) },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const sleeper = await until(async () => Number(await readIfThere(join(home.folder, 'pid'))));
    child.kill('SIGTERM');
    expect(await child.exited).toBe(1);
    expect(await child.stderr.text()).toBe('The backup was stopped.\n');
    await until(() => !isAlive(sleeper));
    expect(home.state.lastFailure).toBeNull();
    await expectRetry();
  });
});

describe('kill -9', () => {
  /** Which git command, the how manieth of its kind in a backup of a full branch. */
  const moments = [
    ['before', 'init', 1],
    ['before', 'hash-object', 4],
    ['before', 'push', 1],
    ['after', 'push', 1],
    ['before', 'update-ref', 1],
    ['before', 'push', 2],
    ['after', 'push', 2],
    ['before', 'gc', 1],
  ] as const;
  for (const [when, word, nth] of moments) {
    test(`${when} git ${word} (${nth}) leaves a branch that can be read, and the next backup works`, async () => {
      const two = home.with({ keep: 2 });
      for (const text of ['two', 'three']) {
        await two.backUp();
        two.say(text);
      }
      const kept = await listCommits(home.repo);
      const real = Bun.which('git');
      const run = when === 'after' ? `${real} "$@" >&2;` : '';
      const counted = `n=$(cat '${home.folder}/n' 2>/dev/null || echo 0); echo $((n + 1)) > '${home.folder}/n'`;
      const action = `${counted}; [ $((n + 1)) = ${nth} ] && { ${run} echo $$ > '${home.folder}/pid'; exec sleep 30; }`;
      const PATH = await wrapGit(home.folder, word, action);
      const env = environment({ PATH, BACKUP_KEEP: '2' });
      const child = Bun.spawn([process.execPath, backupScript], {
        env: { ...process.env, ...env },
        stdio: ['ignore', 'ignore', 'ignore'],
      });
      const sleeper = await until(async () => Number(await readIfThere(join(home.folder, 'pid'))));
      child.kill('SIGKILL');
      await child.exited;
      process.kill(sleeper, 'SIGKILL');
      // What is there can be restored: the newest snapshot as it was, or the new one.
      expect([2, 3]).toContain((await home.stored()).length);
      expect((await listCommits(home.repo)).length).toBeGreaterThanOrEqual(kept.length);
      await expectRetry({ BACKUP_KEEP: '2' });
      expect(await listCommits(home.repo)).toHaveLength(2);
      expect((await readdir(join(home.dataDir, 'backup'))).sort()).toEqual([
        'lock.db',
        'repository',
        'state-lock.db',
        'state.json',
      ]);
    });
  }

  test('while the database is copied leaves half a snapshot, which the next backup clears away', async () => {
    home.say(...Array.from({ length: 3000 }, () => 'x'.repeat(10_000)));
    const child = Bun.spawn([process.execPath, backupScript], {
      env: { ...process.env, ...environment() },
      stdio: ['ignore', 'ignore', 'ignore'],
    });
    const snapshot = join(home.dataDir, 'backup', 'snapshot.db');
    await until(() => Bun.file(snapshot).size > 0);
    child.kill('SIGKILL');
    await child.exited;
    expect(await Bun.file(snapshot).exists()).toBe(true);
    await expectRetry();
    expect(await Bun.file(snapshot).exists()).toBe(false);
  });
});

describe('the local copy', () => {
  test('is mended: lock files, half a snapshot, a half made or damaged one', async () => {
    const local = join(home.dataDir, 'backup', 'repository');
    await Bun.write(join(local, 'config'), 'half a li');
    await expectRetry();
    for (const name of ['index.lock', 'shallow.lock', 'refs/backup/tip.lock', '../snapshot.db']) {
      await Bun.write(join(local, name), 'left over');
    }
    await expectRetry();
    await damageObjects(local);
    await expectRetry();
    for (const name of await readdir(join(local, 'objects')))
      await rm(join(local, 'objects', name), { recursive: true });
    await expectRetry();
    await rm(join(local, 'HEAD'));
    await expectRetry();
  });

  /** Empties every object, as a power cut can. */
  async function damageObjects(gitDir: string): Promise<void> {
    for await (const name of new Bun.Glob('objects/??/*').scan({ cwd: gitDir })) {
      await chmod(join(gitDir, name), 0o600);
      await Bun.write(join(gitDir, name), '');
    }
  }
});

test('what git says is shown without credentials', () => {
  const { access } = localTarget('', 'https://bob:a/b@host/x');
  expect(access.login).toEqual({ username: 'bob', password: 'a/b' });
  expect(scrub("no 'https://bob:a/b@host/x' here, a/b", ['a/b'])).not.toContain('a/b');
  expect(scrub('see ssh://git@host/x and mail a@b.c')).toBe('see ssh://host/x and mail a@b.c');
});
