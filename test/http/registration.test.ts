// Who may sign up: registration that is open, closed or by invitation, and addresses of allowed domains only.
import { afterEach, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { asAdmin } from '../support/admin.ts';
import { call, credentials, join, password, signUpBody } from '../support/people.ts';
import { TestServer } from '../support/server.ts';
import { startSmtp } from '../support/smtp.ts';

setDefaultTimeout(20_000);

let server: TestServer;
const start = async (env: Record<string, string>) => {
  server = await TestServer.start({ env });
};
afterEach(() => server.stop());

const signUp = (name: string, changes: Record<string, unknown> = {}) =>
  call(server, 'signUp', signUpBody(name, changes));

async function invite(USES = 1, DAYS = 7): Promise<string> {
  return (await asAdmin(server, 'adminInvite', { USES, DAYS })).body.CODE;
}

async function usesLeft(): Promise<number[]> {
  const { invitations } = (await asAdmin(server, 'adminInvitations')).body;
  return invitations.map(({ USES_LEFT }: { USES_LEFT: number }) => USES_LEFT);
}

describe('open', () => {
  test('everybody signs up, and an invitation that is sent along is not used up', async () => {
    await start({});
    const code = await invite();
    expect((await signUp('Alice', { INVITATION: code })).status).toBe(200);
    expect((await signUp('Bob', { INVITATION: 'nonsense' })).status).toBe(200);
    expect((await signUp('Carol', { INVITATION: null })).status).toBe(200);
    expect(await usesLeft()).toEqual([1]);
    expect((await signUp('Dave', { INVITATION: { $ne: '' } })).status).toBe(400);
  });
});

describe('closed', () => {
  test('nobody signs up, not with an invitation either; who has an account goes on', async () => {
    await start({});
    const alice = await join(server, 'Alice');
    await server.restart({ REGISTRATION: 'closed' });
    const code = await invite();
    for (const changes of [{}, { INVITATION: code }, { EMAIL: alice.email }]) {
      const refused = await signUp('Bob', changes);
      expect(refused.status).toBe(400);
      expect(refused.body.message).toContain('closed');
    }
    expect((await call(server, 'login', { EMAIL: alice.email, PASSWORD: password })).status).toBe(200);
    expect(await usesLeft()).toEqual([1]);
  });
});

describe('by invitation', () => {
  test('one signs up for every use, in any case of letters, and then no more', async () => {
    await start({ REGISTRATION: 'invite' });
    const code = await invite(2);
    expect((await signUp('Alice', { INVITATION: code })).status).toBe(200);
    expect((await signUp('Bob', { INVITATION: ` ${code.toLowerCase()} ` })).status).toBe(200);
    const refused = await signUp('Carol', { INVITATION: code });
    expect(refused.status).toBe(400);
    expect(refused.body.message).toContain('INVITATION');
  });

  test('of many at once as many succeed as it has uses', async () => {
    await start({ REGISTRATION: 'invite' });
    const code = await invite(3);
    const names = ['Ann', 'Bea', 'Cleo', 'Dora', 'Eva', 'Fay', 'Gil', 'Hal'];
    const answers = await Promise.all(names.map((name) => signUp(name, { INVITATION: code })));
    const statuses = answers.map(({ status }) => status);
    expect(statuses.filter((status) => status === 200)).toHaveLength(3);
    expect(statuses.filter((status) => status === 400)).toHaveLength(5);
    expect(await usesLeft()).toEqual([0]);
  });

  test('one without a good invitation learns nothing about who has an account', async () => {
    await start({ REGISTRATION: 'invite' });
    const [code, short] = [await invite(), await invite(1, 1)];
    expect((await signUp('Alice', { INVITATION: code })).status).toBe(200);
    server.advance(25 * 60 * 60 * 1000);
    const taken = { EMAIL: 'alice@example.test' };
    for (const INVITATION of [undefined, '', 'WRONGWRONGWRONGWRONG', code, short]) {
      const [known, free] = [
        await signUp('Bob', { ...taken, INVITATION }),
        await signUp('Bob', { INVITATION }),
      ];
      expect(known.status).toBe(400);
      expect(known.body.message).toContain('INVITATION');
      expect(known.body).toEqual(free.body);
    }
  });

  test('a taken address does not use it up, and who has one is told of it', async () => {
    await start({ REGISTRATION: 'invite' });
    const code = await invite(2);
    expect((await signUp('Alice', { INVITATION: code })).status).toBe(200);
    expect((await signUp('Alice', { INVITATION: code })).status).toBe(409);
    expect(await usesLeft()).toEqual([1]);
  });

  test('it is given back when the mail host refuses the address', async () => {
    const host = await startSmtp();
    await start({ REGISTRATION: 'invite', SMTP_URL: host.url });
    const code = await invite();
    host.refuse = 550;
    expect((await signUp('Alice', { INVITATION: code })).status).toBe(400);
    expect(await usesLeft()).toEqual([1]);
    host.refuse = undefined;
    expect((await signUp('Alice', { INVITATION: code })).status).toBe(200);
    expect(await usesLeft()).toEqual([0]);
    await host.stop();
  });

  test('it is stored as a hash and noted without its code', async () => {
    await start({ REGISTRATION: 'invite' });
    const code = await invite(5, 30);
    const { entries } = (await asAdmin(server, 'adminAudit')).body;
    expect(entries).toMatchObject([{ KIND: 'invitation_made', ACTOR: 'admin', DETAIL: 'uses 5, days 30' }]);
    await server.running.stop();
    const file = await Bun.file(`${server.dataDir}/chat.db`).text();
    expect(file).not.toContain(code);
    await server.start();
  });
});

describe('an invitation that is good for nothing any more', () => {
  const dayMs = 24 * 60 * 60 * 1000;
  const afterDays = async (days: number) => {
    server.advance(days * dayMs);
    const now = server.clock();
    await server.store.removeExpired({ now, sessionsUsedBefore: 0, sessionsMadeBefore: 0 });
    return usesLeft();
  };

  test('stays in the list for 30 days after it expired', async () => {
    await start({ REGISTRATION: 'invite' });
    await invite(3, 10);
    expect(await afterDays(39)).toEqual([3]);
    expect(await afterDays(2)).toEqual([]);
  });

  test('stays in the list for 30 days after its last use', async () => {
    await start({ REGISTRATION: 'invite' });
    const [first, second] = [await invite(1, 365), await invite(2, 365)];
    server.advance(40 * dayMs);
    for (const [name, INVITATION] of [
      ['Alice', first],
      ['Bob', second],
    ] as const)
      expect((await signUp(name, { INVITATION })).status).toBe(200);
    expect(await afterDays(29)).toEqual([1, 0]);
    // The twin has a use left.
    expect(await afterDays(2)).toEqual([1]);
  });
});

describe('allowed domains', () => {
  test('only addresses of them sign up, compared without regard to case', async () => {
    await start({ ALLOWED_EMAIL_DOMAINS: 'Example.test, other.test' });
    for (const EMAIL of ['a@EXAMPLE.test', 'b@other.test'])
      expect((await signUp('Alice', { EMAIL })).status).toBe(200);
    for (const EMAIL of [
      'c@else.test',
      'd@sub.example.test',
      'e@notexample.test',
      'f@example.test.evil.test',
    ]) {
      const refused = await signUp('Alice', { EMAIL });
      expect([EMAIL, refused.status]).toEqual([EMAIL, 400]);
      expect(refused.body.message).toContain('EMAIL');
    }
  });

  test('an address is changed only to one of them', async () => {
    await start({ ALLOWED_EMAIL_DOMAINS: 'example.test' });
    const alice = await join(server, 'Alice');
    const ask = (EMAIL: string) =>
      call(server, 'resendCode', { ...credentials(alice), MODE: 'EMAIL_CHANGE', EMAIL });
    expect((await ask('alice@else.test')).status).toBe(400);
    expect((await ask('alice.two@example.test')).status).toBe(200);
    const OTP = server.codeFor('alice.two@example.test');
    const change = (EMAIL: string) => call(server, 'changeSettings', { ...credentials(alice), EMAIL, OTP });
    expect((await change('alice@else.test')).status).toBe(400);
    expect((await change('alice.two@example.test')).status).toBe(200);
  });
});
