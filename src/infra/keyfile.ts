// Secrets that are made at the first start and kept as files only their owner can read.
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';

/**
 * Reads a secret from its file, or makes the file (mode 0600) with what `make` returns.
 * Written aside, synced and renamed, so that a kill leaves either no file or a whole one.
 * @throws Error when the file is empty
 */
export function readOrMakeKey(path: string, make: () => string): string {
  if (!existsSync(path)) {
    const part = `${path}.new`;
    const file = openSync(part, 'w', 0o600);
    writeSync(file, `${make()}\n`);
    fsyncSync(file);
    closeSync(file);
    renameSync(part, path);
  }
  const key = readFileSync(path, 'utf8').trim();
  if (key === '') throw new Error(`${path} is empty. Remove it to have a new one made.`);
  return key;
}
