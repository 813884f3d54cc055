// Makes an installation of a fetched snapshot: joined, checked, migrated, and without anybody who was erased since.
import { statfsSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type LedgerText, mergeLedgers } from '../../store/ledger.ts';
import type { StoreOptions } from '../../store/open.ts';
import { adoptRestored } from '../../store/restored.ts';
import { findDamage, readContents } from './contents.ts';
import { BackupError } from './error.ts';
import { type Fetched, utc } from './fetch.ts';
import { findSnapshot } from './layout.ts';
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
  /** Whether there is a key, but the snapshot was stored without: it may be of before there was one. */
  readonly inClear: boolean;
}

/** Who can write to the repository could else have it restore what they like. */
const notSealed =
  "BACKUP_KEY is set, but the newest snapshot is not encrypted: it may be somebody else's. " +
  'If it is yours, unset BACKUP_KEY for this, or make another backup first.';

/**
 * @throws BackupError when the snapshot is not what it was, or there is no room for it
 * @throws Error when it is of a newer version
 */
export async function rebuild(fetched: Fetched, plan: Plan): Promise<Rebuilt> {
  const { folder, key, onStep } = plan;
  const path = join(folder, 'chat.db');
  const { stored, ledgers } = await openFetched(fetched, key);
  const total = stored.bytes;
  assertRoom(folder, total);

  onStep('join', 0, total);
  await stored.join(path, (done) => onStep('join', done, total));
  onStep('join', total, total);
  onStep('check', 0, total);
  const { counts } = checkContents(path, fetched.snapshot.commit, stored.contents);
  onStep('check', total, total);
  onStep('erase', 0, total);
  const endedSessions = await adopt(fetched, ledgers, plan);
  const after = readContents(path).counts;
  onStep('erase', total, total);
  return {
    bytes: statSync(path).size,
    accounts: after.accounts,
    messages: after.messages,
    erased: counts.accounts - after.accounts,
    endedSessions,
    hasLedger: ledgers.length > 0,
    inClear: key !== null && !stored.sealed,
  };
}

/** The ledger of the newest one too, for those who were erased after the snapshot. */
async function openFetched({ snapshot, newest }: Fetched, key: Uint8Array | null) {
  const stored = await findSnapshot(snapshot, key);
  const all = snapshot.commit === newest.commit ? [stored] : [stored, await findSnapshot(newest, key)];
  if (key && !all.at(-1)?.sealed) throw new BackupError('failed', notSealed);
  const ledgers = await Promise.all(all.map((one) => one.readLedger()));
  return { stored, ledgers: ledgers.filter((ledger) => ledger !== null) };
}

/** Returns how many sessions were ended. */
async function adopt(
  { snapshot: { commit, takenAtMs } }: Fetched,
  ledgers: readonly LedgerText[],
  { folder, ownLedger, store, endSessions }: Plan,
): Promise<number> {
  writeFileSync(join(folder, 'erasures.jsonl'), mergeLedgers([ownLedger, ...ledgers]), { mode: 0o600 });
  const detail = `commit ${commit.slice(0, 12)} of ${utc(takenAtMs)}`;
  return adoptRestored({ ...store, path: join(folder, 'chat.db') }, { endSessions, detail });
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
