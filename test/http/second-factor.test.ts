// The second factor: switching it on and off, what a login needs while it is on, and what guessing comes to.
import { Database } from 'bun:sqlite';
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, spyOn, test } from 'bun:test';
import { readdirSync, readFileSync } from 'node:fs';
import { join as joinPath } from 'node:path';
import { generateSync } from 'otplib';
import { codeOf, enroll, freshCode, type Guarded, joinGuarded, nextStep } from '../support/authenticator.ts';
import { call, credentials, join, type Person, password, signUp } from '../support/people.ts';
import { type Answer, TestServer, withServer } from '../support/server.ts';
import { TestSocket } from '../support/socket.ts';

// Hashing, git and mail take long on a busy machine.
setDefaultTimeout(20_000);

const recoveryForm = /^[A-HJKMNP-TV-Z2-9]{5}(?:-[A-HJKMNP-TV-Z2-9]{5}){2}$/;
let server: TestServer;
let count = 0;

beforeAll(async () => {
  server = await TestServer.start();
});
afterAll(() => server.stop());

/** A name nobody has yet. */
function newName(): string {
  count += 1;
  return `P${'x'.repeat(count)}`;
}

const plain = (): Promise<Person> => join(server, newName());
const guarded = (): Promise<Guarded> => joinGuarded(server, newName());

function login(person: Person, fields: Record<string, unknown> = {}, at = server): Promise<Answer> {
  return call(at, 'login', { EMAIL: person.email, PASSWORD: password, ...fields });
}

async function isOn(person: Person, at = server): Promise<boolean> {
  const { body } = await call(at, 'readSettings', credentials(person));
  return body.credentials.SECOND_FACTOR;
}

async function isIn(person: Person): Promise<boolean> {
  return (await call(server, 'listChats', credentials(person))).status === 200;
}

/** A code of six digits that is wrong now and in the steps beside. */
function wrongCode(secret: string, at = server): string {
  const right = [-2, -1, 0, 1, 2].map((steps) => codeOf(at, secret, steps));
  return (
    ['000000', '111111', '222222', '333333', '444444', '555555'].find((code) => !right.includes(code)) ?? ''
  );
}

function statuses(answers: readonly Answer[]): number[] {
  return answers.map(({ status }) => status).sort();
}

function sessionCount({ uid }: Person): number {
  const database = new Database(joinPath(server.dataDir, 'chat.db'), { readonly: true });
  const row = database.query('SELECT count(*) AS count FROM sessions WHERE uid = ?').get(uid);
  database.close();
  return (row as { count: number }).count;
}

async function auditOf({ uid }: Person, at = server) {
  const kinds = ['second_factor_on', 'second_factor_off', 'recovery_code_used'];
  const entries = await at.store.listAudit({ uid, before: null, limit: 100 });
  return entries.filter(({ kind }) => kinds.includes(kind)).reverse();
}

