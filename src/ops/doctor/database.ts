// The doctor on the database file.
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type Inspection, inspectDatabase } from '../../store/inspect.ts';
import { type Check, fail, formatBytes, formatSpan, ok, warn } from '../health/checks.ts';
import type { Examination, Looks } from './examination.ts';

/** Twice what the write-ahead log is cut to: more means that somebody reads and does not end. */
const largeWalBytes = 128 * 1024 * 1024;
/** Clocks of one machine are set by so much and less. */
const skewMs = 5 * 60 * 1000;
const restore = 'stop the server and restore a backup';
/** When this was written; a clock before it is wrong. */
const writtenAt = Date.UTC(2026, 0);

export const databaseLooks: Looks = {
  database: (seen) => onDatabase(seen, checkIntegrity),
  schema: (seen) => onDatabase(seen, checkSchema),
  'write-ahead log': ({ config }) => {
    const bytes = sizeOf(join(config.DATA_DIR, 'chat.db-wal'));
    return bytes > largeWalBytes
      ? warn(`${formatBytes(bytes)}: a program reads the database and does not end; end it`)
      : ok(formatBytes(bytes));
  },
  clock: (seen) => onDatabase(seen, checkClock) ?? checkNow(seen.now),
};

type OnDatabase = (inspection: Inspection, seen: Examination) => Check;

/** A whole look takes long, and several checks are about it. */
const inspections = new WeakMap<Examination, Inspection | Error>();

/** Null while there is no database; what keeps it from being read is told once, by the first check. */
function onDatabase(seen: Examination, check: OnDatabase): Check | null {
  const path = join(seen.config.DATA_DIR, 'chat.db');
  if (!existsSync(path)) return null;
  const known = inspections.get(seen);
  const inspection = known ?? inspect(path, seen.full);
  inspections.set(seen, inspection);
  if (!(inspection instanceof Error)) return check(inspection, seen);
  return known ? null : fail(`cannot be read (${inspection.message}): ${restore}`);
}

function inspect(path: string, full: boolean): Inspection | Error {
  try {
    return inspectDatabase(path, full);
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

function checkIntegrity({ problems }: Inspection, { config, full }: Examination): Check {
  const size = formatBytes(sizeOf(join(config.DATA_DIR, 'chat.db')));
  if (problems.length > 0) return fail(`damaged (${problems.join('; ')}): ${restore}`);
  return ok(`sound, ${size}${full ? '' : ' (--full looks at the indexes too)'}`);
}

function checkSchema({ schema, newestSchema }: Inspection): Check {
  if (schema === newestSchema) return ok(`${schema}, the newest`);
  return schema > newestSchema
    ? fail(`${schema}, this program knows ${newestSchema}: start the newer program`)
    : ok(`${schema}, becomes ${newestSchema} at the next start`);
}

function checkClock({ newestMessageAt }: Inspection, { now }: Examination): Check {
  const aheadMs = (newestMessageAt ?? 0) - now;
  if (aheadMs <= skewMs) return checkNow(now);
  return warn(`the newest message is ${formatSpan(aheadMs)} in the future: set the clock (timedatectl)`);
}

function checkNow(now: number): Check {
  const words = new Date(now).toISOString();
  return now < writtenAt ? fail(`${words} is past: set the clock (timedatectl)`) : ok(words);
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
