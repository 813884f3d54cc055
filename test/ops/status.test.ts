// The status command against a real server: what it shows once, on a terminal, as JSON, and when there is nobody to ask.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { quantileOf, readMetrics, type Sample } from '../../src/ops/status/samples.ts';
import { drawStatus } from '../../src/ops/status/screen.ts';
import { acquireLock } from '../../src/store/lock.ts';
import { runCommand } from '../support/command.ts';
import { join, type Person } from '../support/people.ts';
import { fixedPort, ServerProcess } from '../support/process.ts';
import { entry } from '../support/server.ts';
import { TestSocket } from '../support/socket.ts';

// Each starts the program and asks twice, which takes long on a busy machine.
setDefaultTimeout(30_000);

let server: ServerProcess;
let people: Person[];
let env: Record<string, string>;

beforeAll(async () => {
  const { server: started, made } = await ServerProcess.prepared(async (inside) => [
    await join(inside, 'Alice'),
    await join(inside, 'Bob'),
  ]);
  server = started;
  people = made;
  env = { DATA_DIR: server.dataDir, PORT: String(server.port), HOST: '127.0.0.1' };
});
afterAll(() => server.remove());

/** Everybody announced, and Alice writing without a pause until it is disposed. */
async function chatter(): Promise<AsyncDisposable> {
  const [alice, bob] = await Promise.all(people.map((person) => TestSocket.announced(server, person)));
  let isOver = false;
  const said = (async () => {
    for (let count = 0; !isOver; count += 1) {
      await alice?.say(`message ${count}`);
      await Bun.sleep(5);
    }
  })();
  return {
    async [Symbol.asyncDispose]() {
      isOver = true;
      await said;
      await alice?.close();
      await bob?.close();
    },
  };
}

/** Runs `status` on a terminal of 80 columns; `press` is called with what it has shown so far, and returns keys. */
async function onTerminal(press: (shown: string) => string | null) {
  let shown = '';
  const decoder = new TextDecoder();
  const { PATH = '', HOME = '' } = process.env;
  const child = Bun.spawn([process.execPath, 'run', entry, 'status'], {
    env: { PATH, HOME, TERM: 'xterm', ...env },
    terminal: {
      cols: 80,
      rows: 30,
      data(terminal, bytes) {
        shown += decoder.decode(bytes, { stream: true });
        const keys = press(shown);
        if (keys) terminal.write(keys);
      },
    },
    timeout: 20_000,
  });
  await child.exited;
  await Bun.sleep(50); // what it wrote last may still be on its way through the terminal
  child.terminal?.close();
  return { status: child.exitCode, shown };
}