describe('enrolling', () => {
  test('it answers a secret and the URI that authenticators scan, and does not yet ask at logins', async () => {
    const person = await plain();
    const answer = await call(server, 'enrollTotp', { ...credentials(person), PASSWORD: password });
    expect(answer.status).toBe(200);
    expect(answer.body.SECRET).toMatch(/^[A-Z2-7]{32}$/);
    const uri = new URL(answer.body.URI);
    expect(uri.protocol).toBe('otpauth:');
    expect(decodeURIComponent(uri.href)).toInclude(`totp/ACODE CHAT:${person.email}?`);
    expect(uri.searchParams.get('issuer')).toBe('ACODE CHAT');
    expect(uri.searchParams.get('secret')).toBe(answer.body.SECRET);
    expect(await isOn(person)).toBe(false);
    expect((await login(person)).status).toBe(200);
  });

  test('it needs the right password', async () => {
    const person = await plain();
    const enrolled = (PASSWORD: unknown) => call(server, 'enrollTotp', { ...credentials(person), PASSWORD });
    expect((await enrolled('wrong password')).status).toBe(401);
    expect((await enrolled(undefined)).status).toBe(400);
    const code = { ...credentials(person), CODE: '000000' };
    expect((await call(server, 'confirmTotp', code)).status).toBe(409);
    expect((await enrolled(password)).status).toBe(200);
    expect((await call(server, 'confirmTotp', code)).status).toBe(401);
  });

  test('again before confirming makes a new secret, and only that one can be confirmed', async () => {
    const person = await plain();
    const [first, second] = [await enroll(server, person), await enroll(server, person)];
    expect(first).not.toBe(second);
    const confirm = (CODE: string) => call(server, 'confirmTotp', { ...credentials(person), CODE });
    expect((await confirm(codeOf(server, first))).status).toBe(401);
    expect((await confirm(codeOf(server, second))).status).toBe(200);
  });

  test('a wrong code confirms nothing; a right one answers ten recovery codes and switches the factor on', async () => {
    const person = await plain();
    const secret = await enroll(server, person);
    const confirm = (CODE: unknown) => call(server, 'confirmTotp', { ...credentials(person), CODE });
    expect((await confirm(wrongCode(secret))).status).toBe(401);
    expect((await confirm('ABCDE-FGHJK-MNPQR')).status).toBe(401);
    expect(await isOn(person)).toBe(false);
    const { status, body } = await confirm(codeOf(server, secret));
    expect(status).toBe(200);
    expect(new Set(body.RECOVERY_CODES).size).toBe(10);
    for (const code of body.RECOVERY_CODES) expect(code).toMatch(recoveryForm);
    expect(await isOn(person)).toBe(true);
    const changed = await call(server, 'changeSettings', { ...credentials(person), PHONE: '12345678' });
    expect(changed.body.credentials.SECOND_FACTOR).toBe(true);
  });

  test('what is on can be neither enrolled nor confirmed again, and the secret stays', async () => {
    const person = await guarded();
    const CODE = freshCode(server, person.secret);
    const again = await call(server, 'enrollTotp', { ...credentials(person), PASSWORD: password });
    expect(again.status).toBe(409);
    expect((await call(server, 'confirmTotp', { ...credentials(person), CODE })).status).toBe(409);
    expect((await login(person, { TOTP: CODE })).status).toBe(200);
  });

  test('of two confirmations at once one answers the recovery codes', async () => {
    const person = await plain();
    const CODE = codeOf(server, await enroll(server, person));
    const confirm = () => call(server, 'confirmTotp', { ...credentials(person), CODE });
    const [one, other] = await Promise.all([confirm(), confirm()]);
    const won = [one, other].find(({ status }) => status === 200);
    expect(statuses([one, other])[0]).toBe(200);
    expect([401, 409]).toContain(statuses([one, other])[1] ?? 0);
    expect((await login(person, { TOTP: won?.body.RECOVERY_CODES[0] })).status).toBe(200);
  });
});

