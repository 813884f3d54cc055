// Guessing passwords: who guesses is delayed, whom he guesses at is not, and nobody learns who has an account.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, spyOn, test } from 'bun:test';
import { availableParallelism } from 'node:os';
import * as argon2 from '@node-rs/argon2';
import { hashingFigures } from '../../src/accounts/secrets.ts';
import { call, credentials, join, type Person, password, signUp } from '../support/people.ts';
import { type Answer, TestServer } from '../support/server.ts';
import { TestSocket } from '../support/socket.ts';

// Hashing, git and mail take long on a busy machine.
setDefaultTimeout(20_000);

/** Every try may come from an address of its own, which the server believes. */
const env = { RATE_LIMITS: 'on', TRUST_PROXY: '127.0.0.1' };
let server: TestServer;
let count = 0;

beforeAll(async () => {
  server = await TestServer.start({ env });
});
afterAll(() => server.stop());

function newAddress(): Record<string, string> {
  count += 1;
  return { 'x-forwarded-for': `203.0.${count >> 8}.${count & 255}` };
}

async function somebody(): Promise<Person> {
  count += 1;
  return join(server, `Some${'x'.repeat(count % 40)}${'y'.repeat(count / 40)}`);
}

function login(email: string, secret: string, more: Record<string, unknown> = {}): Promise<Answer> {
  return call(server, 'login', { EMAIL: email, PASSWORD: secret, ...more }, newAddress());
}

async function guess(email: string, times: number): Promise<void> {
  for (let tries = 0; tries < times; tries += 1) expect((await login(email, 'wrong')).status).toBe(401);
}

describe('the delay', () => {
  test('after five wrong ones in a row the right one waits too, wherever it comes from', async () => {
    const alice = await somebody();
    await guess(alice.email, 4);
    await guess(alice.email.toUpperCase(), 1);
    const refused = await login(alice.email, password);
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get('retry-after'))).toBeWithin(50, 61);
  });

  test('a right one in time makes the count begin anew', async () => {
    const alice = await somebody();
    for (let rounds = 0; rounds < 2; rounds += 1) {
      await guess(alice.email, 4);
      expect((await login(alice.email, password)).status).toBe(200);
    }
  });

  test('an address that does not exist is answered the same all the way', async () => {
    const alice = await somebody();
    for (let tries = 0; tries < 7; tries += 1) {
      const [known, unknown] = [
        await login(alice.email, 'wrong'),
        await login('nobody@example.test', 'wrong'),
      ];
      expect(unknown.status).toBe(known.status);
      expect(unknown.body.message.replace(/\d+ s/, '')).toBe(known.body.message.replace(/\d+ s/, ''));
      const waits = [known, unknown].map(({ headers }) => Number(headers.get('retry-after')));
      expect(Math.abs((waits[0] ?? 0) - (waits[1] ?? 0))).toBeLessThan(3);
      expect([...unknown.headers.keys()]).toEqual([...known.headers.keys()]);
    }
    expect((await login('nobody@example.test', 'wrong')).status).toBe(429);
  });

  test('an account still to be verified is delayed as others are', async () => {
    const dave = await signUp(server, 'Dave');
    expect((await login(dave.email, password)).status).toBe(403);
    await guess(dave.email, 5);
    expect((await login(dave.email, password)).status).toBe(429);
  });
});

describe('codes that prove an address', () => {
  const tried = (person: Person, code: string) =>
    call(server, 'verifyAccount', { ...credentials(person), ENTERD_OTP: code }, newAddress());

  test('a new code after every five wrong ones does not let somebody guess on without end', async () => {
    const dave = await signUp(server, 'Guesser');
    const answers: number[] = [];
    for (let tries = 0; tries < 12; tries += 1) {
      answers.push((await tried(dave, wrongFor(dave.email))).status);
      if (tries % 5 === 4) await call(server, 'resendCode', { ...credentials(dave) }, newAddress());
    }
    expect(answers).toEqual([...Array(10).fill(401), 429, 429]);
    expect((await tried(dave, server.codeFor(dave.email))).status).toBe(429);
  });

  test('who mistyped all tries of one code enters the next at once', async () => {
    const dave = await signUp(server, 'Clumsy');
    for (let tries = 0; tries < 5; tries += 1)
      expect((await tried(dave, wrongFor(dave.email))).status).toBe(401);
    await call(server, 'resendCode', { ...credentials(dave) }, newAddress());
    expect((await tried(dave, server.codeFor(dave.email))).status).toBe(200);
  });

  test("an account can not guess its way to somebody else's address", async () => {
    const mallory = await somebody();
    const target = 'owner@elsewhere.test';
    const ask = { ...credentials(mallory), MODE: 'EMAIL_CHANGE', EMAIL: target };
    const answers: number[] = [];
    for (let tries = 0; tries < 12; tries += 1) {
      if (tries % 5 === 0) expect((await call(server, 'resendCode', ask, newAddress())).status).toBe(200);
      const guessed = { ...credentials(mallory), EMAIL: target, OTP: wrongFor(target) };
      answers.push((await call(server, 'changeSettings', guessed, newAddress())).status);
    }
    expect(answers).toEqual([...Array(10).fill(401), 429, 429]);
    // Without a code it is no guess, and is told what is missing.
    const empty = { ...credentials(mallory), EMAIL: target, OTP: '' };
    expect((await call(server, 'changeSettings', empty, newAddress())).status).toBe(401);
  });
});

