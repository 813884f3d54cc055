// Signing up: what is accepted, what is refused by name, and who wins an address.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { exactMessages } from '../../src/protocol/http.ts';
import { call, credentials, join, password, signUp, signUpBody } from '../support/people.ts';
import { TestServer, withServer } from '../support/server.ts';

// Hashing, git and mail take long on a busy machine.
setDefaultTimeout(20_000);

const dayMs = 24 * 60 * 60 * 1000;
let server: TestServer;
let count = 0;

beforeAll(async () => {
  server = await TestServer.start();
});
afterAll(() => server.stop());

/** A sign-up with an address of its own. */
function fresh(changes: Record<string, unknown> = {}) {
  count += 1;
  return signUpBody('Fresh', { EMAIL: `fresh${count}@example.test`, ...changes });
}

async function refusalOf(changes: Record<string, unknown>): Promise<string> {
  const answer = await call(server, 'signUp', fresh(changes));
  expect(answer.status).toBe(400);
  return answer.body.message;
}

describe('a sign-up', () => {
  test('it answers with a number, a cookie and a token of the known forms, and mails a code', async () => {
    const body = fresh({ DOB: '1990-02-28', PHONE_NO: '+4612345678', IP_INFO: { country: 'SE', list: [1] } });
    const answer = await call(server, 'signUp', body);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toStartWith('application/json');
    expect(Object.keys(answer.body).sort()).toEqual(['COOKIE', 'TOKEN', 'UID', 'message']);
    expect(answer.body.UID).toBeNumber();
    expect(String(answer.body.UID)).toMatch(/^\d{9,10}$/);
    expect(String(answer.body.UID)).not.toMatch(/10*$/);
    expect(answer.body.COOKIE).toMatch(/^MESSANGER__[A-Za-z0-9]{64}$/);
    expect(answer.body.TOKEN).toMatch(/^MESS__TOK__[A-Za-z0-9]{32}$/);
    expect(server.mailsTo(body.EMAIL)).toHaveLength(1);
    expect(server.codeFor(body.EMAIL)).toMatch(/^\d{6}$/);
  });

  test('what was entered is what the settings show', async () => {
    const person = await join(server, 'Settings');
    const answer = await call(server, 'readSettings', credentials(person));
    expect(answer.body.credentials).toEqual({
      FIRST_NAME: 'Settings',
      LAST_NAME: 'Tester',
      EMAIL: 'settings@example.test',
      DOB: null,
      PHONE: '',
      PROFILE_PIC: '',
      SECOND_FACTOR: false,
      COOKIE: person.cookie,
    });
  });

  test('names of many scripts are welcome', async () => {
    const names = [
      'Łukasz',
      '王',
      'नरेन्द्र',
      'محمد',
      'Ольга',
      'O’Brien',
      "D'Arcy",
      'Jean-Luc',
      'J. R.',
      'Åsa',
      'Αθηνά',
    ];
    for (const name of [...names, '王'.repeat(50)]) {
      const answer = await call(server, 'signUp', fresh({ FIRST_NAME: name, LAST_NAME: name }));
      expect([name, answer.status]).toEqual([name, 200]);
    }
  });

  test.each<[string, unknown[]]>([
    [
      'FIRST_NAME',
      [
        undefined,
        null,
        '',
        '   ',
        7,
        ['A'],
        'A'.repeat(51),
        'Bob<b>',
        'R2',
        '…',
        'Server',
        'SERVER',
        'A\nB',
        '.',
      ],
    ],
    ['LAST_NAME', [undefined, null, '', {}, 'x@y', 'server', '\ud800', '\u202eA', 'A\u0000']],
    [
      'EMAIL',
      [
        undefined,
        null,
        '',
        'bob',
        'bob@',
        '@b.c',
        'a b@c.de',
        'a@b.test\r\nBcc: c@d.ef',
        7,
        `${'a'.repeat(250)}@b.test`,
      ],
    ],
    ['PHONE_NO', [undefined, null, 'abc', '1234', '1'.repeat(21), '++12345', '12-345', {}]],
    ['PASSWORD', [undefined, null, '', 'short77', 'x'.repeat(129), 12345678, [password], '\ud800'.repeat(8)]],
    [
      'DOB',
      ['2001-02-29', '2001-13-01', '1990', 'yesterday', '2999-01-01', '01-02-1990', 19900101, '1850-01-01'],
    ],
    ['IP_INFO', ['text', 7]],
  ])('an invalid or missing %s is 400 and named', async (field, values) => {
    for (const value of values) {
      const message = await refusalOf({ [field]: value });
      expect([value, message]).toEqual([value, expect.stringContaining(field)]);
    }
  });

  test('a password is refused that is the own name or address, or one of the most common', async () => {
    const named = { FIRST_NAME: 'Maximilian', LAST_NAME: 'Mustermann' };
    for (const obvious of [
      'MAXIMILIAN',
      'mustermann',
      'Maximilian Mustermann',
      'Password1',
      'iloveyou',
      '12345678',
    ])
      expect(await refusalOf({ ...named, PASSWORD: obvious })).toContain('PASSWORD');
    expect(await refusalOf({ EMAIL: 'local.part@example.test', PASSWORD: 'LOCAL.PART' })).toContain(
      'PASSWORD',
    );
    const whole = { EMAIL: 'whole@example.test', PASSWORD: 'Whole@Example.Test' };
    expect(await refusalOf(whole)).toContain('PASSWORD');
  });

  test('a long password of any signs is accepted and opens the account', async () => {
    const body = fresh({ PASSWORD: '🐎 "\\%\u0007 длинный пароль'.padEnd(120, 'ß') });
    expect((await call(server, 'signUp', body)).status).toBe(200);
    const login = await call(server, 'login', { EMAIL: body.EMAIL, PASSWORD: body.PASSWORD });
    expect(login.body.message).toBe(exactMessages.loginUnverified);
  });

  test('addresses of every common form are welcome', async () => {
    for (const email of [
      'first.last+tag@sub.example.co.uk',
      "o'neil@example.test",
      'a_b-c@x-y.example',
      '1@2.example',
    ]) {
      const answer = await call(server, 'signUp', fresh({ EMAIL: email }));
      expect([email, answer.status]).toEqual([email, 200]);
    }
  });

  test('a refused sign-up leaves nothing behind: the address can be used at once', async () => {
    const body = fresh({ PASSWORD: 'short' });
    expect((await call(server, 'signUp', body)).status).toBe(400);
    expect(server.mailsTo(body.EMAIL)).toEqual([]);
    expect((await call(server, 'signUp', { ...body, PASSWORD: password })).status).toBe(200);
  });
});