describe('a login with the factor on', () => {
  test('without a code it is told to send one, and no session is opened', async () => {
    const person = await guarded();
    const before = sessionCount(person);
    for (const none of [{}, { TOTP: '' }, { TOTP: null }, { CODE: '' }]) {
      const answer = await login(person, none);
      expect(answer.status).toBe(403);
      expect(answer.body).toEqual({ message: 'Second factor needed', SECOND_FACTOR: true });
    }
    expect(sessionCount(person)).toBe(before);
    expect((await login(person, { TOTP: freshCode(server, person.secret) })).status).toBe(200);
    expect(sessionCount(person)).toBe(before + 1);
  });

  test('with a wrong code it is 401 and opens nothing', async () => {
    const person = await guarded();
    const before = sessionCount(person);
    nextStep(server);
    expect((await login(person, { TOTP: wrongCode(person.secret) })).status).toBe(401);
    expect((await login(person, { TOTP: 'ABCDE-FGHJK-MNPQR' })).status).toBe(401);
    expect(sessionCount(person)).toBe(before);
    // Whoever runs the server can see that somebody knows the password.
    const detail = 'right password, wrong second factor';
    const [noted] = await server.store.listAudit({ uid: person.uid, before: null, limit: 1 });
    expect(noted).toMatchObject({ kind: 'login_failed', address: '127.0.0.1', detail });
  });

  test('the code may be called CODE, and be spelled as authenticators show it', async () => {
    const person = await guarded();
    const { body, status } = await login(person, { CODE: freshCode(server, person.secret) });
    expect(status).toBe(200);
    expect(await isIn({ ...person, cookie: body.COOKIE })).toBe(true);
    const spaced = freshCode(server, person.secret).replace(/^.../, '$& ');
    expect((await login(person, { TOTP: spaced })).status).toBe(200);
  });

  test('a code works once, also the one that confirmed, and none before it works any more', async () => {
    const person = await guarded();
    expect((await login(person, { TOTP: codeOf(server, person.secret) })).status).toBe(401);
    const TOTP = freshCode(server, person.secret);
    expect((await login(person, { TOTP })).status).toBe(200);
    expect((await login(person, { TOTP })).status).toBe(401);
    nextStep(server);
    nextStep(server);
    expect((await login(person, { TOTP: codeOf(server, person.secret) })).status).toBe(200);
    expect((await login(person, { TOTP: codeOf(server, person.secret, -1) })).status).toBe(401);
  });

  test('of two logins at once with one code exactly one opens', async () => {
    const person = await guarded();
    const TOTP = freshCode(server, person.secret);
    expect(statuses(await Promise.all([login(person, { TOTP }), login(person, { TOTP })]))).toEqual([
      200, 401,
    ]);
    const recovery = { TOTP: person.recoveryCodes[0] };
    const both = await Promise.all([login(person, recovery), login(person, recovery)]);
    expect(statuses(both)).toEqual([200, 401]);
  });

  test('a clock may be one step off, to either side, and no more', async () => {
    const person = await guarded();
    for (const steps of [-2, 2]) {
      for (let times = 0; times < 3; times += 1) nextStep(server);
      expect((await login(person, { TOTP: codeOf(server, person.secret, steps) })).status).toBe(401);
    }
    for (const steps of [-1, 1]) {
      for (let times = 0; times < 3; times += 1) nextStep(server);
      expect((await login(person, { TOTP: codeOf(server, person.secret, steps) })).status).toBe(200);
    }
  });

  test("another person's codes open nothing", async () => {
    const [alice, bob] = [await guarded(), await guarded()];
    const bobs = freshCode(server, bob.secret);
    expect((await login(alice, { TOTP: bobs })).status).toBe(401);
    expect((await login(alice, { TOTP: bob.recoveryCodes[0] })).status).toBe(401);
    expect((await login(bob, { TOTP: bobs })).status).toBe(200);
    expect((await login(bob, { TOTP: bob.recoveryCodes[0] })).status).toBe(200);
  });

  test('without the right password nobody learns whether there is a factor, whatever code he sends', async () => {
    const [person, other] = [await guarded(), await plain()];
    const recovery = person.recoveryCodes[0];
    const codes = [undefined, freshCode(server, person.secret), '000000', recovery, '', 'x', 7];
    for (const TOTP of codes) {
      const tried = { PASSWORD: 'wrong password', TOTP };
      const answers = [await login(person, tried), await login(other, tried)];
      answers.push(await call(server, 'login', { EMAIL: 'nobody@example.test', PASSWORD: password, TOTP }));
      expect(statuses(answers)).toEqual([401, 401, 401]);
      expect(new Set(answers.map(({ body }) => JSON.stringify(body))).size).toBe(1);
    }
    // Nothing of this was counted or used up.
    expect((await login(person, { TOTP: recovery })).status).toBe(200);
  });

  test('a code of no form at all is refused alike for everybody', async () => {
    const [person, other] = [await guarded(), await plain()];
    for (const TOTP of [{}, [], true, 'x'.repeat(100)]) {
      const answers = [await login(person, { TOTP }), await login(other, { TOTP })];
      expect(statuses(answers)).toEqual([401, 401]);
      expect(answers[0]?.body).toEqual(answers[1]?.body);
    }
  });

  test('an account without a factor may send a code, which is not looked at', async () => {
    expect((await login(await plain(), { TOTP: '123456' })).status).toBe(200);
  });

  test('an account still to be verified is told of that, not of a factor', async () => {
    const answer = await login(await signUp(server, newName()), { TOTP: '123456' });
    expect(answer).toMatchObject({ status: 403, body: { redirect: true } });
    expect(answer.body).not.toHaveProperty('SECOND_FACTOR');
  });
});

test('the codes are those of RFC 6238, appendix B', () => {
  const secret = Buffer.from('12345678901234567890');
  const shown = [59, 1_111_111_109, 1_234_567_890, 20_000_000_000].map((epoch) =>
    generateSync({ secret, epoch }),
  );
  expect(shown).toEqual(['287082', '081804', '005924', '353130']);
});

