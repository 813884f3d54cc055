// Reads the backup repository: which snapshots its branch has, and one of them with all that is in it.
import { mkdir, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Access, isLocal } from './access.ts';
import { BackupError } from './error.ts';
import { type Git, openGit } from './git.ts';

export interface Source {
  /** How the git repository is reached. */
  access: Access;
  branch: string;
  /** A folder of this reading alone: what is fetched lies there until it is removed. */
  folder: string;
  /** How long the remote may send nothing, in ms. Default 120000. */
  stallMs?: number;
  signal?: AbortSignal | undefined;
  /** Told of how many bytes have come. */
  onBytes?: (bytes: number) => void;
}

/** Which snapshot is meant: the one of a commit (which may be shortened), or the newest that is not later than a time. */
export type Moment = { readonly commit: string } | { readonly timeMs: number };

export interface SnapshotHead {
  /** Full hash. */
  readonly commit: string;
  /** When it was taken, ms since the epoch in whole seconds. */
  readonly takenAtMs: number;
  readonly message: string;
}

/** The files of one commit. */
export interface Tree extends SnapshotHead {
  has(name: string): boolean;
  /** In bytes. @throws BackupError when there is no such file */
  sizeOf(name: string): Promise<number>;
  /** @throws BackupError when there is no such file */
  read(name: string): Promise<Uint8Array>;
  /** Writes a file of any size to `path`. @throws BackupError when there is no such file */
  save(name: string, path: string): Promise<void>;
}

export interface Fetched {
  readonly snapshot: Tree;
  /** The newest commit of the branch, which knows of erasures after the snapshot; may be the same. */
  readonly newest: Tree;
}

/** What leaves out files has to have a name: git keeps by it where it could ask for them later. */
const remoteName = 'backup';
const lookMs = 250;
/** Its progress is the sign of life that a command must give; nobody is shown it. */
/**
 * For a repository on this machine, whose other end is here too. It may leave out files, and need not spend a minute and
 * 240 MiB per million messages on finding out in what its parts are alike, only to send less of them.
 */
const localEnd = ['--upload-pack=git -c uploadpack.allowFilter=true -c pack.window=0 upload-pack'];
const plainFetch = ['fetch', '--progress', '--keep', '--no-tags', '--no-recurse-submodules'];

/**
 * The branch's snapshots, newest first, without fetching them where the remote can leave out files.
 * @throws BackupError when there are none
 * @throws GitError
 */
export async function listSnapshots(source: Source): Promise<SnapshotHead[]> {
  const repository = await openRepository(source, 'list');
  const refs = `+refs/heads/${source.branch}:refs/restore/branch`;
  const { onBytes: _, ...quiet } = source;
  await fetchInto(repository, quiet, ['--filter=tree:0', '--', remoteName, refs]);
  const lines = await repository.git.run(['log', '--format=%H %ct %s', 'refs/restore/branch']);
  return lines.split('\n').map(readHead);
}

/**
 * Fetches one snapshot, the newest when no moment is named, and nothing of its history.
 * @throws BackupError when there is none of that moment
 * @throws GitError
 */
export async function fetchSnapshot(source: Source, moment: Moment | null): Promise<Fetched> {
  const wanted = moment && choose(await listSnapshots(source), moment);
  const repository = await openRepository(source, 'snapshot');
  const { git } = repository;
  const refs = [`+refs/heads/${source.branch}:refs/restore/newest`];
  if (wanted) refs.push(`+${wanted.commit}:refs/restore/wanted`);
  await fetchInto(repository, source, ['--depth=1', '--', remoteName, ...refs]);
  const newest = await openTree(git, 'refs/restore/newest');
  return { snapshot: wanted ? await openTree(git, 'refs/restore/wanted') : newest, newest };
}

function choose(heads: readonly SnapshotHead[], moment: Moment): SnapshotHead {
  if ('commit' in moment) {
    const those = heads.filter(({ commit }) => commit.startsWith(moment.commit.toLowerCase()));
    const [only] = those;
    if (only && those.length === 1) return only;
    const what = only ? 'is the beginning of several commits' : 'is no commit of the branch';
    throw new BackupError('failed', `${moment.commit} ${what}. "restore --list" shows those that there are.`);
  }
  const earlier = heads.filter(({ takenAtMs }) => takenAtMs <= moment.timeMs);
  const newest = earlier.toSorted((one, other) => other.takenAtMs - one.takenAtMs)[0];
  if (newest) return newest;
  const oldest = heads.reduce((least, { takenAtMs }) => Math.min(least, takenAtMs), Number.POSITIVE_INFINITY);
  throw new BackupError('failed', `No snapshot is so old: the oldest is of ${utc(oldest)}.`);
}

/** A time as people read it. */
export function utc(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}

interface Repository {
  git: Git;
  gitDir: string;
}

async function openRepository(source: Source, name: string): Promise<Repository> {
  const { access, folder, signal, stallMs = 120_000 } = source;
  const gitDir = join(folder, name);
  await mkdir(gitDir, { recursive: true, mode: 0o700 });
  const git = await openGit({ gitDir, access, timeLimitMs: stallMs, signal });
  await git.run(['init', '--quiet', '--bare', '--template=']);
  await git.run(['config', `remote.${remoteName}.url`, access.address]);
  return { git, gitDir };
}

async function fetchInto(
  { git, gitDir }: Repository,
  { access, onBytes }: Source,
  args: readonly string[],
): Promise<void> {
  const tell = async () => onBytes?.(await bytesIn(join(gitDir, 'objects', 'pack')));
  const timer = setInterval(tell, lookMs);
  try {
    await git.run([...plainFetch, ...(isLocal(access) ? localEnd : []), ...args]);
    await tell();
  } finally {
    clearInterval(timer);
  }
}

/** What git has received so far: it writes a pack as it comes. */
async function bytesIn(folder: string): Promise<number> {
  const names = await readdir(folder).catch(() => []); // not there yet
  const sizes = names.map((name) =>
    stat(join(folder, name)).then(
      ({ size }) => size,
      () => 0,
    ),
  );
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}

async function openTree(git: Git, ref: string): Promise<Tree> {
  const head = readHead(await git.run(['log', '-1', '--format=%H %ct %s', ref]));
  const listed = await git.run(['ls-tree', '-r', '-z', '--name-only', ref]);
  const names = new Set(listed.split('\0'));
  const object = (name: string) => {
    if (names.has(name)) return `${head.commit}:${name}`;
    throw new BackupError('failed', `The snapshot ${head.commit} is not whole: ${name} is missing.`);
  };
  return {
    ...head,
    has: (name) => names.has(name),
    sizeOf: async (name) => Number(await git.run(['cat-file', '-s', object(name)])),
    read: async (name) => git.read(['cat-file', 'blob', object(name)]),
    save: async (name, path) => git.save(['cat-file', 'blob', object(name)], path),
  };
}

function readHead(line: string): SnapshotHead {
  const [commit = '', seconds = '', ...words] = line.split(' ');
  return { commit, takenAtMs: Number(seconds) * 1000, message: words.join(' ') };
}
