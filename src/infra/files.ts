// Files that survive a power cut: what was written is on the disk when these return.
import { closeSync, fsyncSync, openSync } from 'node:fs';

/** Waits until the file's content is on the disk. */
export function syncFile(path: string): void {
  // Windows syncs only what may be written.
  const file = openSync(path, 'r+');
  fsyncSync(file);
  closeSync(file);
}

/**
 * Waits until the names in the folder are on the disk, which a rename or a new file needs besides its own content.
 * @see https://man7.org/linux/man-pages/man2/fsync.2.html
 */
export function syncFolder(path: string): void {
  if (process.platform === 'win32') return; // it does not allow that
  const folder = openSync(path, 'r');
  fsyncSync(folder);
  closeSync(folder);
}
