// One-time codes: entering them, guessing them, asking for more of them.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { call, credentials, join, type Person, password, signUp } from '../support/people.ts';
import { type Answer, TestServer, withServer } from '../support/server.ts';

// Hashing, git and mail take long on a busy machine.
setDefaultTimeout(20_000);

const minuteMs = 60_000;
let server: TestServer;
let count = 0;

beforeAll(async () => {
  server = await TestServer.start();
});
afterAll(() => server.stop());

function newcomer(): Promise<Person> {
  count += 1;
  return signUp(server, `Newcomer${'x'.repeat(count)}`);
}

function enter(person: Person, code: unknown, at = server): Promise<Answer> {
  return call(at, 'verifyAccount', { ...credentials(person), ENTERD_OTP: code });
}

function resend(person: Person, at = server): Promise<Answer> {
  return call(at, 'resendCode', { ...credentials(person), MODE: 'DEFAULT', EMAIL: '' });
}

/** Every code mailed to this address, oldest first. */
function codesOf(person: Person, at = server): string[] {
  return at.mailsTo(person.email).flatMap((mail) => mail.match(/^ {4}(\d{6})\r?$/m)?.[1] ?? []);
}

function wrongFor(person: Person): string {
  const codes = codesOf(person);
  return ['111111', '222222', '333333', '444444', '555555'].find((code) => !codes.includes(code)) ?? '666666';
}

