// Installs what the lock file has for other platforms into a folder of its own, beside the working node_modules.
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Target } from './targets.ts';

const root = join(import.meta.dir, '../..');

/** Where Bun's own executable for a platform lies in a `node_modules`. */
export function runtimeIn(folder: string, { runtime, os }: Target): string {
  return join(folder, runtime, 'bin', os === 'win32' ? 'bun.exe' : 'bun');
}

export interface Packages extends Disposable {
  /** The `node_modules` with the packages of all the targets. */
  readonly folder: string;
}

/**
 * Every package is held to its hash in `bun.lock`; the folder is removed when it is disposed of.
 * @throws Error with the words of `bun install` when that fails
 * @see https://bun.com/docs/pm/cli/install
 */
export async function installPackages(targets: readonly Target[]): Promise<Packages> {
  const folder = mkdtempSync(join(tmpdir(), 'chat-build-'));
  const dispose = () => rmSync(folder, { recursive: true, force: true });
  for (const file of ['package.json', 'bun.lock']) cpSync(join(root, file), join(folder, file));
  const platforms = targets.flatMap(({ os, cpu, libc }) => {
    return [`--os=${os}`, `--cpu=${cpu}`, ...(libc ? [`--libc=${libc}`] : [])];
  });
  const install = Bun.spawn(
    [process.execPath, 'install', '--frozen-lockfile', '--ignore-scripts', ...new Set(platforms)],
    { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] },
  );
  const said = await install.stderr.text();
  if ((await install.exited) !== 0) {
    dispose();
    throw new Error(`The packages could not be installed:\n${said}`);
  }
  return { folder: join(folder, 'node_modules'), [Symbol.dispose]: dispose };
}
