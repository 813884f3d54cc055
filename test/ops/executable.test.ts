// The standalone executable, alone in an empty folder: it starts, serves, backs up and stops like the program it is made of.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import packageJson from '../../package.json' with { type: 'json' };
import { createRemote, listCommits } from '../support/git.ts';
import { signUpBody } from '../support/people.ts';
import type { Answer } from '../support/server.ts';

const root = join(import.meta.dir, '../..');
const folder = mkdtempSync(join(tmpdir(), 'chat-executable-'));
const home = join(folder, 'empty');
const program = join(home, 'chat-backend');
const adminKey = 'the-admin-key-of-this-test';
const bareEnv = { PATH: process.env.PATH ?? '', HOME: home };

let server: Bun.Subprocess<'ignore', 'ignore', 'pipe'>;
let url: string;
let repo: string;

/** A port that was free a moment ago. */
function freePort(): number {
  using probe = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: () => new Response() });
  return Number(probe.port);
}

async function run(...args: string[]) {
  const child = Bun.spawn([program, ...args], { cwd: home, env: bareEnv, stdout: 'pipe', stderr: 'pipe' });
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { status: child.exitCode, stdout, stderr };
}

/** Starts the executable without DATA_DIR and waits until it answers. */
async function start(): Promise<void> {
  const port = freePort();
  url = `http://127.0.0.1:${port}`;
  const env = { ...bareEnv, PORT: String(port), HOST: '127.0.0.1', ADMIN_KEY: adminKey, BACKUP_REPO: repo };
  server = Bun.spawn([program], { cwd: home, env, stdin: 'ignore', stdout: 'ignore', stderr: 'pipe' });
  for (const deadline = Date.now() + 10_000; Date.now() < deadline; await Bun.sleep(20)) {
    if (server.exitCode !== null) throw new Error(`it ended: ${await server.stderr.text()}`);
    const alive = await fetch(`${url}/uptime`).catch(() => null); // not listening yet
    if (alive?.ok) return;
  }
  throw new Error('the executable did not start');
}

async function post(path: string, body: unknown): Promise<Pick<Answer, 'status' | 'body'>> {
  const headers = { 'content-type': 'application/json' };
  const response = await fetch(url + path, { method: 'POST', headers, body: JSON.stringify(body) });
  return { status: response.status, body: await response.json() };
}

