// The database file: its migrations, its settings, and what a transaction promises.
import { Database } from 'bun:sqlite';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { getTableColumns, sql } from 'drizzle-orm';
import { getTableConfig, type SQLiteTable } from 'drizzle-orm/sqlite-core';
import { AppError } from '../../src/errors.ts';
import * as schema from '../../src/store/schema.ts';
import { type Driver, openDatabase } from '../../src/store/sqlite.ts';

const folder = mkdtempSync(join(tmpdir(), 'chat-migrations-'));
let count = 0;
let path = '';
let driver: Driver;

beforeEach(() => {
  count += 1;
  path = join(folder, `${count}.db`);
  driver = openDatabase(path);
});

afterEach(() => driver.close());
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const group = (groupId: string) => ({ groupId, name: 'Team', picture: '', createdAt: 1 });

async function groupIds(db = driver.reader): Promise<(string | null)[]> {
  return (await db.select({ groupId: schema.chats.groupId }).from(schema.chats)).map(
    ({ groupId }) => groupId,
  );
}

/** The error that something ends with; fails when it ends well. */
async function failureOf(running: Promise<unknown>): Promise<unknown> {
  return running.then(
    () => expect.unreachable('it went well'),
    (error: unknown) => error,
  );
}

describe('migrations', () => {
  for (const mode of ['delete', 'wal']) {
    test(`A database of a newer version is refused in clear words and left as it is, in ${mode} mode.`, async () => {
      await driver.write((tx) => tx.insert(schema.chats).values(group('5')));
      const alone = join(folder, `newer ${mode}`);
      mkdirSync(alone);
      const newer = join(alone, 'chat.db');
      const file = new Database(path);
      file.run('VACUUM INTO ?', [newer]);
      file.close();
      const copy = new Database(newer);
      copy.run('PRAGMA user_version = 999');
      copy.run(`PRAGMA journal_mode = ${mode}`);
      copy.close();
      const before = readFileSync(newer);
      expect(() => openDatabase(newer)).toThrow(/newer version \(schema 999, this program knows \d+\)/);
      expect(readFileSync(newer).equals(before)).toBe(true);
      expect(readdirSync(alone)).toEqual(['chat.db']);
    });
  }

  test('A second opening changes nothing and finds what was written.', async () => {
    await driver.write((tx) => tx.insert(schema.chats).values(group('5')));
    const again = openDatabase(path);
    expect(await groupIds(again.reader)).toEqual(['5']);
    await again.close();
  });

  const tables = Object.values(schema) as SQLiteTable[];

  test('The schema that queries are built from has the tables that the migrations make.', () => {
    const rows = driver.reader.all<{ name: string }>(
      sql`SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`,
    );
    expect(rows.map(({ name }) => name).sort()).toEqual(
      tables.map((table) => getTableConfig(table).name).sort(),
    );
  });

  for (const table of tables) {
    const { name, primaryKeys } = getTableConfig(table);
    test(`The columns of ${name} are the same in the schema and in the file.`, () => {
      const rows = driver.reader.all<{ name: string; type: string; notnull: number; pk: number }>(
        sql.raw(`PRAGMA table_info(${name})`),
      );
      const inFile = rows.map((row) => ({
        name: row.name,
        type: row.type.toLowerCase(),
        key: row.pk > 0,
        // A rowid key is never null, though table_info does not say so.
        required: row.notnull === 1 || row.pk > 0,
      }));
      const keys = primaryKeys.flatMap(({ columns }) => columns.map((column) => column.name));
      const inSchema = Object.values(getTableColumns(table)).map((column) => ({
        name: column.name,
        type: column.getSQLType(),
        key: column.primary || keys.includes(column.name),
        required: column.notNull || column.primary,
      }));
      expect(inSchema).toEqual(inFile);
    });

    test(`What is unique in ${name} is so in the schema and in the file.`, () => {
      const indexes = driver.reader.all<{ name: string; unique: number; origin: string }>(
        sql.raw(`PRAGMA index_list(${name})`),
      );
      const inFile = indexes
        .filter(({ unique, origin }) => unique === 1 && origin === 'u')
        .map((index) => driver.reader.all<{ name: string }>(sql.raw(`PRAGMA index_info(${index.name})`)))
        .filter((columns) => columns.length === 1)
        .map(([column]) => column?.name ?? '');
      const inSchema = Object.values(getTableColumns(table)).filter(({ isUnique }) => isUnique);
      expect(inSchema.map((column) => column.name).sort()).toEqual(inFile.sort());
    });
  }
});

