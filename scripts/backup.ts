// Makes one backup with the configuration of the environment: what a cron job or a systemd timer runs.
import { ConfigError, loadConfig } from '../src/config.ts';
import { backupCommand } from '../src/ops/backup/backup.ts';

/** Exit status: 0 the remote has the snapshot, 1 it has not, 2 the configuration is not valid. */
async function main(): Promise<number> {
  process.umask(0o077);
  try {
    const { DATA_DIR, BACKUP_REPO, BACKUP_BRANCH } = loadConfig();
    const target = BACKUP_REPO ? { dataDir: DATA_DIR, repo: BACKUP_REPO, branch: BACKUP_BRANCH } : null;
    return await backupCommand(target, process.argv.includes('--json'));
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return 2;
  }
}

if (import.meta.main) process.exitCode = await main();
