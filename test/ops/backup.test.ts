// Backups against real git repositories: what reaches them, what is reported when it does not, what a kill leaves.
import { Database } from 'bun:sqlite';
import { afterAll, beforeEach, describe, expect, spyOn, test } from 'bun:test';
import { chmod, mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLog } from '../../src/log.ts';
import { type BackupTarget, runBackup } from '../../src/ops/backup/backup.ts';
import { BackupError } from '../../src/ops/backup/error.ts';
import { scrub } from '../../src/ops/backup/git.ts';
import { createBackupRunner } from '../../src/ops/backup/runner.ts';
import {
  advanceRemote,
  createRemote,
  git,
  listCommits,
  readFileOf,
  recreateRemote,
  refusePushes,
  rewriteRemote,
} from '../support/git.ts';

const root = await mkdtemp(join(tmpdir(), 'backup-'));
const backupModule = join(import.meta.dir, '../../src/ops/backup/backup.ts');
const backupScript = join(import.meta.dir, '../../scripts/backup.ts');
const systemPath = process.env.PATH ?? '';
let count = 0;
let folder = root;
let target: BackupTarget = { dataDir: root, repo: root, branch: 'main' };

beforeEach(async () => {
  count += 1;
  folder = join(root, `case ${count}`); // the blank is on purpose: nothing goes through a shell
  const repo = await createRemote(join(folder, 'remote.git'));
  target = { dataDir: join(folder, 'data'), repo, branch: 'main' };
  await mkdir(target.dataDir);
});

afterAll(() => rm(root, { recursive: true, force: true }));

/** A database as the server holds it open: in WAL mode, its newest rows not yet in the main file. */
function openDatabase(...texts: string[]): Database {
  const database = new Database(join(target.dataDir, 'chat.db'));
  database.run('PRAGMA journal_mode = WAL');
  database.run('CREATE TABLE IF NOT EXISTS messages (id INTEGER PRIMARY KEY, text TEXT NOT NULL)');
  for (const text of texts) write(database, text);
  return database;
}

function write(database: Database, text: string): void {
  database.run('INSERT INTO messages (text) VALUES (?)', [text]);
}

/** The texts in the snapshot at the remote, after checking that it is sound. */
async function restoredTexts(revision = 'main'): Promise<string[]> {
  const path = join(folder, 'restored.db');
  await readFileOf(target.repo, revision, 'chat.db', path);
  const restored = new Database(path, { readonly: true });
  expect(restored.prepare('PRAGMA integrity_check').values()).toEqual([['ok']]);
  const rows = restored.prepare('SELECT text FROM messages ORDER BY id').values();
  restored.close();
  return rows.map(([text]) => String(text));
}

/** The error a backup ends with; fails when it does not end with one. */
async function failureOf(running: Promise<unknown>): Promise<BackupError> {
  const error = await running.then(
    () => new Error('the backup was made'),
    (reason: unknown) => reason,
  );
  if (!(error instanceof BackupError)) throw error;
  return error;
}

/** Puts a `git` first in PATH that acts on one git command by this shell line, and is the real one otherwise. */
async function wrapGit(word: string, action: string): Promise<string> {
  const bin = join(folder, 'bin');
  const real = Bun.which('git', { PATH: systemPath });
  const script = `#!/bin/sh\nfor arg in "$@"; do\n  if [ "$arg" = ${word} ]; then ${action}; fi\ndone\nexec ${real} "$@"\n`;
  await Bun.write(join(bin, 'git'), script);
  await chmod(join(bin, 'git'), 0o755);
  return `${bin}:${systemPath}`;
}

async function withPath<T>(path: string, work: () => Promise<T>): Promise<T> {
  process.env.PATH = path;
  try {
    return await work();
  } finally {
    process.env.PATH = systemPath;
  }
}

async function until<T>(look: () => T | Promise<T>): Promise<T> {
  for (const deadline = Date.now() + 5000; Date.now() < deadline; await Bun.sleep(10)) {
    const found = await look();
    if (found) return found;
  }
  throw new Error('what was waited for did not happen');
}

