// Changing the address of an account by a code, and taking it back when it was not the owner who did.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { call, credentials, join, mailAt, type Person, password, signUpBody } from '../support/people.ts';
import { type Answer, TestServer } from '../support/server.ts';

// Hashing, git and mail take long on a busy machine.
setDefaultTimeout(20_000);

const minuteMs = 60_000;
const dayMs = 24 * 60 * minuteMs;
const taken = 'Email already Associated with another Account';
let server: TestServer;
let bob: Person;
let count = 0;

beforeAll(async () => {
  server = await TestServer.start();
  bob = await join(server, 'Bob');
});
afterAll(() => server.stop());

/** Somebody, and an address nobody has. */
async function somebody(): Promise<{ person: Person; target: string }> {
  count += 1;
  return { person: await join(server, `Some${'x'.repeat(count)}`), target: `new${count}@example.test` };
}

function askFor(person: Person, email: unknown): Promise<Answer> {
  return call(server, 'resendCode', { ...credentials(person), MODE: 'EMAIL_CHANGE', EMAIL: email });
}

function change(person: Person, email: string, code = ''): Promise<Answer> {
  return call(server, 'changeSettings', { ...credentials(person), EMAIL: email, OTP: code });
}

/** Changes the address the right way; returns the code that undoes it. */
async function move(person: Person, email: string): Promise<string> {
  const old = await emailOf(person);
  const mails = server.mailsTo(old).length;
  expect(await askFor(person, email)).toMatchObject({
    status: 200,
    body: { message: 'OTP sent sucessfully' },
  });
  expect((await change(person, email, server.codeFor(email))).status).toBe(200);
  const code = /^ {4}([A-Z0-9]{20})\r?$/m.exec(await mailAt(server, old, mails + 1))?.[1];
  if (!code) throw new Error(`no undo code was mailed to ${old}`);
  return code;
}

function undo(email: string, code: string): Promise<Answer> {
  return call(server, 'undoEmailChange', { EMAIL: email, OTP: code });
}

async function emailOf(person: Person): Promise<string> {
  return (await call(server, 'readSettings', credentials(person))).body.credentials?.EMAIL;
}

async function loginStatus(email: string): Promise<number> {
  return (await call(server, 'login', { EMAIL: email, PASSWORD: password })).status;
}

/** A login, as a session of its own. */
async function again(person: Person, email: string): Promise<Person> {
  const { body } = await call(server, 'login', { EMAIL: email, PASSWORD: password });
  return { ...person, email, cookie: body.COOKIE, token: body.TOKEN };
}

/** Sets the same password anew by a mailed code and logs in. */
async function reset(person: Person): Promise<Person> {
  const { email } = person;
  const mails = server.mailsTo(email).length;
  await call(server, 'forgotPassword', { EMAIL: email });
  await mailAt(server, email, mails + 1);
  const sent = { EMAIL: email, OTP: server.codeFor(email), NEW_PASSWORD: password };
  expect((await call(server, 'resetPassword', sent)).status).toBe(200);
  return again(person, email);
}

describe('a new address', () => {
  test('it takes the code that was sent to it, and from then on it opens the account', async () => {
    const { person, target } = await somebody();
    await move(person, target);
    expect(await emailOf(person)).toBe(target);
    expect(await loginStatus(target)).toBe(200);
    expect(await loginStatus(person.email)).toBe(401);
  });

  test('it is 403 when no code was asked for, whatever is entered', async () => {
    const { person, target } = await somebody();
    expect((await change(person, target)).status).toBe(403);
    expect((await change(person, target, '123456')).status).toBe(403);
    expect(await emailOf(person)).toBe(person.email);
  });

  test('a wrong code is 401 and changes nothing else that was sent along', async () => {
    const { person, target } = await somebody();
    await askFor(person, target);
    const wrong = { ...credentials(person), EMAIL: target, OTP: wrongFor(target), PHONE: '12345678' };
    expect((await call(server, 'changeSettings', wrong)).status).toBe(401);
    const settings = await call(server, 'readSettings', credentials(person));
    expect(settings.body.credentials).toMatchObject({ EMAIL: person.email, PHONE: '' });
    expect((await change(person, target, server.codeFor(target))).status).toBe(200);
  });

  test('five wrong codes void the right one', async () => {
    const { person, target } = await somebody();
    await askFor(person, target);
    for (let tries = 0; tries < 5; tries += 1)
      expect((await change(person, target, wrongFor(target))).status).toBe(401);
    expect((await change(person, target, server.codeFor(target))).status).toBe(401);
    await askFor(person, target);
    expect((await change(person, target, server.codeFor(target))).status).toBe(200);
  });

  test('its code is good for ten minutes', async () => {
    const { person, target } = await somebody();
    await askFor(person, target);
    server.advance(10 * minuteMs + 1000);
    expect((await change(person, target, server.codeFor(target))).status).toBe(401);
  });

  test('its code is good for no other address', async () => {
    const { person, target } = await somebody();
    const other = `other.${target}`;
    await askFor(person, target);
    const code = server.codeFor(target);
    expect((await change(person, other, code)).status).toBe(403);
    await askFor(person, other);
    if (server.codeFor(other) === code) throw new Error('two codes are the same by chance');
    expect((await change(person, other, code)).status).toBe(401);
    expect((await change(person, target.toUpperCase(), code)).status).toBe(200);
  });

  test('its code is good for nobody else, and not for verifying', async () => {
    const { person, target } = await somebody();
    await askFor(person, target);
    expect((await change(bob, target, server.codeFor(target))).status).toBe(403);
    const body = { ...credentials(person), ENTERD_OTP: server.codeFor(target) };
    expect((await call(server, 'verifyAccount', body)).status).toBe(401);
  });

  test('a taken one is 409 when the code is asked for and when it is used', async () => {
    const { person, target } = await somebody();
    expect(await askFor(person, 'BOB@example.test')).toMatchObject({ status: 409, body: { message: taken } });
    expect(await change(person, 'bob@example.test')).toMatchObject({ status: 409, body: { message: taken } });
    await askFor(person, target);
    expect((await call(server, 'signUp', signUpBody('Quick', { EMAIL: target }))).status).toBe(200);
    const late = await change(person, target, server.mailsTo(target)[0]?.match(/^ {4}(\d{6})\r?$/m)?.[1]);
    expect(late).toMatchObject({ status: 409, body: { message: taken } });
  });

  test('of two accounts that both have a code for it one gets it', async () => {
    const [one, two] = [await somebody(), await somebody()];
    await askFor(one.person, one.target);
    const first = server.codeFor(one.target);
    await askFor(two.person, one.target);
    const second = server.codeFor(one.target);
    const answers = await Promise.all([
      change(one.person, one.target, first),
      change(two.person, one.target, second),
    ]);
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 409]);
  });

  test('the own one, none and a malformed one get no code', async () => {
    const { person } = await somebody();
    expect((await askFor(person, person.email.toUpperCase())).status).toBe(409);
    for (const bad of ['', undefined, null, 'nobody', 7])
      expect((await askFor(person, bad)).status).toBe(400);
  });

  test('another spelling of the own one is no change and needs no code', async () => {
    const { person } = await somebody();
    expect((await change(person, ` ${person.email.toUpperCase()} `)).status).toBe(200);
    expect(await emailOf(person)).toBe(person.email);
  });
});

