// Reading and changing one's settings: profile and password.
import { Database } from 'bun:sqlite';
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { join as joinPath } from 'node:path';
import { call, credentials, join, mailAt, type Person, password, signUp } from '../support/people.ts';
import { type Answer, TestServer } from '../support/server.ts';

// Hashing, git and mail take long on a busy machine.
setDefaultTimeout(20_000);

let server: TestServer;
let alice: Person;
let count = 0;

beforeAll(async () => {
  server = await TestServer.start();
  alice = await join(server, 'Alice');
});
afterAll(() => server.stop());

function newcomer(): Promise<Person> {
  count += 1;
  return join(server, `Newcomer${'x'.repeat(count)}`);
}

function change(person: Person, fields: Record<string, unknown>): Promise<Answer> {
  return call(server, 'changeSettings', { ...credentials(person), ...fields });
}

async function settingsOf(person: Person): Promise<Record<string, unknown>> {
  const answer = await call(server, 'readSettings', credentials(person));
  expect(answer.status).toBe(200);
  const { message: _, ...rest } = answer.body;
  return rest.credentials;
}

/** Logs in again: a second session of the same account. */
async function loginOf(person: Person, secret = password): Promise<Person> {
  const { status, body } = await call(server, 'login', { EMAIL: person.email, PASSWORD: secret });
  expect(status).toBe(200);
  return { ...person, cookie: body.COOKIE, token: body.TOKEN };
}

async function isIn(person: Person): Promise<boolean> {
  return (await call(server, 'listChats', credentials(person))).status === 200;
}

describe('the settings', () => {
  test('they carry the cookie that was sent, and none under Bearer', async () => {
    const own = await call(server, 'readSettings', credentials(alice));
    expect(own.body.credentials.COOKIE).toBe(alice.cookie);
    const bearer = await call(server, 'readSettings', {}, { authorization: `Bearer ${alice.token}` });
    expect(bearer.status).toBe(200);
    expect(bearer.body.credentials).not.toHaveProperty('COOKIE');
    expect(bearer.body.credentials.EMAIL).toBe(alice.email);
  });

  test('everything the client sends, changed or not, is kept and shown', async () => {
    const person = await newcomer();
    const sent = {
      FIRST_NAME: 'Zoë',
      LAST_NAME: "O'Neill",
      EMAIL: person.email,
      OTP: '',
      PHONE: '+441632960961',
      DOB: '1988-02-29',
      PROFILE_PIC: 'https://example.test/zoe.png',
      PASSWORD: '',
      NEW_PASSWORD: '',
    };
    const answer = await change(person, sent);
    expect(answer.status).toBe(200);
    const { OTP: _otp, PASSWORD: _password, NEW_PASSWORD: _new, ...kept } = sent;
    expect(answer.body.credentials).toEqual({ ...kept, COOKIE: person.cookie, SECOND_FACTOR: false });
    expect(await settingsOf(person)).toEqual(answer.body.credentials);
    const again = await change(person, { ...answer.body.credentials, OTP: '' });
    expect(again).toMatchObject({ status: 200, body: { credentials: answer.body.credentials } });
    expect(server.mailsTo(person.email)).toHaveLength(1);
  });

  test('absent fields stay, and so do those that are null', async () => {
    const person = await newcomer();
    await change(person, { PHONE: '12345678', DOB: '1990-12-31' });
    const before = await settingsOf(person);
    await change(person, { LAST_NAME: 'Else', PHONE: null, DOB: null, FIRST_NAME: null, EMAIL: null });
    expect(await settingsOf(person)).toEqual({ ...before, LAST_NAME: 'Else' });
  });

  test("'' clears PHONE, DOB and PROFILE_PIC", async () => {
    const person = await newcomer();
    await change(person, { PHONE: '12345678', DOB: '1990-12-31', PROFILE_PIC: 'https://example.test/a.png' });
    const answer = await change(person, { PHONE: '', DOB: '', PROFILE_PIC: '' });
    expect(answer.body.credentials).toMatchObject({ PHONE: '', DOB: null, PROFILE_PIC: '' });
  });

  test('a phone number may come as a JSON number', async () => {
    const person = await newcomer();
    expect((await change(person, { PHONE: 612345678 })).body.credentials.PHONE).toBe('612345678');
  });

  test('a new name is the one that others see', async () => {
    const person = await newcomer();
    await change(person, { FIRST_NAME: 'Renamed', LAST_NAME: 'Person' });
    const people = await call(server, 'listPeople', { ...credentials(alice), QUERY: 'renam' });
    expect(people.body[person.uid].NAME).toBe('Renamed Person');
  });

  test.each<[string, unknown[]]>([
    ['FIRST_NAME', ['', ' ', 'Server', '<b>', 'A'.repeat(51), [], true]],
    ['LAST_NAME', ['', 'sErVeR', '42', {}]],
    ['EMAIL', ['', 'nobody', 'a@b.test\r\nBcc: c@d.test', []]],
    ['PHONE', ['abc', '12', '1'.repeat(21), {}]],
    ['DOB', ['1990-02-30', '2999-01-01', 'x', 19901231]],
    [
      'PROFILE_PIC',
      [
        'javascript:alert(1)',
        'data:image/png;base64,AA',
        'ftp://a.test/b',
        "https://a.test/')",
        'https://a.test/"',
        'https://a.test/(b)',
        'https://a.test/a b',
        'a.png',
        `https://a.test/${'a'.repeat(2048)}`,
      ],
    ],
    ['PASSWORD', [{}, ['x'], true]],
    ['OTP', [{}, ['123456']]],
  ])('a %s that is no good is 400, named, and nothing at all is changed', async (field, values) => {
    const before = await settingsOf(alice);
    for (const value of values) {
      const answer = await change(alice, { PHONE: '99999999', [field]: value });
      expect([value, answer.status]).toEqual([value, 400]);
      expect(answer.body.message).toContain(field);
    }
    expect(await settingsOf(alice)).toEqual(before);
  });

  test('what an imported account has against the rules may be sent back unchanged, but not be set anew', async () => {
    const person = await newcomer();
    const database = new Database(joinPath(server.dataDir, 'chat.db'));
    const odd = { FIRST_NAME: 'xX_R2D2_Xx', LAST_NAME: '', PHONE: 'none', PROFILE_PIC: 'pic.png' };
    database.run('UPDATE accounts SET first_name = ?, last_name = ?, phone = ?, picture = ? WHERE uid = ?', [
      ...Object.values(odd),
      person.uid,
    ]);
    database.close();
    const sent = { ...(await settingsOf(person)), OTP: '', DOB: '1990-12-31' };
    expect(sent).toMatchObject(odd);
    expect((await change(person, sent)).status).toBe(200);
    expect(await settingsOf(person)).toMatchObject({ ...odd, DOB: '1990-12-31' });
    expect((await change(person, { ...sent, LAST_NAME: 'xX_R2D2_Xx' })).status).toBe(400);
  });

  test('a request to change nothing at all is 409', async () => {
    for (const nothing of [{}, { OTP: '', PASSWORD: '', NEW_PASSWORD: '' }, { OTHER: 'x' }])
      expect((await change(alice, nothing)).status).toBe(409);
  });

  test('the credentials are looked at before everything else', async () => {
    const bad = { FIRST_NAME: '', PASSWORD: 'wrong', NEW_PASSWORD: 'x' };
    const missing = await call(server, 'changeSettings', bad);
    const foreign = await call(server, 'changeSettings', { ...bad, UID: alice.uid, COOKIE: 'MESSANGER__x' });
    const unverified = await signUp(server, `Unverified${'y'.repeat(++count)}`);
    const early = await change(unverified, bad);
    expect([missing.status, foreign.status, early.status]).toEqual([401, 401, 401]);
  });
});

