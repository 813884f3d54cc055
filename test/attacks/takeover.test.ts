// Attack: sitting on somebody's address, or taking an account over by what outlasts a stolen session.
import { expect, test } from 'bun:test';
import { credentials, join, mailAt, signUpBody } from '../support/people.ts';
import { type TestServer, withServer } from '../support/server.ts';

const newPassword = 'a wholly new one 77';

/** The owner of the mailbox asks for a code and sets a password by it. */
async function reset(server: TestServer, EMAIL: string): Promise<number> {
  const before = server.mailsTo(EMAIL).length;
  await server.post('/forgot_password', { EMAIL });
  await mailAt(server, EMAIL, before + 1);
  const asked = { EMAIL, OTP: server.codeFor(EMAIL), NEW_PASSWORD: newPassword };
  return (await server.post('/reset_password', asked)).status;
}

test('who signed up with the address of another keeps a session after its owner has come', () =>
  withServer(async (server) => {
    const squatted = signUpBody('Mallory', { EMAIL: 'victim@example.test' });
    const { body: mallory } = await server.post('/sign_up', squatted);
    expect(await reset(server, 'victim@example.test')).toBe(200);
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

test('an account is made of fields that nobody is asked for', () =>
  withServer(async (server) => {
    const extra = { UID: 1, VERIFIED: true, IS_MAIL_OTP: 1, ROLE: 'owner', verifiedAt: 1, banned_at: null };
    const { body } = await server.post('/sign_up', signUpBody('Mallory', extra));
    expect(body.UID).not.toBe(1);
    expect((await server.post('/get_all_users', { UID: body.UID, COOKIE: body.COOKIE })).status).not.toBe(
      200,
    );
  }));
