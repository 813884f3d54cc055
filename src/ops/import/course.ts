// What the steps of an import share: where to, who is who, and which number stands for somebody who is nobody here.
import { createHash } from 'node:crypto';
import { endsLikeDefaultGroup } from '../../accounts/secrets.ts';
import { maxUid } from '../../protocol/entities.ts';
import type { ImportStore } from '../../store/import-store.ts';
import type { Report } from './report.ts';

export interface Course {
  readonly store: ImportStore;
  readonly report: Report;
  readonly serverSecret: string;
  readonly hashPasswords: (passwords: readonly string[]) => Promise<string[]>;
  readonly defaultGroupId: string;
  /** ms since the epoch */
  readonly now: number;
  /** Whether no progress is shown. */
  readonly silent: boolean;
}

export interface Known {
  readonly uid: number;
  /** False when the account was deleted here. */
  readonly exists: boolean;
}

/** Old accounts by the digits of their old numbers. */
export type People = ReadonlyMap<string, Known>;

/** Smaller numbers are given to nobody here, so an old one of these can belong to the old account alone. */
const smallestGiven = 100_000_000;
/** Numbers from here up to `smallestGiven` stand for unknown people whose own number cannot be kept. */
const smallestInvented = 10_000_000;

/** The number that an old account keeps, null when it may not have it here. */
export function keptUid(oldUid: string): number | null {
  const uid = /^[1-9]\d{0,9}$/.test(oldUid) ? Number(oldUid) : 0;
  return uid > 0 && uid <= maxUid && !endsLikeDefaultGroup(uid) ? uid : null;
}

/** The number of an old account, or for one that is not known a number that no account has, the same each time. */
export function uidOf(oldUid: string, people: People): number {
  const kept = keptUid(oldUid);
  return people.get(oldUid)?.uid ?? (kept !== null && kept < smallestGiven ? kept : invent(oldUid));
}

function invent(oldUid: string): number {
  const digest = createHash('sha256').update(oldUid).digest();
  const uid = smallestInvented + (digest.readUInt32BE() % (smallestGiven - smallestInvented));
  return endsLikeDefaultGroup(uid) ? invent(`${oldUid} again`) : uid;
}