describe('once', () => {
  test('It shows who is there, what is sent and how fast, in lines of at most 80 columns.', async () => {
    await using _busy = await chatter();
    const { status, stdout, stderr } = await runCommand(['status', '--once'], env);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    for (const line of stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(80);
    expect(stdout).toStartWith('chat-backend ');
    expect(stdout).toContain(server.url);
    expect(stdout).toMatch(/^people +2 online +2 sockets +0 unannounced$/m);
    expect(stdout).toMatch(/^messages +[1-9]\d*\/s sent +[1-9]\d*\/s delivered +0\/s refused$/m);
    expect(stdout).toMatch(/^acknowledged +p50 [\d.]+ ms +p99 [\d.]+ ms/m);
    expect(stdout).toMatch(/^database +[\d.]+ [KM]iB +log [\d.]+ [KM]iB +[\d.]+ [GT]iB disk free$/m);
    expect(stdout).toContain('all is well');
  });

  test('--json prints the figures as one line.', async () => {
    await using _busy = await chatter();
    const { status, stdout } = await runCommand(['status', '--json'], env);
    expect(status).toBe(0);
    expect(stdout.trim().split('\n')).toHaveLength(1);
    const figures = JSON.parse(stdout);
    expect(figures).toMatchObject({
      ok: true,
      sockets: { open: 2, announced: 2, accounts: 2 },
      concerns: [],
    });
    expect(figures.messages.sendsPerSecond).toBeGreaterThan(1);
    expect(figures.acknowledgement.p50Ms).toBeGreaterThan(0);
    expect(figures.acknowledgement.p99Ms).toBeGreaterThanOrEqual(figures.acknowledgement.p50Ms);
    expect(figures.process.memoryBytes).toBeGreaterThan(10_000_000);
    expect(figures.uptimeMs).toBeWithin(100, 600_000);
  });
});

describe('on a terminal', () => {
  const screens = (shown: string) => shown.split('\u001b[H').slice(1);

  for (const [name, key] of [
    ['q', 'q'],
    ['Ctrl-C', '\u0003'],
  ] as const) {
    test(`It draws anew each second on a screen of its own until ${name} is pressed.`, async () => {
      let pressed = false;
      const { status, shown } = await onTerminal((text) => {
        if (pressed || screens(text).length < 2 || !text.endsWith('\u001b[J')) return null;
        pressed = true;
        return key;
      });
      expect(status).toBe(0);
      expect(screens(shown).length).toBeGreaterThanOrEqual(2);
      expect(shown).toStartWith('\u001b[?1049h\u001b[?25l');
      expect(shown.trimEnd()).toEndWith('\u001b[?25h\u001b[?1049l');
      for (const screen of screens(shown)) {
        const lines = stripVTControlCharacters(screen).split(/\r+\n/);
        expect(lines[0]).toStartWith('chat-backend ');
        for (const line of lines) expect(line.length).toBeLessThanOrEqual(80);
      }
    });
  }
});

describe('with nobody to ask', () => {
  const folder = mkdtempSync(joinPath(tmpdir(), 'chat-status-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test('Without a server it says so, and shows the admin key to no other program on the port.', async () => {
    acquireLock(joinPath(folder, 'server.lock'), 0)?.[Symbol.dispose](); // a former server's
    const asked: string[] = [];
    using other = Bun.serve({
      port: await fixedPort(),
      hostname: '127.0.0.1',
      fetch: (request) => {
        asked.push(request.url);
        return new Response('');
      },
    });
    const elsewhere = { ...env, DATA_DIR: folder, PORT: String(other.port), ADMIN_KEY: 'a-key-of-this-test' };
    const { status, stdout, stderr } = await runCommand(['status', '--once'], elsewhere);
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toBe(`No server runs on ${folder}. Check DATA_DIR.\n`);
    expect(asked).toEqual([]);
  });

  test('With another port or key than the server has it says what to check, as JSON too.', async () => {
    const port = String(await fixedPort());
    const lost = await runCommand(['status', '--once'], { ...env, PORT: port });
    expect(lost.status).toBe(1);
    expect(lost.stderr).toContain('does not answer');
    const refused = await runCommand(['status', '--json'], { ...env, ADMIN_KEY: 'a-key-of-this-test' });
    expect(refused.status).toBe(1);
    expect(JSON.parse(refused.stdout)).toEqual({
      ok: false,
      message: expect.stringContaining('answers 403'),
    });
    expect(refused.stdout + refused.stderr).not.toContain('a-key-of-this-test');
  });
});

test('Whatever the figures are, no line is longer than 80 columns or steers the terminal.', async () => {
  const { stdout } = await runCommand(['status', '--json'], env);
  const huge = JSON.parse(stdout, (_name, value) => (typeof value === 'number' ? 1e15 + 0.123 : value));
  const words = 'the remote is away and nobody knows when it will be back';
  const figures = {
    ...huge,
    limitsHit: { requestByAddress: 1e9, forgotByEmailDaily: 1e9, addedPeopleByAccount: 1e9, message: 1 },
    concerns: [{ name: 'BACKUP', state: 'warn', detail: `\u001b[2J${words}, ${words}` }],
  };
  const lines = drawStatus(figures, `http://[2001:db8:1:2:3:4:5:6]:65535`);
  for (const line of lines) expect(line.length).toBeLessThanOrEqual(80);
  expect(lines.join(' ').replace(/ +/g, ' ')).toContain(`WARN BACKUP: [2J${words}, ${words}`);
  expect(lines.join('')).not.toContain('\u001b');
});

describe('quantiles', () => {
  const sample = (counts: number[]): Sample => {
    const bounds = ['0.001', '0.01', '0.1', '+Inf'];
    const lines = bounds.map((bound, index) => `x_bucket{le="${bound}"} ${counts[index]}`);
    return { at: 0, values: readMetrics(['# TYPE x histogram', ...lines, 'x_count 9'].join('\n')) };
  };
  const between = (from: number[], to: number[], share: number) =>
    quantileOf([sample(from), sample(to)], 'x', share);

  test('Only what was counted in between is looked at, and inside a bucket it is evenly spread.', () => {
    expect(between([50, 50, 50, 50], [50, 150, 150, 150], 0.5)).toBeCloseTo(0.0055, 10);
    expect(between([0, 0, 0, 0], [100, 100, 100, 100], 0.99)).toBeCloseTo(0.00099, 10);
    expect(between([0, 0, 0, 0], [90, 90, 100, 100], 0.95)).toBeCloseTo(0.055, 10);
  });

  test('What is above all bounds counts as the highest of them, and nothing has no quantile.', () => {
    expect(between([0, 0, 0, 0], [0, 0, 0, 10], 0.5)).toBe(0.1);
    expect(between([5, 5, 5, 5], [5, 5, 5, 5], 0.5)).toBeNull();
  });
});
