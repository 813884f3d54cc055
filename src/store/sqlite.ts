// The SQLite driver: opens the file, migrates it, and hands out one queued writer and one separate reader.
import { Database } from 'bun:sqlite';
import { is, Param, Placeholder } from 'drizzle-orm';
import { type BunSQLiteDatabase, drizzle } from 'drizzle-orm/bun-sqlite';
import { AppError } from '../errors.ts';
import { asUnavailable } from './failures.ts';
import { makePrivateFile } from './private-file.ts';
import { refuseNewer, type Upgrade, upgrade } from './upgrade.ts';
import type { StoreWatch } from './watch.ts';
import { cutLog, type LogTrim, logBytes } from './write-ahead-log.ts';

export type Queries = BunSQLiteDatabase;

export interface WriteOptions {
  /** Says that this write changes no account and no membership, so `version` may stay. */
  readonly keepsVersion?: boolean;
}

/** A query that Drizzle has built. */
interface Spelled {
  toSQL(): { sql: string; params: unknown[] };
}

export interface Driver {
  /** Sees only what is committed. */
  readonly reader: Queries;
  /**
   * A write whose values are all placeholders, run inside `write` without what Drizzle does at each call: that costs
   * twice what the insert itself does, so the message log's is prepared with this.
   */
  prepareRun(query: Spelled): (values: Readonly<Record<string, string | number | null>>) => void;
  /** For preparing statements that are run inside `write` and nowhere else. */
  readonly writer: Queries;
  /**
   * Runs `body` alone in one `BEGIN IMMEDIATE` transaction; transactions queue, so an `await` inside is safe.
   * Committed and synced to disk when the promise resolves, rolled back when it rejects. `committed` runs right
   * after COMMIT and before the next transaction begins: what it tells others is told in the order of the log.
   * @throws AppError `unavailable` when the disk is full or another process holds the file
   */
  write<T>(
    body: (writer: Queries) => Promise<T>,
    committed?: (result: T) => void,
    options?: WriteOptions,
  ): Promise<T>;
  /**
   * Changes with every write that may have changed who is in which chat or what anybody is called, by this process or
   * another. Read inside a transaction, it says whether what was remembered from an earlier one is still true.
   */
  version(): string;
  /** Changes when another process has written. */
  foreignVersion(): number;
  /**
   * Takes its turn among the transactions, changes a row and takes that back: nothing is written to disk.
   * @throws AppError `unavailable` when nobody could write now
   */
  probe(): Promise<void>;
  /**
   * Takes back the room of a write-ahead log over `overBytes`, in its turn among the transactions and only when there
   * was none for `quietMs`: whoever commits meanwhile waits.
   * @throws AppError `unavailable` when the disk is too full for it; nothing is lost then
   */
  trimLog(when: { overBytes: number; quietMs: number }): Promise<LogTrim>;
  /** Waits for the queued transactions, then closes both connections. */
  close(): Promise<void>;
}

export interface DatabaseOptions {
  /** How long a write waits for one of another process; short, because in a server everybody waits with it. */
  readonly patienceMs?: number;
  /** Takes what keeps a server off the file while it is upgraded; null when one runs. For who is that server: nothing. */
  readonly alone?: () => Disposable | null;
  /** Is told when a file of an older schema was upgraded. */
  readonly upgraded?: ((upgrade: Upgrade) => void) | undefined;
  /** Is told of each transaction. */
  readonly watch?: StoreWatch | undefined;
}

const isAlone = (): Disposable => ({ [Symbol.dispose]: () => undefined });

/**
 * Opens (or creates) the database file in WAL mode and brings it up to date.
 * `synchronous=FULL` makes every commit survive a power cut: https://sqlite.org/pragma.html#pragma_synchronous
 * @throws Error when the file was written by a newer version of this program, or could not be upgraded
 */
