// Attack: guessing one-time codes, and using one twice.
import { expect, test } from 'bun:test';
import { codeOf, joinGuarded, nextStep } from '../support/authenticator.ts';
import { credentials, password, signUp } from '../support/people.ts';
import { withServer } from '../support/server.ts';

const wrongCodes = (right: string) =>
  Array.from({ length: 5 }, (_, offset) => String((Number(right) + offset + 1) % 1_000_000).padStart(6, '0'));

test('codes are tried until one fits: five wrong ones void the right one', () =>
  withServer(async (server) => {
    const mallory = await signUp(server, 'Mallory');
    const code = server.codeFor(mallory.email);
    for (const ENTERD_OTP of wrongCodes(code))
      await server.post('/account_verification', { ...credentials(mallory), ENTERD_OTP });
    const right = await server.post('/account_verification', { ...credentials(mallory), ENTERD_OTP: code });
    expect(right.status).toBe(401);
  }));

test('new codes are asked for again and again, until one of the five tries at each fits', () =>
  withServer(
    async (server) => {
      const mallory = await signUp(server, 'Mallory');
      for (let round = 0; round < 2; round += 1) {
        for (const ENTERD_OTP of wrongCodes(server.codeFor(mallory.email)))
          await server.post('/account_verification', { ...credentials(mallory), ENTERD_OTP });
        expect((await server.post('/resend_otp', credentials(mallory))).status).toBe(200);
      }
      const [ENTERD_OTP] = wrongCodes(server.codeFor(mallory.email));
      const next = await server.post('/account_verification', { ...credentials(mallory), ENTERD_OTP });
      expect(next.status).toBe(429);
    },
    { env: { RATE_LIMITS: 'on' } },
  ));

test('a code is entered that lay in the mailbox for an hour', () =>
  withServer(async (server) => {
    const mallory = await signUp(server, 'Mallory');
    const ENTERD_OTP = server.codeFor(mallory.email);
    server.advance(60 * 60 * 1000);
    const late = await server.post('/account_verification', { ...credentials(mallory), ENTERD_OTP });
    expect(late.status).toBe(401);
  }));

test('a code of the second factor is read over the shoulder and used again', () =>
  withServer(async (server) => {
    const { email: EMAIL, secret } = await joinGuarded(server, 'Alice');
    nextStep(server);
    const login = { EMAIL, PASSWORD: password, CODE: codeOf(server, secret) };
    expect((await server.post('/login', login)).status).toBe(200);
    expect((await server.post('/login', login)).status).not.toBe(200);
  }));

test('a recovery code is used twice', () =>
  withServer(async (server) => {
    const { email: EMAIL, recoveryCodes } = await joinGuarded(server, 'Alice');
    const login = { EMAIL, PASSWORD: password, CODE: recoveryCodes[0] };
    expect((await server.post('/login', login)).status).toBe(200);
    expect((await server.post('/login', login)).status).not.toBe(200);
  }));
