// What the import does with fields, messages and files that are not as they should be.
import { Database } from 'bun:sqlite';
import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  setDefaultTimeout,
  test,
} from 'bun:test';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { Move } from '../support/import.ts';
import { directId, everybody, type OldUser, oldCookie } from '../support/old-server.ts';
import { mailAt } from '../support/people.ts';

setDefaultTimeout(60_000); // each starts whole programs, on a machine that may be busy

let move: Move;

beforeEach(() => {
  move = new Move();
});

afterEach(() => move[Symbol.dispose]());

const accounts = (columns: string) => move.rows(`SELECT ${columns} FROM accounts ORDER BY uid`);
const bodies = () => move.rows('SELECT body FROM messages ORDER BY chat_id, seq').flat();

describe('fields of accounts', () => {
  const usual = { first: 'Old', last: 'Hand', phone: '4666009041', dob: '1990-01-10' };
  const cases: [string, Partial<OldUser>, object, string[]][] = [
    ['a name with digits and signs', { FIRST_NAME: 'B0b <b>' }, { first: 'B b b' }, ['NAME']],
    ['a long name', { LAST_NAME: 'x'.repeat(60) }, { last: 'x'.repeat(50) }, ['NAME']],
    ['no names', { FIRST_NAME: null, LAST_NAME: '42' }, { first: 'Unknown', last: 'Unknown' }, ['NAME']],
    ['the name of the server', { FIRST_NAME: 'Server' }, { first: 'Unknown' }, ['NAME']],
    [
      'a picture that ends a CSS address',
      { PROFILE_PIC: 'https://a.test/")x' },
      { picture: '' },
      ['PICTURE'],
    ],
    ['no picture', { PROFILE_PIC: null }, { picture: '' }, []],
    ['a phone number with blanks', { PHONE_NO: '(466) 600-9041' }, {}, ['PHONE']],
    ['a phone number that is none', { PHONE_NO: 'call me' }, { phone: '' }, ['PHONE']],
    ['a date that never was', { DOB: '1990-02-31' }, { dob: null }, ['BIRTH_DATE']],
    [
      'an address that is none',
      { EMAIL: 'bob' },
      { email: expect.stringMatching(/^imported-1092-\d+@no-address\.invalid$/) },
      ['EMAIL'],
    ],
    ['a binary phone number', { PHONE_NO: Buffer.from('1') }, { phone: '' }, []],
    ['a time of joining that is none', { JOINED_ON: 'yesterday' }, {}, ['JOIN_TIME']],
    ['a cookie that could be guessed', { COOKIE: 'MESSANGER__1' }, {}, ['COOKIE']],
  ];
  const uidAt = (index: number) => 1002 + 10 * index;
  const imported = new Move();
  let tallies: Record<string, { EXAMPLES: string[] }> = {};

  beforeAll(async () => {
    imported.write((old) => {
      for (const [index, [, changes]] of cases.entries()) old.addUser({ UID: uidAt(index), ...changes });
    });
    tallies = (await imported.facts()).MENDED;
  });
  afterAll(() => imported[Symbol.dispose]());

  for (const [index, [what, , mended, kinds]] of cases.entries()) {
    test(`An account with ${what} is taken, and what was mended is told.`, () => {
      const uid = uidAt(index);
      const sql = `SELECT first_name, last_name, email, phone, dob, picture FROM accounts WHERE uid = ${uid}`;
      const [[first, last, email, phone, dob, picture] = []] = imported.rows(sql);
      const expected = {
        ...usual,
        email: `old.${uid}@example.test`,
        picture: 'https://example.test/p.png',
        ...mended,
      };
      expect({ first, last, email, phone, dob, picture }).toEqual(expected);
      const told = Object.entries(tallies).filter(([, { EXAMPLES }]) => EXAMPLES.includes(`account ${uid}`));
      expect(told.map(([kind]) => kind)).toEqual(kinds);
    });
  }

  test('Without a password that can be used nobody logs in, and /forgot_password gives one.', async () => {
    const passwords = [null, '', 'x'.repeat(1025), Buffer.from('secret')];
    move.write((old) => {
      for (const [index, PASSWORD] of passwords.entries()) old.addUser({ UID: 2 + index, PASSWORD });
    });
    expect((await move.import()).mended).toEqual({ PASSWORD: passwords.length });
    const server = await move.serve();
    try {
      for (const [index, old] of ['null', ' ', 'x'.repeat(1024), 'secret'].entries()) {
        const EMAIL = `old.${2 + index}@example.test`;
        const logIn = async (PASSWORD: string) => (await server.post('/login', { EMAIL, PASSWORD })).status;
        expect(await logIn(old)).toBe(401);
        expect((await server.post('/forgot_password', { EMAIL })).status).toBe(200);
        await mailAt(server, EMAIL, 1);
        const reset = { EMAIL, OTP: server.codeFor(EMAIL), NEW_PASSWORD: 'correct horse 42' };
        expect((await server.post('/reset_password', reset)).status).toBe(200);
        expect(await logIn(reset.NEW_PASSWORD)).toBe(200);
      }
    } finally {
      await server.running.stop();
    }
  });

  test('Of accounts with one address, in any case, the verified and then the older one has it.', async () => {
    move.write((old) => {
      old.addUser({ UID: 2, EMAIL: 'one@example.test', IS_MAIL_OTP: 123456 });
      old.addUser({ UID: 3, EMAIL: 'One@Example.test' });
      old.addUser({ UID: 4, EMAIL: 'ONE@example.test' });
    });
    const { taken, mended } = await move.import();
    expect({ taken, mended }).toEqual({ taken: { ACCOUNTS: 3, LOGINS: 3 }, mended: { EMAIL: 2 } });
    expect(accounts('uid, email')).toEqual([
      [2, expect.stringMatching(/^imported-2-\d+@no-address\.invalid$/)],
      [3, 'One@Example.test'],
      [4, expect.stringMatching(/^imported-4-\d+@no-address\.invalid$/)],
    ]);
  });

  test('Numbers and addresses of accounts made here stay theirs.', async () => {
    const server = await move.serve();
    const body = { FIRST_NAME: 'New', LAST_NAME: 'Hand', PHONE_NO: '', PASSWORD: 'correct horse 42' };
    const { UID } = (await server.post('/sign_up', { ...body, EMAIL: 'new@example.test' })).body;
    await server.running.stop();
    move.write((old) => {
      old.addUser({ UID });
      old.addUser({ UID: 3, EMAIL: 'New@example.test' });
      old.say(everybody, UID, 'by the old one');
      old.say(everybody, 999_999_999, 'by a stranger');
    });
    const { mended, numbers } = await move.import();
    expect(mended).toEqual({ NUMBER: 1, EMAIL: 1, SENDER: 1 });
    const senders = move.rows('SELECT sender_uid FROM messages ORDER BY seq').flat();
    expect(senders[0]).toBe(numbers[UID]);
    expect(senders[0]).not.toBe(UID);
    expect(senders[1]).toBeLessThan(100_000_000); // no number that an account gets here
  });

  test('Two accounts with one cookie do not share a login.', async () => {
    const COOKIE = oldCookie();
    move.write((old) => {
      for (const UID of [2, 3]) old.addUser({ UID, COOKIE });
    });
    expect(await move.import()).toMatchObject({ taken: { ACCOUNTS: 2, LOGINS: 1 }, mended: { COOKIE: 1 } });
    expect(move.rows('SELECT uid FROM sessions')).toEqual([[2]]);
  });

  test('Accounts that were never verified are never removed.', async () => {
    move.write((old) => void old.addUser({ UID: 5, IS_MAIL_OTP: 123456 }));
    await move.import();
    const server = await move.serve();
    server.advance(1000 * 24 * 60 * 60 * 1000);
    await server.store.removeExpired({ now: server.clock(), sessionsUsedBefore: 0, sessionsMadeBefore: 0 });
    await server.running.stop();
    expect(accounts('uid, verified_at')).toEqual([[5, null]]);
  });

  test('Numbers that are too large, negative or missing are given anew or refused.', async () => {
    move.write((old) => {
      old.users.run('DROP TABLE users');
      old.users.run('CREATE TABLE users (UID, FIRST_NAME, LAST_NAME, EMAIL, IS_MAIL_OTP)');
      const add = "INSERT INTO users VALUES (?, 'Old', 'Hand', ?, '0')";
      const uids = [99_999_999_999, -5, null, 'five', 1.5, 7, 7, Buffer.from('8')];
      for (const [index, uid] of uids.entries()) old.users.run(add, [uid, `${index}@example.test`]);
    });
    const { taken, refused, numbers } = await move.import();
    expect(taken).toEqual({ ACCOUNTS: 3 });
    expect(refused).toEqual({ ACCOUNT: 5 });
    expect(Object.keys(numbers).sort()).toEqual(['-5', '99999999999']);
  });
});

