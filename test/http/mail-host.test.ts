// What a person is told when the mail host takes a code, refuses it, puts it off or is not there.
import { afterEach, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { call, credentials, type Person, password, signUpBody } from '../support/people.ts';
import { type Answer, TestServer } from '../support/server.ts';
import { type Smtp, startSmtp } from '../support/smtp.ts';

// Hashing, git and mail take long on a busy machine.
setDefaultTimeout(20_000);

let host: Smtp;
let server: TestServer;

async function start(env: Record<string, string> = {}): Promise<void> {
  host = await startSmtp();
  server = await TestServer.start({ env: { SMTP_URL: host.url, ...env } });
}
afterEach(async () => {
  await server.stop();
  await host.stop();
});

function signUp(name: string): Promise<Answer> {
  return call(server, 'signUp', signUpBody(name));
}

function personOf({ body }: Answer, name: string): Person {
  const { EMAIL } = signUpBody(name);
  return { uid: body.UID, cookie: body.COOKIE, token: body.TOKEN, email: EMAIL, password, name };
}

async function verify(person: Person, code: string): Promise<number> {
  return (await call(server, 'verifyAccount', { ...credentials(person), ENTERD_OTP: code })).status;
}

async function joined(name: string): Promise<Person> {
  const person = personOf(await signUp(name), name);
  expect(await verify(person, await host.codeFor(person.email))).toBe(200);
  return person;
}

describe('a mail host that takes mails', () => {
  test('it has the code before the sign-up is answered', async () => {
    await start();
    const answer = await signUp('Alice');
    expect(answer.status).toBe(200);
    const mails = host.received.filter(({ to }) => to.includes('alice@example.test'));
    expect(mails).toHaveLength(1);
    const code = /^ {4}(\d{6})$/m.exec(mails[0]?.text ?? '')?.[1] ?? '';
    expect(await verify(personOf(answer, 'Alice'), code)).toBe(200);
  });

  test('the code for a new address goes there, and the notice of the change to the old one', async () => {
    await start();
    const alice = await joined('Alice');
    const target = 'alice.two@example.test';
    await call(server, 'resendCode', { ...credentials(alice), MODE: 'EMAIL_CHANGE', EMAIL: target });
    const sent = { ...credentials(alice), EMAIL: target, OTP: await host.codeFor(target) };
    expect((await call(server, 'changeSettings', sent)).status).toBe(200);
    const notice = await host.waitForMail(alice.email, 2);
    const undo = /^ {4}([A-Z0-9]{20})$/m.exec(notice.text)?.[1];
    expect((await call(server, 'undoEmailChange', { EMAIL: alice.email, OTP: undo })).status).toBe(200);
    expect(host.received.filter(({ to }) => to.includes(target))).toHaveLength(1);
  });
});

describe('a mail host that refuses an address', () => {
  test('the sign-up is 400 and undone: nothing is known of it, and the address is free', async () => {
    await start();
    host.refuse = 550;
    const refused = await signUp('Alice');
    expect(refused.status).toBe(400);
    expect(refused.body.message).toContain('EMAIL');
    expect(refused.body).not.toHaveProperty('COOKIE');
    const login = await call(server, 'login', { EMAIL: 'alice@example.test', PASSWORD: password });
    expect(login.status).toBe(401);
    host.refuse = undefined;
    expect((await signUp('Alice')).status).toBe(200);
    expect(host.received).toHaveLength(1);
  });

  test('a resend is 400 too; the account stays and its earlier code is still good', async () => {
    await start({ RATE_LIMITS: 'on' });
    const alice = personOf(await signUp('Alice'), 'Alice');
    host.refuse = 550;
    for (let tries = 0; tries < 5; tries += 1)
      expect((await call(server, 'resendCode', credentials(alice))).status).toBe(400);
    const login = await call(server, 'login', { EMAIL: alice.email, PASSWORD: password });
    expect(login).toMatchObject({ status: 403, body: { redirect: true } });
    expect(await verify(alice, await host.codeFor(alice.email))).toBe(200);
  });

  test('a code for a new address is 400, and there is none to enter', async () => {
    await start();
    const alice = await joined('Alice');
    host.refuse = 553;
    const ask = { ...credentials(alice), MODE: 'EMAIL_CHANGE', EMAIL: 'bad@example.test' };
    expect((await call(server, 'resendCode', ask)).status).toBe(400);
    const change = { ...credentials(alice), EMAIL: 'bad@example.test', OTP: '123456' };
    expect((await call(server, 'changeSettings', change)).status).toBe(403);
  });
});

describe('a mail host that puts an address off', () => {
  test('the sign-up is 429 with the time to wait, undone, and works later', async () => {
    await start();
    host.refuse = 451;
    const refused = await signUp('Alice');
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    const login = await call(server, 'login', { EMAIL: 'alice@example.test', PASSWORD: password });
    expect(login.status).toBe(401);
    host.refuse = undefined;
    await joined('Alice');
    expect(host.received).toHaveLength(1);
  });

  test('a resend is 429 and does not count among the three', async () => {
    await start({ RATE_LIMITS: 'on' });
    const alice = personOf(await signUp('Alice'), 'Alice');
    host.refuse = 450;
    for (let tries = 0; tries < 4; tries += 1)
      expect((await call(server, 'resendCode', credentials(alice))).status).toBe(429);
    host.refuse = undefined;
    for (let tries = 0; tries < 3; tries += 1)
      expect((await call(server, 'resendCode', credentials(alice))).status).toBe(200);
  });
});

describe('a mail host that is not there', () => {
  test('the sign-up is 200, and the code comes when the host is back', async () => {
    await start();
    const { port } = host;
    await host.stop();
    const answer = await signUp('Alice');
    expect(answer.status).toBe(200);
    expect((await call(server, 'resendCode', credentials(personOf(answer, 'Alice')))).status).toBe(200);
    host = await startSmtp({ port });
    // A start goes on with what an earlier process left queued.
    await server.restart();
    const alice = personOf(answer, 'Alice');
    await host.waitForMail(alice.email, 2);
    expect(await verify(alice, await host.codeFor(alice.email))).toBe(200);
  });
});
