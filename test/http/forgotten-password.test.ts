// Forgotten passwords: a code by mail sets a new one, and nobody learns from it who has an account.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, spyOn, test } from 'bun:test';
import * as argon2 from '@node-rs/argon2';
import { generateSync } from 'otplib';
import { call, credentials, join, mailAt, type Person, password, signUp } from '../support/people.ts';
import { type Answer, TestServer, withServer } from '../support/server.ts';
import { startSmtp } from '../support/smtp.ts';

// Hashing, git and mail take long on a busy machine.
setDefaultTimeout(20_000);

const minuteMs = 60_000;
const next = 'another horse 43';
const limited = { env: { RATE_LIMITS: 'on', TRUST_PROXY: '127.0.0.1' } };
let server: TestServer;
let bob: Person;
let count = 0;

beforeAll(async () => {
  server = await TestServer.start();
  bob = await join(server, 'Bob');
});
afterAll(() => server.stop());

function somebody(at = server): Promise<Person> {
  count += 1;
  return join(at, `Some${'x'.repeat(count)}`);
}

function forgot(email: unknown, at = server, headers: Record<string, string> = {}): Promise<Answer> {
  return call(at, 'forgotPassword', { EMAIL: email }, headers);
}

/** Asks for a code and returns the one that is mailed. */
async function codeFor(email: string, at = server): Promise<string> {
  const mails = at.mailsTo(email).length;
  expect((await forgot(email, at)).status).toBe(200);
  return /^ {4}(\d{6})\r?$/m.exec(await mailAt(at, email, mails + 1))?.[1] ?? '';
}

function reset(email: string, code: unknown, secret: unknown = next, at = server): Promise<Answer> {
  return call(at, 'resetPassword', { EMAIL: email, OTP: code, NEW_PASSWORD: secret });
}

function loginStatus(email: string, secret: string, at = server): Promise<number> {
  return call(at, 'login', { EMAIL: email, PASSWORD: secret }).then(({ status }) => status);
}

async function isAlive(person: Person, at = server): Promise<boolean> {
  return (await call(at, 'listChats', credentials(person))).status === 200;
}

/** One that none of these codes is. */
function wrongFor(...codes: string[]): string {
  return ['111111', '222222', '333333'].find((code) => !codes.includes(code)) ?? '444444';
}