describe('undoing a change of address', () => {
  test('the old address is told, and its code gives it back and ends all sessions', async () => {
    const { person, target } = await somebody();
    const code = await move(person, target);
    const thief = await again(person, target);
    expect(server.mailsTo(person.email).at(-1)).toContain('e-mail address was changed');
    expect((await undo(person.email.toUpperCase(), ` ${code.toLowerCase()} `)).status).toBe(200);
    for (const session of [person, thief])
      expect((await call(server, 'listChats', credentials(session))).status).toBe(403);
    expect(await loginStatus(target)).toBe(401);
    expect(await emailOf(await reset(person))).toBe(person.email);
  });

  test('the code works once, for its address only', async () => {
    const { person, target } = await somebody();
    const code = await move(person, target);
    expect((await undo(target, code)).status).toBe(401);
    expect((await undo('bob@example.test', code)).status).toBe(401);
    expect((await undo(person.email, `${code.slice(0, -1)}?`)).status).toBe(401);
    expect(await emailOf(person)).toBe(target);
    expect((await undo(person.email, code)).status).toBe(200);
    expect((await undo(person.email, code)).status).toBe(401);
  });

  test('the code is good for seven days, in which nobody else gets the address', async () => {
    const [{ person, target }, late] = [await somebody(), await somebody()];
    const code = await move(person, target);
    const lateCode = await move(late.person, late.target);
    server.advance(7 * dayMs - minuteMs);
    const squat = await call(server, 'signUp', signUpBody('Squatter', { EMAIL: person.email }));
    expect(squat).toMatchObject({ status: 409, body: { message: taken } });
    expect((await askFor(bob, person.email)).status).toBe(409);
    expect((await undo(person.email, code)).status).toBe(200);
    server.advance(2 * minuteMs);
    expect((await undo(late.person.email, lateCode)).status).toBe(401);
    const free = await call(server, 'signUp', signUpBody('Next', { EMAIL: late.person.email }));
    expect(free.status).toBe(200);
  });

  test("a later taker's code can not undo the undoing", async () => {
    const { person, target } = await somebody();
    const ownersCode = await move(person, target);
    const takersCode = await move(person, `further.${target}`);
    expect((await undo(person.email, ownersCode)).status).toBe(200);
    expect((await undo(target, takersCode)).status).toBe(401);
    expect(await emailOf(await reset(person))).toBe(person.email);
  });

  test("the owner's code still works after the taker undid a step of his own", async () => {
    const { person, target } = await somebody();
    const ownersCode = await move(person, target);
    const takersCode = await move(person, `further.${target}`);
    expect((await undo(target, takersCode)).status).toBe(200);
    expect((await undo(person.email, ownersCode)).status).toBe(200);
    expect(await emailOf(await reset(person))).toBe(person.email);
  });

  test('a code the taker asked for before is no good after it', async () => {
    const { person, target } = await somebody();
    const code = await move(person, target);
    await askFor(person, `further.${target}`);
    const pending = server.codeFor(`further.${target}`);
    expect((await undo(person.email, code)).status).toBe(200);
    expect((await change(person, `further.${target}`, pending)).status).toBe(401);
  });

  test('it takes nothing else for a code', async () => {
    for (const bad of [
      {},
      { EMAIL: bob.email },
      { OTP: 'x' },
      { EMAIL: 'bob', OTP: 'x' },
      { EMAIL: bob.email, OTP: {} },
    ])
      expect((await call(server, 'undoEmailChange', bad)).status).toBe(400);
    expect((await undo(bob.email, '')).status).toBe(401);
  });
});

/** Six digits that are not the code last mailed there. */
function wrongFor(email: string): string {
  return server.codeFor(email) === '111111' ? '222222' : '111111';
}