describe('entering the code', () => {
  test('the right one verifies: the same token, and doors that were shut are open', async () => {
    const person = await newcomer();
    expect((await call(server, 'listChats', credentials(person))).status).toBe(403);
    const answer = await enter(person, server.codeFor(person.email));
    expect(answer).toMatchObject({ status: 200, body: { TOKEN: person.token } });
    expect((await call(server, 'listChats', credentials(person))).status).toBe(200);
    const byToken = { UID: person.uid, TOKEN: person.token };
    expect((await call(server, 'listChats', byToken)).status).toBe(200);
  });

  test.each(['ENTERD_OTP', 'ENTERED_OTP', 'OTP'])('it may be sent as %s', async (name) => {
    const person = await newcomer();
    const sent = { ...credentials(person), [name]: ` ${server.codeFor(person.email)} ` };
    expect((await call(server, 'verifyAccount', sent)).status).toBe(200);
  });

  test('UID may be a string of digits', async () => {
    const person = await newcomer();
    const sent = { UID: String(person.uid), COOKIE: person.cookie, OTP: server.codeFor(person.email) };
    expect((await call(server, 'verifyAccount', sent)).status).toBe(200);
  });

  test('wrong, missing and malformed ones are 401', async () => {
    const person = await newcomer();
    const right = server.codeFor(person.email);
    for (const wrongs of [
      [wrongFor(person), undefined, null],
      [0, '0', ''],
    ]) {
      const other = await newcomer();
      for (const wrong of wrongs) expect((await enter(other, wrong)).status).toBe(401);
      expect((await enter(other, server.codeFor(other.email))).status).toBe(200);
    }
    for (const malformed of [[right], { code: right }, true, 'x'.repeat(100)])
      expect((await enter(person, malformed)).status).toBe(401);
    expect((await enter(person, right)).status).toBe(200);
  });

  test('after five wrong ones the right one is refused, and one asked for anew is accepted', async () => {
    const person = await newcomer();
    await resend(person);
    for (let tries = 0; tries < 5; tries += 1)
      expect((await enter(person, wrongFor(person))).status).toBe(401);
    for (const code of codesOf(person)) expect((await enter(person, code)).status).toBe(401);
    await resend(person);
    expect((await enter(person, server.codeFor(person.email))).status).toBe(200);
  });

  test('wrong ones of before a restart count after it', async () => {
    await withServer(async (own) => {
      const person = await signUp(own, 'Alice');
      const right = own.codeFor(person.email);
      const wrong = ['111111', '222222'].find((code) => code !== right);
      for (let tries = 0; tries < 4; tries += 1) await enter(person, wrong, own);
      await own.restart();
      await enter(person, wrong, own);
      expect((await enter(person, right, own)).status).toBe(401);
    });
  });

  test('after four wrong ones the right one is still accepted', async () => {
    const person = await newcomer();
    for (let tries = 0; tries < 4; tries += 1) await enter(person, wrongFor(person));
    expect((await enter(person, server.codeFor(person.email))).status).toBe(200);
  });

  test('many guesses at once are no way around the five', async () => {
    const person = await newcomer();
    const right = server.codeFor(person.email);
    const guesses = Array.from({ length: 8 }, (_, index) => String(700_000 + index)).filter(
      (g) => g !== right,
    );
    const answers = await Promise.all(guesses.map((guess) => enter(person, guess)));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([401]));
    expect((await enter(person, right)).status).toBe(401);
  });

  test('one works shortly before ten minutes are over, and not after', async () => {
    const [early, late] = [await newcomer(), await newcomer()];
    server.advance(10 * minuteMs - 10_000);
    expect((await enter(early, server.codeFor(early.email))).status).toBe(200);
    server.advance(11_000);
    expect((await enter(late, server.codeFor(late.email))).status).toBe(401);
  });

  test('one works once, and nothing verifies a verified account again', async () => {
    const person = await newcomer();
    const code = server.codeFor(person.email);
    expect((await enter(person, code)).status).toBe(200);
    for (const tried of [code, '0', 0, '']) expect((await enter(person, tried)).status).toBe(401);
  });

  test('one entered twice at once works once', async () => {
    const person = await newcomer();
    const code = server.codeFor(person.email);
    const answers = await Promise.all([enter(person, code), enter(person, code)]);
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 401]);
  });

  test('earlier ones stay good after resends, and all are void once one was used', async () => {
    for (const index of [0, 1, 2]) {
      const person = await newcomer();
      await resend(person);
      await resend(person);
      const codes = codesOf(person);
      expect(codes).toHaveLength(3);
      expect((await enter(person, codes[index])).status).toBe(200);
      for (const code of codes) expect((await enter(person, code)).status).toBe(401);
    }
  });

  test("somebody else's code verifies nobody", async () => {
    const [alice, bob] = [await newcomer(), await newcomer()];
    const bobs = server.codeFor(bob.email);
    expect(bobs).not.toBe(server.codeFor(alice.email));
    expect((await enter(alice, bobs)).status).toBe(401);
    expect((await enter({ ...alice, uid: bob.uid }, bobs)).status).toBe(403);
    expect((await enter(bob, bobs)).status).toBe(200);
  });
});

describe('asking for another code', () => {
  test('it is answered letter for letter as the client expects, and a mail comes', async () => {
    const person = await newcomer();
    for (const mode of ['DEFAULT', 'default', '', undefined, null]) {
      const answer = await call(server, 'resendCode', { ...credentials(person), MODE: mode });
      expect(answer).toMatchObject({ status: 200, body: { message: 'OTP sent sucessfully' } });
    }
    expect(server.mailsTo(person.email)).toHaveLength(6);
  });

  test('a verified account has nothing to verify: 409', async () => {
    const person = await newcomer();
    await enter(person, server.codeFor(person.email));
    expect((await resend(person)).status).toBe(409);
    expect(server.mailsTo(person.email)).toHaveLength(1);
  });

  test('an unknown MODE is 400, and a new address is 401 before verification', async () => {
    const person = await newcomer();
    expect((await call(server, 'resendCode', { ...credentials(person), MODE: 'SMS' })).status).toBe(400);
    const change = { ...credentials(person), MODE: 'EMAIL_CHANGE', EMAIL: 'elsewhere@example.test' };
    expect((await call(server, 'resendCode', change)).status).toBe(401);
    expect(server.mailsTo('elsewhere@example.test')).toEqual([]);
  });

  test('the code goes to the address of the account, whatever EMAIL says', async () => {
    const person = await newcomer();
    const sent = { ...credentials(person), MODE: 'DEFAULT', EMAIL: 'thief@example.test' };
    expect((await call(server, 'resendCode', sent)).status).toBe(200);
    expect(server.mailsTo('thief@example.test')).toEqual([]);
    expect(server.mailsTo(person.email)).toHaveLength(2);
  });
});

