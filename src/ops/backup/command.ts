// The `backup` command: what it prints and how it ends.
import type { Config } from '../../config.ts';
import { type BackupLine, runBackup } from './backup.ts';
import { BackupError } from './error.ts';
import { backupTarget } from './target.ts';

const stopSignals = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

/**
 * Makes one backup and prints one line of JSON, or a sentence; warnings and problems go to standard error.
 * SIGTERM, SIGINT and SIGHUP stop it together with its git.
 * @returns the exit status: 0 when the remote has the snapshot, else 1
 */
export async function backupCommand(config: Config, json: boolean): Promise<number> {
  const line = await attempt(config);
  const warnings = line.ok ? line.warnings : [];
  if (!json) await Bun.write(Bun.stderr, warnings.map((warning) => `Warning: ${warning}\n`).join(''));
  const text = json ? JSON.stringify(line) : sentence(line);
  await Bun.write(json || line.ok ? Bun.stdout : Bun.stderr, `${text}\n`);
  return line.ok ? 0 : 1;
}

async function attempt(config: Config): Promise<BackupLine> {
  const controller = new AbortController();
  const stop = (): void => controller.abort();
  for (const name of stopSignals) process.on(name, stop);
  try {
    const target = backupTarget(config);
    if (target) return { ok: true, ...(await runBackup(target, { signal: controller.signal })) };
    const message = 'BACKUP_REPO is not set: there is nowhere to push to. Set it to a git repository.';
    return { ok: false, kind: 'failed', message };
  } catch (error) {
    if (!(error instanceof BackupError)) throw error;
    return { ok: false, kind: error.kind, message: error.message };
  } finally {
    for (const name of stopSignals) process.off(name, stop);
  }
}

function sentence(line: BackupLine): string {
  if (!line.ok) return line.message;
  const size = `${line.bytes} bytes`;
  return line.outcome === 'pushed'
    ? `Pushed a snapshot of ${size} as commit ${line.commit} in ${line.durationMs} ms.`
    : `Nothing has changed since commit ${line.commit} (${size}, checked in ${line.durationMs} ms).`;
}