describe('asking for a code', () => {
  test('an address with and one without an account get one and the same answer, and a mail comes to the one', async () => {
    const alice = await somebody();
    const [known, unknown] = [await forgot(alice.email), await forgot('nobody@example.test')];
    expect([known.status, unknown.status]).toEqual([200, 200]);
    expect(unknown.body).toEqual(known.body);
    expect(await mailAt(server, alice.email, 2)).toContain('forgot the password');
    expect(server.mailsTo('nobody@example.test')).toEqual([]);
  });

  test('it changes nothing: the password and the sessions stay good', async () => {
    const alice = await somebody();
    await codeFor(alice.email);
    expect(await isAlive(alice)).toBe(true);
    expect(await loginStatus(alice.email, password)).toBe(200);
  });

  test('what is no address is 400', async () => {
    for (const bad of [
      undefined,
      null,
      '',
      7,
      {},
      [bob.email],
      'nobody',
      `${bob.email}\r\nBcc: x@example.test`,
    ])
      expect((await forgot(bad)).status).toBe(400);
  });

  test('it costs one hash for every address, and the mail is not waited for', async () => {
    const host = await startSmtp();
    await withServer(
      async (own) => {
        const joining = signUp(own, 'Alice');
        await host.codeFor('alice@example.test');
        await joining;
        const hashes = spyOn(argon2, 'hashRaw');
        const sends = spyOn(own.store, 'issueCode').mockImplementation(() => new Promise(() => undefined));
        const costs: number[] = [];
        for (const email of ['alice@example.test', 'nobody@example.test']) {
          hashes.mockClear();
          expect((await forgot(email, own)).status).toBe(200);
          costs.push(hashes.mock.calls.length);
        }
        expect(costs).toEqual([1, 1]);
        await Bun.sleep(400); // longer than a mail is ever held back
        expect(sends).toHaveBeenCalledTimes(1);
        hashes.mockRestore();
        sends.mockRestore();
      },
      { env: { SMTP_URL: host.url } },
    );
    await host.stop();
  });

  test('a code that is held back when the server stops is mailed all the same, and is good after the start', async () => {
    await withServer(async (own) => {
      const alice = await join(own, 'Alice');
      expect((await forgot(alice.email, own)).status).toBe(200);
      // The twin: it had not been mailed when the stop began.
      expect(own.mailsTo(alice.email)).toHaveLength(1);
      await own.restart();
      const code = /^ {4}(\d{6})\r?$/m.exec(own.mailsTo(alice.email)[1] ?? '')?.[1];
      expect((await reset(alice.email, code, next, own)).status).toBe(200);
    });
  });

  test('four pass at once and then no more for a while, of an unknown address as of a known one', async () => {
    await withServer(async (own) => {
      const alice = await join(own, 'Alice');
      const statuses: Record<string, number[]> = {};
      for (const email of [alice.email, 'nobody@example.test']) {
        const answers: Answer[] = [];
        for (let tries = 0; tries < 6; tries += 1) {
          count += 1;
          const spelled = tries % 2 ? email : email.toUpperCase();
          answers.push(await forgot(spelled, own, { 'x-forwarded-for': `203.0.113.${tries}` }));
        }
        statuses[email] = answers.map(({ status }) => status);
        expect(Number(answers.at(-1)?.headers.get('retry-after'))).toBeWithin(1, 241);
      }
      expect(statuses[alice.email]).toEqual([200, 200, 200, 200, 429, 429]);
      expect(statuses['nobody@example.test']).toEqual(statuses[alice.email] ?? []);
      await mailAt(own, alice.email, 5);
      expect(own.mailsTo(alice.email)).toHaveLength(5);
    }, limited);
  });

  test('one place asks for twenty addresses an hour', async () => {
    await withServer(async (own) => {
      for (let tries = 0; tries < 20; tries += 1)
        expect((await forgot(`n${tries}@example.test`, own)).status).toBe(200);
      expect((await forgot('n20@example.test', own)).status).toBe(429);
      const elsewhere = { 'x-forwarded-for': '203.0.113.77' };
      expect((await forgot('n20@example.test', own, elsewhere)).status).toBe(200);
    }, limited);
  });
});