describe('what reaches the remote', () => {
  test('the first backup goes into an empty remote and holds also what is only in the WAL', async () => {
    using database = openDatabase('one');
    database.run('PRAGMA wal_checkpoint(TRUNCATE)');
    write(database, 'only in the WAL');
    const report = await runBackup(target);
    const [commit, ...older] = await listCommits(target.repo);
    expect(report.outcome).toBe('pushed');
    expect(commit?.hash).toBe(report.commit);
    expect(commit?.message).toMatch(/^Snapshot of \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC, \d+ bytes$/);
    expect(commit?.message).toContain(`${report.bytes} bytes`);
    expect(older).toEqual([]);
    expect(await restoredTexts()).toEqual(['one', 'only in the WAL']);
    expect((await stat(join(folder, 'restored.db'))).size).toBe(report.bytes);
  });

  test('nothing changed means no commit, also after a checkpoint and from a fresh local copy', async () => {
    using database = openDatabase('one');
    const first = await runBackup(target);
    expect(await runBackup(target)).toMatchObject({ outcome: 'unchanged', commit: first.commit });
    database.run('PRAGMA wal_checkpoint(TRUNCATE)');
    await rm(join(target.dataDir, 'backup'), { recursive: true });
    expect(await runBackup(target)).toMatchObject({ outcome: 'unchanged', commit: first.commit });
    expect(await listCommits(target.repo)).toHaveLength(1);
  });

  test('a change makes a second commit on top of the first, which stays as it was', async () => {
    using database = openDatabase('one');
    const first = await runBackup(target);
    write(database, 'two');
    const second = await runBackup(target);
    const hashes = (await listCommits(target.repo)).map(({ hash }) => hash);
    expect(hashes).toEqual([second.commit, first.commit]);
    expect(await restoredTexts()).toEqual(['one', 'two']);
    expect(await restoredTexts(first.commit)).toEqual(['one']);
  });

  test('the branch is the one asked for, and other branches and files stay', async () => {
    using database = openDatabase('one');
    await runBackup(target);
    await advanceRemote(target.repo, 'README', 'what this is');
    const report = await runBackup({ ...target, branch: 'second/server' });
    write(database, 'two');
    await runBackup(target);
    expect((await listCommits(target.repo, 'second/server')).map(({ hash }) => hash)).toEqual([
      report.commit,
    ]);
    expect(await git('--git-dir', target.repo, 'show', 'main:README')).toBe('what this is');
    expect(await listCommits(target.repo)).toHaveLength(3);
  });

  test('a remote that another machine has advanced is built upon', async () => {
    using database = openDatabase('one');
    await runBackup(target);
    const other = await advanceRemote(target.repo, 'chat.db', 'not a database');
    const report = await runBackup(target);
    expect(report.outcome).toBe('pushed');
    expect((await listCommits(target.repo)).slice(0, 2).map(({ hash }) => hash)).toEqual([
      report.commit,
      other,
    ]);
    write(database, 'two');
    await runBackup(target);
    expect(await restoredTexts()).toEqual(['one', 'two']);
  });

  test('a remote that another machine advances during the backup is built upon', async () => {
    using database = openDatabase('one');
    await runBackup(target);
    write(database, 'two');
    const other = `${Bun.which('git')} --git-dir='${target.repo}'`;
    const advance = `c=$(${other} -c user.name=T -c user.email=t@t commit-tree 'main^{tree}' -p main -m Other </dev/null); ${other} update-ref refs/heads/main $c`;
    const once = `[ -e '${folder}/once' ] || { touch '${folder}/once'; ${advance}; }`;
    const report = await withPath(await wrapGit('push', once), () => runBackup(target));
    const commits = await listCommits(target.repo);
    expect(commits.map(({ hash }) => hash)).toContain(report.commit);
    expect(commits.map(({ message }) => message.split(' ')[0])).toEqual(['Snapshot', 'Other', 'Snapshot']);
  });

  test('a remote that was rewritten, and one made anew and empty, get the next backup', async () => {
    using database = openDatabase('one');
    await runBackup(target);
    const fresh = await rewriteRemote(target.repo);
    write(database, 'two');
    const second = await runBackup(target);
    expect((await listCommits(target.repo)).map(({ hash }) => hash)).toEqual([second.commit, fresh]);
    await recreateRemote(target.repo);
    const third = await runBackup(target);
    expect(third.outcome).toBe('pushed');
    expect((await listCommits(target.repo)).map(({ hash }) => hash)).toEqual([third.commit]);
    expect(await restoredTexts()).toEqual(['one', 'two']);
  });

  test('the local copy holds two snapshots at most, however many were pushed', async () => {
    using database = openDatabase();
    for (let run = 0; run < 5; run++) {
      write(database, crypto.randomUUID());
      await runBackup(target);
    }
    const local = join(target.dataDir, 'backup', 'repository');
    const objects = await git('--git-dir', local, 'count-objects', '-v');
    expect(objects).toMatch(/^count: 6$/m); // a commit, a tree and a file for each of two
    expect(objects).toMatch(/^packs: 0$/m);
    expect((await stat(local)).mode & 0o777).toBe(0o700);
    expect((await readdir(join(target.dataDir, 'backup'))).sort()).toEqual(['lock.db', 'repository']);
  });

  test('a writer goes on committing while another process makes the backup, which is of one moment', async () => {
    using database = openDatabase();
    database.run('PRAGMA busy_timeout = 0');
    database.run(
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40000) INSERT INTO messages (text) SELECT 'old ' || hex(randomblob(150)) FROM n",
    );
    const env = { ...process.env, DATA_DIR: target.dataDir, BACKUP_REPO: target.repo, BACKUP_BRANCH: 'main' };
    const child = Bun.spawn([process.execPath, backupScript], { env, stdout: 'pipe', stderr: 'pipe' });
    let written = 0;
    let slowestMs = 0;
    for (; child.exitCode === null; await Bun.sleep(1)) {
      const startedAt = performance.now();
      write(database, `new ${written++}`);
      slowestMs = Math.max(slowestMs, performance.now() - startedAt);
    }
    expect(await child.stderr.text()).toBe('');
    expect(await child.stdout.text()).toMatch(
      /^Pushed a snapshot of \d+ bytes as commit [0-9a-f]{40} in \d+ ms\.\n$/,
    );
    const taken = (await restoredTexts()).filter((text) => text.startsWith('new '));
    expect(taken).toEqual(taken.map((_, index) => `new ${index}`));
    expect(written).toBeGreaterThan(Math.max(20, taken.length));
    expect(slowestMs).toBeLessThan(500);
  });
});

