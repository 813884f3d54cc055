// The branch of the backup repository, and the local copy of what must be known of it: commits, trees, small files.
import { chmod, mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Access, isLocal } from './access.ts';
import { BackupError } from './error.ts';
import { author, type Git } from './git.ts';
import { manifestName } from './manifest.ts';

export interface Remote {
  readonly git: Git;
  /** Folder of the local copy: bare, and with the content of the newest snapshot alone. It may be deleted at will. */
  readonly gitDir: string;
  readonly access: Access;
  readonly branch: string;
}

/** One snapshot of ours on the branch. */
export interface Link {
  readonly commit: string;
  readonly tree: string;
  readonly parents: readonly string[];
  /** When it was taken, s since the epoch. */
  readonly atSeconds: number;
  readonly message: string;
}

export interface Branch {
  /** The newest commit; null when there is no such branch. */
  readonly tip: string | null;
  /** Our snapshots, newest first. */
  readonly links: readonly Link[];
  /** Whether the tip is what a rewrite that did not end has left; the snapshots begin with its first parent. */
  readonly isHalfRewritten: boolean;
  /** The newest commit that is not ours, which ours stand on, and which stays; null when there is none. */
  readonly floor: string | null;
}

/** Local name of the newest commit the remote has: whoever finds it here finds all that must be known of it. */
const tipRef = 'refs/backup/tip';
/** What earlier versions of this program stored: the snapshot as one file. */
const oldName = 'chat.db';
/** Enough for manifests; a remote that knows no filters sends all that it has. */
const smallFiles = 'blob:limit=64k';

/**
 * Looks at the remote, and fetches what is not known of it: nothing where nobody else has pushed.
 * @throws GitError
 * @throws BackupError when the newest commit is not ours
 */
export async function readBranch(remote: Remote): Promise<Branch> {
  const { git, access, branch } = remote;
  await openCopy(remote);
  const name = `refs/heads/${branch}`;
  const listed = await git.run(['ls-remote', '--', access.address, name]);
  const tip =
    listed
      .split('\n')
      .find((line) => line.split('\t')[1] === name)
      ?.split('\t')[0] ?? null;
  if (tip === null || tip !== (await git.find(['rev-parse', '--verify', '--quiet', tipRef]))) {
    await rm(remote.gitDir, { recursive: true, force: true });
    await openCopy(remote);
    if (tip) await fetchHistory(remote, tip);
  }
  return tip ? await walk(git, tip) : { tip, links: [], isHalfRewritten: false, floor: null };
}

/** Makes the local copy, or mends what a killed run left of it. */
async function openCopy({ git, gitDir }: Remote): Promise<void> {
  await mkdir(gitDir, { recursive: true, mode: 0o700 });
  await chmod(gitDir, 0o700);
  // The backup's lock is held, so no lock file of git has a living owner.
  for await (const name of new Bun.Glob('**/*.lock').scan({ cwd: gitDir })) {
    await rm(join(gitDir, name), { force: true });
  }
  await git.run(['init', '--quiet', '--bare', '--template=']); // without the examples of hooks, which are executable
}

/** Looks at the newest commit first: a branch of others may be long. */
async function fetchHistory({ git, gitDir, access, branch }: Remote, tip: string): Promise<void> {
  // Only a remote with a name can be told a filter once and for this fetch alone.
  const settings = { url: access.address, promisor: 'true', partialclonefilter: smallFiles };
  for (const [name, value] of Object.entries(settings))
    await git.run(['config', `remote.backup.${name}`, value]);
  const filterable = isLocal(access) ? ['--upload-pack=git -c uploadpack.allowFilter=true upload-pack'] : [];
  const fetch = ['fetch', '--progress', '--no-tags', '--no-recurse-submodules', ...filterable];
  await git.run([...fetch, '--depth=1', 'backup', tip]);
  await assertOurs(git, tip, branch);
  await git.run([...fetch, '--depth=2147483647', 'backup', tip]);
  await git.run(['config', '--remove-section', 'remote.backup']);
  await repack(git, gitDir, tip);
  await noteTip(git, tip);
}

