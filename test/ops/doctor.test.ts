// The doctor: what it says of a sound installation, and of each thing that can be wrong with one.
import { Database } from 'bun:sqlite';
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { chmodSync, cpSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { noteBackupState } from '../../src/ops/backup/state.ts';
import { runCommand } from '../support/command.ts';
import { createRemote } from '../support/git.ts';
import { join } from '../support/people.ts';
import { fixedPort } from '../support/process.ts';
import { TestServer } from '../support/server.ts';
import { startSmtp } from '../support/smtp.ts';

// Each starts the program up to three times, which takes long on a busy machine.
setDefaultTimeout(30_000);

interface Finding {
  readonly name: string;
  readonly state: 'ok' | 'warn' | 'fail';
  readonly detail: string;
}

const root = mkdtempSync(joinPath(tmpdir(), 'chat-doctor-test-'));
/** A data folder with somebody in it that no server holds. */
const sound = joinPath(root, 'sound');
let port: string;

beforeAll(async () => {
  port = String(await fixedPort());
  const server = await TestServer.start();
  await join(server, 'Alice');
  await server.running.stop();
  cpSync(server.dataDir, sound, { recursive: true });
  rmSync(server.dataDir, { recursive: true });
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

async function examine(env: Record<string, string>, ...flags: string[]) {
  const given = { PORT: port, HOST: '127.0.0.1', ...env };
  const { status, stdout, stderr } = await runCommand(['doctor', '--json', ...flags], given);
  expect(stderr).toBe('');
  const { ok, checks }: { ok: boolean; checks: Finding[] } = JSON.parse(stdout);
  expect(status).toBe(ok ? 0 : 1);
  const find = (name: string): Finding | undefined => checks.find((check) => check.name === name);
  return { ok, find, text: stdout, checks };
}

/** A copy of the sound folder that may be spoilt. */
function copy(name: string): string {
  const path = joinPath(root, name);
  cpSync(sound, path, { recursive: true });
  return path;
}

describe('an installation that is well', () => {
  test('Nothing has failed, each line has its word, and the exit status is 0.', async () => {
    const { status, stdout, stderr } = await runCommand(['doctor'], { DATA_DIR: sound, PORT: port });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const lines = stdout.trim().split('\n');
    for (const line of lines.slice(0, -1)) expect(line).toMatch(/^(?:ok {2}|warn) {2}[a-z]/);
    expect(lines.at(-1)).toMatch(/^\d+ looked at: 0 failed, \d to be looked after\.$/);
    expect(stdout).toMatch(/^ok +database +sound, /m);
    expect(stdout).toMatch(/^ok +server +does not run; port \d+ is free$/m);
  });

  test('It changes nothing in the data folder, and makes none.', async () => {
    const before = statSync(joinPath(sound, 'chat.db')).mtimeMs;
    await examine({ DATA_DIR: sound }, '--full');
    expect(statSync(joinPath(sound, 'chat.db')).mtimeMs).toBe(before);
    const absent = joinPath(root, 'absent');
    const { ok, find } = await examine({ DATA_DIR: absent });
    expect(ok).toBe(true);
    expect(find('data folder')?.detail).toContain('made at the first start');
    expect(() => statSync(absent)).toThrow();
  });

  test('Beside its server it finds that it answers, at the public address too.', async () => {
    const server = await TestServer.start();
    try {
      const { port: own } = server.running.url;
      const env = { DATA_DIR: server.dataDir, PORT: own, PUBLIC_URL: `http://localhost:${own}` };
      const { ok, find } = await examine(env);
      expect(ok).toBe(true);
      expect(find('server')).toEqual({
        name: 'server',
        state: 'ok',
        detail: `runs on this folder and answers at http://127.0.0.1:${own}`,
      });
      expect(find('reachable by people')?.state).toBe('ok');
      const elsewhere = await examine({ ...env, PORT: port, PUBLIC_URL: `http://localhost:${port}` });
      expect(elsewhere.find('server')?.state).toBe('fail');
      expect(elsewhere.find('reachable by people')?.state).toBe('warn');
    } finally {
      await server.stop();
    }
  });
});

describe('what is wrong with the data', () => {
  /** Changes the bytes of the page that a table or an index begins on, as a failing disk would. */
  function spoil(path: string, name: string, change: (page: Buffer) => void): void {
    const file = joinPath(path, 'chat.db');
    const database = new Database(file, { readonly: true });
    const { root } = database
      .query('SELECT rootpage AS root FROM sqlite_schema WHERE name = ?')
      .get(name) as { root: number };
    database.close();
    const bytes = readFileSync(file);
    const size = bytes.readUInt16BE(16);
    change(bytes.subarray((root - 1) * size, root * size));
    writeFileSync(file, bytes);
  }

  test('A damaged database has failed.', async () => {
    const path = copy('damaged');
    spoil(path, 'accounts', (page) => page.fill(0xff, 8, 64));
    const { ok, find } = await examine({ DATA_DIR: path });
    expect(ok).toBe(false);
    expect(find('database')).toMatchObject({ state: 'fail', detail: expect.stringContaining('restore') });
  });

  test('An index that does not fit its table is found with --full.', async () => {
    const path = copy('index');
    spoil(path, 'sqlite_autoindex_sessions_1', (page) => {
      page.writeUInt8(page.readUInt8(page.length - 8) ^ 1, page.length - 8);
    });
    expect((await examine({ DATA_DIR: path })).find('database')?.state).toBe('ok');
    const { ok, find } = await examine({ DATA_DIR: path }, '--full');
    expect(ok).toBe(false);
    expect(find('database')?.detail).toContain('sqlite_autoindex_sessions_1');
  });

  test('A database of a newer program has failed, one of an older is upgraded at the next start.', async () => {
    const path = copy('schema');
    const set = (version: number) => {
      using database = new Database(joinPath(path, 'chat.db'));
      database.run(`PRAGMA user_version = ${version}`);
    };
    set(999);
    expect((await examine({ DATA_DIR: path })).find('schema')).toMatchObject({
      state: 'fail',
      detail: expect.stringContaining('start the newer program'),
    });
    set(2);
    expect((await examine({ DATA_DIR: path })).find('schema')?.detail).toMatch(/^2, becomes \d+ at/);
  });

  test('A message from the future tells that the clock is wrong.', async () => {
    const path = copy('future');
    using database = new Database(joinPath(path, 'chat.db'));
    database.run('UPDATE chats SET last_message_at = ?', [Date.now() + 3 * 86_400_000]);
    expect((await examine({ DATA_DIR: path })).find('clock')).toMatchObject({
      state: 'warn',
      detail: expect.stringContaining('3 d in the future'),
    });
  });

  test('A file that others may read is told with its remedy.', async () => {
    const path = copy('wide');
    chmodSync(joinPath(path, 'server.secret'), 0o644);
    const file = joinPath(path, 'server.secret');
    expect((await examine({ DATA_DIR: path })).find('data folder')).toMatchObject({
      state: 'warn',
      detail: `others may read ${file}: chmod 600 ${file}`,
    });
  });
});

describe('what is wrong with the configuration', () => {
  test('A bad value is named, with exit status 2.', async () => {
    const { status, stderr } = await runCommand(['doctor'], { DATA_DIR: sound, BACKUP_SCHEDULE: 'often' });
    expect(status).toBe(2);
    expect(stderr).toContain('BACKUP_SCHEDULE');
  });

  test('Limits switched off, TLS without a trusted proxy, and little disk are warnings.', async () => {
    const { ok, find } = await examine({
      DATA_DIR: sound,
      RATE_LIMITS: 'off',
      PUBLIC_URL: 'https://chat.example.test',
      DISK_LOW_BYTES: String(2 ** 50),
    });
    expect(ok).toBe(true);
    expect(find('rate limits')?.state).toBe('warn');
    expect(find('public address')).toMatchObject({
      state: 'warn',
      detail: expect.stringContaining('TRUST_PROXY'),
    });
    expect(find('disk space')?.state).toBe('warn');
    const trusted = { PUBLIC_URL: 'https://chat.example.test', TRUST_PROXY: '127.0.0.1' };
    expect((await examine({ DATA_DIR: sound, ...trusted })).find('public address')?.state).toBe('ok');
  });

  test('A port that another program has is told, and a host that is none of ours.', async () => {
    using other = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: () => new Response('') });
    const { ok, find } = await examine({ DATA_DIR: sound, PORT: String(other.port) });
    expect(ok).toBe(false);
    expect(find('server')?.detail).toContain('another program has it');
    const elsewhere = await examine({ DATA_DIR: sound, HOST: '192.0.2.1' });
    expect(elsewhere.find('server')?.detail).toContain('no address of this machine');
  });
});

describe('mail', () => {
  test('A login that the host takes is well, and no mail is sent.', async () => {
    const smtp = await startSmtp({ login: { user: 'chat@example.test', password: 'hunter2' } });
    try {
      const right = await examine({ DATA_DIR: sound, SMTP_URL: smtp.url });
      expect(right.find('mail')?.state).toBe('ok');
      const wrong = await examine({ DATA_DIR: sound, SMTP_URL: smtp.url.replace('hunter2', 'hunter3') });
      expect(wrong.ok).toBe(false);
      expect(wrong.find('mail')?.detail).toContain('refuses the login');
      expect(wrong.text).not.toContain('hunter3');
      expect(smtp.received).toEqual([]);
    } finally {
      await smtp.stop();
    }
  });

  test('A host that cannot be reached has failed.', async () => {
    const { ok, find } = await examine({ DATA_DIR: sound, SMTP_URL: `smtp://127.0.0.1:${port}` });
    expect(ok).toBe(false);
    expect(find('mail')?.detail).toContain('cannot be reached');
  });
});

describe('backups', () => {
  test('A repository that can be read, without a backup yet, is told as that.', async () => {
    const path = copy('backed-up');
    const repo = await createRemote(joinPath(root, 'remote.git'));
    const { ok, find } = await examine({ DATA_DIR: path, BACKUP_REPO: repo });
    expect(ok).toBe(true);
    expect(find('backup repository')?.state).toBe('ok');
    expect(find('last backup')).toMatchObject({
      state: 'warn',
      detail: expect.stringContaining('no backup'),
    });
    const atMs = Date.now() - 60_000;
    const success = { atMs, commit: 'x', bytes: 5_000_000, durationMs: 900, outcome: 'pushed' } as const;
    const drill = { atMs, ok: true, message: '', durationMs: 900, commit: 'x' };
    noteBackupState(path, { lastSuccess: success, lastDrill: drill, remoteBytes: 5_000_000 });
    const made = await examine({ DATA_DIR: path, BACKUP_REPO: repo });
    for (const name of ['last backup', 'repository size', 'restore drill'])
      expect([name, made.find(name)?.state]).toEqual([name, 'ok']);
    expect(made.find('last backup')?.detail).toMatch(/^the last backup is \d+ s old, 4\.8 MiB$/);
  });

  test('A repository that cannot be read has failed, and its credentials are not shown.', async () => {
    const repo = `http://me:hunter2@127.0.0.1:${port}/repo.git`;
    const { ok, find, text } = await examine({ DATA_DIR: sound, BACKUP_REPO: repo });
    expect(ok).toBe(false);
    expect(find('backup repository')?.state).toBe('fail');
    expect(text).not.toContain('hunter2');
  });

  test('Snapshots that others could read are told, unless they are encrypted.', async () => {
    const env = { DATA_DIR: sound, BACKUP_REPO: `http://127.0.0.1:${port}/repo.git` };
    expect((await examine(env)).find('backup encryption')?.state).toBe('warn');
    const sealed = await examine({ ...env, BACKUP_KEY: 'ab'.repeat(32) });
    expect(sealed.find('backup encryption')?.state).toBe('ok');
    expect(sealed.text).not.toContain('abab');
    const here = await examine({ DATA_DIR: sound, BACKUP_REPO: '/nowhere.git' });
    expect(here.find('backup encryption')?.detail).toContain('on this machine');
  });

  test('Without the git program it says to install it.', async () => {
    const { find } = await examine({ DATA_DIR: sound, BACKUP_REPO: '/nowhere.git', PATH: root });
    expect(find('backup repository')?.detail).toContain('Install git');
  });
});
