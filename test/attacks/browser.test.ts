// Attack: by a page of another site that somebody visits who uses this server.
import { expect, test } from 'bun:test';
import { credentials, join } from '../support/people.ts';
import { withServer } from '../support/server.ts';
import { RawSocket } from '../support/socket.ts';

const own = { env: { PUBLIC_URL: 'https://chat.example.test' } };
const foreign = { Origin: 'https://evil.example.net' };

test('a page of another site opens a socket', () =>
  withServer(async (server) => {
    const { socket, status } = await RawSocket.open(server, '/ws', foreign);
    socket.raw.destroy();
    expect(status).toBe(403);
    const ours = await RawSocket.open(server, '/ws', { Origin: 'https://chat.example.test' });
    ours.socket.raw.destroy();
    expect(ours.status).toBe(101);
  }, own));

test('a page of another site reads answers', () =>
  withServer(async (server) => {
    const alice = await join(server, 'Alice');
    const read = async (headers: Record<string, string>) =>
      (await server.post('/get_token', credentials(alice), headers)).headers.get(
        'access-control-allow-origin',
      );
    expect(await read(foreign)).not.toBeOneOf(['*', foreign.Origin]);
    expect(await read({ Origin: 'https://chat.example.test' })).toBe('https://chat.example.test');
  }, own));

test('a form of another site is sent to the server', () =>
  withServer(async (server) => {
    const alice = await join(server, 'Alice');
    const body = JSON.stringify(credentials(alice));
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x'])
      expect((await server.post('/logout_all', body, { 'content-type': type })).status).toBe(415);
    expect((await server.post('/get_token', credentials(alice))).status).toBe(200);
  }, own));

test('an answer is framed, sniffed into a page, or runs what is in it', () =>
  withServer(async (server) => {
    const { headers } = await server.get('/uptime');
    expect(headers.get('content-security-policy')).toContain("frame-ancestors 'none'");
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect(headers.get('referrer-policy')).toBe('no-referrer');
  }, own));
