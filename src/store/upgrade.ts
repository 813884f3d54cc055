// Brings a database file to the newest schema: a copy of it aside first, then all it lacks in one transaction.
import type { Database } from 'bun:sqlite';
import { closeSync, fsyncSync, openSync, readdirSync, renameSync, rmSync, statfsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import firstMigration from './migrations/0001_first.sql' with { type: 'text' };
import deliveryMigration from './migrations/0002_delivery.sql' with { type: 'text' };
import safetyMigration from './migrations/0003_safety.sql' with { type: 'text' };
import retentionMigration from './migrations/0004_retention.sql' with { type: 'text' };
import leftoversMigration from './migrations/0005_leftovers.sql' with { type: 'text' };
import abandonedMigration from './migrations/0006_abandoned.sql' with { type: 'text' };
import importMigration from './migrations/0007_import.sql' with { type: 'text' };

/** Every migration in order; a database's `user_version` says how many it has. */
const migrations: readonly string[] = [
  firstMigration,
  deliveryMigration,
  safetyMigration,
  retentionMigration,
  leftoversMigration,
  abandonedMigration,
  importMigration,
];

/** The schema that this program works with. */
export const newestSchema = migrations.length;

/** How many copies stay, this one and the one before. */
const copiesKept = 2;
/** What must stay free beside the copy for the migrations themselves. */
const reserveBytes = 8 * 1024 * 1024;
const mebibyte = 1024 * 1024;

export interface Upgrade {
  /** The schema that the file had, and the one it has. */
  readonly from: number;
  readonly to: number;
  /** Path of the copy as it was before. */
  readonly copy: string;
}

/** @throws Error when the file was written by a newer version of this program; it is closed then */
export function refuseNewer(client: Database): void {
  const version = versionOf(client);
  if (version <= migrations.length) return;
  client.close();
  throw new Error(
    `The database is of a newer version (schema ${version}, this program knows ${migrations.length}). ` +
      'Start the newer program, or restore a backup made with this one.',
  );
}

/**
 * Brings the file at `path` up to date, forward only; null when there was nothing to do or the file is new. `alone`
 * takes what keeps a server of the older version off the file meanwhile, null when one runs.
 * @throws Error when there is no room for the copy, a server runs on the file, or a migration failed; then the file is
 *   as it was
 */
export function upgrade(client: Database, path: string, alone: () => Disposable | null): Upgrade | null {
  const from = versionOf(client);
  if (from === migrations.length) return null;
  if (from === 0) {
    migrate(client);
    return null;
  }
  const to = migrations.length;
  using others = alone();
  if (!others) throw new Error(`The database must be upgraded (schema ${from} to ${to}): stop the server.`);
  const copy = copyAside(client, path, from);
  try {
    migrate(client);
  } catch (error) {
    rmSync(copy); // the file is the same as the copy; with a start that is tried again and again they would pile up
    const reason = error instanceof Error ? error.message : String(error);
    const words = `The upgrade of the database from schema ${from} to ${to} failed: ${reason}.`;
    throw new Error(`${words} The file is as it was; the program of before can go on with it.`, {
      cause: error,
    });
  }
  dropOldCopies(path);
  return { from, to, copy };
}

function versionOf(client: Database): number {
  const { user_version: version } = client.query('PRAGMA user_version').get() as { user_version: number };
  return version;
}

function migrate(client: Database): void {
  client
    .transaction(() => {
      // Asked inside: a command and a server that begin on a new file at once must not both find it empty.
      for (const sql of migrations.slice(versionOf(client))) client.run(sql);
      client.run(`PRAGMA user_version = ${migrations.length}`);
    })
    .immediate();
}

/** Written under another name, synced and renamed, so that what has the name of a copy is a whole one. */
function copyAside(client: Database, path: string, from: number): string {
  const folder = dirname(path);
  const stem = `before-upgrade-${from}-`;
  assertRoom(client, folder);
  for (const name of readdirSync(folder))
    if (/^before-upgrade-.*\.part/.test(name)) rmSync(join(folder, name)); // a killed run's
  const time = new Date().toISOString().replace(/[-:]|\.\d+/g, '');
  const copy = join(folder, `${stem}${time}.db`);
  const part = `${copy}.part`;
  // An empty file is overwritten and keeps its mode: https://sqlite.org/lang_vacuum.html#vacuum_with_an_into_clause
  closeSync(openSync(part, 'wx', 0o600));
  try {
    client.run('VACUUM INTO ?', [part]);
    const file = openSync(part, 'r+');
    fsyncSync(file);
    closeSync(file);
    renameSync(part, copy);
  } catch (error) {
    rmSync(part, { force: true });
    throw error;
  }
  return copy;
}

function assertRoom(client: Database, folder: string): void {
  const sizes = client
    .query('SELECT page_count * page_size AS bytes FROM pragma_page_count, pragma_page_size')
    .get();
  const needed = (sizes as { bytes: number }).bytes + reserveBytes;
  const { bavail, bsize } = statfsSync(folder);
  if (bavail * bsize >= needed) return;
  const [room, free] = [needed, bavail * bsize].map((bytes) => `${Math.ceil(bytes / mebibyte)} MiB`);
  throw new Error(
    `The database must be upgraded, and the copy made before needs ${room} in ${folder}, where ${free} are free. ` +
      'Nothing was changed. Make room and start again.',
  );
}

function dropOldCopies(path: string): void {
  const folder = dirname(path);
  const copies = readdirSync(folder)
    .filter((name) => /^before-upgrade-\d+-\d{8}T\d{6}Z\.db$/.test(name))
    .sort((one, other) => timeOf(one).localeCompare(timeOf(other)));
  for (const name of copies.slice(0, -copiesKept)) rmSync(join(folder, name));
}

function timeOf(copy: string): string {
  return basename(copy).replace(/^before-upgrade-\d+-/, '');
}
