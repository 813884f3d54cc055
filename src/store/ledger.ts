// The ledger of erased accounts: a file beside the database, because what the database knows is lost when it is restored.
import { closeSync, fsyncSync, openSync, readFileSync, statSync, truncateSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { AppError } from '../errors.ts';
import type { Erasure } from './own-data-store.ts';

export interface Ledger {
  /** Whether this account number was erased, by this process or another; it is never given again. */
  has(uid: number): boolean;
  /** Every erasure, the last of each account. */
  list(): Erasure[];
  /**
   * Adds one line; it is on the disk when this returns.
   * @throws AppError `unavailable` when it cannot be written
   */
  append(erasure: Erasure): void;
}

/**
 * Opens the ledger at `path`; the file (mode 0600) is made with its first line.
 * @throws Error when it has a line that cannot be read: accounts of it might come back unnoticed
 */
export function openLedger(path: string): Ledger {
  let erasures = new Map<number, Erasure>();
  let readBytes = 0;
  const refresh = (): void => {
    const bytes = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
    if (bytes === readBytes) return;
    erasures = readLedger(path, bytes);
    readBytes = bytes;
  };
  dropTornLine(path);
  refresh();
  return {
    has(uid) {
      refresh();
      return erasures.has(uid);
    },
    list() {
      refresh();
      return [...erasures.values()];
    },
    append({ uid, at, messages }) {
      try {
        appendLine(path, JSON.stringify({ uid, at, messages }));
      } catch (error) {
        const refusal = new AppError(
          'unavailable',
          'The disk is full. Nothing was deleted, try again later.',
        );
        refusal.cause = error;
        throw refusal;
      }
    },
  };
}

function readLedger(path: string, bytes: number): Map<number, Erasure> {
  const erasures = new Map<number, Erasure>();
  const lines = bytes === 0 ? [] : readFileSync(path, 'utf8').split('\n');
  for (const [index, line] of lines.entries()) {
    if (line.trim() === '') continue;
    const erasure = readLine(line);
    if (!erasure) {
      throw new Error(`${path}, line ${index + 1}: this is no {"uid", "at", "messages"}. Mend the line.`);
    }
    erasures.set(erasure.uid, erasure);
  }
  return erasures;
}

function readLine(line: string): Erasure | null {
  try {
    const { uid, at, messages } = JSON.parse(line);
    const sound = Number.isSafeInteger(uid) && Number.isSafeInteger(at);
    return sound && (messages === 'keep' || messages === 'remove') ? { uid, at, messages } : null;
  } catch {
    return null; // not JSON, which is said of it as of any other bad line
  }
}

/** A process killed while writing leaves a part of a line; nothing was deleted by it, so it goes. */
function dropTornLine(path: string): void {
  if (!statSync(path, { throwIfNoEntry: false })) return;
  const text = readFileSync(path, 'utf8');
  const tail = text.slice(text.lastIndexOf('\n') + 1);
  if (tail === '') return;
  if (readLine(tail)) appendLine(path, '');
  else truncateSync(path, Buffer.byteLength(text) - Buffer.byteLength(tail));
}

function appendLine(path: string, line: string): void {
  const isNew = !statSync(path, { throwIfNoEntry: false });
  const file = openSync(path, 'a', 0o600);
  try {
    writeSync(file, `${line}\n`);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  // A new file survives a power cut once its folder is synced too, which Windows does not allow.
  if (!isNew || process.platform === 'win32') return;
  const folder = openSync(dirname(path), 'r');
  fsyncSync(folder);
  closeSync(folder);
}
