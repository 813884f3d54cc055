// Runs a fresh executable, where this machine can: it starts, signs a person up, which needs Argon2, and stops.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Target } from './targets.ts';

/** What runs programs made for other processors, with the libraries that Debian puts where it looks for them. */
const emulators: Readonly<Record<string, readonly string[]>> = {
  'linux-arm64': ['qemu-aarch64-static', '-L', '/usr/aarch64-linux-gnu'],
};
const patienceMs = 30_000;

/**
 * Null when all went well, or why the executable cannot be run on this machine.
 * @param host what this machine is: its own executable has to run
 * @throws Error when it runs, but not as it should
 */
export async function smoke(path: string, target: Target, host: Target): Promise<string | null> {
  const command = [...(target === host ? [] : (emulators[target.name] ?? [])), path];
  const obstacle = await findObstacle(command);
  if (obstacle !== null && target === host) throw new Error(`${path} does not run: ${obstacle}`);
  if (obstacle === null) await signUpOnce(command);
  return obstacle;
}

/** Why not even `--version` answers, or null when it does. */
async function findObstacle(command: readonly string[]): Promise<string | null> {
  try {
    const child = Bun.spawn([...command, '--version'], { stdio: ['ignore', 'ignore', 'pipe'], env: {} });
    const [said, status] = await Promise.all([child.stderr.text(), child.exited]);
    return status === 0 ? null : said.trim().split('\n')[0] || `status ${status}`;
  } catch {
    return 'a program of another system'; // or its emulator is not there
  }
}

async function signUpOnce(command: readonly string[]): Promise<void> {
  const home = mkdtempSync(join(tmpdir(), 'chat-smoke-'));
  const child = Bun.spawn([...command], {
    cwd: home,
    env: { HOST: '127.0.0.1', PORT: '0', LOG_FORMAT: 'json' },
    stdio: ['ignore', 'ignore', 'pipe'],
    timeout: patienceMs,
    killSignal: 'SIGKILL',
  });
  let log = '';
  try {
    const words = new TextDecoder();
    let status: number | null = null;
    for await (const piece of child.stderr) {
      log += words.decode(piece, { stream: true });
      const [, url] = /"url":"([^"]+)"/.exec(log) ?? [];
      if (!url || status !== null) continue;
      status = await signUp(url);
      child.kill('SIGTERM');
    }
    const ended = await child.exited;
    if (status !== 200 || ended !== 0)
      throw new Error(`${command.join(' ')}: sign-up ${status}, exit status ${ended}\n${log}`);
  } finally {
    child.kill('SIGKILL');
    rmSync(home, { recursive: true, force: true });
  }
}

async function signUp(url: string): Promise<number> {
  const response = await fetch(new URL('sign_up', url), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      FIRST_NAME: 'Alice',
      LAST_NAME: 'Example',
      EMAIL: 'alice@example.test',
      PHONE_NO: '',
      PASSWORD: 'correct horse 42',
    }),
  });
  return response.status;
}