describe('the password', () => {
  const next = 'a whole new secret';

  test('a new one needs the current one: 403 without it, 401 with a wrong one', async () => {
    const person = await newcomer();
    expect((await change(person, { NEW_PASSWORD: next })).status).toBe(403);
    expect((await change(person, { NEW_PASSWORD: next, PASSWORD: '' })).status).toBe(403);
    expect((await change(person, { NEW_PASSWORD: next, PASSWORD: 'wrong' })).status).toBe(401);
    await loginOf(person);
    expect((await change(person, { NEW_PASSWORD: next, PASSWORD: password })).status).toBe(200);
    const old = await call(server, 'login', { EMAIL: person.email, PASSWORD: password });
    expect(old.status).toBe(401);
    await loginOf(person, next);
  });

  test('a wrong PASSWORD is 401 also where none is needed, and changes nothing', async () => {
    const before = await settingsOf(alice);
    expect((await change(alice, { PHONE: '55555555', PASSWORD: 'wrong' })).status).toBe(401);
    expect((await change(alice, { PASSWORD: 'wrong' })).status).toBe(401);
    expect(await settingsOf(alice)).toEqual(before);
    expect((await change(alice, { PHONE: '55555555', PASSWORD: password })).status).toBe(200);
  });

  test('a changed one keeps the session that asked, ends all others, and is told by mail', async () => {
    const person = await newcomer();
    const other = await loginOf(person);
    expect([await isIn(person), await isIn(other)]).toEqual([true, true]);
    const mails = server.mailsTo(person.email).length;
    const answer = await change(other, { NEW_PASSWORD: next, PASSWORD: password });
    expect(answer.body.credentials.COOKIE).toBe(other.cookie);
    expect([await isIn(person), await isIn(other)]).toEqual([false, true]);
    const token = await call(server, 'getToken', credentials(other));
    expect(token.body.TOKEN).toBe(other.token);
    const byToken = { UID: person.uid, TOKEN: person.token };
    expect((await call(server, 'listChats', byToken)).status).toBe(403);
    expect(await mailAt(server, person.email, mails + 1)).toContain('password was changed');
  });

  test('other changes end no session', async () => {
    const person = await newcomer();
    const other = await loginOf(person);
    await change(person, { PHONE: '77777777' });
    expect(await isIn(other)).toBe(true);
  });

  test.each([
    ['too short', 'short77'],
    ['too short though it is all blanks', ' '],
    ['too long', 'x'.repeat(129)],
    ['among the most common', 'Password1'],
    ['the own address', 'ALICE@example.test'],
    ['half a sign', '\ud800'.repeat(8)],
  ])('one that is %s is 400, and NEW_PASSWORD is named', async (_why, bad) => {
    const answer = await change(alice, { PASSWORD: password, NEW_PASSWORD: bad });
    expect(answer.status).toBe(400);
    expect(answer.body.message).toContain('NEW_PASSWORD');
    await loginOf(alice);
  });

  test('blanks around a password are part of it', async () => {
    const person = await newcomer();
    const padded = '  padded secret  ';
    expect((await change(person, { PASSWORD: password, NEW_PASSWORD: padded })).status).toBe(200);
    const trimmed = { EMAIL: person.email, PASSWORD: padded.trim() };
    expect((await call(server, 'login', trimmed)).status).toBe(401);
    await loginOf(person, padded);
  });
});