describe('what is reported', () => {
  test('a refused push says why, and its data arrives with the next accepted one', async () => {
    using database = openDatabase('one');
    await runBackup(target);
    const allow = await refusePushes(target.repo, 'The disk quota is used up');
    write(database, 'two');
    const error = await failureOf(runBackup(target));
    expect(error.kind).toBe('failed');
    expect(error.message).toContain('did not take the push: The disk quota is used up');
    expect(await listCommits(target.repo)).toHaveLength(1);
    await allow();
    expect((await runBackup(target)).outcome).toBe('pushed');
    expect(await restoredTexts()).toEqual(['one', 'two']);
    expect(await listCommits(target.repo)).toHaveLength(2);
  });

  test('a remote that is not there says so, and what to check', async () => {
    using _database = openDatabase('one');
    const repo = join(folder, 'nowhere.git');
    const error = await failureOf(runBackup({ ...target, repo }));
    expect(error.kind).toBe('failed');
    expect(error.message).toStartWith(
      `The backup repository cannot be read: '${repo}' does not appear to be a git`,
    );
    expect(error.message).toEndWith(
      'Check BACKUP_REPO, BACKUP_BRANCH, the network and the access of this machine.',
    );
  });

  test('a missing database and a damaged one are refused, and nothing is pushed', async () => {
    expect((await failureOf(runBackup(target))).message).toContain('There is no database');
    expect(await readdir(target.dataDir)).toEqual([]);
    await Bun.write(join(target.dataDir, 'chat.db'), 'not a database '.repeat(500));
    expect((await failureOf(runBackup(target))).message).toContain('file is not a database');
    expect(await listCommits(target.repo)).toEqual([]);
  });

  test('credentials in the address do not reach the error text', async () => {
    using _database = openDatabase('one');
    for (const credentials of ['alice:s3cret', 'alice:p%40ss', 't0ken', 'alice:a@b']) {
      const repo = `http://${credentials}@127.0.0.1:1/backup.git`;
      const { message } = await failureOf(runBackup({ ...target, repo }));
      expect(message).toContain('The backup repository cannot be read');
      expect(message).toContain('127.0.0.1');
      expect(message).not.toMatch(/s3cret|p%40ss|p@ss|t0ken|a@b/);
    }
    expect(scrub("no 'https://bob:a/b@host/x' here, a/b", 'https://bob:a/b@host/x')).not.toContain('a/b');
    expect(scrub('see ssh://git@host/x and mail a@b.c')).toBe('see ssh://host/x and mail a@b.c');
  });

  test('a machine without git is told to install it', async () => {
    using _database = openDatabase('one');
    const error = await withPath(folder, () => failureOf(runBackup(target)));
    expect(error).toMatchObject({ kind: 'failed', message: expect.stringContaining('Install git.') });
  });

  test('a git command that hangs is killed with its helpers, and the backup says so', async () => {
    using _database = openDatabase('one');
    const path = await wrapGit('push', `sleep 30 & echo $! > '${folder}/pid'; wait`);
    const startedAt = performance.now();
    const error = await withPath(path, () => failureOf(runBackup(target, { commandTimeoutMs: 700 })));
    expect(error.kind).toBe('failed');
    expect(error.message).toContain('did not take the push: it did not end within 1 s');
    expect(performance.now() - startedAt).toBeLessThan(5000);
    const helper = Number(await Bun.file(join(folder, 'pid')).text());
    await until(() => !isAlive(helper));
    expect((await runBackup(target)).outcome).toBe('pushed');
  });

  test('of two backups at once exactly one runs', async () => {
    using _database = openDatabase('one');
    const results = await Promise.allSettled([runBackup(target), runBackup(target)]);
    const refused = results.filter(({ status }) => status === 'rejected');
    expect(refused).toHaveLength(1);
    expect(refused[0]).toMatchObject({ reason: { kind: 'running' } });
    expect(await listCommits(target.repo)).toHaveLength(1);
  });

  test('the script says what is wrong with the configuration, and exits 2; without a repository it exits 1', async () => {
    const runScript = async (env: Record<string, string>) => {
      const child = Bun.spawn([process.execPath, backupScript], {
        env: { PATH: systemPath, DATA_DIR: target.dataDir, ...env },
        stdout: 'pipe',
        stderr: 'pipe',
      });
      return { text: await child.stderr.text(), status: await child.exited };
    };
    expect(await runScript({ PORT: 'x' })).toEqual({ text: expect.stringMatching(/^PORT: "x" /), status: 2 });
    expect(await runScript({})).toEqual({
      text: expect.stringMatching(/^BACKUP_REPO is not set/),
      status: 1,
    });
  });
});

