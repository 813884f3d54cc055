// The server behind the reverse proxies of scripts/deploy, over TLS: requests, sockets, whose limits count, what is logged.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { socketLimits } from '../../src/gateway/limits.ts';
import { join as joinUp, password, signUpBody } from '../support/people.ts';
import { fixedPort } from '../support/process.ts';
import { type ProxyName, programOf, ReverseProxy } from '../support/proxy.ts';
import { TestServer } from '../support/server.ts';
import { TestSocket } from '../support/socket.ts';

const backupPath = '/quick_quick_save_data_to_database_repository';

const proxies: ProxyName[] = ['nginx', 'caddy'];

for (const name of proxies) {
  const missing = [name, 'openssl' as const].filter((program) => programOf(program) === null);
  const title =
    missing.length > 0 ? `behind ${name} (skipped: no ${missing.join(', ')} here)` : `behind ${name}`;

  describe.skipIf(missing.length > 0)(title, () => {
    let server: TestServer;
    let proxy: ReverseProxy;

    beforeAll(async () => {
      const env = { PORT: String(await fixedPort()), TRUST_PROXY: '127.0.0.1', RATE_LIMITS: 'on' };
      server = await TestServer.start({ env });
      proxy = await ReverseProxy.start(name, Number(server.running.url.port));
    }, 30_000);

    afterAll(async () => {
      await proxy?.stop();
      await server?.stop();
    });

    const post = (path: string, body: unknown) => proxy.ask(path, { method: 'POST', body });

    test('A person signs up, is verified and logs in.', async () => {
      const signedUp = await post('/sign_up', signUpBody('Alice'));
      expect(signedUp.status).toBe(200);
      const { UID, COOKIE } = signedUp.body;
      const ENTERD_OTP = server.codeFor('alice@example.test');
      expect((await post('/account_verification', { UID, COOKIE, ENTERD_OTP })).status).toBe(200);
      const login = await post('/login', { EMAIL: 'alice@example.test', PASSWORD: password });
      expect(login).toMatchObject({ status: 200, body: { UID } });
      expect(login.headers.get('cache-control')).toBe('no-store');
    });

    test('A message goes from one socket to another, and a socket is closed with our code when its session ends.', async () => {
      const [bob, carol] = [await joinUp(server, 'Bob'), await joinUp(server, 'Carol')];
      const [hers, his] = [
        await TestSocket.announced(proxy, carol, '/ws/hers'),
        await TestSocket.announced(proxy, bob),
      ];
      const sent = await his.say('over TLS');
      expect(sent.data).toMatchObject({ status_code: 200, SENDER_ID: bob.uid });
      expect((await hers.next()).data).toMatchObject({ MESSAGE: 'over TLS', SENDER_ID: bob.uid });
      await post('/logout_all', { UID: carol.uid, COOKIE: carol.cookie });
      expect((await hers.closed).code).toBe(4501);
      his.raw.close();
    });

    test('Each address is counted for itself, whatever a client says of where it comes from.', async () => {
      const authorization = 'Bearer wrong';
      const ask = (from: string, headers = {}) => {
        return proxy.ask(backupPath, { from, headers: { authorization, ...headers } });
      };
      for (let tries = 0; tries < 10; tries += 1) expect((await ask('127.0.0.2')).status).toBe(403);
      expect((await ask('127.0.0.2')).status).toBe(429);
      expect((await ask('127.0.0.2', { 'x-forwarded-for': '198.51.100.7' })).status).toBe(429);
      expect((await ask('127.0.0.3')).status).toBe(403);

      await server.restart({ TRUST_PROXY: '' });
      for (let tries = 0; tries < 10; tries += 1) await ask('127.0.0.2');
      expect((await ask('127.0.0.3')).status).toBe(429);
    });

    test('Answers are JSON, ours and its own: a body too large for us, one too large for it, a path that is not there.', async () => {
      const size = (bytes: number) => post('/login', { EMAIL: 'x'.repeat(bytes), PASSWORD: '' });
      const asJson = { message: expect.any(String) };
      expect(await size(100_000)).toMatchObject({ status: 413, body: asJson });
      expect(await size(300_000)).toMatchObject({ status: 413, body: asJson });
      expect(await proxy.ask('/nowhere')).toMatchObject({ status: 404, body: asJson });
    });

    test('No admin key gets into a log by the address, and not when the server is away, which is said in JSON.', async () => {
      const path = `${backupPath}?key=kept-out-of-every-log`;
      await proxy.ask(path);
      await server.running.stop();
      const away = await proxy.ask(path);
      expect(away).toMatchObject({ status: 503, body: { message: expect.any(String) } });
      expect(away.headers.get('content-type')).toStartWith('application/json');
      expect(away.headers.get('retry-after')).toBe('3');
      await server.start();
      expect((await proxy.ask('/uptime')).status).toBe(200);

      const logs = proxy.logs();
      expect(logs).toInclude(backupPath);
      expect(logs).not.toInclude('kept-out');
    });

    test('Who comes without TLS is sent to it.', async () => {
      const answer = await fetch(`http://127.0.0.1:${proxy.ports.http}/uptime?a=b`, {
        redirect: 'manual',
        headers: { host: 'localhost' },
      });
      expect(answer.status).toBe(308);
      expect(answer.headers.get('location')).toMatch(/^https:\/\/localhost(?::\d+)?\/uptime\?a=b$/);
    });
  });
}

test('nginx waits longer for a silent socket than the server takes to ping it.', () => {
  const text = readFileSync(join(import.meta.dir, '../../scripts/deploy/nginx.conf'), 'utf8');
  const [, minutes] = /location \/ws \{[^}]*proxy_read_timeout (\d+)m;/.exec(text) ?? [];
  expect(Number(minutes) * 60).toBeGreaterThan(2 * socketLimits.idleSeconds);
});
