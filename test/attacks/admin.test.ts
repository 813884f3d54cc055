// Attack: on what only who runs the server may do.
import { expect, test } from 'bun:test';
import { adminKey, bearer } from '../support/admin.ts';
import { credentials, join } from '../support/people.ts';
import { withServer } from '../support/server.ts';

test('a wrong key lists the accounts', () =>
  withServer(async (server) => {
    const { email } = await join(server, 'Alice');
    const listed = await server.post('/admin_users', {}, bearer('x'.repeat(adminKey(server).length)));
    expect(listed.status).toBe(403);
    expect(JSON.stringify(listed.body)).not.toContain(email);
  }));

test('an account of the server is taken for its operator', () =>
  withServer(async (server) => {
    const alice = await join(server, 'Alice');
    for (const secret of [alice.token, alice.cookie]) {
      const asked = { ...credentials(alice), TOKEN: alice.token };
      expect((await server.post('/admin_users', asked, bearer(secret))).status).toBe(403);
    }
    expect((await server.post('/admin_users', credentials(alice))).status).toBe(401);
  }));

test('the key is tried until one fits', () =>
  withServer(
    async (server) => {
      const statuses: number[] = [];
      for (let guess = 0; guess < 11; guess += 1)
        statuses.push((await server.post('/admin_users', {}, bearer(`guess-${guess}`))).status);
      expect(statuses.at(-1)).toBe(429);
      expect((await server.post('/admin_users', {}, bearer(adminKey(server)))).status).toBe(429);
    },
    { env: { RATE_LIMITS: 'on' } },
  ));

test('the key is taken from an address, where logs and histories keep it', () =>
  withServer(async (server) => {
    const answer = await server.post(`/admin_users?key=${adminKey(server)}`);
    expect(answer.status).toBe(401);
  }));
