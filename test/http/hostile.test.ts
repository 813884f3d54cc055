// Inputs meant to break something: odd JSON, odd numbers, odd texts, odd addresses. None is a 5xx, none gets through.
import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { readdirSync } from 'node:fs';
import { join as joinPath } from 'node:path';
import { call, credentials, join, makeGroup, type Person, password, signUpBody } from '../support/people.ts';
import { bodyIn, exchange, exchangeLines, statusIn } from '../support/raw.ts';
import { TestServer } from '../support/server.ts';
import { defaultGroup } from '../support/socket.ts';

// Hashing, git and mail take long on a busy machine.
setDefaultTimeout(20_000);

let server: TestServer;
let alice: Person;
let bob: Person;
const log: string[] = [];

beforeAll(async () => {
  server = await TestServer.start({ onLog: (line) => log.push(line) });
  [alice, bob] = await Promise.all([join(server, 'Alice'), join(server, 'Bob')]);
});
afterAll(() => server.stop());

/** Nothing that a client sends is an error of ours. */
afterEach(async () => {
  expect((await call(server, 'uptime')).status).toBe(200);
  expect(log.filter((line) => line.includes('"level":"error"'))).toEqual([]);
});

/** The asker's credentials and these fields, as the text of a body. */
const asAlice = (fields: string) =>
  `{"UID":${alice.uid},"COOKIE":"${alice.cookie}"${fields && `,${fields}`}}`;

describe('odd JSON', () => {
  test('__proto__ and constructor are fields like any other: they change nobody and nothing', async () => {
    for (const key of ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'then']) {
      const whole = `{"${key}":{"UID":${alice.uid},"COOKIE":"${alice.cookie}"}}`;
      expect((await call(server, 'listChats', whole)).status).toBe(403);
      const polluting = asAlice(`"${key}":{"FIRST_NAME":"Mallory","verified":true,"status":500}`);
      expect((await call(server, 'listChats', polluting)).status).toBe(200);
      expect((await call(server, 'changeSettings', polluting)).status).toBe(409);
    }
    expect(({} as Record<string, unknown>).FIRST_NAME).toBeUndefined();
    const { body } = await call(server, 'readSettings', credentials(alice));
    expect(body.credentials.FIRST_NAME).toBe('Alice');
  });

  test('of a key that comes twice the last counts, everywhere alike', async () => {
    const twice = (first: Person, second: Person) =>
      `{"UID":${first.uid},"COOKIE":"${alice.cookie}","UID":${second.uid}}`;
    expect((await call(server, 'listChats', twice(bob, alice))).status).toBe(200);
    expect((await call(server, 'listChats', twice(alice, bob))).status).toBe(403);
  });

  test('numbers that are no account, chat or position are refused', async () => {
    for (const number of ['1e999', '-0', '0', '-1', '1.5', '9007199254740993', '1e21', '1E400', '4.9e-324']) {
      const uid = `{"UID":${number},"COOKIE":"${alice.cookie}"}`;
      expect([number, (await call(server, 'listChats', uid)).status]).toEqual([number, 403]);
      const member = asAlice(`"GROUP_ID":"${defaultGroup}","MEMBER_UID":${number}`);
      expect([number, (await call(server, 'addMember', member)).status]).toEqual([number, 400]);
      const status = (await call(server, 'leaveGroup', asAlice(`"GROUP_ID":${number}`))).status;
      expect([number, status]).toEqual([number, 400]);
      const limit = asAlice(`"GROUP_ID":"${defaultGroup}","LIMIT":${number}`);
      expect([number, (await call(server, 'oldMessages', limit)).status]).toEqual([number, 400]);
    }
    for (const number of ['1e999', '-1', '1.5', '9007199254740993']) {
      const page = asAlice(`"GROUP_ID":"${defaultGroup}","BEFORE":${number}`);
      expect([number, (await call(server, 'oldMessages', page)).status]).toEqual([number, 400]);
    }
    expect(
      (await call(server, 'oldMessages', asAlice(`"GROUP_ID":"${defaultGroup}","BEFORE":-0`))).status,
    ).toBe(200);
    expect(
      (await call(server, 'listChats', `{"UID":${alice.uid}.0,"COOKIE":"${alice.cookie}"}`)).status,
    ).toBe(200);
  });
});

