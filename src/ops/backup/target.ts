// What is backed up and where to, as the configuration says.
import type { Config } from '../../config.ts';
import { type Access, accessOf, isLocal } from './access.ts';

export interface BackupTarget {
  /** Folder that holds `chat.db`; what the backup needs for itself lies in its folder `backup`. */
  readonly dataDir: string;
  readonly access: Access;
  readonly branch: string;
  /** How many snapshots the branch keeps, at least 1. */
  readonly keep: number;
  /** Size of the repository above which there is a warning. */
  readonly maxBytes: number;
  /** 32 bytes; null: snapshots are stored in clear. */
  readonly key: Uint8Array | null;
  /** What is to be said of who could read the snapshots; null when nobody else can. */
  readonly exposure: string | null;
}

/**
 * Null when BACKUP_REPO is not set.
 * @throws BackupError when the file of the token cannot be read
 */
export function backupTarget(config: Config): BackupTarget | null {
  if (config.BACKUP_REPO === undefined) return null;
  return {
    dataDir: config.DATA_DIR,
    access: accessOf({
      repo: config.BACKUP_REPO,
      token: config.BACKUP_TOKEN,
      tokenFile: config.BACKUP_TOKEN_FILE,
      sshKey: config.BACKUP_SSH_KEY,
    }),
    branch: config.BACKUP_BRANCH,
    keep: config.BACKUP_KEEP,
    maxBytes: config.BACKUP_MAX_BYTES,
    key: config.BACKUP_KEY ?? null,
    exposure: exposureOf(config),
  };
}

/** The same as environment variables, for a process of its own. */
export function backupEnvironment(config: Config): Record<string, string> {
  const texts: Record<string, string | number | undefined> = {
    DATA_DIR: config.DATA_DIR,
    BACKUP_REPO: config.BACKUP_REPO,
    BACKUP_BRANCH: config.BACKUP_BRANCH,
    BACKUP_KEEP: config.BACKUP_KEEP,
    BACKUP_MAX_BYTES: config.BACKUP_MAX_BYTES,
    BACKUP_KEY: config.BACKUP_KEY && Buffer.from(config.BACKUP_KEY).toString('hex'),
    BACKUP_TOKEN: config.BACKUP_TOKEN,
    BACKUP_TOKEN_FILE: config.BACKUP_TOKEN_FILE,
    BACKUP_SSH_KEY: config.BACKUP_SSH_KEY,
  };
  // An empty one counts as unset, so that nothing of our own environment or a file .env shows through.
  return Object.fromEntries(Object.entries(texts).map(([name, value]) => [name, String(value ?? '')]));
}

/** What is said as long as others could read the snapshots; null when nobody can. */
export function exposureOf({ BACKUP_REPO: repo, BACKUP_KEY: key }: Config): string | null {
  if (repo === undefined || key || isLocal(accessOf({ repo }))) return null;
  return (
    'BACKUP_KEY is not set and BACKUP_REPO is not a folder of this machine: whoever can read that repository reads ' +
    'all messages and addresses. Set BACKUP_KEY to what "openssl rand -hex 32" prints, and keep it elsewhere too.'
  );
}
