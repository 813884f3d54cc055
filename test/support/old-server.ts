// The databases of the old server, written anew as it wrote them, to be imported.
import { Database, type SQLQueryBindings } from 'bun:sqlite';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';

export interface OldUser {
  UID: number;
  FIRST_NAME: SQLQueryBindings;
  LAST_NAME: SQLQueryBindings;
  EMAIL: SQLQueryBindings;
  DOB: SQLQueryBindings;
  PHONE_NO: SQLQueryBindings;
  PASSWORD: SQLQueryBindings;
  PROFILE_PIC: SQLQueryBindings;
  IS_MAIL_OTP: SQLQueryBindings;
  COOKIE: SQLQueryBindings;
  JOINED_ON: SQLQueryBindings;
}

export const everybody = '1000000000000';
const picture = 'https://example.test/p.png';

/** The number of the direct chat that one began with another. */
export function directId(one: number, other: number): string {
  return `${one}${'0'.repeat(16)}${other}`;
}

/** A cookie as the old server made them. */
export function oldCookie(): string {
  return `MESSANGER__${randomBytes(32).toString('hex')}`;
}

export class OldServer implements Disposable {
  readonly users: Database;
  readonly lists: Database;
  readonly logs: Database;

  /** Makes the three files in this folder, which exists, or opens those that are there. */
  constructor(
    readonly folder: string,
    listsName = 'chats_lists.db',
  ) {
    const open = (name: string) => new Database(join(folder, name), { create: true, strict: true });
    [this.users, this.lists, this.logs] = [open('all_users.db'), open(listsName), open('messages.db')];
    for (const db of this.#files) db.run('BEGIN'); // one write to the disk each, when they are closed
    this.users.run(`CREATE TABLE IF NOT EXISTS users (UID INTEGER PRIMARY KEY AUTOINCREMENT, FIRST_NAME TEXT, LAST_NAME TEXT,
      EMAIL TEXT, DOB TEXT, PHONE_NO TEXT, PASSWORD TEXT, PROFILE_PIC TEXT, IS_MAIL_OTP INTEGER, IP TEXT, CITY TEXT,
      TOKEN TEXT, COOKIE TEXT, JOINED_ON TIMESTAMP DEFAULT CURRENT_TIMESTAMP)`);
    this.makeList('all_chats');
  }

  get #files(): readonly Database[] {
    return [this.users, this.lists, this.logs];
  }

  /** Adds somebody who is verified and has nothing strange, but for these changes. */
  addUser(changes: Partial<OldUser> & { UID: number }): OldUser {
    const { UID } = changes;
    const user: OldUser = {
      FIRST_NAME: 'Old',
      LAST_NAME: 'Hand',
      EMAIL: `old.${UID}@example.test`,
      DOB: '1990-01-10',
      PHONE_NO: '4666009041',
      PASSWORD: `pass word ${UID}`,
      PROFILE_PIC: picture,
      IS_MAIL_OTP: 0,
      COOKIE: oldCookie(),
      JOINED_ON: '2025-03-01 10:00:00',
      ...changes,
    };
    insert(this.users, 'users', { ...user, IP: '203.0.113.1', CITY: 'Testville', TOKEN: 'MESS__TOK__old' });
    return user;
  }

  makeList(table: string): void {
    this.lists.run(`CREATE TABLE IF NOT EXISTS ${table} (GUID INTEGER PRIMARY KEY AUTOINCREMENT, GNAME TEXT,
      PROFILE_PIC, TIME_STAMP TIMESTAMP DEFAULT CURRENT_TIMESTAMP)`);
  }

  /** Puts a chat into the list of all, or into somebody's. */
  addToList(owner: number | 'all', guid: number, changes: Record<string, SQLQueryBindings> = {}): void {
    const table = owner === 'all' ? 'all_chats' : `CHATS_${owner}`;
    this.makeList(table);
    const row = { GUID: guid, GNAME: 'Team', PROFILE_PIC: '', TIME_STAMP: '2025-03-02 10:00:00' };
    insert(this.lists, table, { ...row, ...changes });
  }

  makeLog(guid: string): void {
    this.logs.run(`CREATE TABLE IF NOT EXISTS "G_${guid}" (MESSAGE_ID INTEGER PRIMARY KEY AUTOINCREMENT,
      SENDER_ID INTEGER, SENDER_NAME TEXT, MESSAGE TEXT, PROFILE_PIC, TIME_STAMP TIMESTAMP DEFAULT CURRENT_TIMESTAMP)`);
  }

  /** Adds a message to a chat. */
  say(
    guid: string,
    sender: SQLQueryBindings,
    text: SQLQueryBindings,
    time: SQLQueryBindings = '2025-03-03 10:00:00',
  ) {
    this.makeLog(guid);
    const row = {
      SENDER_ID: sender,
      SENDER_NAME: 'Old',
      MESSAGE: text,
      PROFILE_PIC: picture,
      TIME_STAMP: time,
    };
    insert(this.logs, `"G_${guid}"`, row);
  }

  close(): void {
    for (const db of this.#files) {
      db.run('COMMIT');
      db.close();
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function insert(db: Database, table: string, row: Record<string, SQLQueryBindings>): void {
  const names = Object.keys(row);
  const values = names.map((name) => `$${name}`).join(', ');
  db.query(`INSERT INTO ${table} (${names.join(', ')}) VALUES (${values})`).run(row as never);
}
