// The database file beside the running server: what is on disk, whatever anybody was told.
import { Database } from 'bun:sqlite';
import { join } from 'node:path';

export interface Row {
  readonly chat: string;
  readonly seq: number;
  readonly senderUid: number;
  readonly body: string;
  readonly clientMessageId: string | null;
}

/** One name for a chat, however its id is spelled: a group's id, or the two numbers of a direct chat, the smaller first. */
export function chatName(groupId: string): string {
  const direct = /^([1-9]\d{0,9}?)0{16}([1-9]\d{0,9})$/.exec(groupId);
  if (!direct) return groupId;
  const [low, high] = [Number(direct[1]), Number(direct[2])].sort((one, other) => one - other);
  return `${low}-${high}`;
}

const names = `COALESCE(chats.group_id, chats.low_uid || '-' || chats.high_uid)`;

export class LogFile {
  readonly #path: string;

  constructor(dataDir: string) {
    this.#path = join(dataDir, 'chat.db');
  }

  /** Every message of every chat, by chat and position. */
  rows(): Row[] {
    return this.#ask((database) =>
      database
        .query<Row, []>(
          `SELECT ${names} AS chat, seq, sender_uid AS senderUid, body, client_message_id AS clientMessageId
           FROM messages JOIN chats ON chats.id = messages.chat_id ORDER BY chats.id, seq`,
        )
        .all(),
    );
  }

  /** The position of a chat's newest message, 0 when there is none. */
  end(groupId: string): number {
    const query = `SELECT MAX(seq) AS seq FROM messages JOIN chats ON chats.id = chat_id WHERE ${names} = ?`;
    return this.#ask(
      (database) => database.query<{ seq: number | null }, [string]>(query).get(chatName(groupId))?.seq ?? 0,
    );
  }

  /** Everything that is wrong with the file: SQLite's own findings, positions that are not 1, 2, 3, ..., ends that lie. */
  problems(): string[] {
    const found = this.#ask((database) =>
      database.query<{ integrity_check: string }, []>('PRAGMA integrity_check').all(),
    ).flatMap(({ integrity_check: finding }) => (finding === 'ok' ? [] : [finding]));
    const query = `
      SELECT ${names} AS chat, last_seq AS last, COUNT(seq) AS count, MIN(seq) AS first, MAX(seq) AS end
      FROM chats LEFT JOIN messages ON messages.chat_id = chats.id GROUP BY chats.id`;
    const chats = this.#ask((database) =>
      database
        .query<{ chat: string; last: number; count: number; first: number | null; end: number | null }, []>(
          query,
        )
        .all(),
    );
    for (const { chat, last, count, first, end } of chats) {
      const dense = count === 0 ? last === 0 : first === 1 && end === count && last === count;
      if (!dense)
        found.push(`chat ${chat}: ${count} messages from ${first} to ${end}, the chat says ${last}`);
    }
    return found;
  }

  /** Opened for each look, so that the file may be killed, replaced and recovered in between. */
  #ask<T>(question: (database: Database) => T): T {
    const database = new Database(this.#path, { readonly: true });
    try {
      database.run('PRAGMA busy_timeout = 2000');
      return question(database);
    } finally {
      database.close();
    }
  }
}
