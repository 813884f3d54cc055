// Backup: how long snapshot and push take, what people who chat notice of it, and what a day of snapshots takes at the remote.
import { Database } from 'bun:sqlite';
import { randomBytes, randomInt } from 'node:crypto';
import { mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { removeSnapshot, takeSnapshot } from '../../src/ops/backup/snapshot.ts';
import { readBackupState } from '../../src/ops/backup/state.ts';
import type { Options } from './options.ts';
import { makeFolder, populate, runGit, runOurs, startOurs, type Target } from './run.ts';
import { Senders } from './senders.ts';
import { cell, median, percentile, printTable } from './table.ts';
import { readUsers } from './targets.ts';

const people = { users: 1000, groups: 50, members: 1000 };
const senders = 10;
const hours = 12;
/** The key of encrypted ones; the name is the table's. */
const kinds: Readonly<Record<string, string>> = {
  'in clear': '',
  encrypted: randomBytes(32).toString('hex'),
};

export async function backup({ sizes, runs, full, pace }: Options): Promise<void> {
  using folder = makeFolder();
  const sends = pace ?? 100;
  const sized = sizes ?? (full ? [10_000, 1_000_000] : [10_000]);
  const beside: string[][] = [];
  const kept: string[][] = [];
  for (const messages of sized) {
    for (const [kind, key] of Object.entries(kinds)) {
      const place = join(folder.path, `${messages}-${kind.replace(' ', '-')}`);
      mkdirSync(place);
      const all: Beside[] = [];
      const dataDir = join(place, 'data');
      const users = await populate(dataDir, { ...people, messages });
      for (let run = 0; run < runs; run += 1) {
        const repo = await makeRemote(place, run);
        all.push(await backUpBeside({ DATA_DIR: dataDir, BACKUP_REPO: repo, BACKUP_KEY: key }, users, sends));
      }
      beside.push([...nameOf(messages, dataDir, kind), ...besideCells(all)]);
      kept.push([messages.toLocaleString('en'), kind, ...(await keepHours(dataDir, place, key))]);
    }
  }
  printTable(
    'Backup beside people who chat',
    `${senders} people send ${sends} messages a second, ${runs} runs, medians; the repository a folder of this machine`,
    ['messages', 'file MiB', 'snapshots', 'snapshot s', 'first backup s', 'next s', ...ackHead],
    beside,
  );
  printTable(
    'A day of snapshots',
    `${hours} of a database that grows by 1 % between them`,
    [
      'messages',
      'snapshots',
      'file MiB',
      'all snapshots MiB',
      'at the remote MiB',
      'packed MiB',
      'to the file',
    ],
    kept,
  );
}

const ackHead = ['ack p50 / p99 ms idle', 'first backup', 'next', 'p99 to idle, first', 'next'];
const mebibytes = (bytes: number, digits = 0) => cell(bytes / 1024 / 1024, digits);

function nameOf(messages: number, dataDir: string, kind: string): string[] {
  return [messages.toLocaleString('en'), mebibytes(statSync(join(dataDir, 'chat.db')).size), kind];
}

async function makeRemote(place: string, run: number | string): Promise<string> {
  const repo = join(place, `remote-${run}.git`);
  await runGit(['init', '--quiet', '--bare', '--initial-branch=main', repo]);
  return repo;
}

interface Acks {
  readonly p50Ms: number;
  readonly p99Ms: number;
}

interface Backup extends Acks {
  readonly ms: number;
}

interface Beside {
  readonly snapshotMs: number;
  readonly idle: Acks;
  readonly first: Backup;
  readonly next: Backup;
}

async function backUpBeside(env: Record<string, string>, users: string, perSecond: number): Promise<Beside> {
  const { DATA_DIR: dataDir = '' } = env;
  const server = await startOurs(dataDir, { users, env: { ...env, BACKUP_SCHEDULE: 'off' } });
  const group = new Senders(server.url, readUsers(users).slice(0, senders));
  await group.connect();
  group.start(perSecond);
  await Bun.sleep(2000);
  const idle = await whileIt(group, () => Bun.sleep(10_000));
  const first = await whileIt(group, () => askForBackup(server, dataDir));
  await Bun.sleep(5000);
  const next = await whileIt(group, () => askForBackup(server, dataDir));
  group.stop();
  group.close();
  await server.stop();
  return { idle, first, next, snapshotMs: await timeSnapshot(dataDir) };
}

/** What was acknowledged while this went on, and how long it took. */
async function whileIt(group: Senders, work: () => Promise<unknown>): Promise<Backup> {
  group.ackTimes = [];
  const begun = performance.now();
  await work();
  const ms = performance.now() - begun;
  const times = [...group.ackTimes];
  return { ms, p50Ms: percentile(times, 0.5), p99Ms: percentile(times, 0.99) };
}

/** As a person does it: by the endpoint, which runs it as the schedule does. */
async function askForBackup(server: Target, dataDir: string): Promise<void> {
  const key = readFileSync(join(dataDir, 'admin.key'), 'utf8').trim();
  const url = new URL('/quick_quick_save_data_to_database_repository', server.url);
  const answer = await fetch(url, { headers: { authorization: `Bearer ${key}` } });
  const body = (await answer.json()) as { OUTCOME?: string; message: string };
  if (body.OUTCOME !== 'pushed') throw new Error(body.message);
}

async function timeSnapshot(dataDir: string): Promise<number> {
  const path = join(dataDir, 'measured.db');
  const begun = performance.now();
  await takeSnapshot(join(dataDir, 'chat.db'), path);
  const ms = performance.now() - begun;
  await removeSnapshot(path);
  return ms;
}

function besideCells(all: readonly Beside[]): string[] {
  const middle = (of: (one: Beside) => number, digits: number) => cell(median(all.map(of)), digits);
  const acks = (of: (one: Beside) => Acks) =>
    `${middle((one) => of(one).p50Ms, 1)} / ${middle((one) => of(one).p99Ms, 1)}`;
  return [
    middle(({ snapshotMs }) => snapshotMs / 1000, 1),
    middle(({ first }) => first.ms / 1000, 1),
    middle(({ next }) => next.ms / 1000, 1),
    acks(({ idle }) => idle),
    acks(({ first }) => first),
    acks(({ next }) => next),
    middle(({ first, idle }) => first.p99Ms / idle.p99Ms, 2),
    middle(({ next, idle }) => next.p99Ms / idle.p99Ms, 2),
  ];
}

const words = 'a new day this is what we said of the plan before lunch and nobody knows better now'.split(
  ' ',
);

/** Adds 1 % of the messages, at the ends of all chats, as people do. */
function grow(dataDir: string): void {
  using database = new Database(join(dataDir, 'chat.db'));
  database.transaction(() => {
    const chats = database
      .prepare('SELECT id, last_seq, (SELECT MIN(uid) FROM accounts) FROM chats')
      .values();
    const insert = database.prepare(
      'INSERT INTO messages (chat_id, seq, sender_uid, body, sent_at) VALUES (?, ?, ?, ?, ?)',
    );
    const note = database.prepare('UPDATE chats SET last_seq = ?, last_message_at = ? WHERE id = ?');
    for (const [id, last, uid] of chats.map((row) => row.map(Number))) {
      const end = (last ?? 0) + Math.ceil((last ?? 0) / 100);
      for (let seq = (last ?? 0) + 1; seq <= end; seq += 1)
        insert.run(id ?? 0, seq, uid ?? 0, someText(), Date.now());
      note.run(end, Date.now(), id ?? 0);
    }
  })();
}

function someText(): string {
  return Array.from({ length: randomInt(4, 20) }, () => words[randomInt(words.length)]).join(' ');
}

/** A snapshot an hour of a growing database: what they are together, and what the remote has of them. */
async function keepHours(dataDir: string, place: string, key: string): Promise<string[]> {
  const repo = await makeRemote(place, 'hours');
  let snapshotBytes = 0;
  for (let hour = 0; hour < hours; hour += 1) {
    if (hour > 0) grow(dataDir);
    const env = { DATA_DIR: dataDir, BACKUP_REPO: repo, BACKUP_KEY: key, LOG_LEVEL: 'warn' };
    snapshotBytes += JSON.parse(await runOurs(['backup', '--json'], env)).bytes;
  }
  const remoteBytes = readBackupState(dataDir).remoteBytes ?? Number.NaN;
  await runGit(['--git-dir', repo, '-c', 'pack.windowMemory=256m', 'gc', '--quiet']);
  const counted = await runGit(['--git-dir', repo, 'count-objects', '-v']);
  const packed = 1024 * Number(/^size-pack: (\d+)$/m.exec(counted)?.[1]);
  const bytes = statSync(join(dataDir, 'chat.db')).size;
  return [
    mebibytes(bytes),
    mebibytes(snapshotBytes),
    mebibytes(remoteBytes),
    mebibytes(packed),
    cell(packed / bytes, 2),
  ];
}
