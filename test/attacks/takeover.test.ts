// Attack: sitting on somebody's address, or taking an account over by what outlasts a stolen session.
import { expect, test } from 'bun:test';
import { credentials, join, type Person, signUpBody } from '../support/people.ts';
import { logIn, loginStatus, moveTo, resetPassword, undoMove } from '../support/recovery.ts';
import { type TestServer, withServer } from '../support/server.ts';

const newPassword = 'a wholly new one 77';
const elsewhere = 'thief@evil.test';

/** What a cookie alone can be made into: another address, by a mail to that another password, by both a login. */
async function takeOver(server: TestServer, owner: Person): Promise<{ thief: Person; undoCode: string }> {
  const undoCode = await moveTo(server, owner, elsewhere);
  expect((await resetPassword(server, elsewhere, newPassword)).status).toBe(200);
  return { thief: await logIn(server, elsewhere, newPassword), undoCode };
}

test('who signed up with the address of another keeps a session after its owner has come', () =>
  withServer(async (server) => {
    const squatted = signUpBody('Mallory', { EMAIL: 'victim@example.test' });
    const { body: mallory } = await server.post('/sign_up', squatted);
    expect((await resetPassword(server, 'victim@example.test', newPassword)).status).toBe(200);
    const kept = { UID: mallory.UID, COOKIE: mallory.COOKIE };
    expect((await server.post('/get_token', kept)).status).toBe(401);
    const login = { EMAIL: 'victim@example.test', PASSWORD: squatted.PASSWORD };
    expect((await server.post('/login', login)).status).toBe(401);
  }));

test('a thief with a session changes the password and stays', () =>
  withServer(async (server) => {
    const alice = await join(server, 'Alice');
    const changed = { ...credentials(alice), NEW_PASSWORD: newPassword, PASSWORD: 'a guess of it 1' };
    expect((await server.request('PATCH', '/get_settings_data', changed)).status).not.toBe(200);
    expect((await server.post('/login', { EMAIL: alice.email, PASSWORD: alice.password })).status).toBe(200);
  }));

test('a thief with a cookie makes the account his by another address, and deletes it', () =>
  withServer(async (server) => {
    const alice = await join(server, 'Alice');
    const { thief } = await takeOver(server, alice);
    const asked = { ...credentials(thief), PASSWORD: newPassword, MESSAGES: 'remove' };
    expect((await server.post('/delete_account', asked)).status).toBe(409);
    const further = 'further@evil.test';
    await moveTo(server, thief, further);
    const again = await logIn(server, further, newPassword);
    expect((await server.post('/delete_account', { ...asked, ...credentials(again) })).status).toBe(409);
  }));

test('a thief with a cookie makes the account his by another address, and locks it with a second factor', () =>
  withServer(async (server) => {
    const alice = await join(server, 'Alice');
    const { thief, undoCode } = await takeOver(server, alice);
    const asked = { ...credentials(thief), PASSWORD: newPassword };
    expect((await server.post('/enroll_totp', asked)).status).toBe(409);
    expect((await undoMove(server, alice.email, undoCode)).status).toBe(200);
    expect((await resetPassword(server, alice.email, alice.password)).status).toBe(200);
    expect(await loginStatus(server, alice.email, alice.password)).toBe(200);
  }));

test('the password that a thief has set opens the account after its owner has taken the address back', () =>
  withServer(async (server) => {
    const alice = await join(server, 'Alice');
    const { undoCode } = await takeOver(server, alice);
    expect(await loginStatus(server, elsewhere, newPassword)).toBe(200);
    expect((await undoMove(server, alice.email, undoCode)).status).toBe(200);
    expect(await loginStatus(server, alice.email, newPassword)).toBe(401);
    expect(await loginStatus(server, elsewhere, newPassword)).toBe(401);
  }));

test('an account is made of fields that nobody is asked for', () =>
  withServer(async (server) => {
    const extra = { UID: 1, VERIFIED: true, IS_MAIL_OTP: 1, ROLE: 'owner', verifiedAt: 1, banned_at: null };
    const { body } = await server.post('/sign_up', signUpBody('Mallory', extra));
    expect(body.UID).not.toBe(1);
    expect((await server.post('/get_all_users', { UID: body.UID, COOKIE: body.COOKIE })).status).not.toBe(
      200,
    );
  }));
