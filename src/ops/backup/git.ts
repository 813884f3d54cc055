// Runs the git program: without a shell, without prompts, within a time limit, and with no credential in its errors.

/** Why a git command gave no result: it ended badly, it was stopped by us, or it could not be started. */
export type GitFailure = 'refused' | 'stopped' | 'absent';

/** A git command that failed. The message says what happened and what to do, and holds no credential. */
export class GitError extends Error {
  constructor(
    readonly kind: GitFailure,
    message: string,
  ) {
    super(message);
    this.name = 'GitError';
  }
}

export interface Git {
  /**
   * Runs one git command, its name first, and gives what it printed, trimmed.
   * @param transferBytes what it may have to send or fetch: lengthens its time limit for slow lines
   * @throws GitError
   */
  run(args: readonly string[], transferBytes?: number): Promise<string>;
  /**
   * The same for commands that answer by exit status: null when it is not 0.
   * @throws GitError `stopped` or `absent`
   */
  find(args: readonly string[]): Promise<string | null>;
  /**
   * Runs one and gives the bytes that it printed.
   * @throws GitError
   */
  read(args: readonly string[]): Promise<Uint8Array>;
  /**
   * Runs one and writes what it prints to a file, however much that is.
   * @throws GitError
   */
  save(args: readonly string[], path: string): Promise<void>;
}

export interface GitOptions {
  /** Folder of the local (bare) repository. */
  gitDir: string;
  /** Address of the remote: its credentials are kept out of every error text. */
  repo: string;
  /** Time limit of each command, in ms. */
  timeLimitMs: number;
  /** Stops the running command, and refuses further ones. */
  signal?: AbortSignal | undefined;
}

interface Outcome {
  status: number;
  stdout: Uint8Array;
  stderr: string;
}

/** Slowest line that is still waited for. */
const slowestBytesPerMs = 100;
/** What git answers with when it is pointed elsewhere by its caller (git rev-parse --local-env-vars). */
const callersRepository = new Set(
  'GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_COMMON_DIR GIT_NAMESPACE GIT_PREFIX GIT_SHALLOW_FILE GIT_GRAFT_FILE'.split(
    ' ',
  ),
);
/**
 * Nothing here depends on the person's git settings but the access to the remote: no hooks, no signing, our own author.
 * Nothing is packed or collected in the background: objects stay single files, which `git prune` removes.
 */
const settings = [
  'user.name=Chat backup',
  'user.email=backup@localhost',
  'core.hooksPath=/dev/null',
  'gc.auto=0',
  'maintenance.auto=false',
  'fetch.unpackLimit=1000000',
  'pack.threads=1',
].flatMap((setting) => ['-c', setting]);
/** Larger files are streamed: comparing two of them for a delta takes several times their size in memory. */
const streamLarge = ['-c', 'core.bigFileThreshold=50m'];
/** But when a file is added, streaming would put it into a pack, where prune leaves it for ever. */
const streamNothing = ['-c', 'core.bigFileThreshold=1000g'];

interface Explanation {
  what: string;
  remedy: string;
}
const reading: Explanation = {
  what: 'The backup repository cannot be read',
  remedy: 'Check BACKUP_REPO, BACKUP_BRANCH, the network and the access of this machine.',
};
const pushing: Explanation = {
  what: 'The backup repository did not take the push',
  remedy: 'Check the rights of this machine there; the next backup tries again.',
};
const explanations: Record<string, Explanation> = { 'ls-remote': reading, fetch: reading, push: pushing };

/**
 * Prepares the git program for one repository and one remote.
 * @throws GitError `absent` when there is no git program
 */
export async function openGit({ gitDir, repo, timeLimitMs, signal }: GitOptions): Promise<Git> {
  const env = gitEnvironment();
  const program = Bun.which('git', { PATH: env.PATH ?? '' });
  if (!program)
    throw new GitError('absent', 'The git program is not installed, or not in PATH. Install git.');
  const execute = (
    args: readonly string[],
    { transferBytes = 0, stdout }: Transfer = {},
  ): Promise<Outcome> => {
    const large = args[0] === 'hash-object' ? streamNothing : streamLarge;
    const command = [program, `--git-dir=${gitDir}`, ...settings, ...large, ...args];
    const limitMs = timeLimitMs + transferBytes / slowestBytesPerMs;
    return executeWithin(command, { env, word: args[0] ?? '', limitMs, signal, stdout });
  };
  const succeed = async (args: readonly string[], transfer: Transfer): Promise<Uint8Array> => {
    const { status, stdout, stderr } = await execute(args, transfer);
    if (status === 0) return stdout;
    throw new GitError('refused', explain(args[0] ?? '', scrub(shorten(stderr, status), repo)));
  };
  const git: Git = {
    run: async (args, transferBytes = 0) => textOf(await succeed(args, { transferBytes })),
    find: async (args) => {
      const { status, stdout } = await execute(args);
      return status === 0 ? textOf(stdout) : null;
    },
    read: (args) => succeed(args, {}),
    save: async (args, path) => void (await succeed(args, { stdout: Bun.file(path) })),
  };
  await chooseSshCommand(git, env);
  return git;
}