describe('a recovery code', () => {
  test('it opens once, however it is spelled, and is noted', async () => {
    const person = await guarded();
    const [one = '', two = ''] = person.recoveryCodes;
    expect((await login(person, { TOTP: one })).status).toBe(200);
    expect((await login(person, { TOTP: one })).status).toBe(401);
    expect((await login(person, { CODE: ` ${two.toLowerCase().replaceAll('-', '')} ` })).status).toBe(200);
    expect((await login(person, { TOTP: two })).status).toBe(401);
    const entries = await auditOf(person);
    expect(entries.map(({ kind }) => kind)).toEqual([
      'second_factor_on',
      'recovery_code_used',
      'recovery_code_used',
    ]);
    expect(entries[1]).toMatchObject({ uid: person.uid, actor: 'self', address: '127.0.0.1', detail: '' });
  });

  test('new ones void the former, and need password and code', async () => {
    const person = await guarded();
    const renew = (fields: Record<string, unknown>) =>
      call(server, 'newRecoveryCodes', { ...credentials(person), PASSWORD: password, ...fields });
    const CODE = freshCode(server, person.secret);
    expect((await renew({ CODE, PASSWORD: 'wrong password' })).status).toBe(401);
    expect((await renew({ CODE: wrongCode(person.secret) })).status).toBe(401);
    expect((await renew({})).status).toBe(400);
    const { status, body } = await renew({ CODE });
    expect(status).toBe(200);
    expect(new Set([...body.RECOVERY_CODES, ...person.recoveryCodes]).size).toBe(20);
    expect((await renew({ CODE })).status).toBe(401);
    expect((await login(person, { TOTP: person.recoveryCodes[0] })).status).toBe(401);
    expect((await login(person, { TOTP: body.RECOVERY_CODES[9] })).status).toBe(200);
  });
});

describe('switching it off', () => {
  test('it needs the password and a code, after which a login needs none', async () => {
    const person = await guarded();
    const disable = (fields: Record<string, unknown>) =>
      call(server, 'disableTotp', { ...credentials(person), PASSWORD: password, ...fields });
    const CODE = freshCode(server, person.secret);
    expect((await disable({ CODE, PASSWORD: 'wrong password' })).status).toBe(401);
    expect((await disable({ CODE: wrongCode(person.secret) })).status).toBe(401);
    expect((await disable({})).status).toBe(400);
    expect(await isOn(person)).toBe(true);
    expect((await login(person)).status).toBe(403);
    expect((await disable({ CODE })).status).toBe(200);
    expect(await isOn(person)).toBe(false);
    expect((await login(person)).status).toBe(200);
    expect((await auditOf(person)).map(({ kind }) => kind)).toEqual([
      'second_factor_on',
      'second_factor_off',
    ]);
  });

  test('a recovery code does too, which is noted as well', async () => {
    const person = await guarded();
    const CODE = person.recoveryCodes[3];
    const sent = { ...credentials(person), PASSWORD: password, CODE };
    expect((await call(server, 'disableTotp', sent)).status).toBe(200);
    expect(await isOn(person)).toBe(false);
    expect((await auditOf(person)).map(({ kind }) => kind)).toEqual([
      'second_factor_on',
      'recovery_code_used',
      'second_factor_off',
    ]);
  });

  test('what is not on can not be switched off and has no recovery codes, enrolled or not', async () => {
    const person = await plain();
    const sent = { ...credentials(person), PASSWORD: password, CODE: '123456' };
    for (const name of ['disableTotp', 'newRecoveryCodes'] as const)
      expect((await call(server, name, sent)).status).toBe(409);
    await enroll(server, person);
    for (const name of ['disableTotp', 'newRecoveryCodes'] as const)
      expect((await call(server, name, sent)).status).toBe(409);
  });

  test('switched on again it has another secret and other recovery codes', async () => {
    const person = await guarded();
    const off = { ...credentials(person), PASSWORD: password, CODE: person.recoveryCodes[0] };
    expect((await call(server, 'disableTotp', off)).status).toBe(200);
    const secret = await enroll(server, person);
    expect(secret).not.toBe(person.secret);
    const CODE = freshCode(server, secret);
    expect((await call(server, 'confirmTotp', { ...credentials(person), CODE })).status).toBe(200);
    expect((await login(person, { TOTP: person.recoveryCodes[1] })).status).toBe(401);
    expect((await login(person, { TOTP: freshCode(server, secret) })).status).toBe(200);
  });
});