describe('setting a new password', () => {
  test('the code sets it and ends all sessions; the old one is no good, and a notice comes', async () => {
    const alice = await somebody();
    const code = await codeFor(alice.email);
    expect((await reset(` ${alice.email.toUpperCase()}`, ` ${code} `)).status).toBe(200);
    expect(await isAlive(alice)).toBe(false);
    expect(await isAlive(bob)).toBe(true);
    expect(await loginStatus(alice.email, password)).toBe(401);
    expect(await loginStatus(alice.email, next)).toBe(200);
    expect(await mailAt(server, alice.email, 3)).toContain('password was reset');
  });

  test.each(['OTP', 'ENTERD_OTP', 'ENTERED_OTP'])('the code may be sent as %s', async (name) => {
    const alice = await somebody();
    const fields = { EMAIL: alice.email, [name]: await codeFor(alice.email), NEW_PASSWORD: next };
    expect((await call(server, 'resetPassword', fields)).status).toBe(200);
  });

  test('it verifies an account that was not, and makes its owner a member like everybody', async () => {
    const dave = await signUp(server, 'Dave');
    expect(await loginStatus(dave.email, password)).toBe(403);
    const code = await codeFor(dave.email);
    expect((await reset(dave.email, code)).status).toBe(200);
    const { status, body } = await call(server, 'login', { EMAIL: dave.email, PASSWORD: next });
    expect(status).toBe(200);
    const chats = await call(server, 'listChats', { UID: body.UID, COOKIE: body.COOKIE });
    expect(Object.keys(chats.body.chats)).toEqual(['1000000000000']);
    server.advance(25 * 60 * minuteMs);
    await server.store.removeExpired({ now: server.clock(), sessionsUsedBefore: 0, sessionsMadeBefore: 0 });
    expect(await loginStatus(dave.email, next)).toBe(200);
  });

  test('wrong codes, none asked for and an unknown address are one and the same 401', async () => {
    const alice = await somebody();
    const code = await codeFor(alice.email);
    const answers = [
      await reset(alice.email, wrongFor(code)),
      await reset(bob.email, code),
      await reset('nobody@example.test', code),
    ];
    for (const { status, body } of answers) {
      expect(status).toBe(401);
      expect(body).toEqual(answers[0]?.body);
    }
    expect((await reset(alice.email, code)).status).toBe(200);
  });

  test('it works once, and with it all its siblings are used up', async () => {
    const alice = await somebody();
    const codes = [await codeFor(alice.email), await codeFor(alice.email)];
    expect((await reset(alice.email, codes[0])).status).toBe(200);
    for (const code of codes) expect((await reset(alice.email, code, 'a third horse 44')).status).toBe(401);
    expect(await loginStatus(alice.email, next)).toBe(200);
  });

  test('it works shortly before ten minutes are over, and not after', async () => {
    const [early, late] = [await somebody(), await somebody()];
    const codes = [await codeFor(early.email), await codeFor(late.email)];
    server.advance(10 * minuteMs - 15_000);
    expect((await reset(early.email, codes[0])).status).toBe(200);
    server.advance(16_000);
    expect((await reset(late.email, codes[1])).status).toBe(401);
    expect(await loginStatus(late.email, password)).toBe(200);
  });

  test('after five wrong ones the right one is void, also with the limits lifted; one asked for anew works', async () => {
    const alice = await somebody();
    const code = await codeFor(alice.email);
    for (let tries = 0; tries < 5; tries += 1)
      expect((await reset(alice.email, wrongFor(code))).status).toBe(401);
    expect((await reset(alice.email, code)).status).toBe(401);
    expect((await reset(alice.email, await codeFor(alice.email))).status).toBe(200);
  });

  test('a code for something else resets nothing, and one for this verifies nothing else', async () => {
    const erin = await signUp(server, 'Erin');
    const verifying = server.codeFor(erin.email);
    const resetting = await codeFor(erin.email);
    expect(verifying).not.toBe(resetting);
    expect((await reset(erin.email, verifying)).status).toBe(401);
    const entered = { ...credentials(erin), ENTERD_OTP: resetting };
    expect((await call(server, 'verifyAccount', entered)).status).toBe(401);
    expect((await reset(erin.email, resetting)).status).toBe(200);
  });

  test('a banned account is answered like none at all: no mail, and no code works', async () => {
    const alice = await somebody();
    const code = await codeFor(alice.email);
    await server.store.ban(alice.uid, 'spam', server.clock());
    const answers = [await forgot(alice.email), await forgot('nobody@example.test')];
    expect(answers[0]?.body).toEqual(answers[1]?.body);
    expect(await reset(alice.email, code)).toMatchObject({
      status: 401,
      body: (await reset('nobody@example.test', code)).body,
    });
    await Bun.sleep(400); // longer than a mail is ever held back
    expect(server.mailsTo(alice.email)).toHaveLength(2);
    await server.store.unban(alice.uid);
    expect((await reset(alice.email, code)).status).toBe(401);
    expect(await loginStatus(alice.email, password)).toBe(200);
    expect((await reset(alice.email, await codeFor(alice.email))).status).toBe(200);
  });

  test('it does not switch a second factor off', async () => {
    const alice = await somebody();
    const asked = { ...credentials(alice), PASSWORD: password };
    const { SECRET: secret } = (await call(server, 'enrollTotp', asked)).body;
    const epoch = Math.floor(server.clock() / 1000);
    const confirmed = { ...credentials(alice), CODE: generateSync({ secret, epoch }) };
    expect((await call(server, 'confirmTotp', confirmed)).status).toBe(200);
    expect((await reset(alice.email, await codeFor(alice.email))).status).toBe(200);
    const login = { EMAIL: alice.email, PASSWORD: next };
    const refused = await call(server, 'login', login);
    expect(refused).toMatchObject({ status: 403, body: { SECOND_FACTOR: true } });
    const TOTP = generateSync({ secret, epoch: epoch + 30 });
    expect((await call(server, 'login', { ...login, TOTP })).status).toBe(200);
  });

  test('one mailed to a former address is no good for the account any more', async () => {
    const alice = await somebody();
    const code = await codeFor(alice.email);
    const target = `moved${count}@example.test`;
    const asked = { ...credentials(alice), MODE: 'EMAIL_CHANGE', EMAIL: target };
    expect((await call(server, 'resendCode', asked)).status).toBe(200);
    const change = { ...credentials(alice), EMAIL: target, OTP: server.codeFor(target) };
    expect((await call(server, 'changeSettings', change)).status).toBe(200);
    expect((await reset(target, code)).status).toBe(401);
    expect((await reset(alice.email, code)).status).toBe(401);
    expect((await reset(target, await codeFor(target))).status).toBe(200);
  });

  test('two resets at once with one code: one wins', async () => {
    const alice = await somebody();
    const code = await codeFor(alice.email);
    const answers = await Promise.all([reset(alice.email, code, next), reset(alice.email, code, `${next}!`)]);
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 401]);
    const good = answers[0]?.status === 200 ? next : `${next}!`;
    expect(await loginStatus(alice.email, good)).toBe(200);
  });
});

