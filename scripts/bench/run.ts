// Starts what is measured and the loads as processes of their own, and sees that nothing of them stays behind.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Subprocess } from 'bun';
import type { CrowdAnswer, CrowdCommand, CrowdPlan } from './crowd.ts';
import type { FloodPlan, FloodResult } from './flooder.ts';
import type { LoadPlan, LoadResult } from './load.ts';
import type { TargetName } from './targets.ts';

const root = join(import.meta.dir, '../..');
const bun = process.execPath;
/** By when each must be over, so that nothing waits for ever: a start, a stop, a crowd's task, any other child. */
const deadlinesMs = { start: 60_000, stop: 10_000, task: 5 * 60_000, child: 20 * 60_000 };

/** What the rival is made of; installed beside the benchmark's data, not into this project. */
const rivalPackages = ['socket.io@4.8.4', 'better-sqlite3@12.11.1'];

const children = new Set<Subprocess>();
const folders = new Set<string>();

export interface Target {
  readonly url: string;
  /** File of `populate.ts`, for targets with accounts. */
  readonly users: string | null;
  readonly pid: number;
  /** Ends it and waits until it has ended. */
  stop(signal?: NodeJS.Signals): Promise<void>;
}

export interface Crowd {
  /** Has it do something; one thing at a time. */
  ask(command: CrowdCommand): Promise<CrowdAnswer>;
  stop(): Promise<void>;
}

/** However this process ends, its children and folders go with it. */
export function leaveNothingBehind(): void {
  process.on('exit', () => {
    for (const child of children) child.kill('SIGKILL');
    for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(130));
}

/** A folder for one benchmark's data. */
export function makeFolder(): { path: string } & Disposable {
  const path = mkdtempSync(join(process.env.BENCH_DIR ?? tmpdir(), 'chat-bench-'));
  folders.add(path);
  return {
    path,
    [Symbol.dispose]() {
      rmSync(path, { recursive: true, force: true });
      folders.delete(path);
    },
  };
}

/** Makes and fills a data folder; returns the file with one line per user. */
export async function populate(dataDir: string, options: Record<string, number>): Promise<string> {
  mkdirSync(dataDir);
  const users = `${dataDir}.users.jsonl`;
  const words = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
  await runToEnd([bun, join(root, 'scripts/populate.ts'), ...words, '--out', users], { DATA_DIR: dataDir });
  return users;
}

/** Compiles this server to an executable file. */
export async function buildExecutable(file: string): Promise<void> {
  await runToEnd([bun, 'run', join(root, 'scripts/build.ts'), file]);
}

/** Runs one of this server's commands to its end; gives what it printed. */
export function runOurs(words: readonly string[], env: Record<string, string>): Promise<string> {
  return runToEnd([bun, join(root, 'src/index.ts'), ...words], env);
}

export function runGit(words: readonly string[]): Promise<string> {
  return runToEnd(['git', ...words]);
}

let made = 0;

/** Starts a target with nothing but `people` in it, and waits until it listens. */
export async function startTarget(name: TargetName, folder: string, people: number): Promise<Target> {
  made += 1;
  if (name === 'raw') return startProcess([bun, join(import.meta.dir, 'raw-server.ts')], {}, null);
  if (name === 'socketio') {
    const env = { DATABASE: join(folder, `rival-${made}.db`), NODE_PATH: await rivalModules() };
    return startProcess(['node', join(import.meta.dir, 'socketio-server.cjs')], env, null);
  }
  const dataDir = join(folder, `ours-${made}`);
  return startOurs(dataDir, { users: await populate(dataDir, { users: people }) });
}

interface StartOptions {
  users?: string | null;
  port?: number;
  executable?: string | undefined;
  limited?: boolean;
  /** Further variables. */
  env?: Record<string, string>;
}

/** Starts this server on a data folder: everything on, limits counted but wide unless `limited`. Port 0 takes a free one. */
export function startOurs(
  dataDir: string,
  { users = null, port = 0, executable, limited = false, env: more = {} }: StartOptions = {},
): Promise<Target> {
  const env = {
    DATA_DIR: dataDir,
    PORT: String(port),
    HOST: '127.0.0.1',
    RATE_LIMITS: limited ? 'on' : 'off',
    LOG_FORMAT: 'json',
    ...more,
  };
  return startProcess(executable ? [executable] : [bun, join(root, 'src/index.ts')], env, users);
}

/** A port nothing listens on. */
export function freePort(): number {
  const server = Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data: () => undefined } });
  server.stop(true);
  return server.port;
}

/** Runs one load in a process of its own. */
export async function runLoad(plan: LoadPlan): Promise<LoadResult> {
  return JSON.parse(
    await runToEnd([bun, join(import.meta.dir, 'load.ts'), JSON.stringify(plan)]),
  ) as LoadResult;
}

