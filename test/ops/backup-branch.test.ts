// The branch of the backup repository: how many snapshots it keeps, and what others have put there.
import { afterAll, beforeEach, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runBackup } from '../../src/ops/backup/backup.ts';
import { Installation, localTarget, withPath, wrapGit } from '../support/backup.ts';
import { advanceRemote, git, listCommits, recreateRemote } from '../support/git.ts';

setDefaultTimeout(60_000);

const root = await mkdtemp(join(tmpdir(), 'backup-'));
let count = 0;
let home: Installation;

beforeEach(async () => {
  count += 1;
  home = await Installation.make(join(root, `case ${count}`), 'one');
});
afterAll(() => rm(root, { recursive: true, force: true }));

const hashes = async (branch?: string) => (await listCommits(home.repo, branch)).map(({ hash }) => hash);
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
    await three.backUpOften(6);
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
    await home.with({ keep: 5 }).backUpOften(4);
    await home.with({ keep: 1 }).backUpOften(2);
    expect(await hashes()).toHaveLength(1);
    await home.with({ keep: 3 }).backUpOften(4);
    expect(await hashes()).toHaveLength(3);
    expect((await home.stored()).length).toBe(11);
  });

  test('a rewritten history is not sent again: a push carries the change alone', async () => {
    const three = home.with({ keep: 3 });
    home.say(...Array.from({ length: 40 }, () => randomBytes(8192).toString('hex')));
    await three.backUp();
    await three.backUpOften(3);
    const real = Bun.which('git');
    const said = join(home.folder, 'said');
    const listen = `${real} "$@" 2>>'${said}'; exit $?`;
    await withPath(await wrapGit(home.folder, 'push', listen), () => three.backUpOften(1));
    const amounts = [
      ...(await Bun.file(said).text()).matchAll(/Writing objects: 100% \(\d+\/\d+\), ([\d.]+ \w+)/g),
    ];
    // The one part is 600 KiB that do not compress; the second push, which rewrites, has nothing to send at all.
    expect(amounts).toHaveLength(1);
    expect(amounts[0]?.[1]).toMatch(/^\d\d?(\.\d+)? KiB$/);
    expect(await git('--git-dir', home.repo, 'fsck', '--strict')).not.toContain('missing');
  });

  test('other branches, and commits of others below ours, stay', async () => {
    await home.backUpOften(1);
    await git('--git-dir', home.repo, 'branch', 'notes', 'main');
    const foreign = await advanceRemote(home.repo, 'notes.md', 'what this is', 'notes');
    const second = home.with({ keep: 2, branch: 'second/server' });
    await second.backUpOften(4);
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
    await three.backUpOften(1);
    expect(await subjects()).toEqual([
      'Snapshot of 202',
      'Snapshot of 202',
      'Snapshot of the',
      'Add notes.md',
    ]);
    expect(await git('--git-dir', home.repo, 'show', '--format=', '--name-only', 'main~2')).toContain(
      'chat.db',
    );
    await three.backUpOften(3);
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
    await home.backUpOften(3);
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
    await home.backUpOften(2);
    await recreateRemote(home.repo);
    const { commit, outcome } = await home.backUp();
    expect(outcome).toBe('pushed');
    expect(await hashes()).toEqual([commit]);
    expect(await home.stored()).toHaveLength(3);
  });

  test('a remote that does not allow a rewrite keeps more, is told of, and still gets every snapshot', async () => {
    const two = home.with({ keep: 2 });
    await two.backUpOften(2);
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
    await two.backUpOften(1);
    expect(await hashes()).toHaveLength(2);
  });
});
