// What a database file says of itself: whether it is sound, and how much of everything it has.
import { Database } from 'bun:sqlite';
import type { Contents } from './manifest.ts';

/**
 * What SQLite finds wrong with the file, in its words; null when nothing is.
 * @see https://sqlite.org/pragma.html#pragma_integrity_check
 */
export function findDamage(path: string): string | null {
  try {
    using database = new Database(path, { readonly: true });
    const verdict = String(firstValue(database, 'PRAGMA integrity_check(1)'));
    return verdict === 'ok' ? null : verdict;
  } catch (error) {
    return error instanceof Error ? error.message : String(error); // no database at all
  }
}

/** Of a file of any schema. @throws the database's error when it has not the tables of one */
export function readContents(path: string): Contents {
  using database = new Database(path, { readonly: true });
  const count = (sql: string) => Number(firstValue(database, sql));
  const newestAt = firstValue(database, 'SELECT MAX(last_message_at) FROM chats');
  return {
    schema: count('PRAGMA user_version'),
    epoch: epochOf(database),
    counts: {
      accounts: count('SELECT COUNT(*) FROM accounts'),
      chats: count('SELECT COUNT(*) FROM chats'),
      messages: count('SELECT COUNT(*) FROM messages'),
    },
    newest: {
      messageAtMs: typeof newestAt === 'number' ? newestAt : null,
      seqSum: count('SELECT COALESCE(SUM(last_seq), 0) FROM chats'),
    },
  };
}

/** The first schema had no name for its history. */
function epochOf(database: Database): string {
  const named = firstValue(database, `SELECT COUNT(*) FROM sqlite_schema WHERE name = 'installation'`);
  return named ? String(firstValue(database, 'SELECT epoch FROM installation') ?? '') : '';
}

function firstValue(database: Database, sql: string): unknown {
  using statement = database.prepare(sql);
  return statement.values()[0]?.[0];
}
