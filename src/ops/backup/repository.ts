// Puts a snapshot on top of the branch of the backup repository, and takes the oldest ones out below.
import { rm } from 'node:fs/promises';
import { isLocal } from './access.ts';
import { type Branch, forgetOthers, type Link, noteTip, type Remote, readBranch } from './branch.ts';
import { author, type Git } from './git.ts';
import { GitError } from './git-process.ts';
import { describe, holds, type SnapshotFiles, storeFiles } from './snapshot-files.ts';

/** How often another machine may be first before the backup gives up until next time. */
const mostAttempts = 3;

export interface Parcel extends SnapshotFiles {
  /** How many snapshots the branch keeps, at least 1. */
  readonly keep: number;
}

/** What was done. */
export interface Publication {
  readonly outcome: 'pushed' | 'unchanged';
  /** Full hash of the commit at the remote that holds the snapshot. */
  readonly commit: string;
  /** The trees of the snapshots on the branch, and what was sent of objects for the newest one. */
  readonly trees: readonly string[];
  readonly sentBytes: number;
  /** What did not work, though the snapshot is there. */
  readonly problem: string | null;
}

/**
 * Puts the snapshot on top of what the remote's branch has; no commit if it has it already. What others pushed
 * meanwhile is never overwritten. The local copy is only a cache: a damaged one is thrown away and made anew.
 * @throws GitError
 * @throws BackupError when the branch is not for backups
 */
export async function publishSnapshot(remote: Remote, parcel: Parcel): Promise<Publication> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await publishOnce(remote, parcel);
    } catch (error) {
      if (!(error instanceof GitError) || error.kind !== 'refused' || attempt === mostAttempts) throw error;
      if (wasOvertaken(error)) continue;
      if (!isOfLocalCopy(error) || attempt > 1) throw error;
      await rm(remote.gitDir, { recursive: true, force: true });
    }
  }
}

async function publishOnce(remote: Remote, parcel: Parcel): Promise<Publication> {
  const branch = await readBranch(remote);
  const { tree, manifest } = await storeFiles(remote.git, parcel);
  const [newest] = branch.links;
  const trees = branch.links.map((link) => link.tree);
  if (newest && (await holds(remote.git, newest, manifest))) {
    const problem = branch.isHalfRewritten ? await rewriteTo(remote, newest.commit, branch.tip ?? '') : null;
    return { outcome: 'unchanged', commit: newest.commit, trees, sentBytes: 0, problem };
  }
  const atSeconds = Math.floor(manifest.takenAtMs / 1000);
  const done = await push(remote, branch, {
    tree,
    atSeconds,
    message: describe(manifest),
    keep: parcel.keep,
  });
  return { outcome: 'pushed', trees: [tree, ...trees.slice(0, parcel.keep - 1)], ...done };
}

interface NewSnapshot {
  readonly tree: string;
  readonly atSeconds: number;
  readonly message: string;
  readonly keep: number;
}

type Pushed = Pick<Publication, 'commit' | 'sentBytes' | 'problem'>;

async function push(remote: Remote, branch: Branch, snapshot: NewSnapshot): Promise<Pushed> {
  const { git } = remote;
  const { tip, links, floor, isHalfRewritten } = branch;
  const kept = links.slice(0, snapshot.keep - 1);
  if (kept.length === links.length && !isHalfRewritten) {
    const commit = await writeCommit(git, { ...snapshot, parents: tip ? [tip] : [] });
    const sentBytes = await send(remote, commit, tip);
    await settle(remote, commit);
    return { commit, sentBytes, problem: null };
  }
  let below = floor;
  for (const link of kept.toReversed())
    below = await writeCommit(git, { ...link, parents: below ? [below] : [] });
  const commit = await writeCommit(git, { ...snapshot, parents: below ? [below] : [] });
  const carrier = await carry(remote, branch, { commit, kept, snapshot });
  const problem = await rewriteTo(remote, commit, carrier.commit);
  return { commit, sentBytes: carrier.sentBytes, problem };
}