describe('settings', () => {
  const settings = { journal_mode: 'wal', synchronous: 2, foreign_keys: 1, busy_timeout: 1000 };
  for (const [name, value] of Object.entries(settings)) {
    test(`The writer has ${name} ${value}.`, () => {
      const row = driver.writer.get<Record<string, unknown>>(sql.raw(`PRAGMA ${name}`));
      expect(Object.values(row ?? {})).toEqual([value]);
    });
  }

  test('The write-ahead log is cut back after it has been long.', () => {
    const row = driver.writer.get<Record<string, unknown>>(sql.raw('PRAGMA journal_size_limit'));
    expect(Object.values(row ?? {})).toEqual([64 * 1024 * 1024]);
  });

  test('The reader cannot write.', () => {
    expect(() => driver.reader.insert(schema.chats).values(group('6')).run()).toThrow();
  });

  test('A row whose owner does not exist is refused.', async () => {
    const orphan = { chatId: 99, uid: 99, role: 'member', joinedAt: 1 } as const;
    expect(await failureOf(driver.write((tx) => tx.insert(schema.members).values(orphan)))).toBeInstanceOf(
      Error,
    );
  });
});

describe('a transaction', () => {
  test('It is rolled back as a whole when its body throws after an await.', async () => {
    const failing = driver.write(async (tx) => {
      await tx.insert(schema.chats).values(group('7'));
      await Bun.sleep(5);
      throw new Error('changed my mind');
    });
    expect(await failureOf(failing)).toMatchObject({ message: 'changed my mind' });
    expect(await groupIds()).toEqual([]);
    await driver.write((tx) => tx.insert(schema.chats).values(group('8')));
    expect(await groupIds()).toEqual(['8']);
  });

  test('Readers see nothing of it before it is committed, and all of it then.', async () => {
    const { promise: goOn, resolve } = Promise.withResolvers<void>();
    const { promise: written, resolve: tell } = Promise.withResolvers<void>();
    const writing = driver.write(async (tx) => {
      await tx.insert(schema.chats).values([group('1'), group('2')]);
      tell();
      await goOn;
    });
    await written;
    expect(await groupIds()).toEqual([]);
    expect(await groupIds(driver.writer)).toEqual(['1', '2']);
    resolve();
    await writing;
    expect(await groupIds()).toEqual(['1', '2']);
  });

  test('Transactions queue: one begins when the one before has told of its commit.', async () => {
    const order: string[] = [];
    const step = (name: string) =>
      driver.write(
        async () => {
          order.push(`${name} begins`);
          await Bun.sleep(2);
          order.push(`${name} ends`);
        },
        () => void order.push(`${name} told`),
      );
    await Promise.all([step('a'), step('b')]);
    expect(order).toEqual(['a begins', 'a ends', 'a told', 'b begins', 'b ends', 'b told']);
  });

  test('While another process holds the file it is refused as unavailable, and works again afterwards.', async () => {
    const code = `
      const { Database } = require('bun:sqlite');
      const db = new Database(process.argv[1]);
      db.run('BEGIN IMMEDIATE');
      console.log('held');
      process.stdin.once('data', () => { db.run('ROLLBACK'); process.exit(0); });`;
    const holder = Bun.spawn([process.execPath, '-e', code, path], {
      stdin: 'pipe',
      stdout: 'pipe',
      stderr: 'inherit',
    });
    try {
      await holder.stdout.getReader().read();
      const error = await failureOf(driver.write((tx) => tx.insert(schema.chats).values(group('9'))));
      expect(error).toBeInstanceOf(AppError);
      expect(error).toMatchObject({ code: 'unavailable', status: 503, details: { retryAfterMs: 5000 } });
      expect(await groupIds()).toEqual([]);
      holder.stdin.write('go\n');
      await holder.stdin.flush();
      await holder.exited;
    } finally {
      holder.kill();
    }
    await driver.write((tx) => tx.insert(schema.chats).values(group('9')));
    expect(await groupIds()).toEqual(['9']);
  });

  test('Closing waits for what is queued.', async () => {
    const slow = driver.write(async (tx) => {
      await Bun.sleep(20);
      await tx.insert(schema.chats).values(group('3'));
    });
    await driver.close();
    await slow;
    const file = new Database(path, { readonly: true });
    expect(file.query('SELECT group_id FROM chats').values()).toEqual([['3']]);
    file.close();
    driver = openDatabase(path);
  });
});
