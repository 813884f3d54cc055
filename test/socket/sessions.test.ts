// Sessions that end while their sockets are open.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { credentials, join, type Person, password } from '../support/people.ts';
import { TestServer } from '../support/server.ts';
import { TestSocket } from '../support/socket.ts';

let server: TestServer;
let bob: Person;

beforeAll(async () => {
  server = await TestServer.start();
  bob = await join(server, 'Bob');
});
afterAll(() => server.stop());

/** The same person logged in once more. */
async function logIn(person: Person): Promise<Person> {
  const { body } = await server.post('/login', { EMAIL: person.email, PASSWORD: person.password });
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
