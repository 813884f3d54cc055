// What the import brings over from the old server, seen by its people through the new one.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Move } from '../support/import.ts';
import { directId, everybody, type OldUser, oldCookie } from '../support/old-server.ts';
import type { TestServer } from '../support/server.ts';

setDefaultTimeout(60_000); // each starts whole programs, on a machine that may be busy

const move = new Move();
let server: TestServer;
let asha: OldUser;
let bruno: OldUser;
let chen: OldUser;
let ten: OldUser;
let report: Awaited<ReturnType<Move['import']>>;

beforeAll(async () => {
  move.write((old) => {
    asha = old.addUser({ UID: 2, EMAIL: 'Asha.2@Example.test', FIRST_NAME: 'Asha' });
    bruno = old.addUser({ UID: 3, FIRST_NAME: 'Bruno', DOB: '', IS_MAIL_OTP: 1, PASSWORD: 'x' });
    chen = old.addUser({ UID: 4, FIRST_NAME: 'Chen', IS_MAIL_OTP: 104846 });
    ten = old.addUser({ UID: 10, FIRST_NAME: 'Ten' });
    for (const uid of [2, 3, 4, 10]) old.addToList(uid, Number(everybody));
    old.addToList('all', Number(everybody), { GNAME: 'OLD NAME' });
    old.addToList('all', 5123456789012, { GNAME: 'Readers', PROFILE_PIC: 'https://example.test/g.png' });
    old.addToList(3, 5123456789012);
    old.addToList(2, 5123456789012, { TIME_STAMP: '2025-03-05 10:00:00' });
    old.say(everybody, 2, 'h:68c3a96c6c6f', '2025-03-03 10:00:00');
    old.say(everybody, 10, 'plain', '2025-03-03 10:00:01');
    old.say('5123456789012', 3, 'to the readers');
    old.say(directId(2, 3), 2, 'one', '2025-03-03 10:00:00');
    old.say(directId(3, 2), 3, 'two', '2025-03-03 10:00:05');
    old.say(directId(3, 2), 3, 'three', '2025-03-03 10:00:07');
    old.say(directId(3, 2), 3, 'five', '2025-03-03 10:00:09');
    old.say(directId(2, 3), 2, 'four', '2025-03-03 10:00:09');
    old.say(directId(10, 3), 10, 'from ten');
  });
  report = await move.import();
  server = await move.serve();
});

afterAll(async () => {
  await server.running.stop();
  move[Symbol.dispose]();
});

const logIn = (user: OldUser) => server.post('/login', { EMAIL: user.EMAIL, PASSWORD: user.PASSWORD });

/** What somebody reads, chat by chat, as texts. */
async function read(uid: number, cookie: unknown): Promise<Record<string, string[]>> {
  const { body } = await server.post('/get_old_messages', { UID: uid, COOKIE: cookie });
  return Object.fromEntries(
    Object.entries(body.groups_messages as Record<string, Record<string, { MESSAGE: string }>>).map(
      ([id, messages]) => [id, Object.values(messages).map(({ MESSAGE }) => MESSAGE)],
    ),
  );
}

describe('accounts', () => {
  test('The report counts what was taken and mended.', () => {
    expect(report).toEqual({
      taken: { ACCOUNTS: 4, LOGINS: 3, GROUPS: 1, DIRECT_CHATS: 2, MESSAGES: 9 },
      before: {},
      mended: { NUMBER: 1 },
      refused: {},
      numbers: { 10: expect.any(Number) },
    });
  });

  test('People log in with their old passwords, however short, and keep their numbers.', async () => {
    for (const user of [asha, bruno]) {
      const { status, body } = await logIn(user);
      expect({ status, uid: body.UID }).toEqual({ status: 200, uid: user.UID });
    }
    const wrong = await server.post('/login', { EMAIL: asha.EMAIL, PASSWORD: 'pass word 3' });
    expect(wrong.status).toBe(401);
  });

  test('Who was logged in stays so: the old cookie gets a token.', async () => {
    const { status, body } = await server.post('/get_token', { UID: 2, COOKIE: asha.COOKIE });
    expect({ status, token: body.TOKEN }).toEqual({
      status: 200,
      token: expect.stringMatching(/^MESS__TOK__/),
    });
    const other = await server.post('/get_token', { UID: 3, COOKIE: asha.COOKIE });
    expect(other.status).toBe(401);
  });

  test('Settings are as they were.', async () => {
    const { body } = await server.post('/get_settings_data', { UID: 2, COOKIE: asha.COOKIE });
    expect(body.credentials).toMatchObject({
      FIRST_NAME: 'Asha',
      LAST_NAME: 'Hand',
      EMAIL: 'Asha.2@Example.test',
      DOB: '1990-01-10',
      PHONE: '4666009041',
      PROFILE_PIC: 'https://example.test/p.png',
    });
    const brunos = await server.post('/get_settings_data', { UID: 3, COOKIE: bruno.COOKIE });
    expect(brunos.body.credentials.DOB).toBeNull();
  });

  test('Who was never verified is not now, and gets a code at the login.', async () => {
    const { status, body } = await logIn(chen);
    expect({ status, message: body.message }).toMatchObject({
      status: 403,
      message: 'Access Denaid ! Verification pending',
    });
    const entered = { UID: 4, COOKIE: chen.COOKIE, ENTERD_OTP: server.codeFor(String(chen.EMAIL)) };
    expect((await server.post('/account_verification', entered)).status).toBe(200);
    expect(Object.keys(await read(4, chen.COOKIE))).toEqual([everybody]);
  });

  test('A number that ends in 1 and zeros becomes another, with everything that hangs on it.', async () => {
    const uid = report.numbers[10] ?? 0;
    const { status, body } = await logIn(ten);
    expect({ status, uid: body.UID }).toEqual({ status: 200, uid });
    expect(String(uid)).toMatch(/^\d{9,10}$/);
    expect(String(uid)).not.toMatch(/10*$/);
    const chats = await read(uid, body.COOKIE);
    expect(chats[directId(uid, 3)]).toEqual(['from ten']);
    const old = await server.post('/get_token', { UID: 10, COOKIE: ten.COOKIE });
    expect(old.status).toBe(401);
  });

  test('No password and no cookie is in any file in clear, and the files are their owner’s.', () => {
    const secrets = [asha, bruno, chen, ten]
      .flatMap(({ PASSWORD, COOKIE }) => [PASSWORD, COOKIE])
      .map(String);
    const files = readdirSync(move.dataDir).filter((name) => name.startsWith('chat.db'));
    expect(files).toContain('chat.db');
    for (const name of files) {
      const path = join(move.dataDir, name);
      const text = readFileSync(path, 'latin1');
      expect(secrets.filter((secret) => secret.length > 1 && text.includes(secret))).toEqual([]);
      expect(statSync(path).mode & 0o777).toBe(0o600);
    }
  });
});

