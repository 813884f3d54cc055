// Runs one git command: without a shell, without prompts, and not longer than it gives signs of life.

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

export interface Execution {
  env: Record<string, string>;
  /** How long it may print nothing on standard error, in ms. */
  limitMs: number;
  /** What is said of it when it was silent for so many seconds. */
  late: (seconds: number) => string;
  signal: AbortSignal | undefined;
  /** What it reads. */
  input?: string | Uint8Array;
  /** File that what it prints goes to, if not into memory. */
  path?: string;
}

export interface Outcome {
  status: number;
  stdout: Uint8Array;
  stderr: string;
}

/** @throws GitError `stopped` */
export async function executeWithin(command: string[], execution: Execution): Promise<Outcome> {
  const { env, limitMs, late, signal, input, path } = execution;
  if (signal?.aborted) throw new GitError('stopped', 'The backup was stopped.');
  const stdin = typeof input === 'string' ? new TextEncoder().encode(input) : input;
  const child = Bun.spawn(command, {
    env,
    stdin: stdin ?? 'ignore',
    stdout: path ? Bun.file(path) : 'pipe',
    stderr: 'pipe',
    // Its own session: git's helpers (ssh, the remote side of a path) end with it, and none can ask on a terminal.
    detached: true,
  });
  const interrupted = Promise.withResolvers<never>();
  const interrupt = (why: string): void => {
    killGroup(child);
    interrupted.reject(new GitError('stopped', why));
  };
  const stop = (): void => interrupt('The backup was stopped.');
  signal?.addEventListener('abort', stop);
  const timer = setTimeout(() => interrupt(late(Math.ceil(limitMs / 1000))), limitMs);
  try {
    // On an interrupt the pipes are not waited for: a helper that escaped the kill would hold them open.
    const printed = child.stdout instanceof ReadableStream ? child.stdout.bytes() : new Uint8Array();
    const said = readAll(child.stderr, () => void timer.refresh());
    const [stdout, stderr, status] = await Promise.race([
      Promise.all([printed, said, child.exited]),
      interrupted.promise,
    ]);
    return { stdout, stderr, status };
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', stop);
  }
}

async function readAll(stream: ReadableStream<Uint8Array>, onChunk: () => void): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of stream) {
    onChunk();
    text += decoder.decode(chunk, { stream: true });
  }
  return text;
}

function killGroup(child: Bun.Subprocess): void {
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    child.kill('SIGKILL'); // the group is gone, or this system has none
  }
}
