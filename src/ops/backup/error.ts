// The error of backups and restores.

/** `running`: another backup holds the lock; `failed`: everything else. */
export type BackupFailure = 'running' | 'failed';

/** What was not backed up or not restored. The message says what happened and what to do, and holds no credential. */
export class BackupError extends Error {
  constructor(
    readonly kind: BackupFailure,
    message: string,
  ) {
    super(message);
    this.name = 'BackupError';
  }
}
