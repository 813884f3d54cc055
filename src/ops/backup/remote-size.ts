// What the backup repository takes at the remote, as far as that can be known; one on this machine is kept tidy.
import { existsSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { isLocal, localPath } from './access.ts';
import type { Remote } from './branch.ts';
import { openGit } from './git.ts';
import { GitError } from './git-process.ts';
import type { Publication } from './repository.ts';

export interface RemoteSize {
  /** Null when nothing is known. */
  readonly bytes: number | null;
  /** What did not work, else null. */
  readonly problem: string | null;
}

/**
 * A repository on this machine is packed now and then and measured. Of any other one only what this machine has sent for
 * the snapshots that are on the branch is known, which is what they take there once it is packed.
 */
export async function measureRemote(
  remote: Remote,
  published: Publication | Omit<Publication, 'problem'>,
  signal?: AbortSignal,
): Promise<RemoteSize> {
  if (!isLocal(remote.access)) return { bytes: await sumSent(remote, published), problem: null };
  const path = localPath(remote.access);
  const gitDir = existsSync(join(path, '.git')) ? join(path, '.git') : path;
  const problem = await tidy(remote, gitDir, signal);
  return { bytes: await sizeOf(gitDir), problem };
}

const tidyingLimitMs = 30 * 60 * 1000;
/**
 * A push leaves whole files, of which git makes small differences when it packs them; by itself only after thousands.
 * What is not on a branch any more goes too, unless it is so young that somebody may just be pushing it.
 * @see https://git-scm.com/docs/git-gc
 */
const tidySettings = [
  'gc.auto=256',
  'gc.autoPackLimit=8',
  'gc.autoDetach=false',
  'gc.pruneExpire=1.hour.ago',
];

async function tidy({ access }: Remote, gitDir: string, signal?: AbortSignal): Promise<string | null> {
  const packing = ['pack.window=4', 'pack.windowMemory=64m'];
  const settings = [...tidySettings, ...packing];
  try {
    const git = await openGit({ gitDir, access, timeLimitMs: tidyingLimitMs, signal, settings });
    await git.run(['gc', '--auto', '--quiet']);
    return null;
  } catch (error) {
    if (!(error instanceof GitError)) throw error;
    return `The backup repository could not be packed, and grows. ${error.message}`;
  }
}

async function sizeOf(folder: string): Promise<number> {
  const names = await readdir(folder, { recursive: true });
  let bytes = 0;
  for (const name of names) bytes += await stat(join(folder, name)).then(fileBytes, () => 0); // git may be removing it
  return bytes;
}

function fileBytes(stats: { isFile(): boolean; size: number }): number {
  return stats.isFile() ? stats.size : 0;
}

const sentSchema = z.record(z.string(), z.number());

/** The record lies in the local copy, so it begins anew with it. */
async function sumSent(
  { gitDir }: Remote,
  { trees, sentBytes }: Omit<Publication, 'problem'>,
): Promise<number | null> {
  const file = Bun.file(join(gitDir, 'sent.json'));
  const known = sentSchema.catch({}).parse(await file.json().catch(() => ({})));
  const [newest] = trees;
  if (newest !== undefined && sentBytes > 0) known[newest] = sentBytes;
  const kept = Object.entries(known).filter(([tree]) => trees.includes(tree));
  await Bun.write(file, JSON.stringify(Object.fromEntries(kept)));
  return kept.length > 0 ? kept.reduce((sum, [, bytes]) => sum + bytes, 0) : null;
}
