// The server as a process of its own on a fixed port, to be killed or told to stop, and its data to be read beside it.
import { openSync, readFileSync, rmSync } from 'node:fs';
import type { Subprocess } from 'bun';
import type { Person } from './people.ts';
import { entry, TestServer } from './server.ts';

/**
 * A port that nobody listens on, below those that the system hands out: while a server is down, no connection of another
 * test gets its port.
 */
export async function fixedPort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    try {
      const probe = Bun.serve({ port, hostname: '127.0.0.1', fetch: () => new Response('') });
      await probe.stop(true);
      return port;
    } catch {
      // taken: the next
    }
  }
}

interface StartOptions {
  /** A file that is loaded into the process before the program. */
  readonly preload?: string;
  /** Where its log goes; to that of the tests unless said. */
  readonly logFile?: string;
  readonly logLevel?: string;
  /** Largest size of any file it may write, in KiB. */
  readonly fileKiB?: number;
}

/** `bun run src/index.ts` on a fixed port with a data folder of its own. */
export class ServerProcess {
  readonly url: string;
  #child: Subprocess | null = null;

  constructor(
    readonly dataDir: string,
    readonly port: number,
  ) {
    this.url = `http://127.0.0.1:${port}`;
  }

  /** Prepares the data on a server in this process, which is quick, and then starts the real one on it. */
  static async prepared<T>(
    prepare: (server: TestServer) => Promise<T>,
  ): Promise<{ server: ServerProcess; made: T }> {
    const inside = await TestServer.start();
    const made = await prepare(inside);
    await inside.end();
    const server = new ServerProcess(inside.dataDir, await fixedPort());
    await server.start();
    return { server, made };
  }

  /** Starts it and waits until it answers. */
  async start(options: StartOptions = {}): Promise<void> {
    this.#child = this.spawn(options);
    for (const deadline = Date.now() + 10_000; Date.now() < deadline; ) {
      const alive = await fetch(`${this.url}/uptime`).then(
        ({ ok }) => ok,
        () => false,
      );
      if (alive) return;
      await Bun.sleep(10);
    }
    throw new Error('the server process does not answer');
  }

  /** Starts the program, which may fail to become a server, and waits for nothing. */
  spawn({
    preload,
    logFile,
    logLevel = 'error',
    fileKiB,
  }: StartOptions = {}): Subprocess<'ignore', 'ignore', 'inherit'> {
    const { PATH = '', HOME = '' } = process.env;
    const env = { PATH, HOME, PORT: String(this.port), HOST: '127.0.0.1', DATA_DIR: this.dataDir };
    const before = preload ? [`--preload=${preload}`] : [];
    // A write beyond the limit then fails, instead of ending the process.
    const limited = fileKiB ? ['bash', '-c', `trap '' XFSZ; ulimit -f ${fileKiB}; exec "$@"`, 'bash'] : [];
    return Bun.spawn([...limited, process.execPath, 'run', ...before, entry], {
      env: { ...env, RATE_LIMITS: 'off', LOG_LEVEL: logLevel },
      stdio: ['ignore', 'ignore', logFile === undefined ? 'inherit' : openSync(logFile, 'a', 0o600)],
    });
  }

  /** Sends a signal and waits for the end. */
  async end(signal: 'SIGKILL' | 'SIGTERM'): Promise<number | null> {
    this.#child?.kill(signal);
    await this.#child?.exited;
    return this.#child?.exitCode ?? null;
  }

  /** When the process has ended, whoever ended it. */
  async ended(): Promise<void> {
    await this.#child?.exited;
  }

  /** Kills it and removes its data. */
  async remove(): Promise<void> {
    await this.end('SIGKILL');
    rmSync(this.dataDir, { recursive: true, force: true });
  }

  /** Bytes of memory that the process has now. */
  get memory(): number {
    const status = readFileSync(`/proc/${this.#child?.pid}/status`, 'utf8');
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
  }

  async post(path: string, body: unknown) {
    const headers = { 'content-type': 'application/json' };
    const answer = await fetch(this.url + path, { method: 'POST', headers, body: JSON.stringify(body) });
    // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape
    return (await answer.json()) as any;
  }

  /** The positions that a chat's history has, as a member is told. */
  async history({ uid, cookie }: Person, groupId: string): Promise<number[]> {
    const ids: number[] = [];
    for (;;) {
      const page = { UID: uid, COOKIE: cookie, GROUP_ID: groupId, AFTER: ids.at(-1) ?? 0, LIMIT: 100 };
      const { groups_messages } = await this.post('/get_old_messages', page);
      const more = Object.keys(groups_messages[groupId]).map(Number);
      if (more.length === 0) return ids;
      ids.push(...more);
    }
  }
}