/** Runs one flood in a process of its own. */
export async function runFlood(plan: FloodPlan): Promise<FloodResult> {
  return JSON.parse(
    await runToEnd([bun, join(import.meta.dir, 'flooder.ts'), JSON.stringify(plan)]),
  ) as FloodResult;
}

/** Starts a process that holds sockets. */
export function startCrowd(plan: CrowdPlan): Crowd {
  let answered = Promise.withResolvers<CrowdAnswer>();
  const child = spawn([bun, join(import.meta.dir, 'crowd.ts'), JSON.stringify(plan)], {}, (answer) =>
    answered.resolve(answer as CrowdAnswer),
  );
  void drain(child.stdout, () => undefined);
  void drain(child.stderr, (text) => process.stderr.write(text));
  return {
    ask(command) {
      answered = Promise.withResolvers();
      child.send(command);
      return Promise.race([
        answered.promise,
        ended(child, 'a crowd'),
        tooLate(deadlinesMs.task, `a crowd asked to ${command.do}`),
      ]);
    },
    stop: () => end(child, 'SIGKILL'),
  };
}

function spawn(command: string[], env: Record<string, string>, onMessage?: (message: unknown) => void) {
  const child = Bun.spawn(command, {
    env: { ...process.env, ...env },
    stdout: 'pipe',
    stderr: 'pipe',
    ...(onMessage && { ipc: onMessage }),
  });
  children.add(child);
  void child.exited.then(() => children.delete(child));
  return child;
}

/** @returns what it printed @throws Error with its complaints when it fails */
async function runToEnd(command: string[], env: Record<string, string> = {}): Promise<string> {
  const child = spawn(command, env);
  const timer = setTimeout(() => child.kill('SIGKILL'), deadlinesMs.child);
  const [out, complaints] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  const status = await child.exited;
  clearTimeout(timer);
  if (status !== 0) throw new Error(`${command.slice(0, 2).join(' ')} failed:\n${complaints}`);
  return out;
}

async function startProcess(
  command: string[],
  env: Record<string, string>,
  users: string | null,
): Promise<Target> {
  const child = spawn(command, env);
  const found = Promise.withResolvers<string>();
  let text = '';
  const look = (more: string) => {
    text = (text + more).slice(-10_000);
    const url = /listening"?[ ,].*?(http:\/\/[\d.:]+\/)/.exec(text)?.[1];
    if (url) found.resolve(url);
  };
  for (const stream of [child.stdout, child.stderr]) void drain(stream, look);
  const what = command.join(' ');
  const url = await Promise.race([
    found.promise,
    ended(child, what, () => text),
    tooLate(deadlinesMs.start, what),
  ]);
  return { url, users, pid: child.pid, stop: (signal = 'SIGTERM') => end(child, signal) };
}

/** Ends a child, and kills it when it takes too long. */
async function end(child: Subprocess, signal: NodeJS.Signals): Promise<void> {
  child.kill(signal);
  const timer = setTimeout(() => child.kill('SIGKILL'), deadlinesMs.stop);
  await child.exited;
  clearTimeout(timer);
}

/** Rejects when a child ends that should not; nobody has to look. */
function ended(child: Subprocess, what: string, last = () => ''): Promise<never> {
  const ending = child.exited.then(() => {
    throw new Error(`${what} ended: ${child.exitCode ?? child.signalCode}\n${last()}`);
  });
  ending.catch(() => undefined);
  return ending;
}

/** Rejects after a time; nobody has to look. */
function tooLate(ms: number, what: string): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>();
  setTimeout(() => reject(new Error(`${what}: not done after ${ms / 1000} s`)), ms).unref();
  promise.catch(() => undefined);
  return promise;
}

/** Reads to the end, so that the process never waits for its reader. */
async function drain(stream: ReadableStream<Uint8Array>, onText: (text: string) => void): Promise<void> {
  const decoder = new TextDecoder();
  for await (const chunk of stream) onText(decoder.decode(chunk, { stream: true }));
}

let rival: Promise<string> | undefined;

function rivalModules(): Promise<string> {
  rival ??= (async () => {
    if (process.env.BENCH_RIVAL) return join(process.env.BENCH_RIVAL, 'node_modules');
    const folder = join(tmpdir(), 'chat-bench-rival');
    const installed = Bun.file(join(folder, rivalPackages.join(' ')));
    if (await installed.exists()) return join(folder, 'node_modules');
    mkdirSync(folder, { recursive: true });
    console.error(`installing ${rivalPackages.join(', ')} (compiling takes minutes the first time)`);
    await runToEnd(['npm', 'install', '--no-audit', '--no-fund', '--prefix', folder, ...rivalPackages]);
    await installed.write('');
    return join(folder, 'node_modules');
  })();
  return rival;
}
