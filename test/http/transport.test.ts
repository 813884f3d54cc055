// What every request meets before its endpoint: paths, methods, sizes, types, CORS, proxies.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { endpoints } from '../../src/protocol/http.ts';
import { call, credentials, join, type Person, signUpBody } from '../support/people.ts';
import { exchangeLines, statusIn } from '../support/raw.ts';
import { TestServer, withServer } from '../support/server.ts';

let server: TestServer;
let alice: Person;

beforeAll(async () => {
  server = await TestServer.start();
  alice = await join(server, 'Alice');
});
afterAll(() => server.stop());

function post(path: string, headers: string[], body: string): Promise<string> {
  return exchangeLines(server, `POST ${path} HTTP/1.1`, headers, body);
}

describe('paths and methods', () => {
  test('an unknown path is 404 in JSON, whatever the method', async () => {
    for (const path of [
      '/',
      '/nothing',
      '/login/',
      '/LOGIN',
      '/login/x',
      '/get_profile_pic_link',
      '/get_profile_pic_link/1/2',
      '/%2e%2e/etc/passwd',
      '/__proto__',
      '/%',
    ]) {
      for (const method of ['GET', 'POST', 'DELETE']) {
        const answer = await server.request(method, path, method === 'POST' ? {} : undefined);
        expect([path, method, answer.status]).toEqual([path, method, 404]);
        expect(answer.body.message).toBeString();
      }
    }
  });

  test('a wrong method is 405 and says which ones are right', async () => {
    for (const { path } of Object.values(endpoints)) {
      const right = Object.values(endpoints)
        .filter((endpoint) => endpoint.path === path)
        .map(({ method }): string => method);
      for (const method of ['GET', 'POST', 'PATCH', 'PUT', 'DELETE'].filter((one) => !right.includes(one))) {
        const answer = await server.request(method, path.replace(':uid', '1'));
        expect([path, method, answer.status]).toEqual([path, method, 405]);
        expect(answer.headers.get('allow')).toBe(right.join(', '));
        expect(answer.body.message).toBeString();
      }
    }
  });

  test('a socket path without an upgrade is 426', async () => {
    for (const path of ['/ws', '/ws/device-1']) {
      const answer = await server.get(path);
      expect(answer.status).toBe(426);
      expect(answer.body.message).toBeString();
    }
  });

  test('uptime tells version and whole seconds to anybody', async () => {
    const before = await call(server, 'uptime');
    server.advance(90_000);
    const after = await call(server, 'uptime');
    expect([before.status, after.status]).toEqual([200, 200]);
    expect(after.body.UPTIME_SECONDS - before.body.UPTIME_SECONDS).toBeWithin(90, 93);
    expect(after.body.VERSION).toMatch(/^\d+\.\d+\.\d+/);
  });

  test('a query string changes nothing, and credentials in one are not heeded', async () => {
    const query = `?UID=${alice.uid}&COOKIE=${alice.cookie}`;
    expect((await server.post(`/get_all_chats${query}`, {})).status).toBe(403);
    expect((await server.post('/get_all_chats?x=1', credentials(alice))).status).toBe(200);
  });
});

