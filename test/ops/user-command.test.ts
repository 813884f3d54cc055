// The commands on accounts and invitations, alone and beside a running server; and that two servers share no folder.
import { Database } from 'bun:sqlite';
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { generateSync } from 'otplib';
import { join, type Person } from '../support/people.ts';
import { fixedPort, ServerProcess } from '../support/process.ts';
import { entry } from '../support/server.ts';
import { TestSocket } from '../support/socket.ts';

setDefaultTimeout(30_000);

const root = mkdtempSync(joinPath(tmpdir(), 'chat-commands-'));
const folder = joinPath(root, 'data');
afterAll(() => rmSync(root, { recursive: true, force: true }));

interface Run {
  /** What standard input has. */
  readonly input?: string;
  readonly dataDir?: string;
  readonly env?: Record<string, string>;
}

/** Runs a command to its end on the data folder. */
async function run(args: string[], { input = '', dataDir = folder, env = {} }: Run = {}) {
  const { PATH = '' } = process.env;
  const child = Bun.spawn([process.execPath, 'run', entry, ...args], {
    cwd: root,
    env: { PATH, HOME: root, DATA_DIR: dataDir, ...env },
    stdin: new Blob([input]),
    stdout: 'pipe',
    stderr: 'pipe',
    timeout: 20_000,
  });
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { status: child.exitCode, stdout, stderr };
}

/** Runs a command with --json and returns its line. */
async function json(args: string[], options: Run = {}) {
  const { status, stdout, stderr } = await run([...args, '--json'], options);
  expect(stderr).toBe('');
  const answer = JSON.parse(stdout);
  expect(answer.ok).toBe(status === 0);
  return answer;
}

const newUser = (email: string) => [
  'user',
  'create',
  '--email',
  email,
  '--first-name',
  'Ann',
  '--last-name',
  'Lee',
];

/** A server as a process on the folder while `body` runs. */
async function withServer(body: (server: ServerProcess) => Promise<void>, dataDir = folder): Promise<void> {
  const server = new ServerProcess(dataDir, await fixedPort());
  await server.start();
  try {
    await body(server);
  } finally {
    expect(await server.end('SIGTERM')).toBe(0);
  }
}

test('an account made before the first start logs in with the password that was printed once', async () => {
  const { status, stdout, stderr } = await run(newUser('ann@example.test'));
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  const password = /: ([A-Z0-9]{20})\n$/.exec(stdout)?.[1];
  await withServer(async (server) => {
    const answer = await server.post('/login', { EMAIL: 'ann@example.test', PASSWORD: password });
    expect(answer.message).toBe('Logged in');
    const chats = await server.post('/get_all_chats', { UID: answer.UID, COOKIE: answer.COOKIE });
    expect(Object.keys(chats.chats)).toEqual(['1000000000000']);
  });
});

test('a password on standard input is taken as it is, held to the rules, and printed nowhere', async () => {
  const secret = ' two words ';
  const made = await run([...newUser('bea@example.test'), '--password-stdin'], { input: `${secret}\n` });
  expect(made.status).toBe(0);
  expect(made.stdout).not.toContain(secret.trim());
  for (const [input, status] of [
    ['short', 2],
    ['', 2],
    ['password1', 1],
  ] as const) {
    const refused = await run([...newUser('cleo@example.test'), '--password-stdin'], { input });
    expect([input, refused.status]).toEqual([input, status]);
    expect(refused.stderr.toLowerCase()).toContain('password');
    if (input) expect(refused.stderr).not.toContain(input === 'short' ? ' short' : input);
  }
  await withServer(async (server) => {
    const answer = await server.post('/login', { EMAIL: 'bea@example.test', PASSWORD: secret });
    expect(answer.message).toBe('Logged in');
  });
});

