// Requests whose account is deleted between being let in and being written: each is answered a 4xx of its contract.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, spyOn, test } from 'bun:test';
import { closeCodes } from '../../src/errors.ts';
import { codeOf, enroll, type Guarded, joinGuarded, nextStep } from '../support/authenticator.ts';
import {
  call,
  credentials,
  join,
  mailAt,
  makeGroup,
  type Person,
  password,
  signUp,
} from '../support/people.ts';
import { type Answer, TestServer } from '../support/server.ts';
import { defaultGroup, TestSocket } from '../support/socket.ts';

// Hashing takes long on a busy machine.
setDefaultTimeout(20_000);

const log: string[] = [];
let server: TestServer;
let bob: Person;
let count = 0;

beforeAll(async () => {
  server = await TestServer.start({ onLog: (line) => log.push(line) });
  bob = await join(server, 'Bob');
});
afterAll(() => server.stop());

type Method =
  | 'issueCode'
  | 'openSession'
  | 'verifyAccount'
  | 'changeSettings'
  | 'enrollSecondFactor'
  | 'confirmSecondFactor'
  | 'replaceRecoveryCodes'
  | 'createGroup'
  | 'addMember'
  | 'setRole'
  | 'block'
  | 'markRead'
  | 'appendMessages';

/** A name nobody has yet. */
function newName(): string {
  count += 1;
  return `P${'x'.repeat(count)}`;
}

/** Lets `vanish` happen right before the store does `method` for the first time from now on. */
function before(method: Method, vanish: () => Promise<unknown>): { [Symbol.dispose](): void } {
  const store = server.store as unknown as Record<Method, (...args: unknown[]) => unknown>;
  const real = store[method].bind(store);
  const spy = spyOn(store, method).mockImplementation(async (...args: unknown[]) => {
    spy.mockRestore();
    await vanish();
    return real(...args);
  });
  return { [Symbol.dispose]: () => spy.mockRestore() };
}

function erase(person: Person | Guarded) {
  const proof = 'recoveryCodes' in person ? { TOTP: person.recoveryCodes[1] } : {};
  const request = { ...credentials(person), PASSWORD: password, ...proof };
  return async () => expect((await call(server, 'deleteAccount', request)).status).toBe(200);
}

/** The status that a request gets whose asker is deleted before the store does `method`; no error is logged. */
async function vanishing(person: Person, method: Method, request: () => Promise<Answer>): Promise<number> {
  log.length = 0;
  using _ = before(method, erase(person));
  const { status } = await request();
  expect(await server.store.findAccount(person.uid)).toBeNull();
  expect(log.filter((line) => line.includes('"level":"error"'))).toEqual([]);
  return status;
}