async function assertOurs(git: Git, tip: string, branch: string): Promise<void> {
  const [email, who = '', subject = ''] = (await git.run(['log', '-1', '--format=%ce%n%cn%n%s', tip])).split(
    '\n',
  );
  const names = (await git.run(['ls-tree', '--name-only', tip])).split('\n');
  if (email === author.email && [manifestName, oldName].some((name) => names.includes(name))) return;
  const newest = `"${subject.slice(0, 80)}" of ${who.slice(0, 80)}`.replace(/\p{Cc}/gu, ' ');
  throw new BackupError(
    'failed',
    `The branch ${branch} of the backup repository holds what is no backup, its newest commit is ${newest}. ` +
      'Nothing was pushed. Set BACKUP_BRANCH to a branch that is for backups alone; it is made when it is not there.',
  );
}

/** Of what was fetched only what must be known stays, in one pack. */
async function repack(git: Git, gitDir: string, tip: string): Promise<void> {
  const folder = join(gitDir, 'objects', 'pack');
  const old = await readdir(folder);
  const packed = await git.run(
    ['pack-objects', '--quiet', join(folder, 'pack')],
    (await listKnown(git, tip)).join('\n'),
  );
  for (const name of old) {
    if (!name.includes(packed)) await rm(join(folder, name), { force: true });
  }
  await removeLoose(gitDir, new Set());
  await rm(join(folder, `pack-${packed}.promisor`), { force: true });
}

/** Commits, trees and small files of the history. */
async function listKnown(git: Git, tip: string): Promise<string[]> {
  const listed = await git.run([
    'rev-list',
    '--objects',
    `--filter=${smallFiles}`,
    '--missing=allow-any',
    tip,
  ]);
  return listed.split('\n').map((line) => line.split(' ')[0] ?? '');
}

async function walk(git: Git, tip: string): Promise<Branch> {
  const format = '--format=%H%n%T%n%P%n%ct%n%ce%n%B';
  const records = (await git.run(['log', '-z', '--first-parent', format, tip])).split('\0').filter(Boolean);
  const links: Link[] = [];
  let floor: string | null = null;
  for (const record of records) {
    const [commit = '', tree = '', parents = '', seconds = '', email = '', ...lines] = record.split('\n');
    if (email !== author.email) {
      floor = commit;
      break;
    }
    const message = lines.join('\n').trim();
    links.push({
      commit,
      tree,
      parents: parents.split(' ').filter(Boolean),
      atSeconds: Number(seconds),
      message,
    });
  }
  const isHalfRewritten = (links[0]?.parents.length ?? 0) > 1;
  return { tip, links: isHalfRewritten ? links.slice(1) : links, isHalfRewritten, floor };
}

/** To be called when the remote has this commit as its newest: from then on this is what is known of it. */
export async function noteTip(git: Git, commit: string): Promise<void> {
  await git.run(['update-ref', tipRef, commit]);
}

/** Removes what is not of this commit's history, nor of its own files: a year of backups takes no more room than two. */
export async function forgetOthers({ git, gitDir }: Remote, commit: string): Promise<void> {
  const files = (await git.run(['ls-tree', '-r', commit]))
    .split('\n')
    .map((line) => line.split(/\s/)[2] ?? '');
  await removeLoose(gitDir, new Set([...(await listKnown(git, commit)), ...files]));
}

async function removeLoose(gitDir: string, needed: ReadonlySet<string>): Promise<void> {
  const objects = join(gitDir, 'objects');
  for await (const path of new Bun.Glob('[0-9a-f][0-9a-f]/*').scan({ cwd: objects })) {
    if (!needed.has(path.replace(/[\\/]/, ''))) await rm(join(objects, path), { force: true });
  }
}
