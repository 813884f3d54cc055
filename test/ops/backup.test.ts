// Backups to real git repositories: what reaches them, what the branch keeps, and what stays on the machine.
import { afterAll, beforeEach, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { randomBytes } from 'node:crypto';
import { appendFile, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runBackup } from '../../src/ops/backup/backup.ts';
import { partBytes } from '../../src/ops/backup/parts.ts';
import { createSealer } from '../../src/ops/backup/seal.ts';
import { Installation, localTarget, withPath, wrapGit } from '../support/backup.ts';
import { advanceRemote, git, gitBytes, listCommits, recreateRemote } from '../support/git.ts';

setDefaultTimeout(60_000);

const root = await mkdtemp(join(tmpdir(), 'backup-'));
const backupScript = join(import.meta.dir, '../../scripts/backup.ts');
let count = 0;
let home: Installation;

beforeEach(async () => {
  count += 1;
  home = await Installation.make(join(root, `case ${count}`), 'one');
});
afterAll(() => rm(root, { recursive: true, force: true }));

const hashes = async (branch?: string) => (await listCommits(home.repo, branch)).map(({ hash }) => hash);
const local = () => join(home.dataDir, 'backup', 'repository');

/** Makes as many more snapshots, of a message each. */
async function backUpOften(installation: Installation, times: number): Promise<void> {
  for (let run = 0; run < times; run++) {
    installation.say(`more ${run} ${crypto.randomUUID()}`);
    await installation.backUp();
  }
}

/** What the version before manifests pushed: the file as it is, on top of what is there. */
async function pushOldSnapshot(text: string): Promise<void> {
  const file = join(home.folder, 'old.db');
  await Bun.write(file, `not looked into: ${text}`);
  const clone = join(home.folder, `clone ${crypto.randomUUID()}`);
  const who = ['-c', 'user.name=Chat backup', '-c', 'user.email=backup@localhost'];
  await git('clone', '--quiet', home.repo, clone);
  await Bun.write(join(clone, 'chat.db'), Bun.file(file));
  await git('-C', clone, 'add', 'chat.db');
  await git('-C', clone, ...who, 'commit', '--quiet', '-m', `Snapshot of ${text} UTC, 4 bytes`);
  await git('-C', clone, 'push', '--quiet', 'origin', 'HEAD:main');
}

describe('what reaches the remote', () => {
  test('the first backup goes into an empty remote, with what is only in the WAL, and says what it is', async () => {
    home.database.run('PRAGMA wal_checkpoint(TRUNCATE)');
    home.say('only in the WAL');
    const report = await home.backUp();
    const [commit, ...older] = await listCommits(home.repo);
    expect(report).toMatchObject({ outcome: 'pushed', commit: commit?.hash, warnings: [] });
    expect(commit?.message).toMatch(
      /^Snapshot of \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC: 0 accounts, 1 chats, 2 messages$/,
    );
    expect(older).toEqual([]);
    expect(await home.stored()).toEqual(['one', 'only in the WAL']);
    const names = await git('--git-dir', home.repo, 'ls-tree', '-r', '--name-only', 'main');
    expect(names.split('\n')).toEqual(['README.md', 'erasures.jsonl', 'manifest.json', 'parts/0001']);
    expect(await home.manifest()).toMatchObject({
      format: 1,
      database: { bytes: report.bytes },
      counts: { accounts: 0, chats: 1, messages: 2 },
      newest: { messageAtMs: expect.any(Number), seqSum: 2 },
      sealed: null,
    });
    expect(home.state).toEqual({
      lastSuccess: { ...without(report, 'warnings'), atMs: expect.any(Number) },
      lastFailure: null,
      remoteBytes: expect.any(Number),
      lastDrill: null,
    });
  });

  test('a file larger than a part is cut into parts that any git service takes', async () => {
    home.say(...Array.from({ length: 5 }, () => 'x'.repeat(partBytes / 2)));
    const { bytes } = await home.backUp();
    const { parts } = await home.manifest();
    expect(parts.length).toBe(Math.ceil(bytes / partBytes));
    expect(parts.length).toBeGreaterThan(2);
    const whole = await Promise.all(
      parts.map(({ name }) => gitBytes(['--git-dir', home.repo, 'cat-file', 'blob', `main:${name}`])),
    );
    expect(Math.max(...whole.map((part) => part.length))).toBeLessThanOrEqual(partBytes);
    expect(Buffer.concat(whole).length).toBe(bytes); // `cat parts/* > chat.db` is enough
    expect((await home.stored()).length).toBe(6);
  });

  test('nothing changed means no commit, also after a checkpoint and from a fresh local copy', async () => {
    const { commit } = await home.backUp();
    expect(await home.backUp()).toMatchObject({ outcome: 'unchanged', commit });
    home.database.run('PRAGMA wal_checkpoint(TRUNCATE)');
    await rm(join(home.dataDir, 'backup'), { recursive: true });
    expect(await home.backUp()).toMatchObject({ outcome: 'unchanged', commit });
    expect(await hashes()).toEqual([commit]);
  });

  test('an erasure alone is a change, and the ledger goes along', async () => {
    await home.backUp();
    await appendFile(join(home.dataDir, 'erasures.jsonl'), '{"uid":7,"at":1,"messages":"keep"}\n{"uid":8,"a');
    expect((await home.backUp()).outcome).toBe('pushed');
    const ledger = await git('--git-dir', home.repo, 'cat-file', 'blob', 'main:erasures.jsonl');
    expect(ledger).toBe('{"uid":7,"at":1,"messages":"keep"}');
  });

  test('neither secrets nor mails are in it', async () => {
    for (const name of ['server.secret', 'admin.key', 'outbox/a.eml']) {
      await Bun.write(join(home.dataDir, name), 'the secret of the house');
    }
    await home.backUp();
    const packed = await git(
      '--git-dir',
      home.repo,
      'cat-file',
      '--batch-all-objects',
      '--batch-check=%(objectname)',
    );
    for (const name of packed.split('\n')) {
      const type = await git('--git-dir', home.repo, 'cat-file', '-t', name);
      expect((await gitBytes(['--git-dir', home.repo, 'cat-file', type, name])).includes('the secret')).toBe(
        false,
      );
    }
  });

  test('a writer goes on committing while another process makes the backup, which is of one moment', async () => {
    const { database } = home;
    database.run('PRAGMA busy_timeout = 0');
    database.transaction(() => {
      database.run(
        "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 40000) INSERT INTO messages (chat_id, seq, sender_uid, body, sent_at) SELECT 1, i, 1, 'old ' || hex(randomblob(150)), 0 FROM n",
      );
      database.run('UPDATE chats SET last_seq = 40000');
    })();
    const env = { ...process.env, DATA_DIR: home.dataDir, BACKUP_REPO: home.repo, BACKUP_BRANCH: 'main' };
    const child = Bun.spawn([process.execPath, backupScript], { env, stdout: 'pipe', stderr: 'pipe' });
    let written = 0;
    let slowestMs = 0;
    for (; child.exitCode === null; await Bun.sleep(1)) {
      const startedAt = performance.now();
      home.say(`new ${written++}`);
      slowestMs = Math.max(slowestMs, performance.now() - startedAt);
    }
    expect(await child.stderr.text()).toBe('');
    expect(await child.stdout.text()).toMatch(
      /^Pushed a snapshot of \d+ bytes as commit [0-9a-f]{40} in \d+ ms\.\n$/,
    );
    const taken = (await home.stored()).filter((text) => text.startsWith('new '));
    expect(taken).toEqual(taken.map((_, index) => `new ${index}`));
    expect(written).toBeGreaterThan(Math.max(20, taken.length));
    expect(slowestMs).toBeLessThan(500);
  });
});

function without<T extends object, Name extends keyof T>(from: T, name: Name): Omit<T, Name> {
  const { [name]: _, ...rest } = from;
  return rest;
}

describe('what the branch keeps', () => {
  test('a change makes a commit on top of the first, which stays as it was', async () => {
    const first = await home.backUp();
    home.say('two');
    const second = await home.backUp();
    expect(await hashes()).toEqual([second.commit, first.commit]);
    expect(await home.stored()).toEqual(['one', 'two']);
    expect(await home.stored(first.commit)).toEqual(['one']);
  });

  test('no more than BACKUP_KEEP snapshots, the newest, in a line that begins with a root, with their times', async () => {
    const three = home.with({ keep: 3 });
    await three.backUp();
    await backUpOften(three, 6);
    const log = await git('--git-dir', home.repo, 'log', '--format=%P|%at %ct|%s', 'main');
    const lines = log.split('\n');
    expect(lines).toHaveLength(3);
    expect(lines.map((line) => line.split('|')[0]?.split(' ').filter(Boolean).length)).toEqual([1, 1, 0]);
    const counts = lines.map((line) => /(\d+) messages/.exec(line)?.[1]);
    expect(counts).toEqual(['7', '6', '5']);
    for (const revision of ['main', 'main~1', 'main~2']) {
      const { takenAtMs, counts: noted } = await home.manifest(revision);
      expect(await home.stored(revision)).toHaveLength(noted.messages);
      const seconds = await git('--git-dir', home.repo, 'log', '-1', '--format=%at %ct', revision);
      expect(seconds).toBe(`${Math.floor(takenAtMs / 1000)} ${Math.floor(takenAtMs / 1000)}`);
    }
    await git('--git-dir', home.repo, 'fsck', '--strict');
  });

  test('one snapshot alone, and more or fewer than before, as BACKUP_KEEP says', async () => {
    await backUpOften(home.with({ keep: 5 }), 4);
    await backUpOften(home.with({ keep: 1 }), 2);
    expect(await hashes()).toHaveLength(1);
    await backUpOften(home.with({ keep: 3 }), 4);
    expect(await hashes()).toHaveLength(3);
    expect((await home.stored()).length).toBe(11);
  });

  test('a rewritten history is not sent again: a push carries the change alone', async () => {
    const three = home.with({ keep: 3 });
    home.say(...Array.from({ length: 40 }, () => randomBytes(8192).toString('hex')));
    await three.backUp();
    await backUpOften(three, 3);
    const real = Bun.which('git');
    const said = join(home.folder, 'said');
    const listen = `${real} "$@" 2>>'${said}'; exit $?`;
    await withPath(await wrapGit(home.folder, 'push', listen), () => backUpOften(three, 1));
    const amounts = [
      ...(await Bun.file(said).text()).matchAll(/Writing objects: 100% \(\d+\/\d+\), ([\d.]+ \w+)/g),
    ];
    // The one part is 600 KiB that do not compress; the second push, which rewrites, has nothing to send at all.
    expect(amounts).toHaveLength(1);
    expect(amounts[0]?.[1]).toMatch(/^\d\d?(\.\d+)? KiB$/);
    expect(await git('--git-dir', home.repo, 'fsck', '--strict')).not.toContain('missing');
  });

  test('other branches, and commits of others below ours, stay', async () => {
    await backUpOften(home, 1);
    await git('--git-dir', home.repo, 'branch', 'notes', 'main');
    const foreign = await advanceRemote(home.repo, 'notes.md', 'what this is', 'notes');
    const second = home.with({ keep: 2, branch: 'second/server' });
    await backUpOften(second, 4);
    expect(await hashes('second/server')).toHaveLength(2);
    expect((await hashes('notes'))[0]).toBe(foreign);
  });

  test('snapshots of the old layout are built upon, and taken out in their turn, but never what others committed', async () => {
    const readme = await startedByHand();
    await pushOldSnapshot('the first');
    await pushOldSnapshot('the second');
    const three = home.with({ keep: 3 });
    expect((await three.backUp()).outcome).toBe('pushed');
    const subjects = async () => (await listCommits(home.repo)).map(({ message }) => message.slice(0, 15));
    expect(await subjects()).toEqual([
      'Snapshot of 202',
      'Snapshot of the',
      'Snapshot of the',
      'Add notes.md',
    ]);
    await backUpOften(three, 1);
    expect(await subjects()).toEqual([
      'Snapshot of 202',
      'Snapshot of 202',
      'Snapshot of the',
      'Add notes.md',
    ]);
    expect(await git('--git-dir', home.repo, 'show', '--format=', '--name-only', 'main~2')).toContain(
      'chat.db',
    );
    await backUpOften(three, 3);
    expect(await subjects()).toEqual([
      'Snapshot of 202',
      'Snapshot of 202',
      'Snapshot of 202',
      'Add notes.md',
    ]);
    expect((await hashes()).at(-1)).toBe(readme);
  });

  /** A repository that a person has begun with a file. */
  async function startedByHand(): Promise<string> {
    const clone = join(home.folder, 'by hand');
    await git('clone', '--quiet', home.repo, clone);
    await Bun.write(join(clone, 'notes.md'), 'mine');
    await git('-C', clone, 'add', '.');
    await git('-C', clone, 'commit', '--quiet', '-m', 'Add notes.md');
    await git('-C', clone, 'push', '--quiet', 'origin', 'HEAD:main');
    return git('-C', clone, 'rev-parse', 'HEAD');
  }

  test('what another machine of ours pushed meanwhile is built upon', async () => {
    await home.backUp();
    const other = await Installation.make(join(home.folder, 'other'), 'of the other');
    const report = await runBackup(localTarget(other.dataDir, home.repo));
    home.say('two');
    const mine = await home.backUp();
    expect((await hashes()).slice(0, 2)).toEqual([mine.commit, report.commit]);
    expect(await home.stored()).toEqual(['one', 'two']);
  });

  test('a remote that another machine advances during the backup is built upon, also when the branch is full', async () => {
    await backUpOften(home, 3);
    const other = await Installation.make(join(home.folder, 'other'), 'of the other');
    for (const keep of [48, 3]) {
      other.say('more');
      const code = `const { runBackup } = await import('${join(import.meta.dir, '../../src/ops/backup/backup.ts')}');
        await runBackup(${JSON.stringify(localTarget(other.dataDir, home.repo))});`;
      await Bun.write(join(home.folder, 'other.ts'), code);
      const once = `[ -e '${home.folder}/once ${keep}' ] || { touch '${home.folder}/once ${keep}'; PATH='${process.env.PATH}' '${process.execPath}' '${home.folder}/other.ts' >&2; }`;
      home.say(`mine ${keep}`);
      const report = await withPath(await wrapGit(home.folder, 'push', once), () =>
        home.with({ keep }).backUp(),
      );
      expect((await hashes())[0]).toBe(report.commit);
      expect((await home.stored()).at(-1)).toBe(`mine ${keep}`);
    }
    expect(await hashes()).toHaveLength(3);
    const messages = (await listCommits(home.repo)).map(({ message }) => /(\d+) messages/.exec(message)?.[1]);
    expect(messages).toEqual(['6', '3', '5']); // mine, the other's, mine
  });

  test('a remote that was made anew and is empty gets the next backup', async () => {
    await backUpOften(home, 2);
    await recreateRemote(home.repo);
    const { commit, outcome } = await home.backUp();
    expect(outcome).toBe('pushed');
    expect(await hashes()).toEqual([commit]);
    expect(await home.stored()).toHaveLength(3);
  });

  test('a remote that does not allow a rewrite keeps more, is told of, and still gets every snapshot', async () => {
    const two = home.with({ keep: 2 });
    await backUpOften(two, 2);
    await git('--git-dir', home.repo, 'config', 'receive.denyNonFastForwards', 'true');
    for (let run = 0; run < 2; run++) {
      two.say(`refused ${run}`);
      const { outcome, warnings, commit } = await two.backUp();
      expect(outcome).toBe('pushed');
      expect(warnings).toEqual([expect.stringContaining('Older snapshots could not be taken out')]);
      expect(await hashes()).toContain(commit);
      expect((await two.stored()).at(-1)).toBe(`refused ${run}`);
    }
    await git('--git-dir', home.repo, 'config', 'receive.denyNonFastForwards', 'false');
    expect(await two.backUp()).toMatchObject({ outcome: 'unchanged', warnings: [] });
    expect(await hashes()).toHaveLength(2);
    await backUpOften(two, 1);
    expect(await hashes()).toHaveLength(2);
  });
});

describe('encryption', () => {
  const key = new Uint8Array(randomBytes(32));

  test('nothing readable leaves the machine, unchanged is still seen, and the key opens it', async () => {
    const sealed = home.with({ key });
    await appendFile(join(home.dataDir, 'erasures.jsonl'), '{"uid":7,"at":1,"messages":"keep"}\n');
    sealed.say('a very private word');
    const { commit } = await sealed.backUp();
    for (const name of ['parts/0001', 'erasures.jsonl', 'manifest.json']) {
      const bytes = await gitBytes(['--git-dir', home.repo, 'cat-file', 'blob', `main:${name}`]);
      expect(/private|"uid"|SQLite/.test(bytes.toString('latin1'))).toBe(false);
      expect(bytes.includes(Buffer.from(key).toString('hex'))).toBe(false);
    }
    expect(await sealed.stored()).toEqual(['one', 'a very private word']);
    expect((await home.manifest()).sealed).toEqual({ cipher: 'AES-256-GCM', keyId: createSealer(key).keyId });
    expect(await sealed.backUp()).toMatchObject({ outcome: 'unchanged', commit });
    const other = home.with({ key: new Uint8Array(randomBytes(32)) });
    expect((await other.backUp()).outcome).toBe('pushed');
    expect(await other.stored()).toEqual(['one', 'a very private word']);
  });

  test('turned on later, the next snapshots are encrypted', async () => {
    await home.backUp();
    expect((await home.with({ key }).backUp()).outcome).toBe('pushed');
    expect((await home.manifest()).sealed).not.toBeNull();
    expect((await home.manifest('main~1')).sealed).toBeNull();
  });
});

describe('what stays bounded', () => {
  test('the local copy has the content of the newest snapshot alone, however many were pushed', async () => {
    const three = home.with({ keep: 3 });
    await backUpOften(three, 8);
    const objects = await git('--git-dir', local(), 'count-objects', '-v');
    // Three commits, their trees and small files; of large ones the newest's.
    expect(Number(/^count: (\d+)$/m.exec(objects)?.[1])).toBeLessThanOrEqual(3 * 6);
    expect(objects).toMatch(/^packs: 0$/m);
    expect((await stat(local())).mode & 0o777).toBe(0o700);
    expect((await readdir(join(home.dataDir, 'backup'))).sort()).toEqual([
      'lock.db',
      'repository',
      'state-lock.db',
      'state.json',
    ]);
  });

  test('a fresh local copy fetches no content, and is again small', async () => {
    home.say(...Array.from({ length: 40 }, () => randomBytes(8192).toString('hex')));
    const three = home.with({ keep: 3 });
    await backUpOften(three, 4);
    await rm(local(), { recursive: true });
    await three.backUp();
    const bytes = async () =>
      Number(/^size-pack: (\d+)$/m.exec(await git('--git-dir', local(), 'count-objects', '-v'))?.[1]);
    expect(await bytes()).toBeLessThan(20);
    await backUpOften(three, 2);
    expect(await hashes()).toHaveLength(3);
    expect(await bytes()).toBeLessThan(20);
    await git('--git-dir', home.repo, 'fsck', '--strict');
  });

  test('a remote on this machine is packed now and then', async () => {
    home.say(...Array.from({ length: 20 }, () => randomBytes(8192).toString('hex')));
    await backUpOften(home, 3);
    for (let run = 0; run < 700; run += 100) {
      const blobs = Array.from({ length: 100 }, (_, index) => `blob\ndata <<END\n${run + index}\nEND\n`).join(
        '',
      );
      const child = Bun.spawn(
        ['git', '--git-dir', home.repo, '-c', 'fastimport.unpackLimit=1000', 'fast-import', '--quiet'],
        {
          stdin: new TextEncoder().encode(blobs),
        },
      );
      expect(await child.exited).toBe(0);
    }
    const before = home.state.remoteBytes ?? 0;
    await backUpOften(home, 1);
    expect(await git('--git-dir', home.repo, 'count-objects', '-v')).toMatch(/^packs: 1$/m);
    expect(home.state.remoteBytes).toBeLessThan(before);
    await git('--git-dir', home.repo, 'fsck', '--strict');
  });

  test('a repository that is larger than BACKUP_MAX_BYTES is warned of', async () => {
    const { warnings } = await home.with({ maxBytes: 1000 }).backUp();
    expect(warnings).toEqual([
      expect.stringMatching(/^The backup repository takes \d+ bytes, more than BACKUP_MAX_BYTES, 1000\./),
    ]);
    expect(home.state.remoteBytes).toBeGreaterThan(1000);
  });
});
