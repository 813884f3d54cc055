// Real git repositories for tests: bare remotes in temp folders, read and changed by the git program itself.
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Runs git and gives what it printed, trimmed; throws with its error output when it fails. */
export async function git(...args: string[]): Promise<string> {
  return (await gitBytes(args)).toString().trim();
}

export async function gitBytes(args: readonly string[]): Promise<Buffer> {
  const identity = ['-c', 'user.name=Test', '-c', 'user.email=test@localhost'];
  const child = Bun.spawn(['git', ...identity, ...args], { stdin: 'ignore', stdout: 'pipe', stderr: 'pipe' });
  const [stdout, stderr] = await Promise.all([child.stdout.bytes(), child.stderr.text(), child.exited]);
  if (child.exitCode !== 0) throw new Error(`git ${args.join(' ')}: ${stderr}`);
  return Buffer.from(stdout);
}

/** Makes a bare repository without commits at this path, and gives the path back. */
export async function createRemote(repo: string): Promise<string> {
  await git('init', '--quiet', '--bare', '--initial-branch=main', repo);
  return repo;
}

/** Throws the repository away and makes an empty one in its place. */
export async function recreateRemote(repo: string): Promise<void> {
  await rm(repo, { recursive: true });
  await createRemote(repo);
}

/** Commits of a branch, newest first, each as its hash and message; none when there is no such branch. */
export async function listCommits(
  repo: string,
  branch = 'main',
): Promise<{ hash: string; message: string }[]> {
  if (!(await git('--git-dir', repo, 'branch', '--list', branch))) return [];
  const lines = await git('--git-dir', repo, 'log', '--format=%H %s', branch);
  return lines.split('\n').map((line) => ({ hash: line.slice(0, 40), message: line.slice(41) }));
}

/** Writes a file of a commit (or branch) to `path`. */
export async function readFileOf(repo: string, revision: string, name: string, path: string): Promise<void> {
  await Bun.write(path, await gitBytes(['--git-dir', repo, 'cat-file', 'blob', `${revision}:${name}`]));
}

/** Makes the repository refuse every push with this message; the result lets it accept them again. */
export async function refusePushes(repo: string, message: string): Promise<() => Promise<void>> {
  const hook = join(repo, 'hooks', 'pre-receive');
  await Bun.write(hook, `#!/bin/sh\necho "${message}"\nexit 1\n`);
  await chmod(hook, 0o755);
  return () => rm(hook);
}

/** Commits a file to the branch from another clone, as a second machine would; gives the new commit's hash. */
export async function advanceRemote(
  repo: string,
  name: string,
  text: string,
  branch = 'main',
): Promise<string> {
  const clone = await mkdtemp(join(tmpdir(), 'clone-'));
  try {
    await git('clone', '--quiet', '--branch', branch, '--', repo, clone);
    await Bun.write(join(clone, name), text);
    await git('-C', clone, 'add', '--', name);
    await git('-C', clone, 'commit', '--quiet', '-m', `Add ${name}`);
    await git('-C', clone, 'push', '--quiet', 'origin', `HEAD:${branch}`);
    return await git('-C', clone, 'rev-parse', 'HEAD');
  } finally {
    await rm(clone, { recursive: true });
  }
}

/** Replaces the branch by one commit without history, as a person who cleans up would, by force. */
export async function rewriteRemote(repo: string, branch = 'main'): Promise<string> {
  const root = await git('--git-dir', repo, 'commit-tree', `${branch}^{tree}`, '-m', 'Start anew');
  await git('--git-dir', repo, 'update-ref', `refs/heads/${branch}`, root);
  return root;
}
