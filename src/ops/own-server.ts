// The server that runs on a data folder, as commands on the same machine find it.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../config.ts';
import { acquireLock } from '../store/lock.ts';

/** Whether a server holds the data folder. */
export function isServerRunning(dataDir: string): boolean {
  const path = join(dataDir, 'server.lock');
  if (!existsSync(path)) return false;
  const lock = acquireLock(path, 0);
  lock?.[Symbol.dispose]();
  return lock === null;
}

/** Where it answers on this machine, as an origin. */
export function ownUrl({ HOST, PORT }: Config): string {
  const host = ({ '0.0.0.0': '127.0.0.1', '::': '::1' } as Record<string, string>)[HOST] ?? HOST;
  return `http://${host.includes(':') ? `[${host}]` : host}:${PORT}`;
}

/** Null while none was made. @throws the file system's error when it cannot be read */
export function ownAdminKey({ ADMIN_KEY, DATA_DIR }: Config): string | null {
  const path = join(DATA_DIR, 'admin.key');
  return ADMIN_KEY ?? (existsSync(path) ? readFileSync(path, 'utf8').trim() : null);
}
