// Looks at a database file without changing it, also beside a server: is it sound, of which schema, how new is it.
import { Database } from 'bun:sqlite';
import { newestSchema } from './upgrade.ts';

export interface Inspection {
  /** What SQLite finds wrong, at most ten lines; empty when it is sound. */
  readonly problems: string[];
  readonly schema: number;
  /** The schema that this program works with. */
  readonly newestSchema: number;
  /** ms since the epoch of the newest message; null when there is none. */
  readonly newestMessageAt: number | null;
}

/**
 * @param full looks at every index and value too, which takes several times as long
 * @see https://sqlite.org/pragma.html#pragma_quick_check
 * @throws SQLiteError when it is no database or cannot be opened
 */
export function inspectDatabase(path: string, full: boolean): Inspection {
  using database = new Database(path, { readonly: true });
  database.run('PRAGMA busy_timeout = 2000');
  const found = database.query<Record<string, string>, []>(
    `PRAGMA ${full ? 'integrity_check' : 'quick_check'}(10)`,
  );
  const verdict = found.all().flatMap((row) => Object.values(row));
  const { user_version: schema } = database.query('PRAGMA user_version').get() as { user_version: number };
  return {
    problems: verdict[0] === 'ok' ? [] : verdict,
    schema,
    newestSchema,
    newestMessageAt: schema === 0 ? null : newestMessage(database),
  };
}

function newestMessage(database: Database): number | null {
  const newest = database
    .query<{ at: number | null }, []>('SELECT MAX(last_message_at) AS at FROM chats')
    .get();
  return newest?.at ?? null;
}