describe('chats', () => {
  test('The group of everybody is the new one’s, by its new name, read by all who are verified.', async () => {
    const { body } = await server.post('/get_all_chats', { UID: 2, COOKIE: asha.COOKIE });
    expect(body.chats[everybody]).toMatchObject({
      NAME: 'ACODE CHAT',
      LAST_MESSAGE_ID: 2,
      READ_MESSAGE_ID: 2,
    });
    expect((await read(2, asha.COOKIE))[everybody]).toEqual(['h:68c3a96c6c6f', 'plain']);
  });

  test('Times are the old ones.', async () => {
    const { body } = await server.post('/get_old_messages', { UID: 2, COOKIE: asha.COOKIE });
    expect(body.groups_messages[everybody][1]).toMatchObject({
      SENDER_ID: 2,
      SENDER_NAME: 'Asha Hand',
      TIME_STAMP: '2025-03-03T10:00:00.000Z',
    });
  });

  test('A group has its members and no others, and the first of them owns it.', async () => {
    const { body } = await server.post('/get_members', {
      UID: 2,
      COOKIE: asha.COOKIE,
      GROUP_ID: '5123456789012',
    });
    expect(body.members).toMatchObject({ 3: { ROLE: 'owner' }, 2: { ROLE: 'member' } });
    expect(Object.keys(body.members)).toHaveLength(2);
    const chats = (await server.post('/get_all_chats', { UID: 3, COOKIE: bruno.COOKIE })).body.chats;
    expect(chats['5123456789012']).toMatchObject({
      NAME: 'Readers',
      PROFILE_PIC: 'https://example.test/g.png',
    });
  });

  test('The two directions of a direct chat are one, by time and then by number.', async () => {
    const texts = ['one', 'two', 'three', 'four', 'five'];
    expect((await read(2, asha.COOKIE))[directId(2, 3)]).toEqual(texts);
    expect((await read(3, bruno.COOKIE))[directId(3, 2)]).toEqual(texts);
  });

  test('Everybody writes on where the old server stopped.', async () => {
    expect((await read(2, asha.COOKIE))['5123456789012']).toEqual(['to the readers']);
    const sql =
      'SELECT group_id, last_seq, MAX(seq), COUNT(*) FROM chats JOIN messages ON chat_id = id GROUP BY id';
    for (const [, last, highest, count] of move.rows(sql)) expect([last, highest]).toEqual([count, count]);
  });
});

describe('files of other ages', () => {
  test('Chat lists under the other name, other orders of columns and missing files are taken.', async () => {
    using other = new Move();
    other.write((old) => {
      old.users.run('DROP TABLE users');
      old.users.run(
        'CREATE TABLE users (COOKIE, PASSWORD, IS_MAIL_OTP INTEGER, EMAIL, UID INTEGER PRIMARY KEY)',
      );
      const add = 'INSERT INTO users VALUES (?, ?, 0, ?, 5)';
      old.users.run(add, [oldCookie(), 'pass word 5', 'five@example.test']);
      old.addToList(5, 5123456789012);
    }, 'chats_list_database.db');
    await Bun.file(join(other.oldFolder, 'messages.db')).delete();
    const { taken, mended } = await other.import();
    expect(taken).toEqual({ ACCOUNTS: 1, LOGINS: 1, GROUPS: 1 });
    expect(mended).toEqual({ NAME: 1, JOIN_TIME: 1 });
  });
});