/** Sends one frame and gives the next one that comes. */
function ask(
  socket: WebSocket,
  event: string,
  data: unknown,
): Promise<{ event: string; data: Record<string, unknown> }> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no reply to ${event}`)), 5000);
    socket.onmessage = ({ data: frame }) => {
      clearTimeout(timer);
      resolve(JSON.parse(String(frame)));
    };
    socket.send(JSON.stringify({ event, data }));
  });
}

beforeAll(async () => {
  repo = await createRemote(join(folder, 'remote.git'));
  const built = join(folder, 'built');
  const build = Bun.spawn([process.execPath, 'run', join(root, 'scripts/build.ts'), built], {
    cwd: folder,
    stdout: 'ignore',
    stderr: 'pipe',
  });
  const problems = await build.stderr.text();
  if ((await build.exited) !== 0) throw new Error(problems);
  mkdirSync(home);
  copyFileSync(built, program);
}, 120_000);

afterAll(() => {
  server?.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

describe('the executable', () => {
  test('--version and --help answer without making anything.', async () => {
    expect(await run('--version')).toEqual({ status: 0, stdout: `${packageJson.version}\n`, stderr: '' });
    const help = await run('--help');
    expect(help).toMatchObject({ status: 0, stderr: '' });
    expect(help.stdout).toInclude('Usage: ');
    expect((await run('frobnicate')).status).toBe(2);
    expect(readdirSync(home)).toEqual(['chat-backend']);
  });

  test('It signs a person up, mails the code to its outbox, verifies, and carries a message over a socket.', async () => {
    await start();
    const person = signUpBody('Alice');
    const signedUp = await post('/sign_up', person);
    expect(signedUp.status).toBe(200);
    const { UID, COOKIE, TOKEN } = signedUp.body;

    const outbox = join(home, 'data/outbox');
    const [mail = ''] = readdirSync(outbox).filter((name) => name.endsWith('.eml'));
    const code = /^ {4}(\d{6})\r?$/m.exec(readFileSync(join(outbox, mail), 'utf8'))?.[1];
    expect((await post('/account_verification', { UID, COOKIE, ENTERD_OTP: code })).status).toBe(200);
    expect((await post('/login', { EMAIL: person.EMAIL, PASSWORD: person.PASSWORD })).body.UID).toBe(UID);

    const socket = new WebSocket(`${url.replace('http', 'ws')}/ws`);
    await new Promise((resolve) => {
      socket.onopen = resolve;
    });
    const announced = await ask(socket, 'get_all_messages', { UID, TOKEN });
    expect(announced).toMatchObject({ event: 'get_all_messages', data: { status_code: 200 } });
    const message = { MESSAGE: 'h:68656c6c6f', GROUP_ID: '1000000000000' };
    const sent = await ask(socket, 'send_message', message);
    expect(sent.data).toMatchObject({ status_code: 200, SENDER_ID: UID, MESSAGE_ID: 1, ...message });
    const ended = new Promise<number>((resolve) => {
      socket.onclose = ({ code: closeCode }) => resolve(closeCode);
    });

    const begun = performance.now();
    server.kill('SIGTERM');
    expect(await server.exited).toBe(0);
    expect(performance.now() - begun).toBeLessThan(1500);
    expect(await ended).toBe(4000);
  }, 30_000);

  test('What it makes is for its user alone.', () => {
    for (const name of ['data', 'data/chat.db', 'data/server.secret', 'data/outbox']) {
      expect(statSync(join(home, name)).mode & 0o077, name).toBe(0);
    }
  });

  test('Started again it still has everything, and its own endpoint pushes a backup.', async () => {
    await start();
    const login = await post('/login', {
      EMAIL: 'alice@example.test',
      PASSWORD: signUpBody('Alice').PASSWORD,
    });
    expect(login.status).toBe(200);
    const { UID, COOKIE } = login.body;
    const history = await post('/get_old_messages', { UID, COOKIE });
    expect(history.body.groups_messages['1000000000000'][1].MESSAGE).toBe('h:68656c6c6f');

    const endpoint = `${url}/quick_quick_save_data_to_database_repository`;
    expect((await fetch(endpoint)).status).toBe(401);
    const asked = (key: string) => fetch(endpoint, { headers: { authorization: `Bearer ${key}` } });
    expect((await asked('wrong')).status).toBe(403);
    expect(await listCommits(repo)).toEqual([]);
    const report = (await (await asked(adminKey)).json()) as Answer['body'];
    expect(report, report.message).toMatchObject({ OUTCOME: 'pushed' });
    const [commit, ...others] = await listCommits(repo);
    expect(report.COMMIT).toBe(commit?.hash);
    expect(others).toEqual([]);
  }, 30_000);

  test('It shows metrics, and its own doctor and status find it well.', async () => {
    const metrics = await fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${adminKey}` } });
    expect(await metrics.text()).toContain(`chat_build_info{version="${packageJson.version}"`);
    const { port, hostname } = new URL(url);
    const env = { ...bareEnv, PORT: port, HOST: hostname, ADMIN_KEY: adminKey };
    for (const command of ['doctor', 'status']) {
      const child = Bun.spawn([program, command, '--json'], { cwd: home, env, stdout: 'pipe' });
      const answer = JSON.parse(await child.stdout.text());
      expect([command, answer.ok]).toEqual([command, true]);
    }
  }, 20_000);

  test('SIGINT stops it as well.', async () => {
    server.kill('SIGINT');
    expect(await server.exited).toBe(0);
  });
});