/**
 * A rewritten history shares no commit with what the remote has, and git would send all its files again. So it goes
 * there first as an ordinary push of a commit that has the new history and every kept commit of the old one as parents:
 * what those have, git knows to be there. From then on the snapshot is safe, and a kill leaves a branch that can be read.
 */
async function carry(
  remote: Remote,
  { tip }: Branch,
  { commit, kept, snapshot }: { commit: string; kept: readonly Link[]; snapshot: NewSnapshot },
): Promise<{ commit: string; sentBytes: number }> {
  const parents = [...new Set([commit, ...(tip ? [tip] : []), ...kept.map((link) => link.commit)])];
  const message = 'Carry the newest snapshots over into a rewritten branch';
  const carrier = await writeCommit(remote.git, { ...snapshot, message, parents });
  const sentBytes = await send(remote, carrier, tip);
  await settle(remote, carrier);
  return { commit: carrier, sentBytes };
}

/** Points the branch at the rewritten history, which the remote has already. @returns why that did not work, else null */
async function rewriteTo(remote: Remote, commit: string, carrier: string): Promise<string | null> {
  try {
    await send(remote, commit, carrier);
    await settle(remote, commit);
    return null;
  } catch (error) {
    if (!(error instanceof GitError) || wasOvertaken(error)) throw error;
    return `Older snapshots could not be taken out, the repository grows. ${error.message} Allow forced pushes to this branch.`;
  }
}

/** The remote has this commit now; what does not belong to it is not needed here any more. */
async function settle(remote: Remote, commit: string): Promise<void> {
  await noteTip(remote.git, commit);
  await forgetOthers(remote, commit);
}

type NewCommit = Pick<Link, 'tree' | 'parents' | 'atSeconds' | 'message'>;

async function writeCommit(git: Git, { tree, parents, atSeconds, message }: NewCommit): Promise<string> {
  const who = `${author.name} <${author.email}> ${atSeconds} +0000`;
  const head = [
    `tree ${tree}`,
    ...parents.map((parent) => `parent ${parent}`),
    `author ${who}`,
    `committer ${who}`,
  ];
  return git.run(['hash-object', '-t', 'commit', '-w', '--stdin'], `${head.join('\n')}\n\n${message}\n`);
}

/** The first snapshot has nothing to be compared with but its own parts, which takes long and finds nothing. */
const withoutDeltas = ['pack.window=0'];
/** A local repository syncs all that it writes: it is the only other copy. */
const localReceiver = '--receive-pack=git -c core.fsync=all -c receive.autogc=false receive-pack';

/** @param expected what the branch is at now; null: it is not there */
async function send(
  { git, access, branch }: Remote,
  commit: string,
  expected: string | null,
): Promise<number> {
  const plain = [
    'push',
    '--progress',
    '--no-signed',
    '--no-verify',
    '--no-follow-tags',
    '--no-recurse-submodules',
  ];
  const lease = `--force-with-lease=refs/heads/${branch}:${expected ?? ''}`;
  const receiver = isLocal(access) ? [localReceiver] : [];
  const refs = `${commit}:refs/heads/${branch}`;
  return git.send([...plain, ...receiver, lease, '--', access.address, refs], expected ? [] : withoutDeltas);
}

/** Whether somebody else pushed between our look at the remote and our push: looking again helps. */
function wasOvertaken(error: GitError): boolean {
  return / \[rejected\] |cannot lock ref|reference already exists|failed to update ref|not our ref/.test(
    error.message,
  );
}

/** Whether it may be the local copy that is damaged: making it anew helps. */
function isOfLocalCopy({ message }: GitError): boolean {
  if (/^git /.test(message)) return true;
  return /corrupt|bad (?:object|tree|config)|unable to read|is empty|not a valid object|pack-objects died/.test(
    message,
  );
}
