// Attack: with stolen, ended and old credentials.
import { expect, test } from 'bun:test';
import { readdirSync, readFileSync } from 'node:fs';
import { join as joinPath } from 'node:path';
import { credentials, join, signUp } from '../support/people.ts';
import { withServer } from '../support/server.ts';
import { TestSocket } from '../support/socket.ts';

test('a copy of the database is searched for credentials that open something', () =>
  withServer(async (server) => {
    const alice = await join(server, 'Alice');
    const dave = await signUp(server, 'Dave');
    const code = server.codeFor(dave.email);
    await server.running.stop();
    const files = readdirSync(server.dataDir).filter((name) => name.startsWith('chat.db'));
    const copy = files.map((name) => readFileSync(joinPath(server.dataDir, name), 'latin1')).join('');
    expect(copy).toContain(alice.email);
    for (const secret of [alice.cookie, alice.token, alice.password]) expect(copy).not.toContain(secret);
    expect(copy).not.toMatch(new RegExp(`(?<!\\d)${code}(?!\\d)`));
    await server.start();
  }));

test('a stolen cookie is used after its owner has logged out', () =>
  withServer(async (server) => {
    const alice = await join(server, 'Alice');
    expect((await server.post('/get_token', credentials(alice))).status).toBe(200);
    await server.post('/logout', credentials(alice));
    expect((await server.post('/get_token', credentials(alice))).status).toBe(401);
  }));

test('a socket that a thief has open listens on after the owner has ended all sessions', () =>
  withServer(async (server) => {
    const alice = await join(server, 'Alice');
    const thief = await TestSocket.announced(server, alice);
    await server.post('/logout_all', credentials(alice));
    const ended = await Promise.race([thief.closed, Bun.sleep(1000)]);
    expect(ended).toMatchObject({ code: 4501 });
  }));

test('a cookie is found on a machine that was put away a hundred days ago', () =>
  withServer(async (server) => {
    const alice = await join(server, 'Alice');
    server.advance(100 * 24 * 60 * 60 * 1000);
    expect((await server.post('/get_token', credentials(alice))).status).toBe(401);
  }));
