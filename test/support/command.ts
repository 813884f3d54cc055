// The program's commands, each run to its end as a process of its own with nothing but the environment it is given.
import { tmpdir } from 'node:os';
import { entry } from './server.ts';

export interface Ended {
  /** Null when it was killed. */
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface Circumstances {
  /** A file that is loaded into the process before the program. */
  readonly preload?: string;
  /** What the process is given beside what it is asked: kills it and the like. */
  readonly started?: (child: Bun.Subprocess) => unknown;
}

export async function runCommand(
  args: readonly string[],
  env: Record<string, string>,
  { preload, started }: Circumstances = {},
): Promise<Ended> {
  const { PATH = '', HOME = '' } = process.env;
  const before = preload ? [`--preload=${preload}`] : [];
  const child = Bun.spawn([process.execPath, 'run', ...before, entry, ...args], {
    cwd: tmpdir(),
    env: { PATH, HOME, ...env },
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
    timeout: 60_000,
  });
  started?.(child);
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { status: child.signalCode ? null : child.exitCode, stdout, stderr };
}