/** Which step failed, git's reason, and what to do about it. */
function explain(word: string, reason: string): string {
  const { what, remedy } = explanations[word] ?? {
    what: `git ${word} failed`,
    remedy: 'If it does again, delete the folder backup/repository in DATA_DIR: it is made anew.',
  };
  return `${what}: ${reason}. ${remedy}`;
}

/** The text without the credentials of `repo`, nor of any other address in it. */
export function scrub(text: string, repo = ''): string {
  const credentials = /:\/\/(.*)@/.exec(repo)?.[1] ?? '';
  const password = credentials.split(':').slice(1).join(':');
  let safe = text;
  for (const secret of [credentials.includes(':') ? credentials : '', password, decode(password)]) {
    if (secret) safe = safe.replaceAll(secret, '[redacted]');
  }
  return safe.replace(/\/\/[^\s/]*@/g, '//');
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a stray % : git takes such a password as it stands, so it is already in its decoded form
  }
}

function gitEnvironment(): Record<string, string> {
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (value !== undefined && !callersRepository.has(name)) env[name] = value;
  }
  return { ...env, GIT_TERMINAL_PROMPT: '0', LC_ALL: 'C' };
}

/** Makes ssh fail instead of asking or waiting for ever, unless the person has said how ssh is to be run. */
async function chooseSshCommand(git: Git, env: Record<string, string>): Promise<void> {
  if (env.GIT_SSH_COMMAND || env.GIT_SSH) return;
  if (await git.find(['config', '--get', 'core.sshCommand'])) return;
  env.GIT_SSH_COMMAND = 'ssh -oBatchMode=yes -oConnectTimeout=10 -oServerAliveInterval=15';
}

interface Transfer {
  transferBytes?: number;
  /** Where what it prints goes, if not into memory. */
  stdout?: Bun.BunFile;
}

function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes).trim();
}

interface Limits {
  env: Record<string, string>;
  word: string;
  limitMs: number;
  signal: AbortSignal | undefined;
  stdout: Bun.BunFile | undefined;
}

async function executeWithin(
  command: string[],
  { env, word, limitMs, signal, stdout: file }: Limits,
): Promise<Outcome> {
  if (signal?.aborted) throw new GitError('stopped', 'The backup was stopped.');
  // Its own session: git's helpers (ssh, the remote side of a path) end with it, and none can ask on a terminal.
  const child = Bun.spawn(command, {
    env,
    stdin: 'ignore',
    stdout: file ?? 'pipe',
    stderr: 'pipe',
    detached: true,
  });
  const interrupted = Promise.withResolvers<never>();
  const interrupt = (why: string): void => {
    killGroup(child);
    interrupted.reject(new GitError('stopped', why));
  };
  const stop = (): void => interrupt('The backup was stopped.');
  signal?.addEventListener('abort', stop);
  const late = explain(word, `it did not end within ${Math.ceil(limitMs / 1000)} s`);
  const timer = setTimeout(interrupt, limitMs, late);
  try {
    // On an interrupt the pipes are not waited for: a helper that escaped the kill would hold them open.
    const printed = child.stdout instanceof ReadableStream ? child.stdout.bytes() : new Uint8Array();
    const finished = Promise.all([printed, child.stderr.text(), child.exited]);
    const [stdout, stderr, status] = await Promise.race([finished, interrupted.promise]);
    return { stdout, stderr, status };
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', stop);
  }
}

function killGroup(child: Bun.Subprocess): void {
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    child.kill('SIGKILL'); // the group is gone, or this system has none
  }
}

/** The lines of git's error output that say why, in at most 300 characters. */
function shorten(stderr: string, status: number): string {
  const lines = Bun.stripANSI(stderr)
    .split('\n')
    .map((line) => line.replace(/\p{Cc}/gu, ' ').trim())
    .filter(
      (line) =>
        line && !/^(To |From |hint:|warning:|error: failed to push|Please make sure|and the rep)/.test(line),
    )
    .map((line) => line.replace(/^(remote: *|fatal: *|error: *)+|\.$/g, ''));
  const text = lines.filter(Boolean).join('; ');
  return (text.length > 300 ? `${text.slice(0, 299)}…` : text) || `git ended with status ${status}`;
}
