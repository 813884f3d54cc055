// Makes an installation of a fetched snapshot: joined, checked, migrated, and without anybody who was erased since.
import { Database } from 'bun:sqlite';
import { statfsSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type LedgerText, mergeLedgers } from '../../store/ledger.ts';
import type { StoreOptions } from '../../store/open.ts';
import { adoptRestored } from '../../store/restored.ts';
import { BackupError } from './error.ts';
import { type Fetched, type Tree, utc } from './fetch.ts';

/** What a restore does, in this order; the last one is not the drill's. */
export type Step = 'fetch' | 'join' | 'check' | 'erase' | 'swap';
/** Told when a step begins, with `done` 0, and how far it is, in bytes; `total` null when nobody knows. */
export type OnStep = (step: Step, done: number, total: number | null) => void;

export interface Plan {
  /** An empty folder, which becomes the installation: it gets a `chat.db` and an `erasures.jsonl`. */
  readonly folder: string;
  /** The ledger of the data folder that the restore is for. */
  readonly ownLedger: LedgerText;
  readonly store: Pick<StoreOptions, 'defaultGroup' | 'clock'>;
  readonly endSessions: boolean;
  readonly onStep: OnStep;
}

export interface Rebuilt {
  readonly bytes: number;
  readonly accounts: number;
  readonly messages: number;
  /** Accounts that were in the snapshot and had been erased since. */
  readonly erased: number;
  readonly endedSessions: number;
  /** Whether the repository says who was erased; snapshots of version 0.2 and before do not. */
  readonly hasLedger: boolean;
}

/**
 * @throws BackupError when the snapshot is not what it was, or there is no room for it
 * @throws Error when it is of a newer version
 */
export async function rebuild({ snapshot, newest }: Fetched, plan: Plan): Promise<Rebuilt> {
  const { folder, ownLedger, store, endSessions, onStep } = plan;
  const path = join(folder, 'chat.db');
  const bytes = await snapshot.sizeOf('chat.db');
  assertRoom(folder, bytes);
  onStep('join', 0, bytes);
  await snapshot.save('chat.db', path);
  onStep('join', bytes, bytes);
  onStep('check', 0, bytes);
  assertSound(path, snapshot);
  const before = countRows(path);
  onStep('check', bytes, bytes);
  onStep('erase', 0, bytes);
  writeFileSync(join(folder, 'erasures.jsonl'), mergeLedgers([ownLedger]), { mode: 0o600 });
  const detail = `commit ${snapshot.commit.slice(0, 12)} of ${utc(snapshot.takenAtMs)}`;
  const endedSessions = await adoptRestored({ ...store, path }, { endSessions, detail });
  const after = countRows(path);
  onStep('erase', bytes, bytes);
  return {
    bytes: statSync(path).size,
    ...after,
    erased: before.accounts - after.accounts,
    endedSessions,
    hasLedger: newest.has('erasures.jsonl'),
  };
}

/** What erasing and migrating may need on top of the database itself. */
const spareShare = 0.25;
const spareBytes = 16 * 1024 * 1024;

function assertRoom(folder: string, bytes: number): void {
  const { bavail, bsize } = statfsSync(folder);
  const free = bavail * bsize;
  const needed = Math.ceil(bytes * (1 + spareShare)) + spareBytes;
  if (free >= needed) return;
  const [has, needs] = [free, needed].map((count) => Math.ceil(count / 1024 / 1024));
  throw new BackupError(
    'failed',
    `The disk is too small: the snapshot needs ${needs} MiB, ${has} MiB are free.`,
  );
}

function assertSound(path: string, { commit }: Tree): void {
  using database = new Database(path, { readonly: true });
  const verdict = firstValue(database, 'PRAGMA integrity_check(1)');
  if (verdict !== 'ok')
    throw new BackupError('failed', `The snapshot ${commit} is damaged: ${verdict}. Restore another one.`);
}

function countRows(path: string): { accounts: number; messages: number } {
  using database = new Database(path, { readonly: true });
  const [accounts, messages] = ['accounts', 'messages'].map((table) =>
    Number(firstValue(database, `SELECT COUNT(*) FROM ${table}`)),
  );
  return { accounts: accounts ?? 0, messages: messages ?? 0 };
}

function firstValue(database: Database, sql: string): unknown {
  using statement = database.prepare(sql);
  return statement.values()[0]?.[0];
}
