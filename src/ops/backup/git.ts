// The git program for one local repository and one remote: its settings, its environment, and its errors in words.
import { type Access, secretsOf } from './access.ts';
import { type Execution, executeWithin, GitError, type Outcome } from './git-process.ts';

export interface Git {
  /**
   * Runs one git command, its name first, and gives what it printed, trimmed.
   * @param input what it reads
   * @throws GitError
   */
  run(args: readonly string[], input?: string | Uint8Array): Promise<string>;
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
  /**
   * Runs a push, and gives how many bytes of objects it has sent, to four digits.
   * @param settings further ones, for this run
   * @throws GitError
   */
  send(args: readonly string[], settings: readonly string[]): Promise<number>;
}

export interface GitOptions {
  /** Folder of the local (bare) repository. */
  gitDir: string;
  /** The remote: its credentials are kept out of every error text. */
  access: Access;
  /** How long a command may give no sign of life, in ms; one that shows its progress gives them. */
  timeLimitMs: number;
  /** Stops the running command, and refuses further ones. */
  signal?: AbortSignal | undefined;
  /** Further settings, as `name=value`. */
  settings?: readonly string[];
}

/** What one command is run with. */
interface Details extends Pick<Execution, 'input' | 'path'> {
  settings?: readonly string[];
}

/** What git answers with when it is pointed elsewhere by its caller (git rev-parse --local-env-vars). */
const callersRepository =
  /^GIT_(?:DIR|WORK_TREE|INDEX_FILE|OBJECT_DIRECTORY|ALTERNATE_OBJECT_DIRECTORIES|COMMON_DIR|NAMESPACE|PREFIX|SHALLOW_FILE|GRAFT_FILE)$/;
/** Secrets of ours that git and its helpers have no use for. */
const ourSecrets = /^(?:BACKUP_.*|ADMIN_KEY|METRICS_KEY|SMTP_URL)$/;

export const author = { name: 'Chat backup', email: 'backup@localhost' } as const;
/**
 * Nothing here depends on the person's git settings but the access to the remote: no hooks, no signing.
 * Nothing is packed or collected in the background: objects stay single files, which can be removed.
 */
const ownSettings = [
  'core.hooksPath=/dev/null',
  'gc.auto=0',
  'maintenance.auto=false',
  'pack.threads=1',
  'core.bigFileThreshold=50m', // larger files are streamed: comparing two of them takes several times their size
];

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
export async function openGit(options: GitOptions): Promise<Git> {
  const { gitDir, access, timeLimitMs, signal, settings = [] } = options;
  const env = gitEnvironment(access);
  const program = Bun.which('git', { PATH: env.PATH ?? '' });
  if (!program)
    throw new GitError('absent', 'The git program is not installed, or not in PATH. Install git.');
  const configured = [...ownSettings, ...loginSettings(access), ...settings];
  const execute = (args: readonly string[], { settings: own = [], ...more }: Details = {}) => {
    const word = args[0] ?? '';
    const late = (seconds: number): string => explain(word, `it gave no sign of life for ${seconds} s`);
    const set = [...configured, ...own].flatMap((one) => ['-c', one]);
    const command = [program, `--git-dir=${gitDir}`, ...set, ...args];
    return executeWithin(command, { env, limitMs: timeLimitMs, signal, late, ...more });
  };
  const succeed = async (...[args, more]: Parameters<typeof execute>): Promise<Outcome> => {
    const outcome = await execute(args, more);
    if (outcome.status === 0) return outcome;
    const reason = scrub(shorten(outcome), secretsOf(access));
    throw new GitError('refused', explain(args[0] ?? '', reason));
  };
  const git: Git = {
    run: async (args, input) => textOf(await succeed(args, input === undefined ? {} : { input })),
    find: async (args) => {
      const outcome = await execute(args);
      return outcome.status === 0 ? textOf(outcome) : null;
    },
    read: async (args) => (await succeed(args)).stdout,
    save: async (args, path) => void (await succeed(args, { path })),
    send: async (args, own) => bytesSent((await succeed(args, { settings: own })).stderr),
  };
  await chooseSshCommand(git, env, access);
  return git;
}