/** Texts in which something cannot be seen, or rearranges what is around it. */
const invisible = {
  NUL: 'Ann\u0000a',
  'a newline': 'Ann\na',
  'a lone surrogate': 'Ann\ud800',
  'right-to-left override': '\u202eannA',
  'an isolate': 'Ann\u2066a',
  'an Arabic letter mark': 'Ann\u061ca',
  'zero-width space': 'Ann\u200ba',
  'zero-width joiner': 'Ann\u200da',
  'word joiner': 'Ann\u2060a',
  'a byte order mark inside': 'Ann\ufeffa',
  'soft hyphen': 'Ann\u00ada',
  'a Hangul filler alone': '\u3164',
  'a combining grapheme joiner': 'Ann\u034fa',
  'a variation selector': 'Ann\ufe0fa',
  'a tag character': 'Ann\u{e0041}a',
  'nothing but blanks': ' \u00a0\u2003 ',
};

describe('names', () => {
  test.each(Object.entries(invisible))('%s is refused in names of people and groups', async (_what, name) => {
    for (const field of ['FIRST_NAME', 'LAST_NAME']) {
      const signUp = await call(server, 'signUp', signUpBody('Ann', { [field]: name }));
      expect([signUp.status, signUp.body.message]).toEqual([400, expect.stringContaining(field)]);
      const changed = await call(server, 'changeSettings', { ...credentials(alice), [field]: name });
      expect(changed.status).toBe(400);
    }
    expect((await call(server, 'createGroup', { ...credentials(alice), NAME: name })).status).toBe(400);
  });

  test('of groups may have emoji of any make, and every script', async () => {
    for (const NAME of [
      '❤️ & 👍🏽',
      '👨‍👩‍👧 family',
      '🏴󠁧󠁢󠁥󠁮󠁧󠁿 fans',
      'Команда №1',
      'فريق',
      '<b>Team</b>; DROP TABLE chats',
    ]) {
      const made = await call(server, 'createGroup', { ...credentials(alice), NAME });
      expect([NAME, made.status]).toEqual([NAME, 200]);
      const { body } = await call(server, 'listChats', credentials(alice));
      expect(body.chats[made.body.GROUP_ID].NAME).toBe(NAME);
    }
  });
});

describe('pictures', () => {
  const bad = [
    'javascript:alert(1)',
    'JAVASCRIPT:alert(1)',
    'java\nscript:alert(1)',
    'data:image/svg+xml,<svg onload=alert(1)>',
    'data:image/svg+xml;base64,PHN2Zy8+',
    'vbscript:x',
    'file:///etc/passwd',
    'blob:https://a.test/1',
    '//a.test/x.png',
    'https:a',
    'https://',
    'https://a.test/x.png") url("https://evil.test',
    'https://a.test/x.png);background:red',
    'https://a.test/<svg>',
    'https://a.test/x\\y',
    'https://a.test/x y',
    'https://a.test/\u0000',
    'https://a.test/\ud800',
    ' javascript:alert(1) ',
  ];
  test.each(bad)('%j is none', async (PROFILE_PIC) => {
    expect((await call(server, 'changeSettings', { ...credentials(alice), PROFILE_PIC })).status).toBe(400);
    const group = { ...credentials(alice), NAME: 'Team', PROFILE_PIC };
    expect((await call(server, 'createGroup', group)).status).toBe(400);
    expect((await server.get(`/get_profile_pic_link/${alice.uid}`)).body.PROFILE_PIC).toBe('');
  });
});

describe('mail', () => {
  test('an address that would add lines, receivers or names is refused, and no mail goes out', async () => {
    const outbox = () => readdirSync(joinPath(server.dataDir, 'outbox')).sort();
    const before = outbox();
    for (const EMAIL of [
      'a@example.test\r\nBcc: victim@example.test',
      'a@example.test\nSubject: hello',
      'a@example.test,victim@example.test',
      'a@example.test;victim@example.test',
      'Ann <a@example.test>',
      '<a@example.test>',
      '"a\r\nBcc: b"@example.test',
      'a@example.test\u0000',
      'a(comment)@example.test',
      'a@[127.0.0.1]',
      'a@example.test>',
      'a b@example.test',
      'a@exa\u200bmple.test',
    ]) {
      const signUp = await call(server, 'signUp', signUpBody('Ann', { EMAIL }));
      expect([EMAIL, signUp.status]).toEqual([EMAIL, 400]);
      const change = { ...credentials(alice), MODE: 'EMAIL_CHANGE', EMAIL };
      expect([EMAIL, (await call(server, 'resendCode', change)).status]).toEqual([EMAIL, 400]);
      expect((await call(server, 'login', { EMAIL, PASSWORD: password })).status).toBe(401);
    }
    expect(outbox()).toEqual(before);
  });

  test('a name that is good in a name stays out of the head of the mail', async () => {
    const person = signUpBody('Ann', { LAST_NAME: "O'Neil-Bcc. Subject", EMAIL: 'ann@example.test' });
    expect((await call(server, 'signUp', person)).status).toBe(200);
    const [head = ''] = server.mailsTo('ann@example.test')[0]?.split('\r\n\r\n') ?? [];
    expect(head).toMatch(/^To: ann@example\.test\r?$/m);
    expect(head).not.toContain('Neil');
    expect(head.match(/^(?:To|From|Subject|Cc|Bcc):/gim)?.length).toBe(3);
  });
});