describe('the limits of asking', () => {
  const limited = { env: { RATE_LIMITS: 'on' } };

  test('three resends pass at once, the fourth only after a minute, and then one a minute', async () => {
    await withServer(async (own) => {
      const person = await signUp(own, 'Alice');
      for (let sent = 0; sent < 3; sent += 1) expect((await resend(person, own)).status).toBe(200);
      const refused = await resend(person, own);
      expect(refused.status).toBe(429);
      expect(Number(refused.headers.get('retry-after'))).toBeWithin(50, 61);
      own.advance(60_000);
      expect((await resend(person, own)).status).toBe(200);
      expect((await resend(person, own)).status).toBe(429);
      expect(codesOf(person, own)).toHaveLength(5);
      expect((await enter(person, codesOf(person, own)[0], own)).status).toBe(200);
    }, limited);
  });

  test('ten codes an hour is the cap, told with the time to wait', async () => {
    await withServer(async (own) => {
      const person = await signUp(own, 'Alice');
      let sent = 1;
      for (let tries = 0; tries < 20; tries += 1) {
        const { status } = await resend(person, own);
        if (status === 200) sent += 1;
        own.advance(61_000);
      }
      expect(sent).toBe(10);
      const refused = await resend(person, own);
      expect(refused.status).toBe(429);
      const waitS = Number(refused.headers.get('retry-after'));
      expect(waitS).toBeWithin(120, 3600);
      own.advance(waitS * 1000);
      expect((await resend(person, own)).status).toBe(200);
    }, limited);
  });

  test('many at once get no more than one after the other', async () => {
    await withServer(async (own) => {
      const person = await signUp(own, 'Alice');
      const answers = await Promise.all(Array.from({ length: 10 }, () => resend(person, own)));
      expect(answers.filter(({ status }) => status === 200)).toHaveLength(3);
      expect(own.mailsTo(person.email)).toHaveLength(4);
    }, limited);
  });

  test('codes for a new address are limited the same way, apart from those for verifying', async () => {
    await withServer(async (own) => {
      const person = await join(own, 'Alice');
      const ask = (index: number) =>
        call(own, 'resendCode', {
          ...credentials(person),
          MODE: 'EMAIL_CHANGE',
          EMAIL: `n${index}@example.test`,
        });
      for (let index = 0; index < 4; index += 1) expect((await ask(index)).status).toBe(200);
      expect((await ask(5)).status).toBe(429);
      expect(own.mailsTo('n5@example.test')).toEqual([]);
      own.advance(60_000);
      expect((await ask(5)).status).toBe(200);
    }, limited);
  });

  test('logging in unverified mails a code within the same limits, and is answered alike beyond them', async () => {
    await withServer(async (own) => {
      const person = await signUp(own, 'Alice');
      for (let logins = 1; logins <= 5; logins += 1) {
        const answer = await call(own, 'login', { EMAIL: person.email, PASSWORD: password });
        expect(answer).toMatchObject({ status: 403, body: { UID: person.uid, redirect: true } });
        expect(own.mailsTo(person.email)).toHaveLength(Math.min(4, logins + 1));
      }
    }, limited);
  });

  test('the five wrong tries hold also where the rate limits are lifted', async () => {
    await withServer(
      async (own) => {
        const person = await signUp(own, 'Alice');
        const right = own.codeFor(person.email);
        const wrong = right === '111111' ? '222222' : '111111';
        for (let tries = 0; tries < 5; tries += 1) expect((await enter(person, wrong, own)).status).toBe(401);
        expect((await enter(person, right, own)).status).toBe(401);
      },
      { env: { RATE_LIMITS: 'off' } },
    );
  });
});
