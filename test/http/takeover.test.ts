// What the owner of an account may still do after a change of address, while others might have made it.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { codeOf, enroll, freshCode } from '../support/authenticator.ts';
import { call, credentials, join, type Person, password, signUp } from '../support/people.ts';
import { logIn, loginStatus, moveTo, resetPassword, undoMove } from '../support/recovery.ts';
import { TestServer } from '../support/server.ts';

// Hashing, git and mail take long on a busy machine.
setDefaultTimeout(20_000);

const weekMs = 7 * 24 * 60 * 60 * 1000;
let server: TestServer;
let count = 0;

beforeAll(async () => {
  server = await TestServer.start();
});
afterAll(() => server.stop());

/** Somebody, and an address nobody has. */
async function somebody(): Promise<{ owner: Person; elsewhere: string }> {
  count += 1;
  return { owner: await join(server, `Owner${'x'.repeat(count)}`), elsewhere: `other${count}@example.test` };
}

const erasing = (person: Person) =>
  call(server, 'deleteAccount', { ...credentials(person), PASSWORD: person.password });
const enrolling = (person: Person) =>
  call(server, 'enrollTotp', { ...credentials(person), PASSWORD: person.password });

describe('who has changed his address', () => {
  test('enrolls a factor and deletes the account with the login he had before', async () => {
    const { owner, elsewhere } = await somebody();
    await moveTo(server, owner, elsewhere);
    expect((await enrolling(owner)).status).toBe(200);
    expect((await erasing(owner)).status).toBe(200);
  });

  test('does so with a new login after seven days, and is told so before', async () => {
    const { owner, elsewhere } = await somebody();
    await moveTo(server, owner, elsewhere);
    const late = await logIn(server, elsewhere, password);
    for (const refused of [await erasing(late), await enrolling(late)]) {
      expect(refused.status).toBe(409);
      expect(refused.body.message).toInclude('can be taken back for 7 days');
    }
    server.advance(weekMs + 1000);
    expect((await enrolling(late)).status).toBe(200);
    expect((await erasing(late)).status).toBe(200);
  });

  test('does so with a new login once he took the old address back', async () => {
    const { owner, elsewhere } = await somebody();
    const undoCode = await moveTo(server, owner, elsewhere);
    expect((await undoMove(server, owner.email, undoCode)).status).toBe(200);
    expect(await loginStatus(server, owner.email, password)).toBe(401);
    expect((await resetPassword(server, owner.email, password)).status).toBe(200);
    const returned = await logIn(server, owner.email, password);
    expect((await enrolling(returned)).status).toBe(200);
    expect((await erasing(returned)).status).toBe(200);
  });

  test('keeps a factor, also when somebody with his old mailbox takes the address back', async () => {
    const { owner, elsewhere } = await somebody();
    const secret = await enroll(server, owner);
    const confirm = { ...credentials(owner), CODE: codeOf(server, secret) };
    expect((await call(server, 'confirmTotp', confirm)).status).toBe(200);
    const undoCode = await moveTo(server, owner, elsewhere);
    expect((await undoMove(server, owner.email, undoCode)).status).toBe(200);
    expect((await resetPassword(server, owner.email, 'another horse 44')).status).toBe(200);
    const login = { EMAIL: owner.email, PASSWORD: 'another horse 44' };
    expect((await call(server, 'login', login)).body.SECOND_FACTOR).toBe(true);
    const TOTP = freshCode(server, secret);
    expect((await call(server, 'login', { ...login, TOTP })).status).toBe(200);
  });
});

test("who signed up with somebody else's address is out with all he has once its owner resets the password", async () => {
  const squatter = await signUp(server, 'Squatter');
  const { email, uid } = squatter;
  const pending = await call(server, 'login', { EMAIL: email, PASSWORD: password });
  expect(pending).toMatchObject({ status: 403, body: { UID: uid, redirect: true } });
  const sessions = [squatter, { ...squatter, cookie: pending.body.COOKIE }];
  const oldCode = server.codeFor(email);
  for (const session of sessions) expect((await enrolling(session)).status).toBe(401);
  expect((await resetPassword(server, email, 'owner horse 45')).status).toBe(200);
  for (const session of sessions) {
    expect((await call(server, 'getToken', credentials(session))).status).toBe(401);
    expect((await call(server, 'resendCode', credentials(session))).status).toBe(401);
    const entered = { ...credentials(session), ENTERD_OTP: oldCode };
    expect((await call(server, 'verifyAccount', entered)).status).toBe(403);
  }
  expect((await call(server, 'listPeople', { UID: uid, TOKEN: squatter.token })).status).toBe(401);
  expect(await loginStatus(server, email, password)).toBe(401);
  expect(await loginStatus(server, email, 'owner horse 45')).toBe(200);
});
