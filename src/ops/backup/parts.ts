// Splits a snapshot file into the parts that are stored, and joins them again, every byte checked.
import { createHash } from 'node:crypto';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { BackupError } from './error.ts';
import { type Manifest, partName, type StoredFile } from './manifest.ts';
import { createSealer, type Sealer } from './seal.ts';

/**
 * Bytes of a part in clear; the last one is shorter. Hosting services refuse files of 100 MB, and git holds several in
 * memory when it looks for what has changed.
 */
export const partBytes = 8 * 1024 * 1024;

export interface WriteOptions {
  /** Null: the parts are stored in clear. */
  readonly sealer: Sealer | null;
  /** Stores one file of the snapshot; the bytes are valid until it resolves. */
  readonly keep: (name: string, bytes: Uint8Array) => Promise<void>;
}

/** Stores a file part by part, one of which is in memory at a time. */
export async function writeParts(
  path: string,
  options: WriteOptions,
): Promise<Pick<Manifest, 'database' | 'parts'>> {
  const file = await open(path);
  try {
    const whole = createHash('sha256');
    const buffer = new Uint8Array(partBytes);
    const parts: StoredFile[] = [];
    let bytes = 0;
    for (;;) {
      const length = await fill(file, buffer);
      if (length === 0) break;
      const clear = buffer.subarray(0, length);
      whole.update(clear);
      bytes += length;
      parts.push(await writeStored(partName(parts.length), clear, options));
    }
    return { database: { bytes, sha256: whole.digest('hex') }, parts };
  } finally {
    await file.close();
  }
}

/** Stores one small file of a snapshot. */
export async function writeStored(
  name: string,
  clear: Uint8Array,
  { sealer, keep }: WriteOptions,
): Promise<StoredFile> {
  const stored = sealer ? sealer.seal(name, clear) : clear;
  await keep(name, stored);
  return { name, bytes: stored.length, sha256: sha256(stored) };
}

/** Reads until the buffer is full or the file ends. */
async function fill(file: FileHandle, buffer: Uint8Array): Promise<number> {
  let length = 0;
  while (length < buffer.length) {
    const { bytesRead } = await file.read(buffer, length, buffer.length - length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  return length;
}

/**
 * What opens the files of a snapshot; null when they are stored in clear.
 * @throws BackupError when they are sealed and this is not their key
 */
export function openerOf({ sealed }: Manifest, key: Uint8Array | null): Sealer | null {
  if (!sealed) return null;
  if (!key) throw new BackupError('failed', 'The snapshot is encrypted. Set BACKUP_KEY to its key.');
  const sealer = createSealer(key);
  if (sealer.keyId === sealed.keyId) return sealer;
  const ids = `its key has the id ${sealed.keyId}, this one ${sealer.keyId}`;
  throw new BackupError('failed', `The snapshot is encrypted with another BACKUP_KEY: ${ids}.`);
}

/**
 * The clear bytes of one stored file.
 * @throws BackupError with its name when they are not those that were stored
 */
export function openStored(file: StoredFile, stored: Uint8Array, opener: Sealer | null): Uint8Array {
  if (stored.length !== file.bytes || sha256(stored) !== file.sha256) {
    throw new BackupError('failed', `${file.name} is damaged: its SHA-256 is not that of the manifest.`);
  }
  return opener ? opener.open(file.name, stored) : stored;
}

export interface JoinOptions {
  /** The stored bytes of a part. */
  readonly readPart: (name: string) => Promise<Uint8Array>;
  readonly key: Uint8Array | null;
  /** Path of the file that is made (mode 0600); nothing may be there yet. */
  readonly target: string;
}

/**
 * Makes the snapshot file of its parts; it is on the disk when this returns, or not there when it throws.
 * @throws BackupError with the part's name when one is damaged, or when they do not make up the database
 */
export async function joinParts(manifest: Manifest, { readPart, key, target }: JoinOptions): Promise<void> {
  const opener = openerOf(manifest, key);
  const file = await open(target, 'wx', 0o600);
  try {
    const whole = createHash('sha256');
    for (const part of manifest.parts) {
      const clear = openStored(part, await readPart(part.name), opener);
      whole.update(clear);
      await file.writeFile(clear);
    }
    if (whole.digest('hex') !== manifest.database.sha256) {
      throw new BackupError('failed', 'The parts do not make up the database that the manifest speaks of.');
    }
    await file.sync();
    await file.close();
  } catch (error) {
    await file.close();
    await rm(target, { force: true });
    throw error;
  }
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