test('wrong words are told, with the help of the command they were meant for, and exit status 2', async () => {
  const wrong: [string[], string][] = [
    [['user', 'create', '--email', 'x@example.test'], '--first-name is missing'],
    [['user', 'create', '--email'], '--email needs a value'],
    [[...newUser('no address')], '--email is not a valid address'],
    [[...newUser('x@example.test'), '--password', 'hunter2hunter2'], '"--password"'],
    [['user', 'ban'], 'missing'],
    [['user', 'ban', 'ann'], 'neither an e-mail address nor an account number'],
    [['user', 'ban', 'a@example.test', 'b@example.test'], '"b@example.test"'],
    [['invite', '--uses', '1001'], '--uses must be a whole number from 1 to 1000'],
    [['invite', '--days', 'x'], '--days is not a number'],
    [['user', 'list', '--json=yes'], '--json has no value'],
  ];
  for (const [args, words] of wrong) {
    const { status, stdout, stderr } = await run(args);
    expect([args, status, stdout]).toEqual([args, 2, '']);
    expect(stderr).toContain(words);
    expect(stderr).toContain(args[0] === 'user' && args[1] ? `user ${args[1]}` : 'invite');
    expect(stderr).not.toContain('hunter2');
  }
  const help = await run(['user', 'ban', '--help']);
  expect(help.status).toBe(0);
  expect(help.stdout).toContain('--reason TEXT');
  expect(help.stdout).not.toContain('user create');
});

test('an account is listed, banned, unbanned, verified and given a password by its address or its number', async () => {
  const { UID, PASSWORD } = await json(newUser('dora@example.test'));
  expect(PASSWORD).toMatch(/^[A-Z0-9]{20}$/);
  expect((await json(newUser('DORA@example.test'))).message).toContain('already');
  const listed = await json(['user', 'list', 'dora@']);
  expect(listed.users).toMatchObject([{ UID, EMAIL: 'dora@example.test', VERIFIED: true, BANNED: false }]);
  expect(await json(['user', 'list', String(UID)])).toEqual(listed);
  expect(await json(['user', 'ban', 'Dora@example.test', '--reason', 'for a test'])).toEqual({
    ok: true,
    UID,
  });
  expect((await json(['user', 'ban', String(UID)])).ok).toBe(false);
  expect((await run(['user', 'list', 'dora'])).stdout).toContain('banned (for a test)');
  expect((await json(['user', 'unban', String(UID)])).ok).toBe(true);
  expect((await json(['user', 'verify', String(UID)])).message).toContain('verified already');
  expect((await json(['user', 'reset-password', 'dora@example.test'])).PASSWORD).not.toBe(PASSWORD);
  const { status, stderr } = await run(['user', 'ban', 'nobody@example.test']);
  expect({ status, stderr }).toEqual({ status: 1, stderr: 'There is no account nobody@example.test.\n' });
});

test('of a folder without a database only what makes something makes one', async () => {
  const dataDir = joinPath(root, 'empty');
  for (const args of [
    ['user', 'list'],
    ['user', 'ban', '123456789'],
  ]) {
    const { status, stderr } = await run(args, { dataDir });
    expect(status).toBe(1);
    expect(stderr).toContain(dataDir);
    expect(existsSync(dataDir)).toBe(false);
  }
  expect((await json(['invite', '--uses', '2', '--days', '1'], { dataDir })).CODE).toMatch(/^[A-Z0-9]{20}$/);
  expect(existsSync(joinPath(dataDir, 'chat.db'))).toBe(true);
});

