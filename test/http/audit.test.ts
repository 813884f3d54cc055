// What the audit log has of an account's life, and that nothing fails when it cannot be written.
import { describe, expect, setDefaultTimeout, spyOn, test } from 'bun:test';
import { createAudit, maskEmail } from '../../src/accounts/audit.ts';
import { createLog } from '../../src/log.ts';
import { asAdmin, bearer } from '../support/admin.ts';
import { call, credentials, join, mailAt, type Person, password } from '../support/people.ts';
import { type TestServer, withServer } from '../support/server.ts';

// Hashing, git and mail take long on a busy machine.
setDefaultTimeout(20_000);

const env = { TRUST_PROXY: '127.0.0.1' };
const from = { 'x-forwarded-for': '203.0.113.7', 'user-agent': 'Phone' };

/** The kinds that were noted since the entry of this number, oldest first. */
async function notedSince(server: TestServer, id: number) {
  const newest = await server.store.listAudit({ uid: null, before: null, limit: 100 });
  return newest.filter((entry) => entry.id > id).reverse();
}

async function last(server: TestServer): Promise<number> {
  return (await server.store.listAudit({ uid: null, before: null, limit: 1 }))[0]?.id ?? 0;
}

/** What a request of this account leaves in the log: [kind, uid, actor, address] of each entry. */
async function notedOf(server: TestServer, request: () => Promise<{ status: number }>) {
  const before = await last(server);
  const { status } = await request();
  const entries = await notedSince(server, before);
  return [status, ...entries.map(({ kind, uid, actor, address }) => [kind, uid, actor, address].join(' '))];
}

async function logIn(server: TestServer, person: Person): Promise<Person> {
  const { body } = await call(server, 'login', { EMAIL: person.email, PASSWORD: person.password });
  return { ...person, cookie: body.COOKIE, token: body.TOKEN };
}

describe('an account', () => {
  test('its sign-up, logins, logouts and changes are noted, with who, where from and when', async () => {
    await withServer(
      async (server) => {
        const alice = await join(server, 'Alice');
        const { uid, email } = alice;
        const first = await notedSince(server, 0);
        expect(first.map((entry) => [entry.kind, entry.uid])).toEqual([
          ['sign_up', uid],
          ['verified', uid],
        ]);
        expect(Math.abs((first[0]?.at ?? 0) - server.clock())).toBeLessThan(60_000);

        const login = (secret: string, at = email) =>
          notedOf(server, () => call(server, 'login', { EMAIL: at, PASSWORD: secret }, from));
        const tail = `${uid} self 203.0.113.7`;
        expect(await login(password)).toEqual([200, `login ${tail}`]);
        expect(await login('wrong')).toEqual([401, `login_failed ${tail}`]);
        expect(await login('wrong', 'nobody@example.test')).toEqual([401, 'login_failed  self 203.0.113.7']);

        const other = await logIn(server, alice);
        const ask = (name: Parameters<typeof call>[1], fields: Record<string, unknown>) =>
          notedOf(server, () => call(server, name, fields, from));
        expect(await ask('logOut', credentials(other))).toEqual([200, `logout ${tail}`]);
        const change = { ...credentials(alice), PASSWORD: password, NEW_PASSWORD: 'another horse 43' };
        expect(await ask('changeSettings', change)).toEqual([200, `password_changed ${tail}`]);
        expect(await ask('logOutAll', credentials(alice))).toEqual([200, `sessions_ended ${tail}`]);
      },
      { env },
    );
  });

  test('a reset, an address changed and taken back are noted; what was refused is not', async () => {
    await withServer(
      async (server) => {
        const alice = await join(server, 'Alice');
        const { uid, email } = alice;
        const ask = (name: Parameters<typeof call>[1], fields: Record<string, unknown>) =>
          notedOf(server, () => call(server, name, fields, from));
        const tail = `${uid} self 203.0.113.7`;

        const target = 'moved@example.test';
        await call(server, 'resendCode', { ...credentials(alice), MODE: 'EMAIL_CHANGE', EMAIL: target });
        const change = { ...credentials(alice), EMAIL: target, OTP: 'x' };
        expect(await ask('changeSettings', change)).toEqual([401]);
        const right = { ...change, OTP: server.codeFor(target) };
        expect(await ask('changeSettings', right)).toEqual([200, `email_changed ${tail}`]);
        const undo = /^ {4}([A-Z0-9]{20})\r?$/m.exec(await mailAt(server, email, 2))?.[1];
        expect(await ask('undoEmailChange', { EMAIL: email, OTP: 'WRONG' })).toEqual([401]);
        expect(await ask('undoEmailChange', { EMAIL: email, OTP: undo })).toEqual([
          200,
          `email_change_undone ${tail}`,
        ]);

        await call(server, 'forgotPassword', { EMAIL: email });
        const code = /^ {4}(\d{6})\r?$/m.exec(await mailAt(server, email, 3))?.[1];
        const reset = { EMAIL: email, OTP: 'x', NEW_PASSWORD: 'another horse 43' };
        expect(await ask('resetPassword', reset)).toEqual([401]);
        expect(await ask('resetPassword', { ...reset, OTP: code })).toEqual([200, `password_reset ${tail}`]);
      },
      { env },
    );
  });

  test('none of it has a secret or an address in full', async () => {
    await withServer(async (server) => {
      const alice = await join(server, 'Alice');
      const attempts = ['wrong password 1', 'nobody@example.test', 'a password in the wrong field'];
      for (const EMAIL of attempts) await call(server, 'login', { EMAIL, PASSWORD: attempts[0] });
      await call(server, 'login', { EMAIL: alice.email, PASSWORD: attempts[0] });
      await logIn(server, alice);
      const text = JSON.stringify(await notedSince(server, 0));
      expect(text).toContain('a***');
      for (const secret of [...attempts, alice.email, alice.cookie, alice.token, password, 'example.test'])
        expect(text).not.toInclude(secret);
    });
  });

  test('what a stranger typed is cut to its first letters', () => {
    const masked = ['alice@example.test', 'x', '', '@', 'P@ssword', 'a@b@c', '🐎horse@x.y'].map(maskEmail);
    expect(masked).toEqual(['a***@e***', 'x***', '***', '***@***', 'P***@s***', 'a***@b***', '🐎***@x***']);
  });
});

