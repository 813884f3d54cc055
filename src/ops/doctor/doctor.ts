// The `doctor` command: looks at an installation, also beside its server, and says of each thing whether it is well.
import type { Config } from '../../config.ts';
import type { Asked, Command } from '../command-line.ts';
import { type Check, type CheckState, settled } from '../health/checks.ts';
import { isServerRunning } from '../own-server.ts';
import { backupLooks } from './backups.ts';
import { databaseLooks } from './database.ts';
import type { Examination, Looks } from './examination.ts';
import { installationLooks } from './installation.ts';
import { networkLooks } from './network.ts';

export const doctorCommand: Command<Config> = {
  usage: 'doctor [--full] [--json]',
  meaning: 'look whether the installation is well, and say what to do; --full reads the whole database',
  options: { full: 'flag', json: 'flag' },
  run,
};

const looks: Looks = { ...installationLooks, ...databaseLooks, ...networkLooks, ...backupLooks };
const nameWidth = Math.max(...Object.keys(looks).map(({ length }) => length));
const colors: Record<CheckState, string> = { ok: '32', warn: '33', fail: '31' };

/** Exit status 0 when nothing has failed, else 1. */
async function run({ flags }: Asked, config: Config): Promise<number> {
  const [json, full] = [flags.has('json'), flags.has('full')];
  const seen: Examination = { config, full, serverRuns: holdsServer(config.DATA_DIR), now: Date.now() };
  const found: ({ name: string } & Check)[] = [];
  for (const [name, look] of Object.entries(looks)) {
    const check = await settled((async () => look(seen))());
    if (!check) continue;
    found.push({ name, ...check });
    if (!json) process.stdout.write(lineOf(name, check));
  }
  const failed = found.filter(({ state }) => state === 'fail').length;
  const warned = found.filter(({ state }) => state === 'warn').length;
  if (json) process.stdout.write(`${JSON.stringify({ ok: failed === 0, checks: found })}\n`);
  else process.stdout.write(`${found.length} looked at: ${failed} failed, ${warned} to be looked after.\n`);
  return failed === 0 ? 0 : 1;
}

/** Whoever may not even read the lock is told so by the check of the folder. */
function holdsServer(dataDir: string): boolean {
  try {
    return isServerRunning(dataDir);
  } catch {
    return false;
  }
}

/** One line for each check; what others wrote must not steer the terminal. */
function lineOf(name: string, { state, detail }: Check): string {
  const word = state.padEnd(4);
  const shown = process.stdout.isTTY ? `\u001b[${colors[state]}m${word}\u001b[0m` : word;
  return `${shown}  ${name.padEnd(nameWidth)}  ${detail.replace(/\p{Cc}/gu, ' ')}\n`;
}
