// The files of a snapshot as the repository has them: stored as one tree, told from those of others, put into words.
import { version } from '../../../package.json' with { type: 'json' };
import type { Link } from './branch.ts';
import type { Git } from './git.ts';
import {
  isSameSnapshot,
  ledgerName,
  type Manifest,
  manifestFormat,
  manifestName,
  parseManifest,
} from './manifest.ts';
import { writeParts, writeStored } from './parts.ts';
import { cipher, type Sealer } from './seal.ts';
import type { Snapshot } from './snapshot.ts';

export interface SnapshotFiles {
  readonly snapshot: Snapshot;
  /** The lines of the ledger of erased accounts. */
  readonly ledger: Uint8Array;
  /** Null: it is stored in clear. */
  readonly sealer: Sealer | null;
}

/** Stores the files of the snapshot in the local copy, and gives the tree of them. */
export async function storeFiles(
  git: Git,
  { snapshot, ledger, sealer }: SnapshotFiles,
): Promise<{ tree: string; manifest: Manifest }> {
  const blobs = new Map<string, string>();
  const keep = async (name: string, bytes: Uint8Array): Promise<void> => {
    blobs.set(name, await git.run(['hash-object', '-w', '--stdin'], bytes));
  };
  const manifest: Manifest = {
    format: manifestFormat,
    version,
    takenAtMs: snapshot.takenAtMs,
    ...snapshot.contents,
    sealed: sealer ? { cipher, keyId: sealer.keyId } : null,
    ...(await writeParts(snapshot.path, { sealer, keep })),
    ledger: { ...(await writeStored(ledgerName, ledger, { sealer, keep })), name: ledgerName },
  };
  await keep(manifestName, Buffer.from(`${JSON.stringify(manifest, null, 1)}\n`));
  await keep('README.md', Buffer.from(readme));
  const isPart = (name: string): boolean => name.startsWith('parts/');
  const lines = (names: string[]) =>
    names.map((name) => `100644 blob ${blobs.get(name)}\t${name.split('/').at(-1)}\n`);
  const parts = await git.run(['mktree'], lines([...blobs.keys()].filter(isPart)).join(''));
  const top = lines([...blobs.keys()].filter((name) => !isPart(name)));
  return { tree: await git.run(['mktree'], `${top.join('')}040000 tree ${parts}\tparts\n`), manifest };
}

const readme = `# Backup of a chat server

Each commit is one snapshot: \`manifest.json\` says of when and of what, \`parts/\` is the database, cut into pieces and
perhaps encrypted, \`erasures.jsonl\` says which accounts were deleted for good. The branch is rewritten at each backup, so
that it keeps the newest snapshots only: commit nothing here.

To restore, set BACKUP_REPO to this repository (and BACKUP_BRANCH, BACKUP_KEY as they were) and run
\`chat-backend restore\`. By hand, if they are not encrypted: \`cat parts/* > chat.db\`.
`;

/** Whether a snapshot on the branch is the same as this one. */
export async function holds(git: Git, { commit }: Link, manifest: Manifest): Promise<boolean> {
  const text = await git.find(['cat-file', 'blob', `${commit}:${manifestName}`]);
  try {
    return text !== null && isSameSnapshot(parseManifest(text), manifest);
  } catch {
    return false; // of another version, or damaged: a new snapshot is put on top
  }
}

/** The message of its commit. */
export function describe({ takenAtMs, counts, database, sealed, schema }: Manifest): string {
  const time = new Date(takenAtMs).toISOString().slice(0, 19).replace('T', ' ');
  const amounts = Object.entries(counts).map(([what, count]) => `${count.toLocaleString('en')} ${what}`);
  const how = sealed ? `encrypted with the key ${sealed.keyId}` : 'not encrypted';
  return `Snapshot of ${time} UTC: ${amounts.join(', ')}\n\n${database.bytes} bytes, schema ${schema}, version ${version}, ${how}.`;
}