describe('a flood', () => {
  const kindsAndActors = async (server: TestServer) => {
    const page = { uid: null, before: null, limit: 5000 };
    return (await server.store.listAudit(page)).map(({ kind, actor, detail }) => ({ kind, actor, detail }));
  };

  test('of wrong admin keys leaves 100 lines an hour, and one that says how many were left out', async () => {
    await withServer(async (server) => {
      for (let wrong = 0; wrong < 105; wrong += 1)
        expect((await call(server, 'adminUsers', {}, bearer('wrong'))).status).toBe(403);
      expect((await asAdmin(server, 'adminInvite', { USES: 1, DAYS: 1 })).status).toBe(200);
      expect(await kindsAndActors(server)).toHaveLength(101);
      await server.restart();
      const noted = await kindsAndActors(server);
      expect(noted).toHaveLength(102);
      const last = { kind: 'admin_denied', actor: 'server', detail: '5 more, left out as too many' };
      expect(noted[0]).toMatchObject(last);
    });
  });

  test('of wrong logins leaves 1,000 lines an hour, of whatever accounts and addresses', async () => {
    await withServer(async (server) => {
      const log = createLog({ level: 'silent', format: 'json' });
      const audit = createAudit(server.store, server.clock, log);
      const fail = (uid: number) =>
        audit.note({ kind: 'login_failed', uid, address: `203.0.113.${uid % 256}` });
      await Promise.all(Array.from({ length: 1003 }, (_, uid) => fail(uid)));
      // Neither another kind nor what whoever runs the server does is left out with them.
      await audit.note({ kind: 'password_changed', uid: 1 });
      await audit.note({ kind: 'login_failed', uid: 1, actor: 'command' });
      expect(await kindsAndActors(server)).toHaveLength(1002);
      await audit.noteLeftOut();
      await audit.noteLeftOut();
      expect((await kindsAndActors(server)).filter(({ actor }) => actor === 'server')).toEqual([
        { kind: 'login_failed', actor: 'server', detail: '3 more, left out as too many' },
      ]);
      server.advance(60 * 60 * 1000);
      await fail(1);
      expect(await kindsAndActors(server)).toHaveLength(1004);
    });
  });
});

test('an audit log that cannot be written is logged, and every request is served as ever', async () => {
  const log: string[] = [];
  await withServer(
    async (server) => {
      const broken = spyOn(server.store, 'appendAudit').mockRejectedValue(new Error('no space'));
      const alice = await join(server, 'Alice');
      const login = (secret: string) => call(server, 'login', { EMAIL: alice.email, PASSWORD: secret });
      expect((await login(password)).status).toBe(200);
      expect((await login('wrong')).status).toBe(401);
      expect((await call(server, 'logOut', credentials(alice))).status).toBe(200);
      expect(broken).toHaveBeenCalledTimes(5);
    },
    { onLog: (line) => log.push(line) },
  );
  const told = log.filter((line) => line.includes('the audit log could not be written'));
  expect(told.map((line) => JSON.parse(line).kind)).toEqual([
    'sign_up',
    'verified',
    'login',
    'login_failed',
    'logout',
  ]);
});