describe('addresses', () => {
  test('tricks with a path lead nowhere it would not lead by itself', async () => {
    for (const path of [
      '//get_all_users',
      '/get_all_users/',
      '/./get_all_users/.',
      '/get_all_users%00',
      '/get_all_users;x',
      '/GET_ALL_USERS',
      '/%67et_all_users/..%2f',
      '/get_all_users%2f',
      '/get_all_users\\',
      '/ws/%2e%2e%2fuptime',
      '/static/../../../etc/passwd',
      '/%2e%2e/%2e%2e/etc/passwd',
      '/..%5c..%5cwindows',
      '/get_profile_pic_link/../../data/chat.db',
    ]) {
      const answer = await exchangeLines(server, `GET ${path} HTTP/1.1`);
      expect([path, statusIn(answer)]).toEqual([path, expect.any(Number)]);
      expect([path, [400, 404, 405, 426].includes(statusIn(answer)), statusIn(answer)]).toEqual([
        path,
        true,
        statusIn(answer),
      ]);
      if (answer.includes('application/json')) expect(bodyIn(answer).message).toBeString();
    }
  });

  test('dots are resolved before it is decided who answers', async () => {
    for (const path of ['/ws/../uptime', '/ws/%2e%2e/uptime', '/ws/a/../../uptime'])
      expect([path, statusIn(await exchangeLines(server, `GET ${path} HTTP/1.1`))]).toEqual([path, 200]);
    expect(statusIn(await exchangeLines(server, 'GET /uptime/../ws HTTP/1.1'))).toBe(426);
    const backUp = '/ws/../quick_quick_save_data_to_database_repository';
    expect(statusIn(await exchangeLines(server, `GET ${backUp} HTTP/1.1`))).toBe(401);
  });

  test('a target with an origin, a star or nothing is answered or refused', async () => {
    for (const first of [
      'GET http://evil.example/uptime HTTP/1.1',
      'GET http://evil.example:99999/uptime HTTP/1.1',
      'GET ftp://x/ HTTP/1.1',
      'OPTIONS * HTTP/1.1',
      'CONNECT a.test:443 HTTP/1.1',
      'GET  HTTP/1.1',
      'GET uptime HTTP/1.1',
      'TRACE /uptime HTTP/1.1',
      `${'X'.repeat(5000)} / HTTP/1.1`,
    ]) {
      const status = statusIn(await exchangeLines(server, first, ['Connection: close'])) || 400;
      expect([first.slice(0, 40), status >= 200 && status < 500]).toEqual([first.slice(0, 40), true]);
    }
  });

  test('what names no version of HTTP is 505, which is all that Bun says of it', async () => {
    for (const first of ['GET /uptime HTTP/9.9', 'GET /uptime', 'GET /uptime\u0000 HTTP/1.1'])
      expect([first, statusIn(await exchangeLines(server, first))]).toEqual([first, 505]);
  });

  test('bytes that are no HTTP at all end the connection', async () => {
    for (const bytes of [
      '\u0000'.repeat(100),
      '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
      'GET / HTTP/1.1\r\nHost: x\r\n Folded: y\r\n\r\n',
      'GET / HTTP/1.1\r\nHost : x\r\n\r\n',
      'GET / HTTP/1.1\r\nNo colon\r\n\r\n',
      'GET / HTTP/1.1\r\nHost: x\r\nX: a\u0000b\r\n\r\n',
    ]) {
      const answer = await exchange(server, bytes);
      expect([bytes.slice(0, 30), (statusIn(answer) || 400) < 500]).toEqual([bytes.slice(0, 30), true]);
    }
  });
});

describe('cover', () => {
  test('the people of these tests are as they were', async () => {
    const { body } = await call(server, 'readSettings', credentials(alice));
    expect(body.credentials).toMatchObject({ FIRST_NAME: 'Alice', LAST_NAME: 'Tester', PROFILE_PIC: '' });
    expect(await makeGroup(server, alice, [bob])).toMatch(/^\d{13}$/);
  });
});
