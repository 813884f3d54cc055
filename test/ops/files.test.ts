// Who may read what the server writes: its owner alone, however loose the system's defaults and the folder were.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { chmodSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import type { Subprocess } from 'bun';
import { createRemote } from '../support/git.ts';
import { password, signUpBody } from '../support/people.ts';
import { fixedPort } from '../support/process.ts';
import { entry, withServer } from '../support/server.ts';

// Starting, hashing and git take long on a busy machine.
setDefaultTimeout(30_000);

const root = mkdtempSync(joinPath(tmpdir(), 'files-'));
const dataDir = joinPath(root, 'data');
let url: string;
let child: Subprocess;

beforeAll(async () => {
  mkdirSync(joinPath(dataDir, 'outbox'), { recursive: true });
  for (const folder of [dataDir, joinPath(dataDir, 'outbox')]) chmodSync(folder, 0o777);
  const port = await fixedPort();
  url = `http://127.0.0.1:${port}`;
  const { PATH = '', HOME = '' } = process.env;
  const env = { PATH, HOME, PORT: String(port), HOST: '127.0.0.1', DATA_DIR: dataDir, LOG_LEVEL: 'silent' };
  const backup = { BACKUP_REPO: await createRemote(joinPath(root, 'remote.git')), BACKUP_SCHEDULE: 'off' };
  const line = 'umask 000; touch "$1"; exec "$2" run "$3"';
  child = Bun.spawn(['sh', '-c', line, 'sh', joinPath(root, 'loose'), process.execPath, entry], {
    env: { ...env, ...backup },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  await alive();
});
afterAll(async () => {
  child.kill('SIGKILL');
  await child.exited;
  rmSync(root, { recursive: true, force: true });
});

async function alive(): Promise<void> {
  for (const deadline = Date.now() + 10_000; Date.now() < deadline; await Bun.sleep(10)) {
    const { ok } = await fetch(`${url}/uptime`).catch(() => ({ ok: false }));
    if (ok) return;
  }
  throw new Error('the server process does not answer');
}

// biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape
async function post(path: string, body: unknown): Promise<any> {
  const headers = { 'content-type': 'application/json' };
  const answer = await fetch(url + path, { method: 'POST', headers, body: JSON.stringify(body) });
  if (answer.status !== 200) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

/** Signs somebody up with the code of the mail that came last, and verifies the account. */
async function join(firstName: string): Promise<{ UID: number; COOKIE: string }> {
  const { UID, COOKIE } = await post('/sign_up', signUpBody(firstName));
  const outbox = joinPath(dataDir, 'outbox');
  const newest =
    readdirSync(outbox)
      .filter((name) => name.endsWith('.eml'))
      .sort()
      .at(-1) ?? '';
  const code = /^ {4}(\d{6})\r?$/m.exec(readFileSync(joinPath(outbox, newest), 'utf8'))?.[1];
  await post('/account_verification', { UID, COOKIE, ENTERD_OTP: code });
  return { UID, COOKIE };
}

/** Everything under the data folder, itself too, as `path` and its mode in octal digits. */
function modes(): Map<string, string> {
  const paths = ['', ...(readdirSync(dataDir, { recursive: true }) as string[])];
  return new Map(
    paths.map((path) => {
      const stats = lstatSync(joinPath(dataDir, path));
      const kind = stats.isDirectory() ? 'folder' : 'file';
      return [path, `${kind} ${(stats.mode & 0o7777).toString(8)}`];
    }),
  );
}

test('under umask 000, in a folder that was open to all, everything is its owner’s alone', async () => {
  await join('Alice');
  const bob = await join('Bob');
  await post('/delete_account', { ...bob, PASSWORD: password });
  const key = readFileSync(joinPath(dataDir, 'admin.key'), 'utf8').trim();
  const backup = `${url}/quick_quick_save_data_to_database_repository`;
  const pushed = await fetch(backup, { headers: { authorization: `Bearer ${key}` } });
  expect([pushed.status, ((await pushed.json()) as { OUTCOME: string }).OUTCOME]).toEqual([200, 'pushed']);

  const found = modes();
  expect([...found.keys()]).toEqual(
    expect.arrayContaining([
      '',
      'outbox',
      'backup',
      'backup/lock.db',
      'backup/repository',
      'backup/repository/HEAD',
      'admin.key',
      'chat.db',
      'chat.db-shm',
      'chat.db-wal',
      'erasures.jsonl',
      'server.lock',
      'server.secret',
    ]),
  );
  expect([...found.keys()].filter((path) => /^outbox\/.*\.eml$/.test(path)).length).toBeGreaterThan(1);
  // Git writes its objects read-only, which is no wider.
  const owners = ['folder 700', 'file 600', 'file 400'];
  expect([...found].filter(([, mode]) => !owners.includes(mode))).toEqual([]);
  const readOnly = [...found].filter(([, mode]) => mode === 'file 400').map(([path]) => path);
  expect(readOnly.filter((path) => !path.startsWith('backup/repository/objects/'))).toEqual([]);
  // The twin: under that umask a file that nobody takes care of is open to all.
  expect(lstatSync(joinPath(root, 'loose')).mode & 0o777).toBe(0o666);
});

test('so it is where the server is embedded in a process that keeps nothing from anybody', async () => {
  const before = process.umask(0);
  try {
    await withServer(async ({ dataDir: folder }) => {
      const found = (readdirSync(folder) as string[]).map(
        (name) => [name, lstatSync(joinPath(folder, name))] as const,
      );
      const files = found.filter(([, stats]) => stats.isFile());
      expect(files.map(([name]) => name)).toEqual(
        expect.arrayContaining(['chat.db', 'chat.db-wal', 'server.lock']),
      );
      expect(files.filter(([, { mode }]) => (mode & 0o777) !== 0o600).map(([name]) => name)).toEqual([]);
    });
  } finally {
    process.umask(before);
  }
});
