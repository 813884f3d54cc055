// Logging in, the sessions that come of it, and their tokens.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { rmSync } from 'node:fs';
import { join as joinPath } from 'node:path';
import { call, credentials, join, type Person, password, signUp } from '../support/people.ts';
import { type Answer, TestServer, withServer } from '../support/server.ts';
import { TestSocket } from '../support/socket.ts';

// Hashing, git and mail take long on a busy machine.
setDefaultTimeout(20_000);

const dayMs = 24 * 60 * 60 * 1000;
const tokenForm = /^MESS__TOK__[A-Za-z0-9]{32}$/;
let server: TestServer;
let alice: Person;

beforeAll(async () => {
  server = await TestServer.start();
  alice = await join(server, 'Alice');
});
afterAll(() => server.stop());

function login(email: unknown, secret: unknown = password, at = server): Promise<Answer> {
  return call(at, 'login', { EMAIL: email, PASSWORD: secret });
}

async function loginOf(person: Person, at = server): Promise<Person> {
  const { body } = await login(person.email, password, at);
  return { ...person, cookie: body.COOKIE, token: body.TOKEN };
}

/** The statuses that the cookie and the token of a session get. */
async function opens(person: Person, at = server): Promise<number[]> {
  const byCookie = await call(at, 'listChats', { UID: person.uid, COOKIE: person.cookie });
  const byToken = await call(at, 'listChats', { UID: person.uid, TOKEN: person.token });
  return [byCookie.status, byToken.status];
}

describe('a login', () => {
  test('it answers with the number and secrets of a session of its own', async () => {
    const answer = await login(' ALICE@example.test ');
    expect(answer.status).toBe(200);
    expect(answer.body.UID).toBe(alice.uid);
    expect(answer.body.COOKIE).toMatch(/^MESSANGER__[A-Za-z0-9]{64}$/);
    expect(answer.body.TOKEN).toMatch(tokenForm);
    expect(answer.body.COOKIE).not.toBe(alice.cookie);
    expect(answer.body.TOKEN).not.toBe(alice.token);
  });

  test('two logins are two sessions, and both go on', async () => {
    const [one, two] = [await loginOf(alice), await loginOf(alice)];
    expect(one.cookie).not.toBe(two.cookie);
    expect(await opens(one)).toEqual([200, 200]);
    expect(await opens(two)).toEqual([200, 200]);
    expect(await opens(alice)).toEqual([200, 200]);
  });

  test('an unknown address and a wrong password get one and the same answer', async () => {
    const wrong = await login(alice.email, 'wrong password');
    const unknown = await login('nobody@example.test');
    expect([wrong.status, unknown.status]).toEqual([401, 401]);
    expect(wrong.body).toEqual(unknown.body);
    expect((await login(alice.email, password.toUpperCase())).status).toBe(401);
    expect((await login(alice.email, `${password} `)).status).toBe(401);
  });

  test('missing and malformed fields are 401', async () => {
    for (const bad of [null, '', 7, {}, [], true, 'x'.repeat(2000)]) {
      expect((await login(bad)).status).toBe(401);
      expect((await login(alice.email, bad)).status).toBe(401);
    }
    for (const odd of ['\u0000', '\ud800', `${password}\u0000`, '🐎'.repeat(200)]) {
      expect((await login(alice.email, odd)).status).toBe(401);
      expect((await login(odd)).status).toBe(401);
    }
  });

  test('an unverified account is told so letter for letter, with what it takes to verify, and gets a code', async () => {
    const person = await signUp(server, 'Pending');
    const answer = await login(person.email);
    expect(answer).toMatchObject({
      status: 403,
      body: { message: 'Access Denaid ! Verification pending', UID: person.uid, redirect: true },
    });
    expect(answer.body.COOKIE).toMatch(/^MESSANGER__[A-Za-z0-9]{64}$/);
    expect(server.mailsTo(person.email)).toHaveLength(2);
    const entered = { UID: person.uid, COOKIE: answer.body.COOKIE, ENTERD_OTP: server.codeFor(person.email) };
    expect((await call(server, 'verifyAccount', entered)).status).toBe(200);
    expect((await login(person.email)).status).toBe(200);
  });

  test('an unverified account with a wrong password is told nothing and gets no code', async () => {
    const person = await signUp(server, 'Waiting');
    const answer = await login(person.email, 'wrong password');
    expect(answer.status).toBe(401);
    expect(answer.body).toEqual((await login('nobody@example.test')).body);
    expect(server.mailsTo(person.email)).toHaveLength(1);
  });
});

