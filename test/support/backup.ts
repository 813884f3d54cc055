// An installation without a server, made to be backed up: a data folder, a database that a writer holds open, a real remote.
import { Database } from 'bun:sqlite';
import { chmod, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { accessOf } from '../../src/ops/backup/access.ts';
import { type BackupOptions, type BackupReport, runBackup } from '../../src/ops/backup/backup.ts';
import { BackupError } from '../../src/ops/backup/error.ts';
import { type Manifest, parseManifest } from '../../src/ops/backup/manifest.ts';
import { joinParts } from '../../src/ops/backup/parts.ts';
import { type BackupState, readBackupState } from '../../src/ops/backup/state.ts';
import type { BackupTarget } from '../../src/ops/backup/target.ts';
import { openStore } from '../../src/store/open.ts';
import { createRemote, gitBytes } from './git.ts';

const systemPath = process.env.PATH ?? '';

export function localTarget(
  dataDir: string,
  repo: string,
  changes: Partial<BackupTarget> = {},
): BackupTarget {
  const access = accessOf({ repo });
  return {
    dataDir,
    access,
    branch: 'main',
    keep: 48,
    maxBytes: 2 ** 30,
    key: null,
    exposure: null,
    ...changes,
  };
}

export class Installation {
  private constructor(
    /** Of everything here; its name has a blank on purpose: nothing goes through a shell. */
    readonly folder: string,
    readonly target: BackupTarget,
    readonly database: Database,
  ) {}

  /** With an empty bare repository beside it, and one message for each text. */
  static async make(folder: string, ...texts: string[]): Promise<Installation> {
    const dataDir = join(folder, 'the data');
    await mkdir(dataDir, { recursive: true });
    const repo = await createRemote(join(folder, 'remote.git'));
    const database = await openChat(dataDir);
    const installation = new Installation(folder, localTarget(dataDir, repo), database);
    installation.say(...texts);
    return installation;
  }

  get dataDir(): string {
    return this.target.dataDir;
  }

  get repo(): string {
    return this.target.access.address;
  }

  /** The same with other settings. */
  with(changes: Partial<BackupTarget>): Installation {
    return new Installation(this.folder, { ...this.target, ...changes }, this.database);
  }

  /** All in one transaction, as the server does. */
  say(...texts: string[]): void {
    this.database.transaction(() => {
      const [last] = this.database.prepare('SELECT last_seq FROM chats WHERE id = 1').values()[0] ?? [];
      for (const [index, text] of texts.entries()) {
        const seq = Number(last) + 1 + index;
        const insert =
          'INSERT INTO messages (chat_id, seq, sender_uid, body, sent_at) VALUES (1, ?, 1, ?, ?)';
        this.database.run(insert, [seq, text, Date.now()]);
        this.database.run('UPDATE chats SET last_seq = ?, last_message_at = ? WHERE id = 1', [
          seq,
          Date.now(),
        ]);
      }
    })();
  }

  backUp(options?: BackupOptions): Promise<BackupReport> {
    return runBackup(this.target, options);
  }

  /** Makes as many more snapshots, of a message each. */
  async backUpOften(times: number): Promise<void> {
    for (let run = 0; run < times; run++) {
      this.say(`more ${run} ${crypto.randomUUID()}`);
      await this.backUp();
    }
  }

  /** The error that a backup ends with; fails when it does not end with one. */
  failure(options?: BackupOptions): Promise<BackupError> {
    return failureOf(this.backUp(options));
  }

  get state(): BackupState {
    return readBackupState(this.dataDir);
  }

  async manifest(revision = 'main'): Promise<Manifest> {
    const bytes = await gitBytes(['--git-dir', this.repo, 'cat-file', 'blob', `${revision}:manifest.json`]);
    return parseManifest(bytes.toString());
  }

  /** The texts in a snapshot at the remote, after checking that it is sound. */
  async stored(revision = 'main', key = this.target.key): Promise<string[]> {
    const target = join(this.folder, 'joined.db');
    await rm(target, { force: true });
    const readPart = (name: string) =>
      gitBytes(['--git-dir', this.repo, 'cat-file', 'blob', `${revision}:${name}`]);
    await joinParts(await this.manifest(revision), { readPart, key, target });
    using joined = new Database(target, { readonly: true });
    using check = joined.prepare('PRAGMA integrity_check');
    if (check.values()[0]?.[0] !== 'ok') throw new Error('the snapshot is damaged');
    using rows = joined.prepare('SELECT body FROM messages ORDER BY seq');
    return rows.values().map(([text]) => String(text));
  }
}

/** A database as the server leaves it at its first start, held open as by a server: its newest rows are in the WAL. */
async function openChat(dataDir: string): Promise<Database> {
  const path = join(dataDir, 'chat.db');
  const defaultGroup = { groupId: '1000000000000', name: 'Everybody' };
  await (await openStore({ path, defaultGroup, emit: () => undefined, clock: Date.now })).close();
  return new Database(path);
}

export async function failureOf(running: Promise<unknown>): Promise<BackupError> {
  const error = await running.then(
    () => new Error('it did not fail'),
    (reason: unknown) => reason,
  );
  if (!(error instanceof BackupError)) throw error;
  return error;
}

/** A PATH with a `git` first that acts on one git command by this shell line, and is the real one otherwise. */
export async function wrapGit(folder: string, word: string, action: string): Promise<string> {
  const bin = join(folder, 'bin');
  const real = Bun.which('git', { PATH: systemPath });
  const script = `#!/bin/sh\nfor arg in "$@"; do\n  if [ "$arg" = ${word} ]; then ${action}; fi\ndone\nexec ${real} "$@"\n`;
  await Bun.write(join(bin, 'git'), script);
  await chmod(join(bin, 'git'), 0o755);
  return `${bin}:${systemPath}`;
}

export async function withPath<T>(path: string, work: () => Promise<T>): Promise<T> {
  process.env.PATH = path;
  try {
    return await work();
  } finally {
    process.env.PATH = systemPath;
  }
}

export async function until<T>(look: () => T | Promise<T>, limitMs = 10_000): Promise<T> {
  for (const deadline = Date.now() + limitMs; Date.now() < deadline; await Bun.sleep(10)) {
    const found = await look();
    if (found) return found;
  }
  throw new Error('what was waited for did not happen');
}

/** Whether a process runs; one that ended but that nobody has waited for does not. */
export function isAlive(pid: number): boolean {
  const result = Bun.spawnSync(['ps', '-o', 'stat=', '-p', String(pid)]);
  return result.exitCode === 0 && !result.stdout.toString().startsWith('Z');
}

export async function readIfThere(path: string): Promise<string> {
  const file = Bun.file(path);
  return (await file.exists()) ? file.text() : '';
}
