// Makes files that only their owner can read, whatever the process's umask is.
import { closeSync, existsSync, openSync } from 'node:fs';

/**
 * Makes an empty file (mode 0600) unless there is one. An existing one is not even opened: closing it would end the locks
 * that this process has on it by other handles.
 * @see https://sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_
 */
export function makePrivateFile(path: string): void {
  if (existsSync(path)) return;
  try {
    closeSync(openSync(path, 'ax', 0o600));
  } catch (error) {
    // Another process was faster, and made it the same way.
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  }
}
