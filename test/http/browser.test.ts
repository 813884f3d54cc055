// What keeps browsers from being used against people: header fields on every answer, CORS, origins, secrets in addresses.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { join as joinPath } from 'node:path';
import { call, credentials, join, type Person } from '../support/people.ts';
import { exchangeLines, headersIn, statusIn } from '../support/raw.ts';
import { TestServer, withServer } from '../support/server.ts';
import { RawSocket } from '../support/socket.ts';

let server: TestServer;
let alice: Person;

beforeAll(async () => {
  server = await TestServer.start();
  alice = await join(server, 'Alice');
});
afterAll(() => server.stop());

const everywhere = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; base-uri 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'permissions-policy': 'camera=(), geolocation=(), microphone=()',
};

function expectSafe(headers: Headers, resourcePolicy = 'cross-origin'): void {
  const wanted = { ...everywhere, 'cross-origin-resource-policy': resourcePolicy };
  expect(Object.fromEntries(Object.keys(wanted).map((name) => [name, headers.get(name)]))).toEqual(wanted);
  for (const name of ['server', 'x-powered-by', 'set-cookie']) expect(headers.get(name)).toBeNull();
}

/** One request for every way an answer comes about, with the status it gets. */
const answers: [number, string, string[], string][] = [
  [200, 'GET /uptime', [], ''],
  [204, 'OPTIONS /login', ['Origin: https://a.test', 'Access-Control-Request-Method: POST'], ''],
  [400, 'GET /uptime', ['Host: [nonsense'], ''],
  [401, 'POST /login', ['Content-Length: 0'], ''],
  [403, 'POST /get_all_chats', ['Content-Length: 0'], ''],
  [404, 'GET /nothing', [], ''],
  [405, 'GET /login', [], ''],
  [413, 'POST /login', ['Content-Length: 100000'], ''],
  [414, `GET /uptime?${'x'.repeat(3000)}`, [], ''],
  [415, 'POST /login', ['Content-Type: text/plain', 'Content-Length: 1'], 'x'],
  [426, 'GET /ws', [], ''],
  [431, 'GET /uptime', [`X-Filler: ${'x'.repeat(9000)}`], ''],
  [404, 'GET /ws/a/b', [], ''],
];

describe('the header fields of safety', () => {
  test.each(answers)('are on a %d of %s', async (status, first, lines, body) => {
    const answer = await exchangeLines(server, `${first} HTTP/1.1`, [...lines, 'Connection: close'], body);
    expect(statusIn(answer)).toBe(status);
    expectSafe(headersIn(answer));
    expect(headersIn(answer).get('strict-transport-security')).toBeNull();
  });

  test('are on refused upgrades and on refusals for speed', () =>
    withServer(
      async (own) => {
        const upgrade = ['Upgrade: websocket', 'Connection: Upgrade', 'Origin: https://evil.example'];
        const refused = await exchangeLines(own, 'GET /ws HTTP/1.1', upgrade);
        expect(statusIn(refused)).toBe(403);
        expectSafe(headersIn(refused), 'same-origin');
        for (let sent = 0; sent < 1200; sent += 100)
          await Promise.all(Array.from({ length: 100 }, () => own.get('/uptime')));
        const tooFast = await own.get('/uptime');
        expect(tooFast.status).toBe(429);
        expectSafe(tooFast.headers, 'same-origin');
      },
      { env: { RATE_LIMITS: 'on', CORS_ORIGINS: 'https://chat.example' } },
    ));

  test('ask for https for as long as is configured', () =>
    withServer(
      async (own) => {
        for (const path of ['/uptime', '/nothing', '/ws'])
          expect((await own.get(path)).headers.get('strict-transport-security')).toBe('max-age=86400');
      },
      { env: { HSTS_SECONDS: '86400' } },
    ));
});

/** Origins beside `https://chat.example` and `https://чат.example`, with whether their pages may call. */
const origins: [string, boolean][] = [
  ['https://chat.example', true],
  [new URL('https://чат.example').origin, true],
  ['null', false],
  ['https://chat.example:8443', false],
  ['https://chat.example:443', false],
  ['http://chat.example', false],
  ['https://sub.chat.example', false],
  ['https://chat.example.evil.test', false],
  ['https://evilchat.example', false],
  ['https://chat.example@evil.test', false],
  ['https://chat.example.', false],
  ['https://chat.example, https://evil.test', false],
  ['https://evil.test https://chat.example', false],
  [`${new URL('https://чат.example').origin}.evil.test`, false],
  ['file://', false],
  ['chat.example', false],
  ['', false],
];

describe('pages of other origins', () => {
  const env = { CORS_ORIGINS: 'https://chat.example, https://чат.example' };

  test('may read answers when listed, and only then', () =>
    withServer(
      async (own) => {
        for (const [origin, allowed] of origins) {
          const answer = await exchangeLines(own, 'GET /uptime HTTP/1.1', [`Origin: ${origin}`]);
          const heard = headersIn(answer).get('access-control-allow-origin');
          expect([origin, heard]).toEqual([origin, allowed ? origin : null]);
        }
        const twice = ['Origin: https://chat.example', 'Origin: https://evil.test'];
        for (const lines of [twice, twice.toReversed()]) {
          const answer = await exchangeLines(own, 'GET /uptime HTTP/1.1', lines);
          expect(headersIn(answer).get('access-control-allow-origin')).not.toBe('https://evil.test');
          expect(headersIn(answer).get('access-control-allow-credentials')).toBeNull();
        }
      },
      { env },
    ));

  test('may read where they stand with the limits', async () => {
    const { headers } = await server.get('/uptime', { origin: 'https://a.test' });
    const exposed = headers.get('access-control-expose-headers')?.split(/, ?/);
    expect(exposed).toEqual(expect.arrayContaining(['Retry-After', 'RateLimit', 'RateLimit-Policy']));
  });
});

describe('secrets', () => {
  test('are not taken from the address, but for the admin key', async () => {
    for (const query of [
      `UID=${alice.uid}&COOKIE=${alice.cookie}`,
      `UID=${alice.uid}&TOKEN=${alice.token}`,
    ]) {
      expect((await call(server, 'listChats')).status).toBe(403);
      expect((await server.post(`/get_all_chats?${query}`)).status).toBe(403);
      const { socket } = await RawSocket.open(server, `/ws?${query}`);
      socket.send({ event: 'mark_read', data: { GROUP_ID: '1', MESSAGE_ID: 1 } });
      expect((await socket.take(/"status_code":(\d+)/))[1]).toBe('401');
      socket.raw.destroy();
    }
    expect((await call(server, 'listChats', credentials(alice))).status).toBe(200);
  });

  test('in an address do not reach the log', async () => {
    const lines: string[] = [];
    await withServer(
      async (own) => {
        const key = readFileSync(joinPath(own.dataDir, 'admin.key'), 'utf8').trim();
        const path = `/quick_quick_save_data_to_database_repository?key=${key}`;
        expect((await own.get(path)).status).toBe(503); // let in: there is no repository
        for (const first of [`GET ${path} HTTP/1.1`, `DELETE ${path} HTTP/1.1`, `GET ${path}`])
          await exchangeLines(own, first, [`Cookie: ${key}`, `Referer: http://a.test/?key=${key}`]);
        await RawSocket.open(own, `/ws?key=${key}`).then(({ socket }) => socket.raw.destroy());
        expect(lines.join('').includes(key)).toBe(false);
      },
      { onLog: (line) => lines.push(line) },
    );
    expect(lines.length).toBeGreaterThan(0);
  });
});