describe('chats and messages', () => {
  test('Texts that are none are refused; others are mended, and the order stays.', async () => {
    move.write((old) => {
      old.addUser({ UID: 2 });
      old.logs.run(
        `CREATE TABLE "G_${everybody}" (MESSAGE_ID INTEGER PRIMARY KEY, SENDER_ID, SENDER_NAME, MESSAGE, PROFILE_PIC, TIME_STAMP)`,
      );
      const rows: [unknown, unknown][] = [
        [2, 'first'],
        [2, null],
        [2, ''],
        [2, 'h:'],
        [2, Buffer.from('binary')],
        [2, 12.5],
        [null, 'nobody'],
        ['two', 'no number'],
        [2, 'a: b'],
        [2, 'h:zz'],
        [2, 'x'.repeat(1_000_001)],
        [2, 'y'.repeat(4001)],
        [2, `h:${Buffer.from('é'.repeat(4001)).toString('hex')}`],
        [2, 'last'],
      ];
      for (const [sender, text] of rows) old.say(everybody, sender as never, text as never);
    });
    const { taken, mended, refused } = await move.import();
    expect(refused).toEqual({ MESSAGE_EMPTY: 3, MESSAGE_BINARY: 1, MESSAGE_LONG: 1 });
    expect(mended).toEqual({ SENDER: 2, TEXT_NUMBER: 1, TEXT_ENCODED: 2, TEXT_SPLIT: 2 });
    expect(taken.MESSAGES).toBe(9);
    expect(bodies()).toEqual([
      'first',
      '12.5',
      'nobody',
      'no number',
      'h:613a2062',
      'h:683a7a7a',
      'y'.repeat(4000),
      'y',
      `h:${Buffer.from('é'.repeat(4000)).toString('hex')}`,
      'h:c3a9',
      'last',
    ]);
  });

  test('A time that cannot be read, or is yet to come, becomes that of the message before.', async () => {
    move.write((old) => {
      old.addUser({ UID: 2 });
      for (const time of ['2025-03-03 10:00:00', null, 'noon', '2999-01-01 00:00:00'])
        old.say(everybody, 2, 'x', time);
      old.say(everybody, 2, 'x', '2025-03-03 10:00:01');
    });
    expect((await move.import()).mended).toEqual({ TIME: 3 });
    const times = move.rows('SELECT sent_at FROM messages ORDER BY seq').flat();
    const [first = 0] = times as number[];
    expect(times).toEqual([first, first, first, first, first + 1000]);
  });

  test('Direct chats whose number overflowed in the lists are found by their tables.', async () => {
    move.write((old) => {
      for (const UID of [12, 13]) old.addUser({ UID });
      old.lists.run('CREATE TABLE CHATS_12 (GUID, GNAME, PROFILE_PIC, TIME_STAMP)');
      for (const guid of [1.2e19, -6446744073709551603n, 'x', null]) old.addToList(12, guid as never);
      old.say(directId(12, 13), 12, 'found');
    });
    const { taken, refused } = await move.import();
    expect({ taken, refused }).toMatchObject({
      taken: { DIRECT_CHATS: 1, MESSAGES: 1 },
      refused: { LIST_ENTRY: 4 },
    });
    expect(move.rows('SELECT low_uid, high_uid FROM chats WHERE group_id IS NULL')).toEqual([[12, 13]]);
  });

  test('A chat in a list in which nothing was said is made; one of strangers is not.', async () => {
    move.write((old) => {
      for (const UID of [2, 3]) old.addUser({ UID });
      old.lists.run('CREATE TABLE CHATS_2 (GUID INTEGER PRIMARY KEY, GNAME TEXT, PROFILE_PIC, TIME_STAMP)');
      old.lists.run(`INSERT INTO CHATS_2 (GUID) VALUES (${directId(2, 3)})`);
      old.addToList(77, 5123456789012);
      old.say(directId(77, 78), 77, 'between strangers');
      old.say(directId(3, 77), 77, 'from a stranger');
    });
    const { taken, mended, refused } = await move.import();
    expect(taken).toMatchObject({ DIRECT_CHATS: 2, MESSAGES: 1 });
    expect({ mended, refused }).toEqual({ mended: { SENDER: 1 }, refused: { LIST_OWNER: 1, CHAT: 1 } });
    expect(bodies()).toEqual(['from a stranger']);
  });

  test('Groups get a number that is in no direct chat’s, a name that may be, and by their writers members.', async () => {
    move.write((old) => {
      for (const UID of [2, 3, 4]) old.addUser({ UID });
      old.addToList('all', 20, { GNAME: 'Small', PROFILE_PIC: 'javascript:alert(1)' });
      old.addToList(3, 20);
      old.addToList('all', 5123456789012, { GNAME: '\u202e' });
      old.say('5123456789012', 4, 'mine');
      old.say('5123456789012', 77, 'not mine');
    });
    const { taken, mended } = await move.import();
    expect(taken).toMatchObject({ GROUPS: 2 });
    expect(mended).toEqual({ GROUP: 2, GROUP_NUMBER: 1, SENDER: 1 });
    const sql = `SELECT group_id, name, picture, uid, role FROM chats JOIN members ON id = chat_id
      WHERE group_id <> '${everybody}' ORDER BY name`;
    expect(move.rows(sql)).toEqual([
      ['5123456789012', 'Group', '', 4, 'owner'],
      [expect.stringMatching(/^[1-9]{13}$/), 'Small', '', 3, 'owner'],
    ]);
  });

  test('The group of everybody is an ordinary one where DEFAULT_GROUP_ID is another.', async () => {
    move.env = { DEFAULT_GROUP_ID: '2000000000001' };
    move.write((old) => {
      for (const UID of [2, 3]) old.addUser({ UID });
      old.addToList(2, Number(everybody), { GNAME: 'OLD NAME' });
      old.say(everybody, 2, 'hello');
    });
    expect((await move.import()).taken).toMatchObject({ GROUPS: 1, MESSAGES: 1 });
    const sql = `SELECT name, COUNT(*) FROM chats JOIN members ON id = chat_id GROUP BY id ORDER BY group_id`;
    expect(move.rows(sql)).toEqual([
      ['OLD NAME', 1],
      ['ACODE CHAT', 2],
    ]);
  });
});