function textOf({ stdout }: Outcome): string {
  return new TextDecoder().decode(stdout).trim();
}

/** Which step failed, git's reason, and what to do about it. */
function explain(word: string, reason: string): string {
  const { what, remedy } = explanations[word] ?? {
    what: `git ${word} failed`,
    remedy: 'If it does again, delete the folder backup/repository in DATA_DIR: it is made anew.',
  };
  return `${what}: ${reason}. ${remedy}`;
}

/** The text without these secrets, nor the credentials of any address in it. */
export function scrub(text: string, secrets: readonly string[] = []): string {
  const safe = secrets.reduce((scrubbed, secret) => scrubbed.replaceAll(secret, '[redacted]'), text);
  return safe.replace(/\/\/[^\s/]*@/g, '//');
}

function gitEnvironment({ login }: Access): Record<string, string> {
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (value !== undefined && !callersRepository.test(name) && !ourSecrets.test(name)) env[name] = value;
  }
  for (const role of ['AUTHOR', 'COMMITTER']) {
    env[`GIT_${role}_NAME`] = author.name;
    env[`GIT_${role}_EMAIL`] = author.email;
  }
  const secrets = login && { [variables.username]: login.username, [variables.password]: login.password };
  return { ...env, ...secrets, GIT_TERMINAL_PROMPT: '0', LC_ALL: 'C' };
}

const variables = { username: 'CHAT_BACKUP_USERNAME', password: 'CHAT_BACKUP_PASSWORD' } as const;

/**
 * Answers git's question for a login from the environment, for this host alone, also when it sends us to another. No
 * other helper is asked, nor told the answer: it might keep it.
 * @see https://git-scm.com/docs/gitcredentials
 */
function loginSettings({ address, login }: Access): string[] {
  if (!login) return [];
  const print = `printf "username=%s\\npassword=%s\\n" "$${variables.username}" "$${variables.password}"`;
  const helper = `!answer() { test "$1" = get && ${print}; }; answer`;
  return ['credential.helper=', `credential.${new URL(address).origin}.helper=${helper}`];
}

const ssh = 'ssh -oBatchMode=yes -oConnectTimeout=10 -oServerAliveInterval=15';

/** Makes ssh fail instead of asking or waiting for ever, unless the person has said how ssh is to be run. */
async function chooseSshCommand(git: Git, env: Record<string, string>, { sshKey }: Access): Promise<void> {
  if (sshKey) env.GIT_SSH_COMMAND = `${ssh} -oIdentitiesOnly=yes -i '${sshKey.replaceAll("'", "'\\''")}'`;
  else if (env.GIT_SSH_COMMAND || env.GIT_SSH) return;
  else if (!(await git.find(['config', '--get', 'core.sshCommand']))) env.GIT_SSH_COMMAND = ssh;
}

/** Lines of git's error output that say nothing of the reason: progress, addresses, advice. */
const chatter =
  /^(?:remote: )?(?:\w+ (?:objects|deltas|files):? |Delta compression|Total \d)|^(?:To |From |hint:|warning:|error: failed to push|Please make sure|and the rep)/;

/** The lines that say why, in at most 300 characters. */
function shorten({ stderr, status }: Outcome): string {
  const lines = Bun.stripANSI(stderr)
    .split(/[\r\n]/)
    .map((line) => line.replace(/\p{Cc}/gu, ' ').trim())
    .filter((line) => line && !chatter.test(line))
    .map((line) => line.replace(/^(remote: *|fatal: *|error: *)+|\.$/g, ''));
  const text = lines.filter(Boolean).join('; ');
  return (text.length > 300 ? `${text.slice(0, 299)}…` : text) || `git ended with status ${status}`;
}

const units: Record<string, number> = { bytes: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };

function bytesSent(stderr: string): number {
  const said = [...stderr.matchAll(/Writing objects: 100% \(\d+\/\d+\), ([\d.]+) (bytes|[KMG]iB)/g)].at(-1);
  return Math.round(Number(said?.[1] ?? 0) * (units[said?.[2] ?? ''] ?? 1));
}