/** Whether a process runs; one that ended but that nobody has waited for does not. */
function isAlive(pid: number): boolean {
  const result = Bun.spawnSync(['ps', '-o', 'stat=', '-p', String(pid)]);
  return result.exitCode === 0 && !result.stdout.toString().startsWith('Z');
}

describe('what a killed backup leaves', () => {
  for (const word of ['fetch', 'update-index', 'push']) {
    test(`kill -9 during git ${word} leaves the next backup working`, async () => {
      using database = openDatabase('one');
      await runBackup(target);
      write(database, 'two');
      const PATH = await wrapGit(word, `echo $$ > '${folder}/pid'; exec sleep 30`);
      const script = join(folder, 'run.ts');
      await Bun.write(
        script,
        `import { runBackup } from ${JSON.stringify(backupModule)};\nawait runBackup(${JSON.stringify(target)});\n`,
      );
      const child = Bun.spawn([process.execPath, script], { env: { ...process.env, PATH } });
      const sleeper = await until(async () => Number(await readIfThere(join(folder, 'pid'))));
      expect(await failureOf(runBackup(target))).toMatchObject({ kind: 'running' });
      child.kill('SIGKILL');
      await child.exited;
      process.kill(sleeper, 'SIGKILL');
      expect((await runBackup(target)).outcome).toBe('pushed');
      expect(await restoredTexts()).toEqual(['one', 'two']);
      expect((await readdir(join(target.dataDir, 'backup'))).sort()).toEqual(['lock.db', 'repository']);
    });
  }

  test('lock files, half a snapshot and a half made or damaged local copy are cleared away', async () => {
    using database = openDatabase('one');
    const local = join(target.dataDir, 'backup', 'repository');
    await Bun.write(join(local, 'config'), 'half a li');
    expect((await runBackup(target)).outcome).toBe('pushed');
    for (const name of ['index.lock', 'shallow.lock', 'refs/backup/tip.lock', '../snapshot.db']) {
      await Bun.write(join(local, name), 'left over');
    }
    write(database, 'two');
    expect((await runBackup(target)).outcome).toBe('pushed');
    await damageObjects(local);
    write(database, 'three');
    expect((await runBackup(target)).outcome).toBe('pushed');
    expect(await restoredTexts()).toEqual(['one', 'two', 'three']);
  });
});

