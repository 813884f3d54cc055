// The layouts of a snapshot in the repository: parts with a manifest, and the single database file of version 0.2 and before.
import type { LedgerText } from '../../store/ledger.ts';
import { BackupError } from './error.ts';
import type { Tree } from './fetch.ts';
import { type Contents, ledgerName, type Manifest, manifestName, parseManifest } from './manifest.ts';
import { joinParts, openerOf, openStored } from './parts.ts';

/** A snapshot as it is stored. */
export interface StoredSnapshot {
  /** Of the database. */
  readonly bytes: number;
  /** What the database has to hold; null where nobody noted it. */
  readonly contents: Contents | null;
  /** Makes the database file. @throws BackupError when it is not what was stored */
  join(target: string, onBytes: (done: number) => void): Promise<void>;
}

const oldName = 'chat.db';
const textOf = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/**
 * Looks what a commit holds, without reading the database.
 * @throws BackupError when that is no snapshot, or one that the key does not open
 */
export async function findSnapshot(tree: Tree, key: Uint8Array | null): Promise<StoredSnapshot> {
  if (tree.has(manifestName)) return inParts(tree, await readManifest(tree), key);
  if (tree.has(oldName)) return inOneFile(tree);
  throw new BackupError('failed', `The commit ${tree.commit} holds no snapshot. Check BACKUP_BRANCH.`);
}

/**
 * Who was erased when the commit was made; null where the layout does not say.
 * @throws BackupError when it should and does not
 */
export async function readLedger(tree: Tree, key: Uint8Array | null): Promise<LedgerText | null> {
  if (!tree.has(manifestName)) return null;
  const manifest = await readManifest(tree);
  const stored = await tree.read(ledgerName);
  const clear = openStored(manifest.ledger, stored, openerOf(manifest, key));
  return { name: `${ledgerName} of ${tree.commit.slice(0, 12)}`, text: textOf(clear) };
}

async function readManifest(tree: Tree): Promise<Manifest> {
  return parseManifest(textOf(await tree.read(manifestName)));
}

function inParts(tree: Tree, manifest: Manifest, key: Uint8Array | null): StoredSnapshot {
  openerOf(manifest, key); // a wrong key is told before anything is made
  const { database, parts, schema, epoch, counts, newest } = manifest;
  return {
    bytes: database.bytes,
    contents: { schema, epoch, counts, newest },
    join: (target, onBytes) => {
      let read = 0;
      const readPart = async (name: string) => {
        onBytes(Math.round((database.bytes * read) / parts.length));
        read += 1;
        return tree.read(name);
      };
      return joinParts(manifest, { readPart, key, target });
    },
  };
}

async function inOneFile(tree: Tree): Promise<StoredSnapshot> {
  return {
    bytes: await tree.sizeOf(oldName),
    contents: null,
    join: (target) => tree.save(oldName, target),
  };
}
