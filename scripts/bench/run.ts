// Starts the targets of a benchmark as processes of their own, runs loads against them, and sums up.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import type { Subprocess } from 'bun';
import type { LoadPlan, LoadResult } from './load.ts';
import type { TargetName } from './targets.ts';

const root = join(import.meta.dir, '../..');
const bun = process.execPath;

/** What the rival is made of; installed beside the benchmark's data, not into this project. */
const rivalPackages = ['socket.io@4.8.4', 'better-sqlite3@12.11.1'];

export interface Target {
  readonly url: string;
  readonly users: string | null;
  readonly process: Subprocess;
  stop(): Promise<void>;
}

/** A folder for the benchmark's data, removed at its end. */
export function makeFolder(): { path: string; remove(): void } {
  const path = mkdtempSync(join(process.env.BENCH_DIR ?? tmpdir(), 'chat-bench-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** Fills a data folder; returns the file with one line per user. */
export async function populate(dataDir: string, options: Record<string, number>): Promise<string> {
  const users = `${dataDir}.users.jsonl`;
  const words = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const child = Bun.spawn([bun, join(root, 'scripts/populate.ts'), ...words, '--out', users], {
    env: { ...process.env, DATA_DIR: dataDir },
    stdout: 'ignore',
    stderr: 'ignore',
  });
  if ((await child.exited) !== 0) throw new Error('populate failed');
  return users;
}

/** Starts a target and waits until it listens. */
export async function startTarget(name: TargetName, folder: string, members: number): Promise<Target> {
  if (name === 'raw') return startProcess([bun, join(import.meta.dir, 'raw-server.ts')], {}, null);
  if (name === 'socketio') {
    const env = { DATABASE: join(folder, `rival-${Date.now()}.db`), NODE_PATH: await rivalModules() };
    return startProcess(['node', join(import.meta.dir, 'socketio-server.cjs')], env, null);
  }
  const dataDir = join(folder, `ours-${Date.now()}`);
  mkdirSync(dataDir);
  const users = await populate(dataDir, { users: members });
  return startOurs(dataDir, users);
}

/** Starts this server on a data folder: everything on, limits counted but wide. */
export function startOurs(
  dataDir: string,
  users: string | null,
  command = [bun, join(root, 'src/index.ts')],
): Promise<Target> {
  const env = { DATA_DIR: dataDir, PORT: '0', HOST: '127.0.0.1', RATE_LIMITS: 'off', LOG_FORMAT: 'json' };
  return startProcess(command, env, users);
}

async function startProcess(
  command: string[],
  env: Record<string, string>,
  users: string | null,
): Promise<Target> {
  const child = Bun.spawn(command, { env: { ...process.env, ...env }, stdout: 'pipe', stderr: 'pipe' });
  const url = await Promise.race([listeningUrl(child.stdout), listeningUrl(child.stderr)]);
  return {
    url,
    users,
    process: child,
    async stop() {
      child.kill();
      await child.exited;
    },
  };
}

/** Reads until a line says where it listens, and goes on reading so that the process never waits. */
function listeningUrl(stream: ReadableStream<Uint8Array>): Promise<string> {
  return new Promise((resolve) => {
    void (async () => {
      let text = '';
      for await (const chunk of stream) {
        text = (text + new TextDecoder().decode(chunk)).slice(-10_000);
        const url = /listening"?[ ,].*?(http:\/\/[\d.:]+\/)/.exec(text)?.[1];
        if (url) resolve(url);
      }
    })();
  });
}

let rival: Promise<string> | undefined;

function rivalModules(): Promise<string> {
  rival ??= (async () => {
    if (process.env.BENCH_RIVAL) return join(process.env.BENCH_RIVAL, 'node_modules');
    const folder = join(tmpdir(), 'chat-bench-rival');
    mkdirSync(folder, { recursive: true });
    console.error(`installing ${rivalPackages.join(', ')} (compiling takes minutes the first time)`);
    const child = Bun.spawn(
      ['npm', 'install', '--no-audit', '--no-fund', '--prefix', folder, ...rivalPackages],
      {
        stdout: 'ignore',
      },
    );
    if ((await child.exited) !== 0) throw new Error('the rival could not be installed');
    return join(folder, 'node_modules');
  })();
  return rival;
}

/** Runs one load in a process of its own. */
export async function runLoad(plan: LoadPlan): Promise<LoadResult> {
  const child = Bun.spawn([bun, join(import.meta.dir, 'load.ts'), JSON.stringify(plan)], {
    stdout: 'pipe',
    stderr: 'inherit',
  });
  const text = await new Response(child.stdout).text();
  if ((await child.exited) !== 0) throw new Error('the load failed');
  return JSON.parse(text) as LoadResult;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/** What machine this is, for the head of a table. */
export function machine(): string {
  const [cpu] = cpus();
  return `${cpu?.model.trim()}, ${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB, Bun ${Bun.version}`;
}

/** Prints rows as a Markdown table. */
export function printTable(head: readonly string[], rows: readonly (readonly (string | number)[])[]): void {
  for (const row of [head, head.map(() => '---'), ...rows]) console.log(`| ${row.join(' | ')} |`);
}
