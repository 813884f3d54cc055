// Getting a socket: both paths, before any login, and from which pages.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { join, type Person } from '../support/people.ts';
import { exchangeLines, statusIn } from '../support/raw.ts';
import { TestServer, withServer } from '../support/server.ts';
import { RawSocket, TestSocket } from '../support/socket.ts';

describe('connecting', () => {
  let server: TestServer;
  let alice: Person;

  beforeAll(async () => {
    server = await TestServer.start();
    alice = await join(server, 'Alice');
  });
  afterAll(() => server.stop());

  test('a socket opens at /ws and at /ws/{client_id} before any login, and can log in later', async () => {
    for (const path of ['/ws', '/ws/', '/ws/4711', '/ws/a-b_c.d%20e', `/ws/${'x'.repeat(128)}`]) {
      await using socket = await TestSocket.open(server, path);
      expect(await socket.ask('connect_user', {})).toEqual({
        event: 'connect_user',
        data: { status_code: 200, message: 'OK' },
      });
      expect((await socket.announce(alice)).data.status_code).toBe(200);
    }
  });

  test('a socket path without an upgrade is 426 as JSON', async () => {
    for (const path of ['/ws', '/ws/4711']) {
      const answer = await server.get(path);
      expect(answer.status).toBe(426);
      expect(answer.headers.get('content-type')).toContain('application/json');
      expect(answer.body.message).toBeString();
      expect((await server.post(path, {})).status).toBe(426);
    }
  });

  test('a path that only begins like a socket path is 404 as JSON', async () => {
    for (const path of ['/ws/a/b', `/ws/${'x'.repeat(129)}`]) {
      const { status, body } = await RawSocket.open(server, path);
      expect(status).toBe(404);
      expect(body.message).toBeString();
    }
    expect((await server.get('/wsx')).status).toBe(404);
  });

  test('a handshake that is not one is a 4xx as JSON, not a 5xx', async () => {
    const headers = { upgrade: 'websocket', connection: 'upgrade' };
    const { status, body } = await RawSocket.open(server, '/ws', { ...headers, Upgrade: 'h2c' });
    expect(status).toBe(426);
    expect(body.message).toBeString();
  });

  test('without a list of origins every page may connect', async () => {
    await using socket = await TestSocket.open(server, '/ws', { Origin: 'https://anywhere.example' });
    expect((await socket.ask('connect_user', {})).data.status_code).toBe(200);
  });
});

describe('with a list of origins', () => {
  const env = { CORS_ORIGINS: 'https://chat.example, http://localhost:3000' };

  test('pages of other origins are refused with 403 as JSON', () =>
    withServer(
      async (server) => {
        const foreign = [
          'https://evil.example',
          'http://chat.example',
          'https://chat.example.evil.example',
          'https://chat.example:8443',
          'https://sub.chat.example',
          'https://chat.example@evil.example',
          'https://chat.example.',
          'https://chat.example, https://evil.example',
          'https://evil.example https://chat.example',
          'file://',
          '',
          'http://localhost:3001',
          'null',
          'nonsense',
        ];
        for (const origin of foreign) {
          const { status, body } = await RawSocket.open(server, '/ws', { Origin: origin });
          expect([origin, status]).toEqual([origin, 403]);
          expect(body.message).toBeString();
        }
      },
      { env },
    ));

  test('pages of listed origins, pages of the server itself and native clients are let in', () =>
    withServer(
      async (server) => {
        const { host } = new URL(server.url);
        for (const origin of ['https://chat.example', 'http://localhost:3000', `http://${host}`, null]) {
          const headers: Record<string, string> = origin === null ? {} : { Origin: origin };
          const { status, socket } = await RawSocket.open(server, '/ws/1', headers);
          expect([origin, status]).toEqual([origin, 101]);
          socket.raw.destroy();
        }
      },
      { env },
    ));

  test("PUBLIC_URL's origin is the list when there is no other", () =>
    withServer(
      async (server) => {
        const own = await RawSocket.open(server, '/ws', { Origin: 'https://chat.example' });
        const foreign = await RawSocket.open(server, '/ws', { Origin: 'https://evil.example' });
        expect([own.status, foreign.status]).toEqual([101, 403]);
        own.socket.raw.destroy();
      },
      { env: { PUBLIC_URL: 'https://chat.example/app' } },
    ));

  test('upper case and names of other scripts are the same origins', () =>
    withServer(
      async (server) => {
        const listed = ['https://CHAT.example', 'HTTPS://чат.example', new URL('https://чат.example').origin];
        for (const origin of listed.filter((one) => !/[^\u0020-\u007e]/.test(one))) {
          const { status, socket } = await RawSocket.open(server, '/ws', { Origin: origin });
          expect([origin, status]).toEqual([origin, 101]);
          socket.raw.destroy();
        }
      },
      { env: { CORS_ORIGINS: 'https://chat.example, https://чат.example' } },
    ));

  test('of two Origin fields none is believed', () =>
    withServer(
      async (server) => {
        for (const origins of [
          ['https://chat.example', 'https://evil.example'],
          ['https://evil.example', 'https://chat.example'],
        ]) {
          const lines = ['Upgrade: websocket', 'Connection: Upgrade', 'Sec-WebSocket-Version: 13'];
          const keyed = [...lines, 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='];
          const asked = [...keyed, ...origins.map((origin) => `Origin: ${origin}`)];
          expect(statusIn(await exchangeLines(server, 'GET /ws HTTP/1.1', asked))).toBe(403);
        }
      },
      { env },
    ));

  test('behind a proxy that passes the Host on, its pages are the own ones', () =>
    withServer(
      async (server) => {
        const headers = { Host: 'chat.example', Origin: 'https://chat.example' };
        const { status, socket } = await RawSocket.open(server, '/ws', headers);
        expect(status).toBe(101);
        socket.raw.destroy();
      },
      { env: { CORS_ORIGINS: 'https://other.example', PUBLIC_URL: 'https://chat.example' } },
    ));

  test('a name that was made to point here is nobody\u2019s own once PUBLIC_URL says which one is', () =>
    withServer(
      async (server) => {
        const { port } = new URL(server.url);
        const own = (host: string) => RawSocket.open(server, '/ws', { Host: host, Origin: `http://${host}` });
        for (const host of [
          `evil.example:${port}`,
          'evil.example',
          'chat.example.evil.example',
          'localhost.evil.example',
        ])
          expect([host, (await own(host)).status]).toEqual([host, 403]);
        for (const host of [
          `127.0.0.1:${port}`,
          `localhost:${port}`,
          `[::1]:${port}`,
          `chat.example:${port}`,
        ]) {
          const { status, socket } = await own(host);
          expect([host, status]).toEqual([host, 101]);
          socket.raw.destroy();
        }
      },
      { env: { PUBLIC_URL: 'https://chat.example' } },
    ));
});
