// Attack: by what is written into fields, where it does harm on other people's screens, in mails or in the program.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { credentials, join, type Person, signUpBody } from '../support/people.ts';
import { TestServer } from '../support/server.ts';
import { RawSocket } from '../support/socket.ts';

let server: TestServer;
let alice: Person;

beforeAll(async () => {
  server = await TestServer.start();
  alice = await join(server, 'Alice');
});
afterAll(() => server.stop());

const change = (fields: object) =>
  server.request('PATCH', '/get_settings_data', { ...credentials(alice), ...fields });

test('a picture is a script, or ends the CSS that it stands in', async () => {
  const pictures = [
    'javascript:alert(1)',
    'data:image/svg+xml,<svg onload=alert(1)>',
    'https://example.test/x.png) url(https://evil.example.net/',
    "https://example.test/x.png');background:url('https://evil.example.net/",
  ];
  for (const PROFILE_PIC of pictures) expect((await change({ PROFILE_PIC })).status).toBe(400);
  expect((await change({ PROFILE_PIC: 'https://example.test/x.png' })).status).toBe(200);
});

test('a name looks like another, or turns the text around it', async () => {
  for (const FIRST_NAME of [
    'Al\u200bice',
    'Alice\u202e',
    'Al\u0000ice',
    'Al\u2028ice',
    '<b>Alice</b>',
    'Server',
  ])
    expect((await change({ FIRST_NAME })).status).toBe(400);
  expect((await change({ FIRST_NAME: 'Zoë' })).status).toBe(200);
});

test('an address adds receivers and lines to the mail that is sent to it', async () => {
  const addresses = [
    'm@example.test\r\nBcc: all@example.test',
    'm@example.test, all@example.test',
    '"m\r\nBcc: all"@example.test',
    'Mallory <m@example.test>',
  ];
  for (const EMAIL of addresses)
    expect((await server.post('/sign_up', signUpBody('Mallory', { EMAIL }))).status).toBe(400);
});

test('a search pattern or a piece of SQL finds what is not asked for', async () => {
  for (const EMAIL of [
    "' OR 1=1 --@example.test",
    "alice@example.test' --",
    '%@example.test',
    '_lice@example.test',
  ])
    expect((await server.post('/login', { EMAIL, PASSWORD: alice.password })).status).not.toBe(200);
  const { EMAIL, PASSWORD } = { EMAIL: alice.email, PASSWORD: alice.password };
  expect((await server.post('/login', { EMAIL, PASSWORD })).status).toBe(200);
});

test('keys of an object reach into the program', async () => {
  const body = `{"__proto__":{"UID":${alice.uid},"COOKIE":"${alice.cookie}"},"constructor":{"prototype":{"polluted":1}}}`;
  expect((await server.post('/get_token', body)).status).not.toBe(200);
  expect(({} as Record<string, unknown>).polluted).toBeUndefined();
});

test('frames that are not UTF-8 are taken, or stop the server', async () => {
  const { socket } = await RawSocket.open(server);
  socket.raw.write(Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0xc3, 0x28])); // a text frame of invalid UTF-8
  await socket.ended;
  expect((await server.get('/uptime')).status).toBe(200);
});