describe('beside a running server', () => {
  let server: ServerProcess;
  let alice: Person;
  let bob: Person;

  beforeAll(async () => {
    const prepared = await ServerProcess.prepared(async (inside) => [
      await join(inside, 'Alice'),
      await join(inside, 'Bob'),
    ]);
    server = prepared.server;
    [alice, bob] = prepared.made as [Person, Person];
  });
  afterAll(() => server.remove());

  test('a ban closes the sockets of its account within 2 s and no others', async () => {
    await using his = await TestSocket.announced(server, bob);
    await using hers = await TestSocket.announced(server, alice);
    expect((await json(['user', 'ban', bob.email], { dataDir: server.dataDir })).ok).toBe(true);
    const begun = Date.now();
    expect((await his.closed).code).toBe(4501);
    expect(Date.now() - begun).toBeLessThan(2000);
    expect((await hers.say('Anybody here?')).data.status_code).toBe(200);
    const login = await server.post('/login', { EMAIL: bob.email, PASSWORD: bob.password });
    expect(login.message).toBe('This account is banned.');
    expect(
      Object.keys(await server.post('/get_all_users', { UID: alice.uid, COOKIE: alice.cookie })),
    ).toEqual(['message']);
    expect((await json(['user', 'unban', bob.email], { dataDir: server.dataDir })).ok).toBe(true);
    expect((await server.post('/login', { EMAIL: bob.email, PASSWORD: bob.password })).message).toBe(
      'Logged in',
    );
  });

  test('who lost the second factor is let in by the password alone again, and that is noted', async () => {
    const { dataDir } = server;
    const hers = { UID: alice.uid, COOKIE: alice.cookie };
    const { SECRET } = await server.post('/enroll_totp', { ...hers, PASSWORD: alice.password });
    const CODE = generateSync({ secret: SECRET });
    expect((await server.post('/confirm_totp', { ...hers, CODE })).RECOVERY_CODES).toHaveLength(10);
    const login = { EMAIL: alice.email, PASSWORD: alice.password };
    expect((await server.post('/login', login)).SECOND_FACTOR).toBe(true);
    const command = ['user', 'remove-second-factor', alice.email];
    expect((await json(command, { dataDir })).ok).toBe(true);
    expect((await server.post('/login', login)).message).toBe('Logged in');
    expect((await json(command, { dataDir })).message).toContain('no second factor');
    using database = new Database(joinPath(dataDir, 'chat.db'), { readonly: true });
    const noted = database.query("SELECT actor FROM audit WHERE kind = 'second_factor_off'").all();
    expect(noted).toEqual([{ actor: 'command' }]);
  });

  test('an account made meanwhile is there at once, and a new password ends its sockets', async () => {
    const { PASSWORD } = await json(newUser('carol@example.test'), { dataDir: server.dataDir });
    const login = await server.post('/login', { EMAIL: 'carol@example.test', PASSWORD });
    const carol = { ...alice, uid: login.UID, token: login.TOKEN };
    await using socket = await TestSocket.announced(server, carol);
    expect((await socket.say('I am new')).data.status_code).toBe(200);
    await json(['user', 'reset-password', 'carol@example.test'], { dataDir: server.dataDir });
    expect((await socket.closed).code).toBe(4501);
  });

  test('many commands beside people who write break nothing', async () => {
    await using socket = await TestSocket.announced(server, alice);
    let writing = true;
    const writer = (async () => {
      const statuses = new Set<number>();
      while (writing) statuses.add((await socket.say('again')).data.status_code);
      return [...statuses];
    })();
    const commands = Array.from({ length: 6 }, () => json(['invite'], { dataDir: server.dataDir }));
    for (const { ok } of await Promise.all(commands)) expect(ok).toBe(true);
    writing = false;
    expect(await writer).toEqual([200]);
  });

  test('a command that ends while a backup reads for long does not hold up who writes', async () => {
    await using socket = await TestSocket.announced(server, alice);
    using backup = new Database(joinPath(server.dataDir, 'chat.db'), { readonly: true });
    backup.run('BEGIN');
    expect(backup.query('SELECT count(*) AS people FROM accounts').get()).not.toBeNull();
    expect((await socket.say('written after the backup began')).data.status_code).toBe(200);
    let running = true;
    const command = json(['invite'], { dataDir: server.dataDir }).finally(() => {
      running = false;
    });
    while (running) {
      expect((await socket.say('again')).data.status_code).toBe(200);
      await Bun.sleep(5);
    }
    expect((await command).ok).toBe(true);
  });

  test('a command leaves the ledger of erasures as it is, where its last line may just be being written', async () => {
    const ledger = joinPath(server.dataDir, 'erasures.jsonl');
    const text = `{"uid":5,"at":1,"messages":"keep"}\n{"uid":6,"at":2,"mess`;
    writeFileSync(ledger, text);
    expect((await json(['user', 'list'], { dataDir: server.dataDir })).ok).toBe(true);
    expect(readFileSync(ledger, 'utf8')).toBe(text);
    // The twin: a server, whose file it is, mends it.
    await server.end('SIGTERM');
    await server.start();
    expect(readFileSync(ledger, 'utf8')).toBe(`{"uid":5,"at":1,"messages":"keep"}\n`);
    rmSync(ledger);
  });

  test('a second server on the folder is refused in one clear line, and may start when the first is killed', async () => {
    const env = { PORT: '0', HOST: '127.0.0.1' };
    const { status, stderr } = await run(['serve'], { dataDir: server.dataDir, env });
    expect(status).toBe(1);
    expect(stderr).toContain(server.dataDir);
    expect(stderr).toContain('Another server');
    expect(stderr).not.toContain('    at ');
    await server.end('SIGKILL');
    await server.start();
    expect((await server.post('/login', { EMAIL: alice.email, PASSWORD: alice.password })).message).toBe(
      'Logged in',
    );
  });
});