describe('files', () => {
  const failing = async (words: RegExp) => {
    const { status, stdout, stderr } = await move.run();
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toMatch(words);
    expect(stderr.trim().split('\n')).toHaveLength(1);
    expect(readdirSync(move.root).sort()).toEqual(['old']);
  };

  test('A folder without any of them is refused, and so is no folder.', async () => {
    await failing(/no database of the old server in .*all_users\.db/);
    move.env = {};
    const child = Bun.spawnSync([
      process.execPath,
      join(import.meta.dir, '../../src/index.ts'),
      'import',
      '/nowhere',
    ]);
    expect([child.exitCode, child.stderr.toString()]).toEqual([1, 'There is no folder /nowhere.\n']);
  });

  test('One that is not SQLite, or a folder, is refused before anything is written.', async () => {
    writeFileSync(
      join(move.oldFolder, 'messages.db'),
      'this is no database, but long enough to look at'.repeat(100),
    );
    await failing(/messages\.db cannot be read: file is not a database/);
    await Bun.file(join(move.oldFolder, 'messages.db')).delete();
    mkdirSync(join(move.oldFolder, 'messages.db'));
    await failing(/messages\.db is no file/);
  });

  test('They and their folder are left as they were, and may be read-only.', async () => {
    move.write((old) => {
      old.addUser({ UID: 2 });
      old.say(everybody, 2, 'hello');
    });
    const state = () =>
      readdirSync(move.oldFolder).map((name) => {
        const path = join(move.oldFolder, name);
        return [name, statSync(path).mtimeMs, readFileSync(path).toString('base64')];
      });
    const before = state();
    for (const name of readdirSync(move.oldFolder)) chmodSync(join(move.oldFolder, name), 0o400);
    chmodSync(move.oldFolder, 0o500);
    expect((await move.import()).taken).toMatchObject({ MESSAGES: 1 });
    chmodSync(move.oldFolder, 0o700);
    expect(state()).toEqual(before);
  });

  test('What waits in a write-ahead log beside one is taken too.', async () => {
    const elsewhere = join(move.root, 'elsewhere');
    mkdirSync(elsewhere);
    move.write((old) => void old.addUser({ UID: 2 }));
    for (const name of readdirSync(move.oldFolder))
      copyFileSync(join(move.oldFolder, name), join(elsewhere, name));
    using writer = new Database(join(elsewhere, 'all_users.db'));
    writer.run('PRAGMA journal_mode = WAL');
    writer.run("INSERT INTO users (UID, EMAIL, IS_MAIL_OTP) VALUES (3, 'three@example.test', 0)");
    for (const name of ['all_users.db', 'all_users.db-wal'])
      copyFileSync(join(elsewhere, name), join(move.oldFolder, name));
    expect((await move.import()).taken).toMatchObject({ ACCOUNTS: 2 });
  });

  test('One that was left in the middle of a write is refused with what to do.', async () => {
    move.write((old) => void old.addUser({ UID: 2 }));
    writeFileSync(join(move.oldFolder, 'all_users.db-journal'), 'half');
    await failing(/all_users\.db was left in the middle of a write\. Copy the folder/);
  });

  test('Views, triggers, virtual tables and strange names do no harm and are counted.', async () => {
    move.write((old) => {
      old.addUser({ UID: 2 });
      old.say(everybody, 2, 'hello');
      old.logs.run('CREATE TABLE source (MESSAGE_ID, SENDER_ID, MESSAGE, TIME_STAMP)');
      old.logs.run('CREATE VIEW G_5123456789012 AS SELECT 1 AS MESSAGE_ID, 2 AS SENDER_ID, 3 AS MESSAGE');
      old.logs.run('CREATE VIRTUAL TABLE G_5123456789013 USING fts5(MESSAGE_ID, SENDER_ID, MESSAGE)');
      old.logs.run(`CREATE TABLE "G_1""; DROP TABLE source; --" (MESSAGE_ID, MESSAGE)`);
      old.logs.run('CREATE TABLE "G_\u001b[31m" (MESSAGE_ID, MESSAGE)');
      old.logs.run('CREATE TABLE G_5123456789014 (other)');
      old.logs.run(`CREATE TRIGGER harm BEFORE UPDATE ON source BEGIN DELETE FROM source; END`);
    });
    const { taken, refused } = await move.import();
    expect(taken).toEqual({ ACCOUNTS: 1, LOGINS: 1, MESSAGES: 1 });
    expect(refused.TABLE).toBeGreaterThanOrEqual(4);
    const { stdout, stderr } = await move.run();
    expect(stdout + stderr).not.toMatch(/[^ -~\n]|DROP/);
  });

  test('A view in the place of the accounts is not read.', async () => {
    move.write((old) => {
      old.addUser({ UID: 2 });
      old.users.run('ALTER TABLE users RENAME TO others');
      old.users.run('CREATE VIEW users AS SELECT * FROM others');
    });
    expect(await move.import()).toMatchObject({ taken: {}, refused: { TABLE: 2 } });
  });

  test('A damaged table is taken as far as it can be read, and the others whole.', async () => {
    move.write((old) => {
      for (const UID of [2, 3]) old.addUser({ UID });
      for (let index = 0; index < 2000; index += 1) old.say(everybody, 2, `number ${index}`.padEnd(500));
      old.say(directId(2, 3), 2, 'whole');
    });
    const path = join(move.oldFolder, 'messages.db');
    const bytes = readFileSync(path);
    bytes.fill(
      0xff,
      Math.floor(bytes.length / 2 / 4096) * 4096,
      Math.floor(bytes.length / 2 / 4096) * 4096 + 8192,
    );
    writeFileSync(path, bytes);
    const { taken, refused } = await move.import();
    expect(refused).toEqual({ DAMAGE: 1 });
    expect(taken.MESSAGES).toBeGreaterThan(100);
    expect(taken.MESSAGES).toBeLessThan(2000);
    expect(bodies()).toContain('whole');
  });
});