export function openDatabase(
  path: string,
  { patienceMs = 1000, alone = isAlone, upgraded, watch }: DatabaseOptions = {},
): Driver {
  makePrivateFile(path); // its journals get the same mode: https://sqlite.org/src/file?name=src/os_unix.c (findCreateFileMode)
  const client = new Database(path, { create: true, strict: true });
  client.run(`PRAGMA busy_timeout = ${patienceMs}`);
  refuseNewer(client); // before anything is written: going over to WAL changes the file
  client.run('PRAGMA journal_mode = WAL');
  client.run('PRAGMA synchronous = FULL');
  client.run('PRAGMA foreign_keys = ON');
  // A checkpoint stalls whoever commits; every 1,000 pages is so often that it is what the slowest 1 % wait for.
  client.run('PRAGMA wal_autocheckpoint = 4000');
  client.run('PRAGMA secure_delete = ON'); // what is deleted is overwritten: https://sqlite.org/pragma.html#pragma_secure_delete
  client.run(`PRAGMA journal_size_limit = ${64 * 1024 * 1024}`);
  try {
    const done = upgrade(client, path, alone);
    if (done) upgraded?.(done);
  } catch (error) {
    client.close();
    throw error;
  }
  const readClient = new Database(path, { readonly: true, strict: true });
  readClient.run(`PRAGMA busy_timeout = ${patienceMs}`);
  const writer = drizzle(client);
  // Changes when another process (a command) has written: https://sqlite.org/pragma.html#pragma_data_version
  const dataVersion = client.query<{ data_version: number }, []>('PRAGMA data_version');
  const foreignVersion = () => dataVersion.get()?.data_version ?? 0;
  let version = 0;
  let wroteAt = performance.now();
  let tail: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(work: () => T | Promise<T>): Promise<T> => {
    const run = tail.then(work);
    tail = run.catch(() => undefined); // the caller has the error; the next in the queue must start all the same
    return run;
  };

  return {
    reader: drizzle(readClient),
    writer,
    prepareRun(query) {
      const { sql, params } = query.toSQL();
      const names = params.map(placeholderName);
      const statement = client.query(sql);
      return (values) => void statement.run(...names.map((name) => values[name] ?? null));
    },
    write(body, committed, { keepsVersion = false } = {}) {
      return inTurn(async () => {
        const beganAt = performance.now();
        try {
          const result = await inTransaction(client, () => body(writer));
          if (!keepsVersion) version += 1;
          tell(committed, result);
          return result;
        } catch (error) {
          version += 1; // what was remembered in a transaction that was rolled back is not true either
          throw error;
        } finally {
          wroteAt = performance.now();
          watch?.transaction(wroteAt - beganAt);
        }
      });
    },
    version: () => `${version} ${foreignVersion()}`,
    foreignVersion,
    probe: () => inTurn(() => tryToWrite(client)),
    trimLog: ({ overBytes, quietMs }) =>
      inTurn(() => {
        const bytes = logBytes(path);
        if (bytes <= overBytes) return { outcome: 'short', bytes };
        if (performance.now() - wroteAt < quietMs) return { outcome: 'busy', bytes };
        return { outcome: tryToCut(client, patienceMs), bytes };
      }),
    async close() {
      await tail;
      try {
        // Leaves everything in the one file, unless somebody else reads: waiting for him would lock out all writers.
        tryToCut(client, 0);
      } catch (error) {
        if (!(error instanceof AppError)) throw error; // a full disk: the next start finds all of it in the log
      } finally {
        readClient.close();
        client.close();
      }
    },
  };
}

function placeholderName(param: unknown): string {
  const value = is(param, Param) ? param.value : param;
  if (!is(value, Placeholder)) throw new Error('a prepared write has a value that is no placeholder');
  return value.name;
}

/** What is committed stays so: a listener that throws must not look like a write that failed. */
function tell<T>(committed: ((result: T) => void) | undefined, result: T): void {
  try {
    committed?.(result);
  } catch (error) {
    void Promise.reject(error); // logged by the handler of unhandled rejections
  }
}

async function inTransaction<T>(client: Database, body: () => Promise<T>): Promise<T> {
  try {
    client.run('BEGIN IMMEDIATE');
    const result = await body();
    client.run('COMMIT');
    return result;
  } catch (error) {
    if (client.inTransaction) client.run('ROLLBACK');
    throw asUnavailable(error);
  }
}

function tryToCut(client: Database, patienceMs: number): 'held' | 'trimmed' {
  try {
    return cutLog(client, patienceMs);
  } catch (error) {
    throw asUnavailable(error);
  }
}

function tryToWrite(client: Database): void {
  try {
    client.run('BEGIN IMMEDIATE');
    client.run('UPDATE installation SET epoch = epoch');
  } catch (error) {
    throw asUnavailable(error);
  } finally {
    if (client.inTransaction) client.run('ROLLBACK');
  }
}
