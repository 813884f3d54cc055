// Makes one backup with the configuration of the environment: what a cron job or a systemd timer runs.
import { ConfigError, loadConfig } from '../src/config.ts';
import { backupCommand } from '../src/ops/backup/command.ts';

/** Exit status: 0 the remote has the snapshot, 1 it has not, 2 the configuration is not valid. */
async function main(): Promise<number> {
  process.umask(0o077);
  try {
    return await backupCommand(loadConfig(), process.argv.includes('--json'));
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return 2;
  }
}

if (import.meta.main) process.exitCode = await main();
