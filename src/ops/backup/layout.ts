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
  /** Whether nobody without the key can have made it. */
  readonly sealed: boolean;
  /** What the database has to hold; null where nobody noted it. */
  readonly contents: Contents | null;
  /** Makes the database file. @throws BackupError when it is not what was stored */
  join(target: string, onBytes: (done: number) => void): Promise<void>;
  /**
   * Who was erased when it was taken; null where the layout does not say.
   * @throws BackupError when it should and does not
   */
  readLedger(): Promise<LedgerText | null>;
}

const oldName = 'chat.db';

/**
 * Looks what a commit holds, without reading the database.
 * @throws BackupError when that is no snapshot, or one that the key does not open
 */
export async function findSnapshot(tree: Tree, key: Uint8Array | null): Promise<StoredSnapshot> {
  if (tree.has(manifestName)) {
    const manifest = parseManifest(textOf(await tree.read(manifestName)));
    return inParts(tree, manifest, key);
  }
  if (tree.has(oldName)) return inOneFile(tree);
  throw new BackupError('failed', `The commit ${tree.commit} holds no snapshot. Check BACKUP_BRANCH.`);
}

function inParts(tree: Tree, manifest: Manifest, key: Uint8Array | null): StoredSnapshot {
  const { database, parts, ledger, schema, epoch, counts, newest } = manifest;
  const opener = openerOf(manifest, key); // a wrong key is told before anything is made
  return {
    bytes: database.bytes,
    sealed: opener !== null,
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
    readLedger: async () => {
      const clear = openStored(ledger, await tree.read(ledgerName), opener);
      return { name: `${ledgerName} of ${tree.commit.slice(0, 12)}`, text: textOf(clear) };
    },
  };
}

async function inOneFile(tree: Tree): Promise<StoredSnapshot> {
  return {
    bytes: await tree.sizeOf(oldName),
    sealed: false,
    contents: null,
    join: (target) => tree.save(oldName, target),
    readLedger: async () => null,
  };
}

function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