describe('the token', () => {
  test('get_token gives the one of the session again and again', async () => {
    for (let times = 0; times < 2; times += 1) {
      const answer = await call(server, 'getToken', credentials(alice));
      expect(answer).toMatchObject({ status: 200, body: { TOKEN: alice.token } });
    }
    const bearer = await call(server, 'getToken', {}, { authorization: `Bearer ${alice.token}` });
    expect(bearer).toMatchObject({ status: 200, body: { TOKEN: alice.token } });
  });

  test('before verification the answer is letter for letter and carries UID and COOKIE', async () => {
    const person = await signUp(server, 'Early');
    const answer = await call(server, 'getToken', credentials(person));
    expect(answer.status).toBe(403);
    expect(answer.body).toEqual({ message: 'Verification pending', UID: person.uid, COOKIE: person.cookie });
  });

  test('before verification a token opens nothing at all', async () => {
    const person = await signUp(server, 'Keen');
    const bearer = { authorization: `Bearer ${person.token}` };
    const body = { UID: person.uid, TOKEN: person.token };
    const doors = [
      'getToken',
      'resendCode',
      'verifyAccount',
      'readSettings',
      'changeSettings',
      'listPeople',
      'listChats',
      'oldMessages',
      'createGroup',
      'addMember',
      'leaveGroup',
      'listSessions',
      'logOut',
      'logOutAll',
    ] as const;
    for (const door of doors) {
      const fields = { ENTERD_OTP: server.codeFor(person.email), NAME: 'Group', PHONE: '12345678' };
      const [byBody, byBearer] = [
        await call(server, door, { ...body, ...fields }),
        await call(server, door, fields, bearer),
      ];
      for (const { status } of [byBody, byBearer]) expect([400, 401, 403, 422]).toContain(status);
    }
    const socket = await TestSocket.open(server);
    const reply = await socket.ask('wants_all_his_chats', body);
    expect(reply.data.status_code).toBe(401);
    await socket.close();
    expect((await call(server, 'getToken', credentials(person))).status).toBe(403);
  });

  test('missing and malformed credentials are 422, foreign ones 401', async () => {
    const { UID, COOKIE } = credentials(alice);
    for (const bad of [
      {},
      { UID },
      { COOKIE },
      { UID: 'x', COOKIE },
      { UID: -1, COOKIE },
      { UID: 1.5, COOKIE },
      { UID, COOKIE: '' },
      { UID, COOKIE: 7 },
      { UID: [UID], COOKIE },
      { UID: `0${UID}`, COOKIE },
    ])
      expect((await call(server, 'getToken', bad)).status).toBe(422);
    const other = await join(server, 'Other');
    for (const foreign of [
      { UID: other.uid, COOKIE },
      { UID, COOKIE: `${COOKIE}x` },
      { UID, COOKIE: alice.token },
    ])
      expect((await call(server, 'getToken', foreign)).status).toBe(401);
    expect((await call(server, 'getToken', { UID: String(UID), COOKIE })).status).toBe(200);
  });

  test('it survives a restart, and so do sessions', async () => {
    await withServer(async (own) => {
      const person = await join(own, 'Alice');
      await own.restart();
      expect(await opens(person, own)).toEqual([200, 200]);
      const answer = await call(own, 'getToken', credentials(person));
      expect(answer.body.TOKEN).toBe(person.token);
    });
  });

  test('beside a new server secret, as after a restore, get_token gives another one that works', async () => {
    await withServer(async (own) => {
      const person = await join(own, 'Alice');
      const running = own.running;
      await running.stop();
      rmSync(joinPath(own.dataDir, 'server.secret'));
      await own.start();
      const { status, body } = await call(own, 'getToken', credentials(person));
      expect(status).toBe(200);
      expect(body.TOKEN).toMatch(tokenForm);
      expect(body.TOKEN).not.toBe(person.token);
      expect(await opens({ ...person, token: body.TOKEN }, own)).toEqual([200, 200]);
      expect((await call(own, 'getToken', credentials(person))).body.TOKEN).toBe(body.TOKEN);
      expect(await opens(person, own)).toEqual([200, 403]);
      expect((await login(person.email, password, own)).status).toBe(200);
    });
  });
});

describe('the life of a session', () => {
  test('it ends when it was not used for 90 days, another one that was used goes on', async () => {
    await withServer(async (own) => {
      const used = await join(own, 'Alice');
      const idle = await loginOf(used, own);
      own.advance(89 * dayMs);
      expect(await opens(used, own)).toEqual([200, 200]);
      own.advance(2 * dayMs);
      expect(await opens(idle, own)).toEqual([403, 403]);
      expect(await opens(used, own)).toEqual([200, 200]);
      expect((await call(own, 'getToken', credentials(idle))).status).toBe(401);
      expect((await login(used.email, password, own)).status).toBe(200);
    });
  });

  test('it ends after a year, however busy it was', async () => {
    await withServer(async (own) => {
      const person = await join(own, 'Alice');
      for (let days = 0; days < 364; days += 52) {
        expect(await opens(person, own)).toEqual([200, 200]);
        own.advance(52 * dayMs);
      }
      expect(await opens(person, own)).toEqual([200, 200]);
      own.advance(2 * dayMs);
      expect(await opens(person, own)).toEqual([403, 403]);
    });
  });

  test('housekeeping removes what is over and nothing else', async () => {
    await withServer(async (own) => {
      const person = await join(own, 'Alice');
      own.advance(80 * dayMs);
      const young = await loginOf(person, own);
      own.advance(20 * dayMs);
      const now = own.clock();
      await own.store.removeExpired({ now, sessionsUsedBefore: now - 90 * dayMs, sessionsMadeBefore: 0 });
      expect(await opens(person, own)).toEqual([403, 403]);
      expect(await opens(young, own)).toEqual([200, 200]);
    });
  });
});
