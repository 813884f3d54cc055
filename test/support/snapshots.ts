// Snapshots in a backup repository as tests want them: whole ones, and those that somebody has changed.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { git } from './git.ts';

/** Replaces the branch's newest commit by one whose files `alter` has changed in a folder; gives its hash. */
export async function alterNewest(
  repo: string,
  alter: (folder: string) => unknown,
  branch = 'main',
): Promise<string> {
  const clone = await mkdtemp(join(tmpdir(), 'altered-'));
  try {
    await git('clone', '--quiet', '--branch', branch, '--', repo, clone);
    await alter(clone);
    await git('-C', clone, 'add', '--all');
    await git('-C', clone, 'commit', '--quiet', '--allow-empty', '--amend', '--no-edit');
    await git('-C', clone, 'push', '--quiet', '--force', 'origin', `HEAD:${branch}`);
    return await git('-C', clone, 'rev-parse', 'HEAD');
  } finally {
    await rm(clone, { recursive: true });
  }
}
