// The old server's database files, opened for reading only and trusted in nothing: not their schema, types or sizes.
import { constants, Database, SQLiteError } from 'bun:sqlite';
import { statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** Names of the files, by what is in them; where there are two, installations of different age used either. */
const fileNames = {
  users: ['all_users.db'],
  lists: ['chats_lists.db', 'chats_list_database.db'],
  logs: ['messages.db'],
} as const;

export type FileKind = keyof typeof fileNames;

/** A value as text, a number as its digits; null for what is null, binary or too large. */
export type Cells = Readonly<Record<string, string | null>>;

export interface Wanted {
  readonly table: string;
  /** Columns by name; those that the table does not have are null. */
  readonly columns: readonly string[];
  /** More columns, as SQL on those that the table has. */
  readonly computed?: string;
  /** What follows in the query, where the table is `here`; without that, ORDER BY would go by the text of a number. */
  readonly rest?: string;
  readonly bound?: readonly number[];
  /** Largest value that is read. */
  readonly mostBytes: number;
  /** Is told when the rest of the table cannot be read. */
  readonly damaged: () => void;
}

export interface OldFile extends Disposable {
  readonly name: string;
  /** Names of its plain tables: no views, no virtual tables, whose reading would run what the file says. */
  readonly tables: readonly string[];
  /** Whether it is a plain table that has all of these columns. */
  has(table: string, columns: readonly string[]): boolean;
  rows(wanted: Wanted): Generator<Cells>;
  /** Of rows that meet the condition; 0 where they cannot be counted. */
  count(table: string, condition: string, bound?: readonly number[]): number;
}

export type OldFiles = Readonly<Record<FileKind, readonly OldFile[]>> & Disposable;

/** @throws Error when the folder has none of the files, or one that cannot be read */
export function openOldFiles(folder: string): OldFiles {
  const opened: OldFile[] = [];
  const close = (): void => {
    for (const file of opened) file[Symbol.dispose]();
  };
  const open = (kind: FileKind): OldFile[] => {
    const paths = fileNames[kind].map((name) => join(folder, name));
    const found = paths
      .filter((path) => statSync(path, { throwIfNoEntry: false }))
      .map((path) => openOldFile(path, kind));
    opened.push(...found);
    return found;
  };
  try {
    const files = { users: open('users'), lists: open('lists'), logs: open('logs') };
    if (opened.length > 0) return { ...files, [Symbol.dispose]: close };
  } catch (error) {
    close();
    throw error;
  }
  const names = Object.values(fileNames).flat().join(', ');
  throw new Error(`There is no database of the old server in ${folder}: none of ${names}.`);
}

function openOldFile(path: string, kind: FileKind): OldFile {
  const db = openReadOnly(path);
  try {
    // What is advised for files of others: https://sqlite.org/security.html#untrusted_sqlite_database_files
    for (const setting of ['trusted_schema = OFF', 'cell_size_check = ON', 'mmap_size = 0'])
      db.run(`PRAGMA ${setting}`);
    if (kind === 'users') db.run('PRAGMA temp_store = MEMORY'); // passwords that are sorted must not lie on the disk
    return { name: basename(path), [Symbol.dispose]: () => db.close(), ...readersOf(db) };
  } catch (error) {
    db.close();
    throw unreadable(path, error);
  }
}

/** Without anything being written beside it, unless a log waits there that only SQLite can read along with the file. */
function openReadOnly(path: string): Database {
  const sizeOf = (name: string): number => statSync(name, { throwIfNoEntry: false })?.size ?? 0;
  if (!statSync(path).isFile()) throw new Error(`${path} is no file.`);
  if (sizeOf(`${path}-journal`) > 0)
    throw new Error(
      `${path} was left in the middle of a write. Copy the folder, read a table of the copy with sqlite3, which takes ` +
        'the write back, remove a -journal that is still there, and import the copy.',
    );
  const hasLog = sizeOf(`${path}-wal`) > 0;
  const flags = constants.SQLITE_OPEN_READONLY | constants.SQLITE_OPEN_URI;
  try {
    return new Database(`${pathToFileURL(path).href}${hasLog ? '' : '?immutable=1'}`, flags);
  } catch (error) {
    throw unreadable(path, error);
  }
}

function unreadable(path: string, error: unknown): Error {
  const { code = '', message } = error instanceof SQLiteError ? error : { message: String(error) };
  const log = code === 'SQLITE_CANTOPEN' || code?.startsWith('SQLITE_READONLY');
  const remedy = log
    ? ' With a -wal beside it, it must lie where this program may write: copy the folder.'
    : '';
  return new Error(`${path} cannot be read: ${message}.${remedy}`, { cause: error });
}

function readersOf(db: Database): Pick<OldFile, 'tables' | 'has' | 'rows' | 'count'> {
  const tables = db
    .query("SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table'")
    .values()
    .map(([name]) => String(name));
  const isTable = new Set(tables.map((table) => table.toUpperCase()));
  const columnsOf = (table: string): Set<string> => {
    if (!isTable.has(table.toUpperCase())) return new Set();
    using statement = db.prepare('SELECT name FROM pragma_table_info(?)');
    return new Set(statement.values(table).map(([name]) => String(name).toUpperCase()));
  };
  return {
    tables,
    has: (table, columns) => columns.every((column) => columnsOf(table).has(column)),

    *rows({ table, columns, computed, rest = '', bound = [], mostBytes, damaged }) {
      const present = columnsOf(table);
      const cells = columns.map((name) => (present.has(name) ? cell(name, mostBytes) : `NULL AS ${name}`));
      const selected = [...cells, ...(computed ? [computed] : [])].join(', ');
      try {
        using statement = db.prepare<Cells, number[]>(
          `SELECT ${selected} FROM ${quoted(table)} AS here ${rest}`,
        );
        yield* statement.iterate(...bound);
      } catch (error) {
        if (!isDamage(error)) throw error;
        damaged();
      }
    },

    count(table, condition, bound = []) {
      try {
        using statement = db.prepare(`SELECT COUNT(*) FROM ${quoted(table)} WHERE ${condition}`);
        return Number(statement.values(...bound)[0]?.[0] ?? 0);
      } catch (error) {
        if (!isDamage(error)) throw error;
        return 0;
      }
    },
  };
}

/** Numbers become text in SQLite, which knows 64 bits of them; a huge value is left where it is. */
function cell(name: string, mostBytes: number): string {
  return `CASE typeof(${name}) WHEN 'text' THEN CASE WHEN octet_length(${name}) <= ${mostBytes} THEN ${name} END
    WHEN 'blob' THEN NULL ELSE CAST(${name} AS TEXT) END AS ${name}`;
}

function quoted(table: string): string {
  return `"${table.replaceAll('"', '""')}"`;
}

function isDamage(error: unknown): boolean {
  return error instanceof SQLiteError && /^SQLITE_(?:CORRUPT|NOTADB|IOERR)/.test(error.code ?? '');
}