describe('guessing', () => {
  test('five wrong codes in a row and the right one must wait too, while sessions go on', async () => {
    const person = await guarded();
    const socket = await TestSocket.announced(server, person);
    nextStep(server);
    for (let tries = 0; tries < 5; tries += 1)
      expect((await login(person, { TOTP: wrongCode(person.secret) })).status).toBe(401);
    const right = await login(person, { TOTP: codeOf(server, person.secret) });
    expect(right.status).toBe(429);
    expect(Number(right.headers.get('retry-after'))).toBeWithin(50, 61);
    expect((await login(person, { TOTP: person.recoveryCodes[0] })).status).toBe(429);
    const off = { ...credentials(person), PASSWORD: password, CODE: person.recoveryCodes[0] };
    expect((await call(server, 'disableTotp', off)).status).toBe(429);
    expect(await isIn(person)).toBe(true);
    expect((await socket.say('still here')).data.status_code).toBe(200);
    await socket.close();
    // Who does not know the password sees nothing of it.
    expect((await login(person, { PASSWORD: 'wrong password', TOTP: '000000' })).status).toBe(401);
  });

  test('a right one makes the count begin anew', async () => {
    const person = await guarded();
    for (let rounds = 0; rounds < 2; rounds += 1) {
      for (let tries = 0; tries < 4; tries += 1)
        expect((await login(person, { TOTP: 'WRONG' })).status).toBe(401);
      expect((await login(person, { TOTP: freshCode(server, person.secret) })).status).toBe(200);
    }
  });

  test('many tries at once are no more than five', async () => {
    const person = await guarded();
    const answers = await Promise.all(Array.from({ length: 20 }, () => login(person, { TOTP: 'WRONG' })));
    expect(answers.filter(({ status }) => status === 401)).toHaveLength(5);
    expect(answers.filter(({ status }) => status === 429)).toHaveLength(15);
  });

  test('a stolen session that knows the password guesses no better, at either endpoint', async () => {
    const person = await guarded();
    const sent = { ...credentials(person), PASSWORD: password, CODE: 'WRONG' };
    const answers: number[] = [];
    for (const name of ['disableTotp', 'newRecoveryCodes', 'disableTotp', 'newRecoveryCodes'] as const)
      answers.push((await call(server, name, sent)).status);
    answers.push((await login(person, { TOTP: 'WRONG' })).status);
    answers.push((await call(server, 'disableTotp', sent)).status);
    expect(answers).toEqual([401, 401, 401, 401, 401, 429]);
    const other = await guarded();
    expect((await login(other, { TOTP: freshCode(server, other.secret) })).status).toBe(200);
  });
});

describe('the mails', () => {
  test('the owner is told when it is switched on, gets new recovery codes or is switched off, and of nothing refused', async () => {
    const person = await guarded();
    const told = () => server.mailsTo(person.email).map((mail) => mail.replaceAll(/=\r?\n/g, ''));
    const before = told().length;
    expect(told().at(-1)).toContain('A second factor was switched on');
    const sent = () => ({
      ...credentials(person),
      PASSWORD: password,
      CODE: freshCode(server, person.secret),
    });
    for (const name of ['newRecoveryCodes', 'disableTotp'] as const)
      expect((await call(server, name, { ...sent(), CODE: 'WRONG' })).status).toBe(401);
    expect(told()).toHaveLength(before);
    const renewed = await call(server, 'newRecoveryCodes', sent());
    expect(told()).toHaveLength(before + 1);
    expect(told().at(-1)).toContain('New recovery codes were made');
    expect((await call(server, 'disableTotp', sent())).status).toBe(200);
    expect(told()).toHaveLength(before + 2);
    expect(told().at(-1)).toContain('was switched off');
    for (const secret of [...renewed.body.RECOVERY_CODES, ...person.recoveryCodes, person.secret])
      for (const mail of told()) expect(mail).not.toContain(secret);
    const kinds = (await server.store.listAudit({ uid: person.uid, before: null, limit: 2 })).map(
      ({ kind }) => kind,
    );
    expect(kinds).toEqual(['second_factor_off', 'recovery_codes_renewed']);
  });
});