describe('an address', () => {
  const taken = 'Email already Associated with another Account';

  test('it belongs to one account, verified or not, whatever the case and the blanks around', async () => {
    await signUp(server, 'Pending');
    await join(server, 'Settled');
    for (const email of [
      'pending@example.test',
      'PENDING@Example.TEST',
      ' settled@example.test ',
      'Settled@EXAMPLE.test',
    ]) {
      const answer = await call(server, 'signUp', fresh({ EMAIL: email }));
      expect(answer).toMatchObject({ status: 409, body: { message: taken } });
    }
  });

  test('of twenty sign-ups at once with one address exactly one wins', async () => {
    const body = fresh();
    const spellings = Array.from({ length: 20 }, (_, index) =>
      index % 2 ? body : { ...body, EMAIL: body.EMAIL.toUpperCase() },
    );
    const answers = await Promise.all(spellings.map((sent) => call(server, 'signUp', sent)));
    const statuses = answers.map(({ status }) => status).sort();
    expect(statuses).toEqual([200, ...Array(19).fill(409)]);
    expect(server.mailsTo(body.EMAIL)).toHaveLength(1);
    const won = answers.find(({ status }) => status === 200)?.body;
    const entered = { UID: won.UID, COOKIE: won.COOKIE, ENTERD_OTP: server.codeFor(body.EMAIL) };
    expect((await call(server, 'verifyAccount', entered)).status).toBe(200);
  });
});

describe('an account never verified', () => {
  test('it still holds its address shortly before 24 hours are over, and not after', async () => {
    await withServer(async (own) => {
      const squatter = await signUp(own, 'Alice');
      own.advance(dayMs - 60_000);
      expect((await call(own, 'signUp', signUpBody('Alice'))).status).toBe(409);
      own.advance(120_000);
      const owner = await call(own, 'signUp', signUpBody('Alice'));
      expect(owner.status).toBe(200);
      expect(owner.body.UID).not.toBe(squatter.uid);
      const entered = { ...credentials(squatter), ENTERD_OTP: own.codeFor(squatter.email) };
      expect((await call(own, 'verifyAccount', entered)).status).toBe(403);
      const right = {
        UID: owner.body.UID,
        COOKIE: owner.body.COOKIE,
        ENTERD_OTP: own.codeFor(squatter.email),
      };
      expect((await call(own, 'verifyAccount', right)).status).toBe(200);
    });
  });

  test('its address can be taken by a change of address too, once the 24 hours are over', async () => {
    await withServer(async (own) => {
      const alice = await join(own, 'Alice');
      const squatter = await signUp(own, 'Squatter');
      const ask = { ...credentials(alice), MODE: 'EMAIL_CHANGE', EMAIL: squatter.email };
      expect((await call(own, 'resendCode', ask)).status).toBe(409);
      own.advance(dayMs + 60_000);
      expect((await call(own, 'resendCode', ask)).status).toBe(200);
      const change = { ...credentials(alice), EMAIL: squatter.email, OTP: own.codeFor(squatter.email) };
      expect((await call(own, 'changeSettings', change)).status).toBe(200);
      expect((await call(own, 'resendCode', credentials(squatter))).status).toBe(401);
    });
  });

  test('it is removed by the housekeeping, while a verified one and its session stay', async () => {
    await withServer(async (own) => {
      const stays = await join(own, 'Stays');
      const goes = await signUp(own, 'Goes');
      own.advance(dayMs + 60_000);
      const now = own.clock();
      await own.store.removeExpired({ now, sessionsUsedBefore: 0, sessionsMadeBefore: 0 });
      expect((await call(own, 'getToken', credentials(goes))).status).toBe(401);
      expect((await call(own, 'login', { EMAIL: goes.email, PASSWORD: password })).status).toBe(401);
      expect((await call(own, 'getToken', credentials(stays))).status).toBe(200);
      expect((await call(own, 'signUp', signUpBody('Stays'))).status).toBe(409);
      expect((await call(own, 'signUp', signUpBody('Goes'))).status).toBe(200);
    });
  });
});
