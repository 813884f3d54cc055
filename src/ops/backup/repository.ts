// The local copy of the backup repository: learns the remote's newest commit, puts one snapshot on top, pushes it.
import { chmod, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Git, GitError } from './git.ts';

/** Name of the snapshot in the repository. */
const snapshotName = 'chat.db';
/** Local name of the newest commit the remote has. */
const tipRef = 'refs/backup/tip';
/** How often another machine may be first before the backup gives up until next time. */
const mostAttempts = 3;

export interface Remote {
  git: Git;
  /** Folder of the local copy: bare, and holding no more than the newest two snapshots. It may be deleted at will. */
  gitDir: string;
  repo: string;
  branch: string;
}

export interface Snapshot {
  path: string;
  bytes: number;
  /** When it was taken, ms since the epoch. */
  at: number;
}

/** What was done, and the full hash of the remote's newest commit, which holds the snapshot. */
export interface Publication {
  outcome: 'pushed' | 'unchanged';
  commit: string;
}

/**
 * Puts the snapshot on top of what the remote's branch has, never by force; no commit if its bytes are the same.
 * The local copy is only a cache: a damaged one is thrown away and made anew.
 * @throws GitError
 */
export async function publishSnapshot(remote: Remote, snapshot: Snapshot): Promise<Publication> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await publishOnce(remote, snapshot);
    } catch (error) {
      if (!(error instanceof GitError) || error.kind !== 'refused' || attempt === mostAttempts) throw error;
      if (overtaken(error)) continue;
      if ((await remote.git.find(['fsck'])) !== null) throw error;
      await rm(remote.gitDir, { recursive: true, force: true });
    }
  }
}

async function publishOnce(remote: Remote, snapshot: Snapshot): Promise<Publication> {
  const { git } = remote;
  await openCopy(remote);
  const tip = await fetchTip(remote, snapshot.bytes);
  const blob = await git.run(['hash-object', '-w', '--no-filters', '--', snapshot.path], snapshot.bytes);
  if (tip && (await git.find(['rev-parse', '--verify', '--quiet', `${tip}:${snapshotName}`])) === blob) {
    return { outcome: 'unchanged', commit: tip };
  }
  const commit = await commitOnTop(remote, { tip, blob, message: describe(snapshot) });
  await push(remote, commit, snapshot.bytes);
  return { outcome: 'pushed', commit };
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

/**
 * The newest commit of the remote's branch, made known locally without its history; null if there is none yet.
 * Everything older is removed, so a year of hourly backups takes no more room here than two.
 */
async function fetchTip({ git, repo, branch }: Remote, transferBytes: number): Promise<string | null> {
  const name = `refs/heads/${branch}`;
  const listed = await git.run(['ls-remote', '--', repo, name]);
  const exists = listed.split('\n').some((line) => line.split('\t')[1] === name);
  if (exists) {
    const fetch = ['fetch', '--quiet', '--depth=1', '--no-tags', '--no-recurse-submodules'];
    await git.run([...fetch, '--', repo, `+${name}:${tipRef}`], transferBytes);
  } else await git.run(['update-ref', '-d', tipRef]);
  await git.run(exists ? ['read-tree', tipRef] : ['read-tree', '--empty']);
  await git.run(['prune', '--expire=now']);
  return exists ? await git.run(['rev-parse', '--verify', tipRef]) : null;
}

interface NewCommit {
  tip: string | null;
  blob: string;
  message: string;
}

/** A commit of what the remote has, with the snapshot replaced. */
async function commitOnTop({ git }: Remote, { tip, blob, message }: NewCommit): Promise<string> {
  await git.run(['update-index', '--add', '--replace', '--cacheinfo', `100644,${blob},${snapshotName}`]);
  const tree = await git.run(['write-tree']);
  return git.run(['commit-tree', tree, ...(tip ? ['-p', tip] : []), '-m', message]);
}

async function push({ git, repo, branch }: Remote, commit: string, transferBytes: number): Promise<void> {
  const plain = ['push', '--no-signed', '--no-verify', '--no-follow-tags', '--no-recurse-submodules'];
  await git.run([...plain, '--', repo, `${commit}:refs/heads/${branch}`], transferBytes);
}

function describe({ at, bytes }: Snapshot): string {
  const time = new Date(at).toISOString().slice(0, 19).replace('T', ' ');
  return `Snapshot of ${time} UTC, ${bytes} bytes`;
}

/** Whether somebody else pushed between our look at the remote and our push: looking again helps. */
function overtaken(error: GitError): boolean {
  return / \[rejected\] |cannot lock ref|reference already exists/.test(error.message);
}
