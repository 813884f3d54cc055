// Who goes too fast is told so, and when to come back.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { endpoints } from '../../src/protocol/http.ts';
import { call, credentials, join, type Person, password, signUpBody } from '../support/people.ts';
import { type Answer, TestServer, withServer } from '../support/server.ts';

// Hashing, git and mail take long on a busy machine.
setDefaultTimeout(20_000);

/** Every test has an address of its own, which the server believes. */
const env = { RATE_LIMITS: 'on', TRUST_PROXY: '127.0.0.1' };
let server: TestServer;
let alice: Person;
let count = 0;

beforeAll(async () => {
  server = await TestServer.start({ env });
  alice = await join(server, 'Alice');
});
afterAll(() => server.stop());

function newAddress(): Record<string, string> {
  count += 1;
  return { 'x-forwarded-for': `100.64.${count >> 8}.${count & 255}` };
}

/** Asks until it is refused for its speed; returns how many passed, and the refusal. */
async function untilRefused(
  ask: () => Promise<Answer>,
  most = 200,
): Promise<{ passed: number; refusal: Answer }> {
  for (let passed = 0; ; passed += 1) {
    const refusal = await ask();
    if (refusal.status === 429) return { passed, refusal };
    if (passed > most) throw new Error(`still not refused after ${passed}`);
  }
}

function retryAfter({ headers }: Answer): number {
  return Number(headers.get('retry-after'));
}

function login(email: string, headers: Record<string, string>): Promise<Answer> {
  return call(server, 'login', { EMAIL: email, PASSWORD: 'password1' }, headers);
}

/** What supervisors ask: a flood must not look to them like a server that is down. */
const unlimited = ['healthz', 'readyz'];

describe('requests', () => {
  test('an address that asks too much is refused at every endpoint, another is not', async () => {
    const headers = newAddress();
    for (let sent = 0; sent < 1200; sent += 100)
      await Promise.all(Array.from({ length: 100 }, () => server.get('/uptime', headers)));
    for (const [name, { path, method }] of Object.entries(endpoints)) {
      if (unlimited.includes(name)) continue;
      const answer = await server.request(
        method,
        path.replace(':uid', '1'),
        method === 'GET' ? undefined : {},
        headers,
      );
      expect([name, answer.status]).toEqual([name, 429]);
      expect(retryAfter(answer)).toBeWithin(1, 61);
      expect(answer.body.message).toBeString();
      expect(answer.headers.get('access-control-allow-origin')).toBe('*');
    }
    expect((await server.get('/nothing', headers)).status).toBe(429);
    for (const path of ['/healthz', '/readyz']) expect((await server.get(path, headers)).status).toBe(200);
    expect((await server.get('/uptime', newAddress())).status).toBe(200);
  });

  test('with RATE_LIMITS off nothing of this stops anybody', async () => {
    await withServer(async (own) => {
      for (let sent = 0; sent < 1300; sent += 130)
        await Promise.all(Array.from({ length: 130 }, () => own.get('/uptime')));
      expect((await own.get('/uptime')).status).toBe(200);
      for (let tries = 0; tries < 30; tries += 1)
        expect((await call(own, 'signUp', signUpBody('A', { PASSWORD: 'password' }))).status).toBe(400);
    });
  });
});

describe('sign-ups', () => {
  test('an address makes twenty an hour; malformed ones do not count', async () => {
    const headers = newAddress();
    for (let tries = 0; tries < 30; tries += 1)
      expect((await call(server, 'signUp', signUpBody('7'), headers)).status).toBe(400);
    const ask = () => call(server, 'signUp', signUpBody('Mallory', { PASSWORD: 'password' }), headers);
    const { passed, refusal } = await untilRefused(ask);
    expect(passed).toBe(20);
    expect(retryAfter(refusal)).toBeWithin(3000, 3601);
    expect((await call(server, 'signUp', signUpBody('Honest'), newAddress())).status).toBe(200);
  });
});

describe('logins', () => {
  test('an address that tries one password on many accounts is stopped', async () => {
    const headers = newAddress();
    let turn = 0;
    const { passed } = await untilRefused(() => login(`victim${turn++}@example.test`, headers));
    expect(passed).toBe(100);
  });
});

describe('secrets that are tried', () => {
  test('a stolen session guesses the password five times and then waits, wherever it comes from; its owner in another does not', async () => {
    const guess = () =>
      call(server, 'changeSettings', { ...credentials(alice), PASSWORD: 'wrong' }, newAddress());
    const { passed, refusal } = await untilRefused(guess);
    expect(passed).toBe(5);
    expect(retryAfter(refusal)).toBeWithin(50, 61);
    const right = { ...credentials(alice), PASSWORD: password };
    expect((await call(server, 'changeSettings', right)).status).toBe(429);
    const sent = { EMAIL: alice.email, PASSWORD: password };
    const { body } = await call(server, 'login', sent, newAddress());
    const owners = { ...right, COOKIE: body.COOKIE };
    expect((await call(server, 'changeSettings', owners)).status).toBe(200);
    expect((await call(server, 'changeSettings', right)).status).toBe(429);
    expect((await call(server, 'changeSettings', { ...credentials(alice), PHONE: '12345678' })).status).toBe(
      200,
    );
  });

  test('an address tries twenty undo codes an hour', async () => {
    const headers = newAddress();
    const guess = () => call(server, 'undoEmailChange', { EMAIL: alice.email, OTP: 'ABCDEFGH' }, headers);
    const { passed, refusal } = await untilRefused(guess);
    expect(passed).toBe(20);
    expect(retryAfter(refusal)).toBeWithin(3000, 3601);
  });

  test('an address tries thirty codes for new passwords an hour, whatever the accounts', async () => {
    const headers = newAddress();
    let turn = 0;
    const guess = () => {
      const EMAIL = `victim${turn++}@example.test`;
      const fields = { EMAIL, OTP: '123456', NEW_PASSWORD: 'another horse 43' };
      return call(server, 'resetPassword', fields, headers);
    };
    const { passed, refusal } = await untilRefused(guess);
    expect(passed).toBe(30);
    expect(retryAfter(refusal)).toBeWithin(3000, 3601);
  });
});

