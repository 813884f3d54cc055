// The doctor on the program, its configuration and the machine it is on.
import { accessSync, constants, existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { engines, version } from '../../../package.json' with { type: 'json' };
import { findWide } from '../../infra/data-folder.ts';
import { type Check, checkDisk, fail, formatBytes, freeBytes, ok, warn } from '../health/checks.ts';
import type { Examination, Looks } from './examination.ts';

/** Each connection takes one. */
const fewOpenFiles = 4096;
/** A backup needs the snapshot and what git makes of it. */
const copiesOfBackup = 2;

export const installationLooks: Looks = {
  program: () => {
    const words = `chat-backend ${version} on Bun ${Bun.version}, ${process.platform} ${process.arch}`;
    return Bun.version === engines.bun ? ok(words) : warn(`${words}: tested with Bun ${engines.bun}`);
  },
  configuration: ({ config }) => ok(`valid; the data is in ${config.DATA_DIR}`),
  'public address': ({ config }) => checkAddress(config),
  'rate limits': ({ config: { RATE_LIMITS } }) =>
    RATE_LIMITS ? ok('on') : warn('off: anybody may try as fast as they like; unset RATE_LIMITS'),
  'data folder': ({ config }) => checkFolder(config.DATA_DIR),
  'disk space': async (seen) => checkSpace(seen),
  'open files': () => checkOpenFiles(),
};

function checkAddress({ PUBLIC_URL, TRUST_PROXY, HSTS_SECONDS, CORS_ORIGINS }: Examination['config']): Check {
  if (!PUBLIC_URL && CORS_ORIGINS === '*')
    return warn('unknown, so pages of every site may call: set PUBLIC_URL to the address people type');
  if (!PUBLIC_URL) return ok('unknown; CORS_ORIGINS says whose pages may call');
  const words = PUBLIC_URL.origin;
  if (PUBLIC_URL.protocol === 'https:' && !TRUST_PROXY)
    return warn(
      `${words} needs a proxy for TLS: set TRUST_PROXY to its address, else all people count as one`,
    );
  if (PUBLIC_URL.protocol === 'http:' && HSTS_SECONDS > 0)
    return warn(`${words} is plain HTTP, which HSTS_SECONDS forbids browsers to use`);
  return ok(words);
}

function checkFolder(path: string): Check {
  if (!existsSync(path)) return ok(`${path} is made at the first start`);
  const { uid } = statSync(path);
  const self = process.getuid?.() ?? uid;
  try {
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch {
    return fail(`${path} cannot be written by this user: chown it, or run as its owner (uid ${uid})`);
  }
  const [wide] = findWide(path);
  if (wide) return warn(`others may read ${wide.path}: chmod ${wide.mode.toString(8)} ${wide.path}`);
  if (self !== uid) return warn(`${path} is of uid ${uid}, this is uid ${self}: run as its owner`);
  return ok(`${path} is for its owner alone`);
}

async function checkSpace({ config }: Examination): Promise<Check> {
  const { DATA_DIR, DISK_LOW_BYTES, BACKUP_REPO } = config;
  // A folder that is still to be made lies on the disk of the nearest one above it.
  let path = DATA_DIR;
  while (!existsSync(path)) path = dirname(path);
  const disk = await checkDisk(path, DISK_LOW_BYTES);
  const needed = BACKUP_REPO
    ? copiesOfBackup * (statSync(join(DATA_DIR, 'chat.db'), { throwIfNoEntry: false })?.size ?? 0)
    : 0;
  if (disk.state !== 'ok' || (await freeBytes(path)) >= needed) return disk;
  return warn(`${disk.detail}: a backup needs ${formatBytes(needed)}`);
}

/** What a service may open is set by its unit, not by this shell. */
function checkOpenFiles(): Check | null {
  const path = '/proc/self/limits';
  if (!existsSync(path)) return null;
  const [, most = ''] = /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync(path, 'utf8')) ?? [];
  const words = `${most} may be open here; a service has its own limit`;
  return Number(most) < fewOpenFiles
    ? warn(`${words}: each connection takes one, so raise it (ulimit -n, LimitNOFILE= in the unit)`)
    : ok(words);
}
