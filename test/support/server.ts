// A whole server for a test: on a free port, with a data folder and a clock of its own, spoken to over the wire.
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '../../src/config.ts';
import { createLog } from '../../src/log.ts';
import { type RunningServer, startServer } from '../../src/server.ts';

export const entry = join(import.meta.dir, '../../src/index.ts');

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape
  readonly body: any;
}

export interface TestServerOptions {
  /** Environment variables on top of the tests' own: a temp DATA_DIR, port 0, limits off, silent log. */
  readonly env?: Record<string, string>;
  /** Gets every log line; the log is then at level debug. */
  readonly onLog?: (line: string) => void;
}

export class TestServer {
  #running: RunningServer | null = null;
  #offsetMs = 0;
  #elapsedMs = 0;
  #laterEnv: Record<string, string> = {};

  private constructor(
    readonly dataDir: string,
    private readonly options: TestServerOptions,
  ) {}

  static async start(options: TestServerOptions = {}): Promise<TestServer> {
    const dataDir = options.env?.DATA_DIR ?? mkdtempSync(join(tmpdir(), 'chat-test-'));
    const server = new TestServer(dataDir, options);
    await server.start();
    return server;
  }

  readonly clock = (): number => Date.now() + this.#offsetMs;

  /** ms that pass evenly, whatever the clock is set to. */
  readonly elapsed = (): number => performance.now() + this.#elapsedMs;

  /** Lets the server believe that time has passed; timers do not run faster. */
  advance(ms: number): void {
    this.#offsetMs += ms;
    this.#elapsedMs += ms;
  }

  /** Sets the clock ahead, or with less than 0 back, without any time having passed. */
  setClock(ms: number): void {
    this.#offsetMs += ms;
  }

  async start(): Promise<void> {
    const { env = {}, onLog } = this.options;
    const config = loadConfig({
      DATA_DIR: this.dataDir,
      PORT: '0',
      HOST: '127.0.0.1',
      RATE_LIMITS: 'off',
      ...env,
      ...this.#laterEnv,
    });
    const log = createLog({
      level: onLog ? 'debug' : 'silent',
      format: 'json',
      ...(onLog ? { write: onLog } : {}),
    });
    const command = [process.execPath, entry];
    this.#running = await startServer({ config, log, command, clock: this.clock, elapsed: this.elapsed });
  }

  /** Stops the server and starts it again on the same data, with `env` on top of what it had; the port changes. */
  async restart(env: Record<string, string> = {}): Promise<void> {
    await this.running.stop();
    this.#laterEnv = { ...this.#laterEnv, ...env };
    await this.start();
  }

  /** Stops the server as if its process had ended: in this one its statements go on holding the files that they read. */
  async end(): Promise<void> {
    await this.running.stop();
    const database = join(this.dataDir, 'chat.db');
    copyFileSync(database, `${database}.copy`);
    renameSync(`${database}.copy`, database);
    for (const ending of ['-wal', '-shm']) rmSync(database + ending, { force: true });
  }

  /** Stops the server and removes its data. */
  async stop(): Promise<void> {
    await this.#running?.stop();
    rmSync(this.dataDir, { recursive: true, force: true });
  }

  get running(): RunningServer {
    if (!this.#running) throw new Error('the test server is not running');
    return this.#running;
  }

  get url(): string {
    return this.running.url.origin;
  }

  get store(): RunningServer['store'] {
    return this.running.store;
  }

  post(path: string, body: unknown = {}, headers: Record<string, string> = {}): Promise<Answer> {
    return this.request('POST', path, body, headers);
  }

  get(path: string, headers: Record<string, string> = {}): Promise<Answer> {
    return this.request('GET', path, undefined, headers);
  }

  /** A string body is sent as it is, anything else as JSON. */
  async request(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Answer> {
    const sent = body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) };
    const response = await fetch(this.url + path, {
      method,
      headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      ...sent,
    });
    return { status: response.status, headers: response.headers, body: await response.json() };
  }

  /** The mails in the outbox folder to this address, oldest first, as their raw text. */
  mailsTo(email: string): string[] {
    const folder = join(this.dataDir, 'outbox');
    if (!existsSync(folder)) return []; // made with the first mail
    return readdirSync(folder)
      .filter((name) => name.endsWith('.eml'))
      .sort()
      .map((name) => readFileSync(join(folder, name), 'utf8'))
      .filter((mail) => mail.toLowerCase().includes(`\nto: ${email.toLowerCase()}`));
  }

  /** The six digits of the newest mail to this address. */
  codeFor(email: string): string {
    const code = /^ {4}(\d{6})\r?$/m.exec(this.mailsTo(email).at(-1) ?? '')?.[1];
    if (!code) throw new Error(`no code was mailed to ${email}`);
    return code;
  }
}

/** Runs a test body against a server of its own. */
export async function withServer(
  body: (server: TestServer) => Promise<void>,
  options: TestServerOptions = {},
): Promise<void> {
  const server = await TestServer.start(options);
  try {
    await body(server);
  } finally {
    await server.stop();
  }
}