describe('what an account may ask for', () => {
  const kinds = [
    ['readByAccount', 240, 'listChats', {}],
    ['historyByAccount', 240, 'oldMessages', {}],
    ['writeByAccount', 120, 'leaveGroup', { GROUP_ID: '7777777777777' }],
  ] as const;

  test.each(kinds)(
    '%s: %d a minute from wherever, and another account has its own',
    async (rule, quota, name, fields) => {
      const person = await join(server, `Limited${'abc'[kinds.findIndex(([one]) => one === rule)]}`);
      const other = alice;
      const ask = (who: Person) => call(server, name, { ...credentials(who), ...fields }, newAddress());
      const first = await ask(person);
      expect(first.headers.get('ratelimit-policy')).toBe(
        `"requestByAddress";q=1200;w=60, "${rule}";q=${quota};w=60`,
      );
      expect(first.headers.get('ratelimit')).toMatch(
        new RegExp(`^"requestByAddress";r=1199;t=60, "${rule}";r=\\d+;t=\\d+$`),
      );
      const { passed, refusal } = await untilRefused(() => ask(person), quota);
      expect(passed).toBeWithin(quota - 5, quota);
      expect(retryAfter(refusal)).toBeWithin(1, 61);
      expect(refusal.headers.get('ratelimit-policy')).toBe(`"${rule}";q=${quota};w=60`);
      expect(refusal.headers.get('ratelimit')).toMatch(new RegExp(`^"${rule}";r=0;t=\\d+$`));
      expect((await ask(other)).status).not.toBe(429);
    },
  );

  test('who has no session uses up nobody else\u2019s', async () => {
    const bob = await join(server, 'Bob');
    for (let tries = 0; tries < 130; tries += 1) {
      const sent = { UID: bob.uid, COOKIE: 'wrong', GROUP_ID: '7777777777777' };
      expect((await call(server, 'leaveGroup', sent, newAddress())).status).toBe(401);
    }
    const right = { ...credentials(bob), GROUP_ID: '7777777777777' };
    expect((await call(server, 'leaveGroup', right)).status).toBe(404);
  });

  test('pictures are counted by address', async () => {
    const headers = newAddress();
    const ask = () => server.get(`/get_profile_pic_link/${alice.uid}`, headers);
    const { passed, refusal } = await untilRefused(ask, 600);
    expect(passed).toBe(600);
    expect(refusal.headers.get('ratelimit-policy')).toBe('"pictureByAddress";q=600;w=60');
    expect((await server.get(`/get_profile_pic_link/${alice.uid}`, newAddress())).status).toBe(200);
  });
});

test('an ordinary answer says where the client stands with every limit of its address that it counted towards', async () => {
  const EMAIL = 'nobody@example.test';
  for (const [name, body, policy] of [
    ['signUp', signUpBody('Six', { PASSWORD: 'password' }), '"signUpByAddress";q=20;w=3600'],
    ['login', { EMAIL, PASSWORD: 'wrong password' }, '"loginByAddress";q=100;w=300'],
    ['undoEmailChange', { EMAIL, OTP: 'ABCDEFGH' }, '"undoByAddress";q=20;w=3600'],
    ['forgotPassword', { EMAIL }, '"forgotByAddress";q=20;w=3600'],
    [
      'resetPassword',
      { EMAIL, OTP: '123456', NEW_PASSWORD: 'correct horse 43' },
      '"resetByAddress";q=30;w=3600',
    ],
  ] as const) {
    const { status, headers } = await call(server, name, body, newAddress());
    expect([name, status]).not.toEqual([name, 429]);
    expect(headers.get('ratelimit-policy')).toBe(`"requestByAddress";q=1200;w=60, ${policy}`);
  }
});

describe('IPv6', () => {
  test('counts by /64: in requests, sign-ups and logins', async () => {
    const inOne = (host: number) => ({ 'x-forwarded-for': `2001:db8:1:2::${host.toString(16)}` });
    let turn = 0;
    const signUp = () => call(server, 'signUp', signUpBody('Six', { PASSWORD: 'password' }), inOne(turn++));
    expect((await untilRefused(signUp)).passed).toBe(20);
    const bad = signUpBody('Six', { PASSWORD: 'password' });
    expect((await call(server, 'signUp', bad, { 'x-forwarded-for': '2001:db8:1:3::1' })).status).toBe(400);
    const log = () => login(`victim${turn}@example.test`, inOne(turn++));
    expect((await untilRefused(log)).passed).toBe(100);
    const { headers } = await server.get('/uptime', inOne(turn));
    expect(Number(/r=(\d+)/.exec(headers.get('ratelimit') ?? '')?.[1])).toBe(1200 - 123);
  });

  test('in IPv4 clothes is IPv4', async () => {
    const spellings = ['::ffff:198.51.100.77', '198.51.100.77', '::FFFF:c633:644d', '198.51.100.77:4711'];
    const left: number[] = [];
    for (const address of spellings) {
      const { headers } = await server.get('/uptime', { 'x-forwarded-for': address });
      left.push(Number(/r=(\d+)/.exec(headers.get('ratelimit') ?? '')?.[1]));
    }
    expect(left).toEqual([1199, 1198, 1197, 1196]);
  });
});