describe('bodies', () => {
  const large = JSON.stringify({ FILLER: 'x'.repeat(70_000) });

  test('one that says it is too large is refused before it is sent', async () => {
    const answer = await post(
      '/login',
      ['Content-Type: application/json', 'Content-Length: 100000000'],
      '{"EMAIL":',
    );
    expect(statusIn(answer)).toBe(413);
    expect(answer).toContain('"message"');
  });

  test('one that comes in chunks without saying its size is refused once it is too large', async () => {
    const chunk = `${(10_000).toString(16)}\r\n${'x'.repeat(10_000)}\r\n`;
    const headers = ['Content-Type: application/json', 'Transfer-Encoding: chunked', 'Connection: close'];
    const answer = await post('/login', headers, `${chunk.repeat(8)}0\r\n\r\n`);
    expect(statusIn(answer)).toBe(413);
    expect(answer).toContain('"message"');
  });

  test('one that comes in chunks and is small is read', async () => {
    const body = JSON.stringify(credentials(alice));
    const headers = ['Content-Type: application/json', 'Transfer-Encoding: chunked', 'Connection: close'];
    const parts = [body.slice(0, 20), body.slice(20)].map(
      (part) => `${part.length.toString(16)}\r\n${part}\r\n`,
    );
    expect(statusIn(await post('/get_all_chats', headers, `${parts.join('')}0\r\n\r\n`))).toBe(200);
  });

  test('the largest one that is allowed is read', async () => {
    const bare = JSON.stringify({ ...credentials(alice), FILLER: '' });
    const filled = { ...credentials(alice), FILLER: 'x'.repeat(65_536 - bare.length) };
    expect((await call(server, 'listChats', filled)).status).toBe(200);
    const over = { ...filled, FILLER: `${filled.FILLER}x` };
    expect((await call(server, 'listChats', over)).status).toBe(413);
    expect((await call(server, 'login', large)).status).toBe(413);
  });

  test('every way of saying JSON is understood, and saying nothing too', async () => {
    const body = JSON.stringify(credentials(alice));
    for (const type of [
      'application/json',
      'application/json; charset=utf-8',
      'Application/JSON;charset="utf-8"',
      'application/problem+json',
    ])
      expect((await call(server, 'listChats', body, { 'content-type': type })).status).toBe(200);
    const headers = [`Content-Length: ${body.length}`, 'Connection: close'];
    expect(statusIn(await post('/get_all_chats', headers, body))).toBe(200);
  });

  test('bytes that are no UTF-8 break nothing', async () => {
    const response = await fetch(`${server.url}/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: new Uint8Array([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d]),
    });
    expect(response.status).toBe(401);
  });

  test('an answer is never kept by caches nor guessed at by browsers', async () => {
    for (const answer of [
      await call(server, 'uptime'),
      await call(server, 'login'),
      await server.get('/nothing'),
    ]) {
      expect(answer.headers.get('cache-control')).toBe('no-store');
      expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
      expect(answer.headers.get('content-type')).toStartWith('application/json');
    }
  });
});

describe('pages of other origins', () => {
  const origin = 'https://chat.example.test';

  function preflight(at: TestServer, from: string, method = 'PATCH'): Promise<Response> {
    const headers = {
      origin: from,
      'access-control-request-method': method,
      'access-control-request-headers': 'content-type,authorization',
    };
    return fetch(`${at.url}/get_settings_data`, { method: 'OPTIONS', headers });
  }

  test('while no address is configured any page may call, without credentials mode', async () => {
    const answers = [
      await server.get('/uptime', { origin }),
      await server.get('/nothing', { origin }),
      await server.request('DELETE', '/login', undefined, { origin }),
      await call(server, 'login', '{', { origin }),
      await call(server, 'login', 'x'.repeat(70_000), { origin }),
      await call(server, 'login', '{}', { origin, 'content-type': 'text/plain' }),
    ];
    expect(answers.map(({ status }) => status)).toEqual([200, 404, 405, 401, 413, 415]);
    for (const { headers } of answers) {
      expect(headers.get('access-control-allow-origin')).toBe('*');
      expect(headers.get('access-control-allow-credentials')).toBeNull();
      expect(headers.get('access-control-expose-headers')).toContain('Retry-After');
    }
    const asked = await preflight(server, origin);
    expect(asked.status).toBeWithin(200, 205);
    expect(asked.headers.get('access-control-allow-origin')).toBe('*');
    expect(asked.headers.get('access-control-allow-methods')).toContain('PATCH');
    expect(asked.headers.get('access-control-allow-headers')?.toLowerCase()).toContain('authorization');
    expect(asked.headers.get('access-control-allow-headers')?.toLowerCase()).toContain('content-type');
  });

  test.each([
    ['CORS_ORIGINS', { CORS_ORIGINS: `${origin}, http://localhost:8080` }],
    ['PUBLIC_URL', { PUBLIC_URL: `${origin}/` }],
  ])('with %s set its pages may call and others may not', async (_name, env) => {
    await withServer(
      async (own) => {
        for (const path of ['/uptime', '/nothing']) {
          const [ours, foreign] = [
            await own.get(path, { origin }),
            await own.get(path, { origin: 'https://evil.test' }),
          ];
          expect(ours.headers.get('access-control-allow-origin')).toBe(origin);
          expect(ours.headers.get('vary')?.toLowerCase()).toContain('origin');
          expect(foreign.headers.get('access-control-allow-origin')).toBeNull();
          for (const lookalike of [`${origin}.evil.test`, 'http://chat.example.test', 'null']) {
            const answer = await own.get(path, { origin: lookalike });
            expect(answer.headers.get('access-control-allow-origin')).toBeNull();
          }
        }
        expect((await preflight(own, origin)).headers.get('access-control-allow-origin')).toBe(origin);
        expect(
          (await preflight(own, 'https://evil.test')).headers.get('access-control-allow-origin'),
        ).toBeNull();
        expect((await own.get('/uptime')).status).toBe(200);
      },
      { env },
    );
  });
});

describe('behind a proxy', () => {
  /** Sign-ups from an address until it is refused. They fail by their password, which costs nothing but counts. */
  async function signUpsUntilRefused(at: TestServer, headers: Record<string, string>): Promise<number> {
    for (let tries = 0; ; tries += 1) {
      const answer = await call(at, 'signUp', signUpBody('Mallory', { PASSWORD: 'password' }), headers);
      if (answer.status === 429 || tries > 40) return tries;
    }
  }

  test('nobody is believed about his address who is no trusted proxy', async () => {
    await withServer(
      async (own) => {
        expect(await signUpsUntilRefused(own, { 'x-forwarded-for': '203.0.113.1' })).toBe(20);
        expect(await signUpsUntilRefused(own, { 'x-forwarded-for': '203.0.113.2' })).toBe(0);
      },
      { env: { RATE_LIMITS: 'on' } },
    );
  });

  test('a trusted proxy is believed, and only what it adds itself', async () => {
    await withServer(
      async (own) => {
        expect(await signUpsUntilRefused(own, { 'x-forwarded-for': '203.0.113.1' })).toBe(20);
        expect(await signUpsUntilRefused(own, { 'x-forwarded-for': '198.51.100.9, 203.0.113.1' })).toBe(0);
        expect(await signUpsUntilRefused(own, { 'x-forwarded-for': '203.0.113.1, 10.0.0.7' })).toBe(0);
        expect(await signUpsUntilRefused(own, { 'x-forwarded-for': '203.0.113.1, 203.0.113.2' })).toBe(20);
        expect(await signUpsUntilRefused(own, { 'x-forwarded-for': '2001:db8::1' })).toBe(20);
      },
      { env: { RATE_LIMITS: 'on', TRUST_PROXY: '127.0.0.1, 10.0.0.0/8' } },
    );
  });
});
