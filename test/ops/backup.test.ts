// Backups to real git repositories: what reaches them, sealed or not, and what stays bounded.
import { afterAll, beforeEach, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { randomBytes } from 'node:crypto';
import { appendFile, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { partBytes } from '../../src/ops/backup/parts.ts';
import { createSealer } from '../../src/ops/backup/seal.ts';
import { Installation } from '../support/backup.ts';
import { git, gitBytes, listCommits } from '../support/git.ts';

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
    await three.backUpOften(8);
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
    await three.backUpOften(4);
    await rm(local(), { recursive: true });
    await three.backUp();
    const bytes = async () =>
      Number(/^size-pack: (\d+)$/m.exec(await git('--git-dir', local(), 'count-objects', '-v'))?.[1]);
    expect(await bytes()).toBeLessThan(20);
    await three.backUpOften(2);
    expect(await hashes()).toHaveLength(3);
    expect(await bytes()).toBeLessThan(20);
    await git('--git-dir', home.repo, 'fsck', '--strict');
  });

  test('a remote on this machine is packed now and then', async () => {
    home.say(...Array.from({ length: 20 }, () => randomBytes(8192).toString('hex')));
    await home.backUpOften(3);
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
    await home.backUpOften(1);
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
