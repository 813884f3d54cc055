// The manifest of a snapshot: what lies beside it in the backup repository, and what it must turn out to be.
import { z } from 'zod';
import { BackupError } from './error.ts';

/** The newest layout of a snapshot in the repository, and the only one with a manifest so far. */
export const manifestFormat = 1;
export const manifestName = 'manifest.json';
export const ledgerName = 'erasures.jsonl';

const count = z.number().int().min(0);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
/** A file as it is stored, so of the sealed bytes where it is sealed. */
const stored = z.strictObject({ name: z.string(), bytes: count, sha256 });

const manifestSchema = z.strictObject({
  format: z.literal(manifestFormat),
  /** The program that made it, and the number of migrations its database has. */
  version: z.string(),
  schema: count,
  /** ms since the epoch */
  takenAtMs: count,
  /** The store's, which clients compare to learn that a history was replaced. */
  epoch: z.string(),
  /** The whole snapshot file, in clear. */
  database: z.strictObject({ bytes: count, sha256 }),
  counts: z.strictObject({ accounts: count, chats: count, messages: count }),
  /** Time of the newest message, null without one; the sum over the chats of their newest positions. */
  newest: z.strictObject({ messageAtMs: count.nullable(), seqSum: count }),
  /** Null in clear; else how parts and ledger are sealed, and a mark of the key that tells nothing about it. */
  sealed: z.strictObject({ cipher: z.literal('AES-256-GCM'), keyId: z.string() }).nullable(),
  /** In order. */
  parts: z
    .array(stored)
    .min(1)
    .refine(
      (parts) => parts.every(({ name }, index) => name === partName(index)),
      'the parts are not in order',
    ),
  ledger: stored.extend({ name: z.literal(ledgerName) }),
});

export type Manifest = z.output<typeof manifestSchema>;
export type StoredFile = Manifest['parts'][number];
/** What the snapshot file itself says. */
export type Contents = Pick<Manifest, 'schema' | 'epoch' | 'counts' | 'newest'>;

/** `parts/0001` for 0. */
export function partName(index: number): string {
  return `parts/${String(index + 1).padStart(4, '0')}`;
}

/**
 * Reads a manifest strictly.
 * @throws BackupError that names what is wrong: a newer format, or the place in it
 */
export function parseManifest(text: string): Manifest {
  const value = parseJson(text);
  const format = z.object({ format: z.unknown() }).safeParse(value).data?.format;
  if (format !== undefined && format !== manifestFormat) {
    const known = `this program reads format ${manifestFormat}`;
    throw new BackupError(
      'failed',
      `The snapshot has the format ${JSON.stringify(format)}, ${known}. Use the program that made it.`,
    );
  }
  const result = manifestSchema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const place = issue?.path.join('.') || 'it';
  throw new BackupError(
    'failed',
    `The snapshot's ${manifestName} is damaged: ${place}: ${issue?.message ?? 'malformed'}. Choose another snapshot.`,
  );
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null; // said of it as of any other value that is no manifest
  }
}

/** Whether two snapshots hold the same, whenever they were taken, stored in the same way. */
export function isSameSnapshot(one: Manifest, other: Manifest): boolean {
  const withoutTime = ({ takenAtMs: _, ...rest }: Manifest) => rest;
  return Bun.deepEquals(withoutTime(one), withoutTime(other), true);
}
