// Sessions that end while their sockets are open.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { credentials, join, mailAt, type Person, password } from '../support/people.ts';
import { TestServer, withServer } from '../support/server.ts';
import { TestSocket } from '../support/socket.ts';

let server: TestServer;
let bob: Person;

beforeAll(async () => {
  server = await TestServer.start();
  bob = await join(server, 'Bob');
});
afterAll(() => server.stop());

const dayMs = 24 * 60 * 60 * 1000;

/** The same person logged in once more. */
function logIn(person: Person): Promise<Person> {
  return logInAt(server, person);
}

async function logInAt(at: TestServer, person: Person): Promise<Person> {
  const { body } = await at.post('/login', { EMAIL: person.email, PASSWORD: person.password });
  return { ...person, cookie: body.COOKIE, token: body.TOKEN };
}

test("a changed password closes the other sessions' sockets with 4501 and not one's own nor others'", async () => {
  const alice = await join(server, 'Alice');
  const stolen = await logIn(alice);
  await using own = await TestSocket.announced(server, alice);
  await using ownPhone = await TestSocket.announced(server, alice, '/ws/phone');
  await using waiting = await TestSocket.open(server);
  await using his = await TestSocket.announced(server, bob);
  const thieves = [
    await TestSocket.announced(server, stolen),
    await TestSocket.announced(server, stolen),
    await TestSocket.announced(server, stolen, '/ws/phone'),
  ];
  expect((await thieves[0]?.say('I am alice'))?.data.status_code).toBe(200);
  await own.rest();
  await ownPhone.rest();
  await his.rest();

  const change = { ...credentials(alice), PASSWORD: password, NEW_PASSWORD: 'another horse 43' };
  expect((await server.request('PATCH', '/get_settings_data', change)).status).toBe(200);
  for (const thief of thieves) expect((await thief.closed).code).toBe(4501);
  expect((await own.say('still here')).data.status_code).toBe(200);
  for (const socket of [ownPhone, his]) {
    expect((await socket.rest()).map(({ data }) => data.MESSAGE)).toEqual(['still here']);
  }
  expect(await waiting.rest()).toEqual([]);

  const refused = await waiting.ask('get_all_messages', { UID: stolen.uid, TOKEN: stolen.token });
  expect(refused.data.status_code).toBe(401);
  expect((await waiting.announce(alice)).data.status_code).toBe(200);
});

test('one who announces while his session ends is refused or closed, never left announced', async () => {
  const carol = await join(server, 'Carol');
  let current = password;
  for (let round = 0; round < 6; round += 1) {
    const stolen = await logIn({ ...carol, password: current });
    await using thief = await TestSocket.open(server);
    const next = `horse number ${round}`;
    const change = { ...credentials(carol), PASSWORD: current, NEW_PASSWORD: next };
    const changed = server.request('PATCH', '/get_settings_data', change);
    const stop = Date.now() + 2000;
    let done = false;
    void changed.then(() => {
      done = true;
    });
    while (!done && Date.now() < stop) {
      thief.send('wants_all_his_chats', { UID: stolen.uid, TOKEN: stolen.token });
      await Bun.sleep(1);
    }
    expect((await changed).status).toBe(200);
    current = next;
    const outcome = await Promise.race([
      thief.closed.then(({ code }) => code),
      thief
        .rest()
        .then(() => thief.say('am I still in?'))
        .then(({ data }) => data.status_code),
    ]).catch(() => thief.closed.then(({ code }) => code));
    expect([4501, 401]).toContain(outcome);
  }
});

test('logging out closes the sockets of that session with 4501, and no others', async () => {
  const alice = await join(server, 'Dana');
  const [phone, desk] = [await logIn(alice), await logIn(alice)];
  await using own = await TestSocket.announced(server, alice);
  await using his = await TestSocket.announced(server, bob);
  const phones = [
    await TestSocket.announced(server, phone),
    await TestSocket.announced(server, phone, '/ws/x'),
  ];
  const desks = [await TestSocket.announced(server, desk)];
  expect((await server.post('/logout', credentials(phone))).status).toBe(200);
  for (const socket of phones) expect((await socket.closed).code).toBe(4501);
  expect((await desks[0]?.say('still here'))?.data.status_code).toBe(200);

  const { body } = await server.post('/get_sessions', credentials(desk));
  const number = body.sessions.find(({ CURRENT }: { CURRENT: boolean }) => CURRENT).SESSION_ID;
  const other = { ...credentials(alice), SESSION_ID: number };
  expect((await server.post('/logout', other)).status).toBe(200);
  for (const socket of desks) expect((await socket.closed).code).toBe(4501);
  for (const socket of [own, his]) {
    await socket.rest();
    expect((await socket.say('and we')).data.status_code).toBe(200);
  }
});

test('logging out everywhere closes the sockets of all sessions of the account, and no others', async () => {
  const alice = await join(server, 'Ella');
  const others = [alice, await logIn(alice), await logIn(alice)];
  const sockets = await Promise.all(others.map((session) => TestSocket.announced(server, session)));
  await using his = await TestSocket.announced(server, bob);
  expect((await server.post('/logout_all', credentials(alice))).status).toBe(200);
  for (const socket of sockets) expect((await socket.closed).code).toBe(4501);
  expect((await his.say('still here')).data.status_code).toBe(200);
});

test('a password that was reset closes the sockets of all sessions of the account', async () => {
  const alice = await join(server, 'Fay');
  await using his = await TestSocket.announced(server, bob);
  const thief = await TestSocket.announced(server, await logIn(alice));
  const own = await TestSocket.announced(server, alice);
  expect((await server.post('/forgot_password', { EMAIL: alice.email })).status).toBe(200);
  const code = /^ {4}(\d{6})\r?$/m.exec(await mailAt(server, alice.email, 2))?.[1];
  const reset = { EMAIL: alice.email, OTP: code, NEW_PASSWORD: 'another horse 43' };
  expect((await server.post('/reset_password', reset)).status).toBe(200);
  for (const socket of [thief, own]) expect((await socket.closed).code).toBe(4501);
  expect((await his.say('still here')).data.status_code).toBe(200);
});

test('a session that is over has its sockets closed when it is removed, one that was used since does not', async () => {
  await withServer(async (own) => {
    const alice = await join(own, 'Alice');
    const idle = await TestSocket.announced(own, await logInAt(own, alice));
    own.advance(91 * dayMs);
    const fresh = await TestSocket.announced(own, await logInAt(own, alice));
    const now = own.clock();
    await own.store.removeExpired({
      now,
      sessionsUsedBefore: now - 90 * dayMs,
      sessionsMadeBefore: now - 365 * dayMs,
    });
    expect((await idle.closed).code).toBe(4501);
    expect((await fresh.say('still here')).data.status_code).toBe(200);
    await fresh.close();
  });
});
