// Makes an installation of a fetched snapshot: joined, checked, migrated, and without anybody who was erased since.
import { statfsSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type LedgerText, mergeLedgers } from '../../store/ledger.ts';
import type { StoreOptions } from '../../store/open.ts';
import { adoptRestored } from '../../store/restored.ts';
import { findDamage, readContents } from './contents.ts';
import { BackupError } from './error.ts';
import { type Fetched, utc } from './fetch.ts';
import { findSnapshot, readLedger } from './layout.ts';
import type { Contents } from './manifest.ts';

/** What a restore does, in this order; the last one is not the drill's. */
export type Step = 'fetch' | 'join' | 'check' | 'erase' | 'swap';
/** Told when a step begins, with `done` 0, and how far it is, in bytes; `total` null when nobody knows. */
export type OnStep = (step: Step, done: number, total: number | null) => void;

export interface Plan {
  /** An empty folder, which becomes the installation: it gets a `chat.db` and an `erasures.jsonl`. */
  readonly folder: string;
  /** What opens a sealed snapshot; null when there is none. */
  readonly key: Uint8Array | null;
  /** The ledger of the data folder that the restore is for. */
  readonly ownLedger: LedgerText;
  readonly store: Pick<StoreOptions, 'defaultGroup' | 'clock'>;
  readonly endSessions: boolean;
  readonly onStep: OnStep;
}

export interface Rebuilt {
  /** Of the database. */
  readonly bytes: number;
  readonly accounts: number;
  readonly messages: number;
  /** Accounts that were in the snapshot and had been erased since. */
  readonly erased: number;
  readonly endedSessions: number;
  /** Whether the repository says who was erased; that of version 0.2 and before does not. */
  readonly hasLedger: boolean;
}

/**
 * @throws BackupError when the snapshot is not what it was, or there is no room for it
 * @throws Error when it is of a newer version
 */
export async function rebuild(fetched: Fetched, plan: Plan): Promise<Rebuilt> {
  const { folder, key, ownLedger, store, endSessions, onStep } = plan;
  const { commit, takenAtMs } = fetched.snapshot;
  const path = join(folder, 'chat.db');
  const stored = await findSnapshot(fetched.snapshot, key);
  const ledgers = await readLedgers(fetched, key);
  assertRoom(folder, stored.bytes);

  onStep('join', 0, stored.bytes);
  await stored.join(path, (done) => onStep('join', done, stored.bytes));
  onStep('join', stored.bytes, stored.bytes);
  onStep('check', 0, stored.bytes);
  const { counts } = checkContents(path, commit, stored.contents);
  onStep('check', stored.bytes, stored.bytes);

  onStep('erase', 0, stored.bytes);
  writeFileSync(join(folder, 'erasures.jsonl'), mergeLedgers([ownLedger, ...ledgers]), { mode: 0o600 });
  const detail = `commit ${commit.slice(0, 12)} of ${utc(takenAtMs)}`;
  const endedSessions = await adoptRestored({ ...store, path }, { endSessions, detail });
  const after = readContents(path).counts;
  onStep('erase', stored.bytes, stored.bytes);
  return {
    bytes: statSync(path).size,
    accounts: after.accounts,
    messages: after.messages,
    erased: counts.accounts - after.accounts,
    endedSessions,
    hasLedger: ledgers.length > 0,
  };
}

/** The newest one too, for those who were erased after the snapshot. */
async function readLedgers({ snapshot, newest }: Fetched, key: Uint8Array | null): Promise<LedgerText[]> {
  const trees = snapshot.commit === newest.commit ? [snapshot] : [snapshot, newest];
  const ledgers = await Promise.all(trees.map((tree) => readLedger(tree, key)));
  return ledgers.filter((ledger) => ledger !== null);
}

/** What erasing and migrating may need on top of the database itself. */
const spareShare = 0.25;
const spareBytes = 8 * 1024 * 1024;

/**
 * For a database of so many bytes; how large it is is known once the snapshot was fetched.
 * @throws BackupError when there is less
 */
export function assertRoom(folder: string, bytes = 0): void {
  const { bavail, bsize } = statfsSync(folder);
  const free = bavail * bsize;
  const needed = Math.ceil(bytes * (1 + spareShare)) + spareBytes;
  if (free >= needed) return;
  const [has, needs] = [free, needed].map((count) => Math.ceil(count / 1024 / 1024));
  throw new BackupError(
    'failed',
    `The disk is too small: it needs ${needs} MiB more, ${has} MiB are free. Nothing was changed.`,
  );
}

/** @throws BackupError when the file is damaged, or does not hold what was noted of it */
function checkContents(path: string, commit: string, expected: Contents | null): Contents {
  const damage = findDamage(path);
  if (damage !== null)
    throw new BackupError('failed', `The snapshot ${commit} is damaged: ${damage}. Restore another one.`);
  const found = readContents(path);
  if (expected === null || Bun.deepEquals(found, expected)) return found;
  const [has, noted] = [found, expected].map((contents) => JSON.stringify(contents));
  throw new BackupError('failed', `The snapshot ${commit} holds ${has}, its manifest says ${noted}.`);
}
