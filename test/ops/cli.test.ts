// The command line: help, wrong words, wrong configuration, a taken port, each with its exit status.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import packageJson from '../../package.json' with { type: 'json' };
import { createRemote, listCommits } from '../support/git.ts';
import { entry } from '../support/server.ts';

const folder = mkdtempSync(join(tmpdir(), 'chat-cli-'));
const path = { PATH: process.env.PATH ?? '', HOME: folder };

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs the program to its end, in an empty folder with nothing but this environment. */
async function run(args: string[], env: Record<string, string> = {}) {
  const child = Bun.spawn([process.execPath, 'run', entry, ...args], {
    cwd: folder,
    env: { ...path, ...env },
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
    timeout: 10_000,
  });
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { status: child.exitCode, stdout, stderr };
}

describe('words', () => {
  for (const word of ['--help', '-h', 'help']) {
    test(`${word} prints every command and exits 0.`, async () => {
      const { status, stdout, stderr } = await run([word]);
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
      for (const command of [
        'serve',
        'backup',
        'doctor',
        'status',
        'user create',
        'user list',
        'invite',
        '--version',
      ])
        expect(stdout).toInclude(command);
    });
  }

  test('--version prints the version of package.json and exits 0.', async () => {
    expect(await run(['--version'])).toEqual({ status: 0, stdout: `${packageJson.version}\n`, stderr: '' });
  });

  for (const words of [
    ['frobnicate'],
    ['serve', 'now'],
    ['backup', '--fast'],
    ['user'],
    ['user', 'frobnicate'],
    ['user', 'list', '--fast'],
    ['invite', 'everybody'],
    ['--port=1'],
    ['__proto__'],
    ['constructor'],
  ]) {
    test(`"${words.join(' ')}" gets the help on standard error and exit status 2.`, async () => {
      const { status, stdout, stderr } = await run(words);
      expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
      expect(stderr).toInclude(`"${words.at(-1)}"`);
      expect(stderr).toInclude('Usage: ');
      expect(existsSync(join(folder, 'data'))).toBe(false);
    });
  }
});

describe('configuration', () => {
  test('Every bad key gets a line of its own and the exit status is 2.', async () => {
    const env = { PORT: 'eighty', RATE_LIMITS: 'maybe', SMTP_URL: 'http://me:hunter2@mail.test' };
    const { status, stdout, stderr } = await run([], env);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    const lines = stderr.trim().split('\n');
    expect(lines.slice(1).map((line) => line.split(':')[0])).toEqual(['PORT', 'SMTP_URL', 'RATE_LIMITS']);
    expect(stderr).not.toInclude('hunter2');
    expect(stderr).not.toInclude('    at ');
    expect(existsSync(join(folder, 'data'))).toBe(false);
  });

  test('A port that is taken is told in one clear line and the exit status is 1.', async () => {
    using other = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: () => new Response('mine') });
    const env = { PORT: String(other.port), HOST: '127.0.0.1', DATA_DIR: join(folder, 'taken') };
    const { status, stderr } = await run(['serve'], env);
    expect(status).toBe(1);
    expect(stderr).toInclude(String(other.port));
    expect(stderr).toMatch(/in use/i);
    expect(stderr).not.toInclude('    at ');
  });

  test('A data folder that cannot be made is told in one clear line and the exit status is 1.', async () => {
    await Bun.write(join(folder, 'a file'), '');
    const { status, stderr } = await run([], { PORT: '0', DATA_DIR: join(folder, 'a file', 'data') });
    expect(status).toBe(1);
    expect(stderr).toInclude('a file');
    expect(stderr).not.toInclude('    at ');
  });
});

describe('backup', () => {
  const dataDir = join(folder, 'used');

  beforeAll(async () => {
    const server = Bun.spawn([process.execPath, 'run', entry], {
      cwd: folder,
      env: { ...path, PORT: '0', HOST: '127.0.0.1', DATA_DIR: dataDir, LOG_FORMAT: 'json' },
      stdin: 'ignore',
      stdout: 'ignore',
      stderr: 'pipe',
    });
    let log = '';
    for await (const chunk of server.stderr.pipeThrough(new TextDecoderStream())) {
      log += chunk;
      if (log.includes('"listening"')) break;
    }
    server.kill('SIGTERM');
    expect(await server.exited).toBe(0);
  });

  test('Without BACKUP_REPO it says so and exits 1.', async () => {
    const { status, stdout, stderr } = await run(['backup'], { DATA_DIR: dataDir });
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toInclude('BACKUP_REPO');
  });

  test('With one it pushes the database of DATA_DIR and exits 0.', async () => {
    const repo = await createRemote(join(folder, 'remote.git'));
    const { status, stdout, stderr } = await run(['backup', '--json'], {
      DATA_DIR: dataDir,
      BACKUP_REPO: repo,
    });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const [commit] = await listCommits(repo);
    expect(JSON.parse(stdout)).toMatchObject({ ok: true, outcome: 'pushed', commit: commit?.hash });
  });

  test('Of a data folder that no server has used nothing is pushed, and the exit status is 1.', async () => {
    const repo = await createRemote(join(folder, 'unused.git'));
    const { status, stderr } = await run(['backup'], { DATA_DIR: join(folder, 'unused'), BACKUP_REPO: repo });
    expect(status).toBe(1);
    expect(stderr).toInclude(join(folder, 'unused'));
    expect(await listCommits(repo)).toEqual([]);
  });
});
