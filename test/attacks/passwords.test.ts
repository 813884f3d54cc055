// Attack: guessing passwords, of one address from many places, of many addresses from one place.
import { expect, setDefaultTimeout, test } from 'bun:test';
import { join, password } from '../support/people.ts';
import { withServer } from '../support/server.ts';

// Hashing takes long on a busy machine.
setDefaultTimeout(20_000);

const limited = { env: { RATE_LIMITS: 'on', TRUST_PROXY: '127.0.0.1' } };
const from = (host: number) => ({ 'X-Forwarded-For': `198.51.100.${host}` });

test('many addresses guess one password: the right one is no use after five wrong ones', () =>
  withServer(async (server) => {
    const { email: EMAIL } = await join(server, 'Alice');
    for (let guess = 1; guess <= 5; guess += 1)
      await server.post('/login', { EMAIL, PASSWORD: `guess number ${guess}` }, from(guess));
    const sixth = await server.post('/login', { EMAIL, PASSWORD: password }, from(6));
    expect(sixth.status).toBe(429);
  }, limited));

test('one address tries one password with very many accounts', () =>
  withServer(async (server) => {
    const statuses: number[] = [];
    for (let account = 0; account < 101; account += 1) {
      const EMAIL = `person-${account}@example.test`;
      const { status } = await server.post('/login', { EMAIL, PASSWORD: 'Password one' }, from(1));
      statuses.push(status);
    }
    expect(statuses.at(-1)).toBe(429);
  }, limited));

test('a stolen session guesses the password of its account without end', () =>
  withServer(async (server) => {
    const alice = await join(server, 'Alice');
    const statuses: number[] = [];
    for (let guess = 0; guess < 11; guess += 1) {
      const body = { UID: alice.uid, COOKIE: alice.cookie, EMAIL: alice.email, PASSWORD: `guess ${guess}` };
      statuses.push((await server.post('/login', body, from(guess))).status);
    }
    expect(statuses.at(-1)).toBe(429);
  }, limited));
