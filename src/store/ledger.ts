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
 * Opens the ledger at `path`; the file (mode 0600) is made with its first line. `mends`: the file is this process's alone
 * to write, so that a line without an end is none that is just being written, and is mended.
 * @throws Error when it has a line that cannot be read: accounts of it might come back unnoticed
 */
export function openLedger(path: string, { mends }: { mends: boolean }): Ledger {
  let erasures = new Map<number, Erasure>();
  let readBytes = 0;
  const refresh = (): void => {
    const bytes = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
    if (bytes === readBytes) return;
    erasures = readLedger(path, bytes);
    readBytes = bytes;
  };
  if (mends) mendEnd(path);
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
    append(erasure) {
      try {
        if (mends) mendEnd(path); // what a full disk cut off
        appendLine(path, lineOf(erasure));
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
  return parseLedger(bytes === 0 ? '' : readFileSync(path, 'utf8'), path);
}

/**
 * The last erasure of each account in a ledger's text; `name` is what a complaint calls it.
 * @throws Error when it has a line that cannot be read
 */
function parseLedger(text: string, name: string): Map<number, Erasure> {
  const erasures = new Map<number, Erasure>();
  const lines = text.split('\n');
  for (const [index, line] of lines.entries()) {
    if (line.trim() === '') continue;
    const erasure = readLine(line);
    if (!erasure && index === lines.length - 1) break; // without its end: being written, or cut off
    if (!erasure) {
      throw new Error(`${name}, line ${index + 1}: this is no {"uid", "at", "messages"}. Mend the line.`);
    }
    erasures.set(erasure.uid, erasure);
  }
  return erasures;
}

/** A ledger as a text and what a complaint calls it. */
export interface LedgerText {
  readonly name: string;
  readonly text: string;
}

/**
 * One ledger of every erasure that any of these has, in the order they happened.
 * @throws Error when one has a line that cannot be read
 */
export function mergeLedgers(ledgers: readonly LedgerText[]): string {
  const all = ledgers.flatMap(({ name, text }) => [...parseLedger(text, name).values()]);
  all.sort((one, other) => one.at - other.at);
  const last = new Map(all.map((erasure) => [erasure.uid, erasure]));
  return [...last.values()].map((erasure) => `${lineOf(erasure)}\n`).join('');
}

/** The text of a ledger that its server may be writing to: without a line that is not finished; '' when there is none. */
export function readFinishedLines(path: string): string {
  const text = statSync(path, { throwIfNoEntry: false }) ? readFileSync(path, 'utf8') : '';
  const end = text.lastIndexOf('\n') + 1;
  return readLine(text.slice(end)) ? `${text}\n` : text.slice(0, end);
}

function lineOf({ uid, at, messages }: Erasure): string {
  return JSON.stringify({ uid, at, messages });
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
function mendEnd(path: string): void {
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