/** Six digits that are not the code last mailed there. */
function wrongFor(email: string): string {
  return server.codeFor(email) === '111111' ? '222222' : '111111';
}

describe('the owner', () => {
  test('who shows a live session of the account is not delayed, and his success ends the delay', async () => {
    const alice = await somebody();
    await guess(alice.email, 5);
    expect((await login(alice.email, password)).status).toBe(429);
    expect((await login(alice.email, password, credentials(alice))).status).toBe(200);
    expect((await login(alice.email, password)).status).toBe(200);
  });

  test('a session of another account, an ended one and what is none spare nobody the delay', async () => {
    const [alice, mallory] = [await somebody(), await somebody()];
    const { body } = await login(alice.email, password);
    const ended = { UID: alice.uid, COOKIE: body.COOKIE };
    expect((await call(server, 'logOut', ended)).status).toBe(200);
    await guess(alice.email, 5);
    for (const shown of [
      credentials(mallory),
      { UID: alice.uid, COOKIE: mallory.cookie },
      { UID: mallory.uid, COOKIE: alice.cookie },
      ended,
      { UID: alice.uid },
      { UID: alice.uid, COOKIE: alice.token },
      { UID: {}, COOKIE: ['x'] },
    ])
      expect((await login(alice.email, password, shown)).status).toBe(429);
    expect((await login(alice.email, password, credentials(alice))).status).toBe(200);
  });

  test('a stolen session is no way to guess on without end: five tries, of logins and settings together, then the wait grows', async () => {
    const alice = await somebody();
    const change = { ...credentials(alice), PASSWORD: 'wrong' };
    for (let tries = 0; tries < 4; tries += 1)
      expect((await login(alice.email, 'wrong', credentials(alice))).status).toBe(401);
    expect((await call(server, 'changeSettings', change, newAddress())).status).toBe(401);
    expect((await login(alice.email, 'wrong', credentials(alice))).status).toBe(429);
    expect((await call(server, 'changeSettings', change, newAddress())).status).toBe(429);
    // The twin: the owner has not that session alone, and his login does not end the thief's wait.
    expect((await login(alice.email, password)).status).toBe(200);
    expect((await login(alice.email, 'wrong', credentials(alice))).status).toBe(429);
  });

  test('nothing else that his session does is held up: requests, settings, sockets', async () => {
    const alice = await somebody();
    await using before = await TestSocket.announced(server, alice);
    await guess(alice.email, 5);
    expect((await login(alice.email, password)).status).toBe(429);
    for (const door of ['listChats', 'getToken', 'readSettings', 'listSessions'] as const)
      expect((await call(server, door, credentials(alice))).status).toBe(200);
    const change = { ...credentials(alice), PASSWORD: password, PHONE: '12345678' };
    expect((await call(server, 'changeSettings', change)).status).toBe(200);
    await using after = await TestSocket.announced(server, alice);
    for (const socket of [before, after]) expect((await socket.say('here')).data.status_code).toBe(200);
  });
});

test('a login that was refused because too many wait to be hashed is not counted as a wrong one', async () => {
  const alice = await somebody();
  const { promise: held, resolve: release } = Promise.withResolvers<boolean>();
  const checks = spyOn(argon2, 'verify').mockImplementation(() => held);
  const crowd = Array.from({ length: 100 + availableParallelism() }, (_, one) =>
    login(`crowd${one}@example.test`, 'wrong'),
  );
  while (hashingFigures().waiting < 100) await Bun.sleep(2);
  for (let tries = 0; tries < 6; tries += 1) {
    const { status, body } = await login(alice.email, password);
    expect(status).toBe(429);
    expect(body.message).toInclude('Too busy');
  }
  release(false);
  await Promise.all(crowd);
  checks.mockRestore();
  expect((await login(alice.email, password)).status).toBe(200);
});

test('a refused login costs one check of a hash, whether or not the address has an account', async () => {
  const [alice, dave] = [await somebody(), await signUp(server, 'Pending')];
  await login('nobody.yet@example.test', 'wrong'); // makes the hash that stands for those who have none
  const checks = spyOn(argon2, 'verify');
  const costs: number[] = [];
  for (const email of [alice.email, dave.email, 'nobody.at.all@example.test', 'no address']) {
    checks.mockClear();
    expect((await login(email, 'wrong')).status).toBe(401);
    costs.push(checks.mock.calls.length);
  }
  checks.mockRestore();
  expect(costs).toEqual([1, 1, 1, 1]);
});
