// Backups to remotes elsewhere: lines that break and remotes that fall silent, logins that nobody else may see.
import { afterAll, beforeEach, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { chmod, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '../../src/config.ts';
import { type Access, accessOf } from '../../src/ops/backup/access.ts';
import { exposureOf } from '../../src/ops/backup/target.ts';
import { Installation, until } from '../support/backup.ts';
import { runCommand } from '../support/command.ts';
import { git, listCommits } from '../support/git.ts';
import { serveRepositories } from '../support/git-daemon.ts';
import { serveGitHttp } from '../support/git-http.ts';
import { Line } from '../support/line.ts';
import { withServer } from '../support/server.ts';

setDefaultTimeout(60_000);

const root = await mkdtemp(join(tmpdir(), 'backup-network-'));
let count = 0;
/** The remote is a folder here, which `home` looks into; what is tried reaches it over the network. */
let home: Installation;

beforeEach(async () => {
  count += 1;
  home = await Installation.make(join(root, `case-${count}`), 'one');
});
afterAll(() => rm(root, { recursive: true, force: true }));

const over = (access: Access) => home.with({ access });
const random = (bytes: number) => Buffer.from(crypto.getRandomValues(new Uint8Array(bytes))).toString('hex');

describe('a line', () => {
  /** A backup over a line in whose middle this happens, and the one after it. */
  async function tried(happen: (line: Line) => void, reason: RegExp): Promise<{ arrived: boolean }> {
    await using daemon = await serveRepositories(home.folder);
    const line = await Line.open(daemon.port);
    try {
      const remote = over(accessOf({ repo: `${line.url.replace('http', 'git')}/remote.git` }));
      await remote.backUp();
      home.say(...Array.from({ length: 200 }, () => random(8000)));
      line.whenSent(500_000, () => happen(line)); // of about 1.6 MB
      const before = performance.now();
      const error = await remote.failure({ silenceMs: 1500 });
      expect(performance.now() - before).toBeLessThan(15_000);
      expect(error.kind).toBe('failed');
      expect(error.message).toMatch(reason);
      expect(home.state.lastFailure?.message).toBe(error.message);
      const arrived = (await listCommits(home.repo)).length === 2;
      line.thaw();
      line.cut();
      const again = await remote.backUp();
      expect(again.outcome).toBe(arrived ? 'unchanged' : 'pushed');
      expect(await home.stored()).toHaveLength(201);
      expect(await listCommits(home.repo)).toHaveLength(2);
      await git('--git-dir', home.repo, 'fsck', '--strict');
      return { arrived };
    } finally {
      line.close();
    }
  }

  test('that breaks in the middle of a push', async () => {
    const reason = /did not take the push: .*(hung up|reset|unexpected|closed|broken)/i;
    expect(await tried((line) => line.cut(), reason)).toEqual({ arrived: false });
  });

  test('that falls silent in the middle of a push', async () => {
    const reason = /did not take the push: it gave no sign of life for 2 s/;
    expect(await tried((line) => line.hold(), reason)).toEqual({ arrived: false });
  });

  test('that brings no answer to a push that has arrived', async () => {
    const reason = /did not take the push: it gave no sign of life for 2 s/;
    expect(await tried((line) => line.freeze(), reason)).toEqual({ arrived: true });
  });

  test('that nobody answers on', async () => {
    const error = await over(accessOf({ repo: 'http://127.0.0.1:1/remote.git' })).failure();
    expect(error.message).toMatch(/^The backup repository cannot be read: .*127\.0\.0\.1:1/);
    expect((await home.backUp()).outcome).toBe('pushed');
  });

  test('to a remote that takes the connection and never answers', async () => {
    const silent = Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data: () => undefined } });
    try {
      for (const scheme of ['git', 'http']) {
        const repo = `${scheme}://127.0.0.1:${silent.port}/remote.git`;
        const error = await over(accessOf({ repo })).failure({ silenceMs: 700 });
        expect(error.message).toContain('cannot be read: it gave no sign of life for 1 s. Check');
      }
    } finally {
      silent.stop(true);
    }
    expect((await home.backUp()).outcome).toBe('pushed');
  });
});

