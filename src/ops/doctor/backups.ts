// The doctor on backups: the program they are made with, where they go, and how they went.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BackupError } from '../backup/error.ts';
import { openGit } from '../backup/git.ts';
import { GitError } from '../backup/git-process.ts';
import { readBackupState } from '../backup/state.ts';
import { backupTarget, exposureOf } from '../backup/target.ts';
import { backupPlanOf, checkBackups } from '../health/backup-checks.ts';
import { type Check, fail, ok, warn } from '../health/checks.ts';
import type { Examination, Looks } from './examination.ts';

const patienceMs = 20_000;

export const backupLooks: Looks = {
  backups: ({ config }) =>
    config.BACKUP_REPO ? null : warn('none are made: set BACKUP_REPO to a git repository of yours'),
  'backup repository': (seen) => checkRepository(seen),
  'backup encryption': ({ config }) => checkEncryption(config),
  'last backup': (seen) => checked(seen, 'BACKUP'),
  'repository size': (seen) => checked(seen, 'REMOTE'),
  'restore drill': (seen) => checked(seen, 'DRILL'),
};

async function checkRepository({ config }: Examination): Promise<Check | null> {
  const folder = mkdtempSync(join(tmpdir(), 'chat-doctor-'));
  try {
    const target = backupTarget(config);
    if (!target) return null;
    const { access, branch } = target;
    const git = await openGit({ gitDir: folder, access, timeLimitMs: patienceMs });
    const listed = await git.run(['ls-remote', '--', access.address, `refs/heads/${branch}`]);
    return ok(listed === '' ? `can be read; branch ${branch} is made by the first backup` : 'can be read');
  } catch (error) {
    if (!(error instanceof GitError || error instanceof BackupError)) throw error;
    return fail(error.message);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Whether others could read the snapshots; null when none are made. */
function checkEncryption(config: Examination['config']): Check | null {
  if (!config.BACKUP_REPO) return null;
  const exposure = exposureOf(config);
  if (exposure) return warn(exposure);
  return ok(
    config.BACKUP_KEY ? 'on: keep BACKUP_KEY elsewhere too' : 'off, the repository is on this machine',
  );
}

/** Null when no backups are made. */
function checked({ config, now }: Examination, name: string): Check | null {
  if (!config.BACKUP_REPO) return null;
  // As if they could have been made at any time: what was never made is then overdue.
  const plan = backupPlanOf(config, 0);
  return checkBackups(readBackupState(config.DATA_DIR), plan, now)[name] ?? null;
}