/** Empties every object, as a power cut can. */
async function damageObjects(gitDir: string): Promise<void> {
  for await (const name of new Bun.Glob('objects/??/*').scan({ cwd: gitDir })) {
    await chmod(join(gitDir, name), 0o600);
    await Bun.write(join(gitDir, name), '');
  }
}

async function readIfThere(path: string): Promise<string> {
  const file = Bun.file(path);
  return (await file.exists()) ? file.text() : '';
}

describe('the runner of the server', () => {
  const report = { outcome: 'pushed', commit: 'a'.repeat(40), bytes: 4096, durationMs: 12 } as const;
  const log = createLog({ level: 'silent', format: 'json' });

  /** A runner whose command is a script with this body; it sees `say(object)`, which prints a line of JSON. */
  async function makeRunner(body: string, schedule = 'off', runnerLog = log) {
    const script = join(folder, 'program.ts');
    await Bun.write(script, `const say = (line: unknown) => console.log(JSON.stringify(line));\n${body}\n`);
    const env = { MARK: 'from the runner' };
    const command = [process.execPath, script];
    return createBackupRunner({ command, env, schedule, log: runnerLog, clock: () => 1_000 });
  }

  test('a report comes back as it was printed, and is remembered with its time', async () => {
    const runner = await makeRunner(
      `if (process.argv.slice(2).join() === 'backup,--json' && process.env.MARK === 'from the runner' && process.env.PATH)
         say({ ok: true, ...${JSON.stringify(report)} });`,
    );
    expect(runner.last).toBeNull();
    expect(await runner.run()).toEqual(report);
    expect(runner.last).toEqual({ at: 1_000, report });
  });

  test('a reported problem comes back as an error of its kind; only a failure is remembered', async () => {
    const failing = await makeRunner(`say({ ok: false, kind: 'failed', message: 'No.' }); process.exit(1);`);
    expect(await failureOf(failing.run())).toMatchObject({ kind: 'failed', message: 'No.' });
    expect(failing.last).toEqual({ at: 1_000, problem: 'No.' });
    const refused = await makeRunner(
      `say({ ok: false, kind: 'running', message: 'Later.' }); process.exit(1);`,
    );
    expect(await failureOf(refused.run())).toMatchObject({ kind: 'running', message: 'Later.' });
    expect(refused.last).toBeNull();
  });

  test('a child that ends without a report is a failure that says how it ended', async () => {
    const exits = await makeRunner(`console.error('cannot //bob:pw@host'); process.exit(7);`);
    const message = 'The backup process ended with status 7 without a report: cannot //host';
    expect(await failureOf(exits.run())).toMatchObject({ kind: 'failed', message });
    const killed = await makeRunner(`process.kill(process.pid, 'SIGKILL'); await Bun.sleep(9000);`);
    expect((await failureOf(killed.run())).message).toContain('was killed by SIGKILL without a report');
    const missing = createBackupRunner({ command: [join(folder, 'none')], env: {}, schedule: 'off', log });
    expect((await failureOf(missing.run())).message).toContain('could not be started');
  });

  test('each failure is told to be noted, and the first success after one; a success like the last is not', async () => {
    const script = join(folder, 'program.ts');
    const works = `console.log(JSON.stringify({ ok: true, ...${JSON.stringify(report)} }));`;
    const notes: string[] = [];
    const note = (kind: string, detail: string): void => void notes.push(`${kind}: ${detail}`);
    const command = [process.execPath, script];
    const runner = createBackupRunner({ command, env: {}, schedule: 'off', log, note });
    for (const body of [works, 'process.exit(7);', 'process.exit(8);', works, works]) {
      await Bun.write(script, body);
      await runner.run().catch(() => null);
    }
    expect(notes).toEqual([
      'backup_failed: The backup process ended with status 7 without a report.',
      'backup_failed: The backup process ended with status 8 without a report.',
      `backup: commit ${report.commit}`,
    ]);
  });

  test('a second run at once is refused and does not disturb the first', async () => {
    const runner = await makeRunner(`await Bun.sleep(200); say({ ok: true, ...${JSON.stringify(report)} });`);
    const first = runner.run();
    expect(await failureOf(runner.run())).toMatchObject({ kind: 'running' });
    expect(await first).toEqual(report);
    expect(await runner.run()).toEqual(report);
  });

  test('stopping ends a real backup under way together with its git', async () => {
    using _database = openDatabase('one');
    const PATH = await wrapGit('push', `echo $$ > '${folder}/pid'; exec sleep 30`);
    const env = { DATA_DIR: target.dataDir, BACKUP_REPO: target.repo, PATH };
    const runner = createBackupRunner({
      command: [process.execPath, backupScript],
      env,
      schedule: 'off',
      log,
    });
    const running = failureOf(runner.run());
    const sleeper = await until(async () => Number(await readIfThere(join(folder, 'pid'))));
    runner.stop();
    expect(await running).toMatchObject({ kind: 'failed', message: 'The server is stopping.' });
    await until(() => !isAlive(sleeper));
    expect((await runBackup(target)).outcome).toBe('pushed');
  });

  test('the schedule logs each outcome, never rejects, and ends when the runner is stopped', async () => {
    const cron = spyOn(Bun, 'cron');
    try {
      const events: string[] = [];
      const write = (line: string): void => void events.push(JSON.parse(line).event);
      const runnerLog = createLog({ level: 'info', format: 'json', write });
      const runner = await makeRunner(
        `if (await Bun.file('${folder}/ok').exists()) say({ ok: true, ...${JSON.stringify(report)} });`,
        '0 0 1 1 *',
        runnerLog,
      );
      const [schedule, fire] = cron.mock.calls[0] as unknown as [string, () => Promise<void>];
      expect(schedule).toBe('0 0 1 1 *');
      await fire();
      await Bun.write(join(folder, 'ok'), '');
      const running = fire();
      await fire();
      await running;
      expect(events).toEqual(['backup failed', 'backup skipped', 'backup done']);
      runner.stop();
      expect(await failureOf(runner.run())).toMatchObject({ kind: 'failed' });
      await makeRunner('', 'off');
      expect(cron).toHaveBeenCalledTimes(1);
    } finally {
      cron.mockRestore();
    }
  });
});