test('a remote that can leave nothing out of what it sends is learned anew all the same, and forgotten again', async () => {
  await using daemon = await serveRepositories(home.folder);
  const remote = home.with({ access: accessOf({ repo: `${daemon.url}/remote.git` }), keep: 3 });
  home.say(...Array.from({ length: 40 }, () => random(8192)));
  await remote.backUpOften(4);
  const local = join(home.dataDir, 'backup', 'repository');
  await rm(local, { recursive: true });
  await remote.backUpOften(1);
  expect(await listCommits(home.repo)).toHaveLength(3);
  expect(await home.stored()).toHaveLength(46);
  const sizes = await git('--git-dir', local, 'count-objects', '-v');
  expect(Number(/^size-pack: (\d+)$/m.exec(sizes)?.[1])).toBeLessThan(20);
  expect(
    await git('--git-dir', home.repo, 'config', '--get', 'uploadpack.allowFilter').catch(() => 'unset'),
  ).toBe('unset');
  expect(Number(/^size: (\d+)$/m.exec(sizes)?.[1])).toBeLessThan(1000); // one snapshot's 600 KiB
});

describe('a login', () => {
  const login = 'alice:s3cret/of@alice';
  const [username = '', password = ''] = login.split(':');
  const spelled = encodeURIComponent(password);

  /** Each way to give it; `repo` is made of the server's origin. */
  const ways = {
    'in BACKUP_REPO': (origin: string) => ({
      BACKUP_REPO: `${origin.replace('//', `//${username}:${spelled}@`)}/remote.git`,
    }),
    'by BACKUP_TOKEN': (origin: string) => ({
      BACKUP_REPO: `${origin.replace('//', `//${username}@`)}/remote.git`,
      BACKUP_TOKEN: password,
    }),
    'by BACKUP_TOKEN_FILE': (origin: string) => ({
      BACKUP_REPO: `${origin.replace('//', `//${username}@`)}/remote.git`,
      BACKUP_TOKEN_FILE: join(home.folder, 'token'),
    }),
  };

  for (const [way, environment] of Object.entries(ways)) {
    test(`${way} opens the remote, and is in no command line, file or output`, async () => {
      await using server = serveGitHttp(home.folder, login);
      await Bun.write(join(home.folder, 'token'), `${password}\n`);
      const settings = join(home.folder, 'gitconfig');
      const kept = join(home.folder, 'kept');
      // A person's own helper, which would keep what it is told.
      await Bun.write(settings, `[credential]\n\thelper = store --file=${kept}\n`);
      server.pushes = 'slow';
      const env = { DATA_DIR: home.dataDir, GIT_CONFIG_GLOBAL: settings, ...environment(server.origin) };
      const watch = watchCommandLines();
      const { status, stdout, stderr } = await runCommand(['backup'], env);
      const lines = await watch.stop();
      expect(status).toBe(0);
      expect(await home.stored()).toEqual(['one']);
      const pushing = lines.filter((line) => line.includes('remote-http') && line.includes(server.origin));
      expect(pushing.length).toBeGreaterThan(0); // the watch has seen git at work
      const places = [lines.join('\n'), stdout, stderr, await allFiles(join(home.dataDir, 'backup'))];
      for (const secret of [password, spelled, btoa(login)]) {
        for (const place of places) expect(place).not.toContain(secret);
      }
      expect(await Bun.file(kept).exists()).toBe(false);
    });
  }

  test('that is wrong is told without it, and the right one works', async () => {
    await using server = serveGitHttp(home.folder, login);
    for (const wrong of ['alice:wr0ng', 'wr0ng', 'alice:wr0ng%40x', 'alice:wr0ng@x', 'alice:wr/0ng']) {
      const access = accessOf({ repo: `${server.origin.replace('//', `//${wrong}@`)}/remote.git` });
      const { message } = await over(access).failure();
      expect(message).toMatch(/^The backup repository cannot be read: .*Authentication failed for 'http/);
      expect(message).toContain('127.0.0.1');
      expect(message).not.toMatch(/wr0ng|wr\/0ng/);
      expect(server.logins.length).toBeGreaterThan(0);
    }
    const access = accessOf({ repo: `${server.origin}/remote.git`, token: 'x' });
    expect((await over(access).failure()).message).toContain('Authentication failed');
    const right = accessOf({
      repo: `${server.origin.replace('//', `//${username}@`)}/remote.git`,
      token: password,
    });
    expect((await over(right).backUp()).outcome).toBe('pushed');
  });

  test('that may read but not write is told so, and works once it may', async () => {
    await using server = serveGitHttp(home.folder, login);
    server.pushes = 'forbidden';
    const remote = over(
      accessOf({ repo: `${server.origin.replace('//', `//${username}@`)}/remote.git`, token: password }),
    );
    const { message } = await remote.failure();
    expect(message).toMatch(/did not take the push: .*403.*Check the rights of this machine there/s);
    server.pushes = 'taken';
    expect((await remote.backUp()).outcome).toBe('pushed');
    expect(home.state.remoteBytes).toBeGreaterThan(500); // what was sent for it
    expect(home.state.remoteBytes).toBeLessThan(50_000);
  });

  test('is not given to another host that the remote sends us to', async () => {
    await using thief = serveGitHttp(home.folder, login);
    await using server = serveGitHttp(home.folder, login, thief.origin);
    const repo = `${server.origin.replace('//', `//${username}:${spelled}@`)}/remote.git`;
    const { message } = await over(accessOf({ repo })).failure();
    expect(message).toContain('cannot be read');
    expect(thief.logins).toEqual([]);
  });

  test('falls silent during the push, and the next one works', async () => {
    await using server = serveGitHttp(home.folder, login);
    server.pushes = 'unanswered';
    const remote = over(
      accessOf({ repo: `${server.origin.replace('//', `//${username}@`)}/remote.git`, token: password }),
    );
    const { message } = await remote.failure({ silenceMs: 1000 });
    expect(message).toContain('did not take the push: it gave no sign of life for 1 s');
    await until(async () => !(await gitAtWork(server.origin)));
    server.pushes = 'taken';
    expect((await remote.backUp()).outcome).toBe('pushed');
  });

  test('by a key of ssh is one that ssh is told of, and nothing is asked', async () => {
    // There is no ssh server here: this one notes how it was called and does what it was to do on the other side.
    const bin = join(home.folder, 'bin');
    const noted = join(home.folder, 'ssh-called');
    const program = `#!/bin/sh\nprintf '%s\\n' "$@" >> '${noted}'\nfor last in "$@"; do :; done\nexec sh -c "$last"\n`;
    await Bun.write(join(bin, 'ssh'), program);
    await chmod(join(bin, 'ssh'), 0o755);
    const sshKey = join(home.folder, "the key's file");
    const { status, stderr } = await runCommand(['backup'], {
      PATH: `${bin}:${process.env.PATH}`,
      DATA_DIR: home.dataDir,
      BACKUP_REPO: `ssh://backup@nowhere.test${home.repo}`,
      BACKUP_SSH_KEY: sshKey,
    });
    expect({ status, stderr }).toEqual({
      status: 0,
      stderr: expect.stringContaining('Warning: BACKUP_KEY is not set'),
    });
    const called = (await Bun.file(noted).text()).split('\n');
    expect(called).toEqual(
      expect.arrayContaining(['-oBatchMode=yes', '-oIdentitiesOnly=yes', sshKey, 'backup@nowhere.test']),
    );
    expect(await home.stored()).toEqual(['one']);
  });
});

/** Every command line of this machine that shows itself until it is stopped. */
function watchCommandLines() {
  const seen = new Set<string>();
  let stopped = false;
  const watching = (async () => {
    for (; !stopped; await Bun.sleep(3)) for (const line of await commandLines()) seen.add(line);
  })();
  return {
    async stop(): Promise<string[]> {
      stopped = true;
      await watching;
      return [...seen];
    },
  };
}

async function commandLines(): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const texts = await Promise.all(
    pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')),
  );
  return texts.map((text) => text.replaceAll('\0', ' ').trim()).filter(Boolean);
}

async function gitAtWork(origin: string): Promise<boolean> {
  return (await commandLines()).some((line) => line.includes('remote-http') && line.includes(origin));
}

async function allFiles(folder: string): Promise<string> {
  const names = await readdir(folder, { recursive: true });
  const texts = await Promise.all(
    names.map((name) => readFile(join(folder, name), 'latin1').catch(() => '')),
  );
  return texts.join('\n');
}

describe('a repository elsewhere without BACKUP_KEY', () => {
  const exposure = (repo: string, more: Record<string, string> = {}) =>
    exposureOf(loadConfig({ BACKUP_REPO: repo, ...more }));

  test('is warned of, one on this machine is not, nor one that gets encrypted snapshots', () => {
    for (const repo of [
      'https://x.test/y',
      'ssh://git@x.test/y',
      'git@x.test:y',
      'x.test:y',
      'git://x.test/y',
    ])
      expect(exposure(repo)).toContain('BACKUP_KEY is not set');
    for (const repo of [
      '/srv/backup.git',
      './backup.git',
      'backup',
      'file:///srv/x',
      '/a:b/c',
      'a/b:c',
      'C:\\backup',
    ])
      expect(exposure(repo)).toBeNull();
    expect(exposure('https://x.test/y', { BACKUP_KEY: 'ab'.repeat(32) })).toBeNull();
  });

  test('is warned of at each start, in the log, without its credentials', async () => {
    const log: string[] = [];
    await withServer(async () => undefined, {
      env: { BACKUP_REPO: 'https://bob:pa55word@127.0.0.1:1/x.git', BACKUP_SCHEDULE: 'off' },
      onLog: (line) => void log.push(line),
    });
    const warning = log.find((line) => line.includes('backups are not safe'));
    expect(JSON.parse(warning ?? '{}')).toMatchObject({
      level: 'warn',
      reason: expect.stringContaining('BACKUP_KEY'),
    });
    expect(log.join('')).not.toContain('pa55word');
  });
});

test('the address of a repository and the credentials in it are told apart as git does', () => {
  const cases: Record<string, [string, { username: string; password: string } | null]> = {
    'https://h.test/r': ['https://h.test/r', null],
    'https://a:b@h.test/r': ['https://h.test/r', { username: 'a', password: 'b' }],
    'https://t0ken@h.test/r': ['https://h.test/r', { username: 't0ken', password: '' }],
    'https://a:b%40c@h.test/r@x': ['https://h.test/r@x', { username: 'a', password: 'b@c' }],
    'https://a:b@c@h.test/r': ['https://h.test/r', { username: 'a', password: 'b@c' }],
    'https://a:b/c@h.test/r': ['https://h.test/r', { username: 'a', password: 'b/c' }],
    'https://h.test:8443/@a/r': ['https://h.test:8443/@a/r', null],
    'https://[::1]:80/r@x': ['https://[::1]:80/r@x', null],
    'ssh://git@h.test/r': ['ssh://git@h.test/r', null],
    'ssh://git:pw@h.test/r': ['ssh://git@h.test/r', null],
    'git@h.test:r': ['git@h.test:r', null],
    '/srv/a:b@c/r': ['/srv/a:b@c/r', null],
  };
  for (const [repo, [address, login]] of Object.entries(cases)) {
    expect(accessOf({ repo })).toEqual({ address, login, sshKey: null });
  }
});