describe('an account that is deleted meanwhile', () => {
  const changed = (email: string) => ({ MODE: 'EMAIL_CHANGE', EMAIL: email });
  const cases: [string, Method, number, (who: Person, group: string) => Promise<Answer>][] = [
    [
      'asking for a code to another address',
      'issueCode',
      401,
      (who) => call(server, 'resendCode', { ...credentials(who), ...changed(`new-${who.uid}@example.test`) }),
    ],
    [
      'logging in',
      'openSession',
      401,
      (who) => call(server, 'login', { EMAIL: who.email, PASSWORD: password }),
    ],
    [
      'changing its name',
      'changeSettings',
      401,
      (who) => call(server, 'changeSettings', { ...credentials(who), FIRST_NAME: 'Another' }),
    ],
    [
      'enrolling a second factor',
      'enrollSecondFactor',
      401,
      (who) => call(server, 'enrollTotp', { ...credentials(who), PASSWORD: password }),
    ],
    [
      'making a group',
      'createGroup',
      404,
      (who) => call(server, 'createGroup', { ...credentials(who), NAME: 'Team', MEMBERS: [bob.uid] }),
    ],
    [
      'adding somebody to its group',
      'addMember',
      404,
      (who, GROUP_ID) => call(server, 'addMember', { ...credentials(who), GROUP_ID, MEMBER_UID: bob.uid }),
    ],
    [
      'giving a role',
      'setRole',
      404,
      (who, GROUP_ID) =>
        call(server, 'setRole', { ...credentials(who), GROUP_ID, MEMBER_UID: who.uid, ROLE: 'member' }),
    ],
    [
      'blocking somebody',
      'block',
      404,
      (who) => call(server, 'blockUser', { ...credentials(who), BLOCKED_UID: bob.uid }),
    ],
  ];
  for (const [what, method, status, request] of cases) {
    test(`while ${what} it is answered ${status}`, async () => {
      const alice = await join(server, newName());
      const group = await makeGroup(server, alice, [await join(server, newName())]);
      expect(await vanishing(alice, method, () => request(alice, group))).toBe(status);
    });
  }

  test('while it confirms a second factor, or renews its recovery codes, it is answered 401', async () => {
    const alice = await join(server, newName());
    const secret = await enroll(server, alice);
    nextStep(server);
    const confirm = { ...credentials(alice), CODE: codeOf(server, secret) };
    const status = vanishing(alice, 'confirmSecondFactor', () => call(server, 'confirmTotp', confirm));
    expect(await status).toBe(401);

    const guarded = await joinGuarded(server, newName());
    const renew = { ...credentials(guarded), PASSWORD: password, CODE: guarded.recoveryCodes[0] };
    expect(
      await vanishing(guarded, 'replaceRecoveryCodes', () => call(server, 'newRecoveryCodes', renew)),
    ).toBe(401);
  });

  test('while it sends a message or moves a read mark, its socket is closed and nothing fails', async () => {
    for (const [method, event, fields] of [
      ['appendMessages', 'send_message', { MESSAGE: 'hello' }],
      ['markRead', 'mark_read', { MESSAGE_ID: 1 }],
    ] as const) {
      const alice = await join(server, newName());
      const socket = await TestSocket.announced(server, alice);
      await vanishing(alice, method, async () => {
        socket.send(event, { GROUP_ID: defaultGroup, ...fields });
        expect((await socket.closed).code).toBe(closeCodes.sessionEnded);
        return call(server, 'listChats', credentials(alice));
      });
    }
  });

  test('while it only forgot its password, it is answered as ever and gets no code', async () => {
    const alice = await join(server, newName());
    log.length = 0;
    const gone = Promise.withResolvers<void>();
    using _ = before('issueCode', async () => {
      await erase(alice)();
      gone.resolve();
    });
    expect((await call(server, 'forgotPassword', { EMAIL: alice.email })).status).toBe(200);
    await gone.promise;
    // The first had the code of the sign-up; what comes is that the account is deleted, and nothing after it.
    expect(await mailAt(server, alice.email, 2)).toMatch(/^Subject:.*deleted/im);
    await Bun.sleep(50);
    expect(server.mailsTo(alice.email)).toHaveLength(2);
    expect(log.filter((line) => line.includes('"level":"error"'))).toEqual([]);
  });
});

describe('a sign-up that expires meanwhile', () => {
  const removal =
    ({ uid }: Person) =>
    () =>
      server.store.removeUnverified(uid, null);

  test('while it asks for its code again, or enters it, it is answered 401', async () => {
    const again = await signUp(server, newName());
    using _ = before('issueCode', removal(again));
    expect((await call(server, 'resendCode', credentials(again))).status).toBe(401);

    const entering = await signUp(server, newName());
    using __ = before('verifyAccount', removal(entering));
    const entered = { ...credentials(entering), ENTERD_OTP: server.codeFor(entering.email) };
    expect((await call(server, 'verifyAccount', entered)).status).toBe(401);
  });

  test('while it logs in, before its session or after it, it is refused', async () => {
    for (const [method, status] of [
      ['openSession', 401],
      ['issueCode', 403],
    ] as const) {
      const pending = await signUp(server, newName());
      using _ = before(method, removal(pending));
      const answer = await call(server, 'login', { EMAIL: pending.email, PASSWORD: password });
      expect(answer.status).toBe(status);
      expect(await server.store.findAccount(pending.uid)).toBeNull();
    }
  });
});

test('the twin: who is not deleted is served', async () => {
  const alice = await join(server, newName());
  let passed = false;
  using _ = before('block', async () => {
    passed = true;
  });
  const blocking = call(server, 'blockUser', { ...credentials(alice), BLOCKED_UID: bob.uid });
  expect([(await blocking).status, passed]).toEqual([200, true]);
});