describe('what was under way when its session ended', () => {
  type Change = 'enrollSecondFactor' | 'confirmSecondFactor' | 'replaceRecoveryCodes' | 'removeSecondFactor';

  /** Does something that logs everybody out just before the store is asked for `change`. */
  async function asSessionsEnd(change: Change, person: Person, act: () => Promise<Answer>): Promise<Answer> {
    const method: (...asked: never[]) => Promise<unknown> = server.store[change].bind(server.store);
    const late = async (...asked: never[]) => {
      expect((await call(server, 'logOutAll', credentials(person))).status).toBe(200);
      return method(...asked);
    };
    const held = spyOn(server.store as Record<Change, typeof late>, change).mockImplementationOnce(late);
    const answer = await act();
    held.mockRestore();
    return answer;
  }

  test('it switches nothing on', async () => {
    const [one, other] = [await plain(), await plain()];
    const enrolling = () => call(server, 'enrollTotp', { ...credentials(one), PASSWORD: password });
    expect((await asSessionsEnd('enrollSecondFactor', one, enrolling)).status).toBe(401);
    expect(await server.store.findSecondFactor(one.uid)).toBeNull();
    const CODE = codeOf(server, await enroll(server, other));
    const confirming = () => call(server, 'confirmTotp', { ...credentials(other), CODE });
    expect((await asSessionsEnd('confirmSecondFactor', other, confirming)).status).toBe(401);
    expect((await login(other)).status).toBe(200);
  });

  test('it switches nothing off and replaces nothing', async () => {
    const person = await guarded();
    const [first, second, third] = person.recoveryCodes;
    const sent = { ...credentials(person), PASSWORD: password, CODE: first };
    const disabling = () => call(server, 'disableTotp', sent);
    expect((await asSessionsEnd('removeSecondFactor', person, disabling)).status).toBe(401);
    expect((await login(person)).status).toBe(403);
    const back = { ...person, cookie: (await login(person, { TOTP: first })).body.COOKIE };
    const renewing = () =>
      call(server, 'newRecoveryCodes', { ...credentials(back), PASSWORD: password, CODE: second });
    expect((await asSessionsEnd('replaceRecoveryCodes', back, renewing)).status).toBe(401);
    for (const TOTP of [second, third]) expect((await login(person, { TOTP })).status).toBe(200);
  });
});

describe('what is kept', () => {
  test('a factor outlives restarts, enrolled as confirmed, and so does what was used up', async () => {
    await withServer(async (own) => {
      const person = await join(own, 'Alice');
      const secret = await enroll(own, person);
      await own.restart();
      const CODE = freshCode(own, secret);
      const { status, body } = await call(own, 'confirmTotp', { ...credentials(person), CODE });
      expect(status).toBe(200);
      await own.restart();
      expect((await login(person, {}, own)).status).toBe(403);
      expect((await login(person, { TOTP: CODE }, own)).status).toBe(401);
      const TOTP = freshCode(own, secret);
      expect((await login(person, { TOTP }, own)).status).toBe(200);
      expect((await login(person, { TOTP: body.RECOVERY_CODES[0] }, own)).status).toBe(200);
      await own.restart();
      expect((await login(person, { TOTP }, own)).status).toBe(401);
      expect((await login(person, { TOTP: body.RECOVERY_CODES[0] }, own)).status).toBe(401);
      expect((await login(person, { TOTP: body.RECOVERY_CODES[1] }, own)).status).toBe(200);
    });
  });

  test('recovery codes lie in the database as hashes alone, and the log has neither them nor the secret', async () => {
    const log: string[] = [];
    await withServer(
      async (own) => {
        const person = await joinGuarded(own, 'Alice');
        const TOTP = freshCode(own, person.secret);
        for (const code of [TOTP, person.recoveryCodes[0], wrongCode(person.secret, own)])
          await login(person, { TOTP: code }, own);
        const names = readdirSync(own.dataDir).filter((name) => name.startsWith('chat.db'));
        const bytes = names.map((name) => readFileSync(joinPath(own.dataDir, name), 'latin1')).join('\n');
        expect(bytes).toContain('recovery_code_used'); // the search does search
        for (const code of person.recoveryCodes)
          for (const spelled of [code, code.replaceAll('-', '')]) expect(bytes).not.toContain(spelled);
        const lines = log.join('');
        for (const secret of [...person.recoveryCodes, person.secret, TOTP])
          expect(lines).not.toContain(secret);
      },
      { onLog: (line) => log.push(line) },
    );
  });
});