describe('a password that must not be', () => {
  test('what breaks the rules by itself is 400, whatever the code and the address', async () => {
    const alice = await somebody();
    const code = await codeFor(alice.email);
    for (const email of [alice.email, 'nobody@example.test']) {
      for (const bad of [null, '', 7, 'short', 'x'.repeat(129), 'password1', 'PASSWORD1', email]) {
        for (const tried of [code, wrongFor(code)]) {
          const { status, body } = await reset(email, tried, bad);
          expect([bad, status]).toEqual([bad, 400]);
          expect(body.message).toStartWith('NEW_PASSWORD ');
        }
      }
    }
    expect((await reset(alice.email, code)).status).toBe(200);
  });

  test('one that is the owner’s name is told only to who has the right code, which stays good', async () => {
    const alice = await somebody();
    const code = await codeFor(alice.email);
    expect((await reset(alice.email, wrongFor(code), alice.name)).status).toBe(401);
    expect((await reset('nobody@example.test', code, alice.name)).status).toBe(401);
    const refused = await reset(alice.email, code, alice.name.toUpperCase());
    expect(refused.status).toBe(400);
    expect(refused.body.message).toStartWith('NEW_PASSWORD ');
    expect(await isAlive(alice)).toBe(true);
    expect((await reset(alice.email, code)).status).toBe(200);
  });

  test('wrong codes with such a password count as any others do', async () => {
    const alice = await somebody();
    const code = await codeFor(alice.email);
    for (let tries = 0; tries < 5; tries += 1) await reset(alice.email, wrongFor(code), alice.name);
    expect((await reset(alice.email, code)).status).toBe(401);
  });
});

describe('guessing codes', () => {
  test('a refusal costs the same hashes and one commit, whether or not there is an account or a code', async () => {
    const alice = await somebody();
    const code = await codeFor(alice.email);
    const [raws, hashes] = [spyOn(argon2, 'hashRaw'), spyOn(argon2, 'hash')];
    const stores = spyOn(server.store, 'resetPassword');
    for (const email of [alice.email, bob.email, 'nobody@example.test']) {
      for (const spy of [raws, hashes, stores]) spy.mockClear();
      expect((await reset(email, wrongFor(code))).status).toBe(401);
      expect([raws, hashes, stores].map((spy) => spy.mock.calls.length)).toEqual([1, 1, 1]);
    }
    for (const spy of [raws, hashes, stores]) spy.mockRestore();
  });

  test('after five the sixth waits, the same for an address that does not exist; the owner logs in all the while', async () => {
    await withServer(async (own) => {
      const alice = await join(own, 'Alice');
      const code = await codeFor(alice.email, own);
      for (const email of [alice.email, 'nobody@example.test']) {
        for (let tries = 0; tries < 5; tries += 1)
          expect((await reset(email, wrongFor(code), next, own)).status).toBe(401);
        const refused = await reset(email, code, next, own);
        expect(refused.status).toBe(429);
        expect(Number(refused.headers.get('retry-after'))).toBeWithin(50, 61);
      }
      expect(await loginStatus(alice.email, password, own)).toBe(200);
      expect(await isAlive(alice, own)).toBe(true);
    }, limited);
  });

  test('a reset ends the delay that others’ guesses at the password had made', async () => {
    await withServer(async (own) => {
      const alice = await join(own, 'Alice');
      for (let tries = 0; tries < 5; tries += 1) await loginStatus(alice.email, 'wrong', own);
      expect(await loginStatus(alice.email, password, own)).toBe(429);
      expect((await reset(alice.email, await codeFor(alice.email, own), next, own)).status).toBe(200);
      expect(await loginStatus(alice.email, next, own)).toBe(200);
    }, limited);
  });
});
