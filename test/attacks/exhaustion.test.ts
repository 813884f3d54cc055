// Attack: by sheer size and number.
import { expect, test } from 'bun:test';
import { socketLimits } from '../../src/gateway/limits.ts';
import { limits } from '../../src/protocol/entities.ts';
import { join } from '../support/people.ts';
import { withServer } from '../support/server.ts';
import { RawSocket, TestSocket } from '../support/socket.ts';

const limited = { env: { RATE_LIMITS: 'on' } };

test('a body is larger than anything that is asked for', () =>
  withServer(async (server) => {
    const body = JSON.stringify({ EMAIL: 'a'.repeat(limits.bodyBytes) });
    expect((await server.post('/login', body)).status).toBe(413);
  }));

test('a small body unpacks to a large one', () =>
  withServer(async (server) => {
    const body = Bun.gzipSync(Buffer.from(JSON.stringify({ EMAIL: ' '.repeat(10_000_000) })));
    const headers = { 'content-type': 'application/json', 'content-encoding': 'gzip' };
    const { status } = await fetch(`${server.url}/login`, { method: 'POST', body, headers });
    expect(status).toBe(415);
  }));

test(
  'hundreds log in at once, so that all time and memory goes into hashing',
  () =>
    withServer(async (server) => {
      const logins = Array.from({ length: 130 }, (_, one) =>
        server.post('/login', { EMAIL: `person-${one}@example.test`, PASSWORD: 'any password' }),
      );
      const statuses = (await Promise.all(logins)).map(({ status }) => status);
      expect(statuses).toContain(429);
      expect(new Set(statuses)).toEqual(new Set([401, 429]));
    }),
  30_000,
);

test('a socket sends without end', () =>
  withServer(async (server) => {
    const alice = await join(server, 'Alice');
    await using flooding = await TestSocket.announced(server, alice);
    for (let frame = 0; frame < 2000; frame += 1) flooding.send('connect_user', {});
    expect(await Promise.race([flooding.closed, Bun.sleep(2000)])).toMatchObject({ code: 4503 });
  }, limited));

test('an account writes hundreds of messages at once', () =>
  withServer(async (server) => {
    const alice = await join(server, 'Alice');
    await using hers = await TestSocket.announced(server, alice);
    const statuses: number[] = [];
    for (let count = 0; count < 80; count += 1) statuses.push((await hers.say('spam')).data.status_code);
    expect(statuses).toContain(429);
  }, limited));

test('an address opens sockets that say nothing until none is left for others', () =>
  withServer(async (server) => {
    const sockets = [];
    for (let count = 0; count <= socketLimits.unannouncedPerAddress; count += 1)
      sockets.push(await RawSocket.open(server));
    expect(sockets.at(-1)?.status).toBe(429);
    for (const { socket } of sockets) socket.raw.destroy();
  }, limited));

test('a stranger has thousands of mails sent to somebody', () =>
  withServer(async (server) => {
    const { email: EMAIL } = await join(server, 'Alice');
    const statuses: number[] = [];
    for (let count = 0; count < 6; count += 1)
      statuses.push((await server.post('/forgot_password', { EMAIL })).status);
    expect(statuses.at(-1)).toBe(429);
  }, limited));
