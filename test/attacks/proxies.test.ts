// Attack: with a claim to come from another address.
import { expect, test } from 'bun:test';
import { type TestServer, withServer } from '../support/server.ts';

async function guessKeys(
  server: TestServer,
  claim: (guess: number) => string,
  guesses = 11,
): Promise<number[]> {
  const statuses: number[] = [];
  for (let guess = 0; guess < guesses; guess += 1) {
    const headers = { authorization: 'Bearer wrong', 'X-Forwarded-For': claim(guess) };
    statuses.push((await server.post('/admin_users', {}, headers)).status);
  }
  return statuses;
}

test('a header claims another address for each request', () =>
  withServer(
    async (server) => expect((await guessKeys(server, (guess) => `198.51.100.${guess}`)).at(-1)).toBe(429),
    { env: { RATE_LIMITS: 'on' } },
  ));

test('behind a proxy that is trusted, a header is sent along with claims of its own', () =>
  withServer(
    async (server) => {
      // What the proxy adds is the last; what stands before it the sender wrote himself.
      const statuses = await guessKeys(server, (guess) => `192.0.2.${guess}, 198.51.100.7`);
      expect(statuses.at(-1)).toBe(429);
    },
    { env: { RATE_LIMITS: 'on', TRUST_PROXY: '127.0.0.1' } },
  ));

test('one who has a /64 of IPv6 addresses takes another for each request', () =>
  withServer(
    async (server) => {
      const statuses = await guessKeys(server, (guess) => `2001:db8:1:2::${guess + 1}`);
      expect(statuses.at(-1)).toBe(429);
    },
    { env: { RATE_LIMITS: 'on', TRUST_PROXY: '127.0.0.1' } },
  ));

test('one who has a /48 of IPv6 addresses takes another /64 for each request', () =>
  withServer(
    async (server) => {
      const statuses = await guessKeys(server, (guess) => `2001:db8:1:${guess + 1}::1`, 101);
      expect(statuses.at(-1)).toBe(429);
    },
    { env: { RATE_LIMITS: 'on', TRUST_PROXY: '127.0.0.1' } },
  ));
