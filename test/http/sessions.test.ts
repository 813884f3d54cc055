// One's own sessions: seeing them, ending one or all, and how many there may be.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, spyOn, test } from 'bun:test';
import { call, credentials, join, type Person, password } from '../support/people.ts';
import { type Answer, TestServer, withServer } from '../support/server.ts';

// Hashing, git and mail take long on a busy machine.
setDefaultTimeout(20_000);

const hourMs = 60 * 60 * 1000;
const dayMs = 24 * hourMs;
let server: TestServer;
let carol: Person;
let count = 0;

beforeAll(async () => {
  server = await TestServer.start();
  carol = await join(server, 'Carol');
});
afterAll(() => server.stop());

function somebody(): Promise<Person> {
  count += 1;
  return join(server, `Some${'x'.repeat(count)}`);
}

async function logIn(person: Person, device = 'Test', at = server): Promise<Person> {
  const fields = { EMAIL: person.email, PASSWORD: password };
  const { status, body } = await call(at, 'login', fields, { 'user-agent': device });
  expect(status).toBe(200);
  return { ...person, cookie: body.COOKIE, token: body.TOKEN };
}

interface Shown {
  readonly SESSION_ID: number;
  readonly CREATED_ON: string;
  readonly LAST_USED_ON: string;
  readonly DEVICE: string;
  readonly CURRENT: boolean;
}

async function sessionsOf(person: Person, at = server): Promise<Shown[]> {
  const { status, body } = await call(at, 'listSessions', credentials(person));
  expect(status).toBe(200);
  return body.sessions;
}

async function numberOf(person: Person): Promise<number> {
  return (await sessionsOf(person)).find(({ CURRENT }) => CURRENT)?.SESSION_ID ?? 0;
}

/** Whether the cookie and the token of a session open anything. */
async function isAlive(person: Person, at = server): Promise<boolean> {
  const byCookie = await call(at, 'listChats', credentials(person));
  const byToken = await call(at, 'listChats', { UID: person.uid, TOKEN: person.token });
  expect(byCookie.status).toBe(byToken.status);
  return byCookie.status === 200;
}

/** Uses a session, which is noted beside the request, and waits for that. */
async function use(person: Person, at: TestServer): Promise<void> {
  expect(await isAlive(person, at)).toBe(true);
  for (const deadline = Date.now() + 3000; Date.now() < deadline; await Bun.sleep(2)) {
    const lastUsed = (await sessionsOf(person, at)).find(({ CURRENT }) => CURRENT)?.LAST_USED_ON ?? '';
    if (at.clock() - Date.parse(lastUsed) < hourMs) return;
  }
  throw new Error('the use of a session was not noted');
}

function logOut(person: Person, sessionId?: unknown): Promise<Answer> {
  return call(server, 'logOut', { ...credentials(person), SESSION_ID: sessionId });
}

describe('the list', () => {
  test('it has every login of the account and nobody else’s, with its device, the asking one marked', async () => {
    const first = await somebody();
    const phone = await logIn(first, 'Phone 1.0 (model; x)');
    const shown = await sessionsOf(phone);
    expect(shown.map(({ DEVICE, CURRENT }) => [DEVICE, CURRENT])).toEqual([
      ['Phone 1.0 (model; x)', true],
      [expect.stringContaining('Bun/'), false],
    ]);
    expect((await sessionsOf(first)).map(({ CURRENT }) => CURRENT)).toEqual([false, true]);
    const byToken = await call(server, 'listSessions', { UID: first.uid, TOKEN: first.token });
    expect(byToken.body.sessions).toHaveLength(2);
    const text = JSON.stringify(shown);
    for (const secret of [first.cookie, first.token, phone.cookie]) expect(text).not.toInclude(secret);
    expect(await sessionsOf(carol)).toHaveLength(1);
  });

  test('the one used last comes first; those that are over are not in it', async () => {
    await withServer(async (own) => {
      const first = await join(own, 'Alice');
      own.advance(2 * hourMs);
      await logIn(first, 'Second', own);
      own.advance(2 * hourMs);
      await use(first, own);
      expect((await sessionsOf(first, own)).map(({ DEVICE }) => DEVICE)).toEqual([
        expect.stringContaining('Bun/'),
        'Second',
      ]);
      own.advance(80 * dayMs);
      await logIn(first, 'Third', own);
      own.advance(11 * dayMs);
      const fourth = await logIn(first, 'Fourth', own);
      expect((await sessionsOf(fourth, own)).map(({ DEVICE }) => DEVICE)).toEqual(['Fourth', 'Third']);
      own.advance(300 * dayMs);
      const fifth = await logIn(first, 'Fifth', own);
      expect((await sessionsOf(fifth, own)).map(({ DEVICE }) => DEVICE)).toEqual(['Fifth']);
    });
  });

  test('a device is one line of at most 120 characters, whatever the client calls itself', async () => {
    const person = await somebody();
    const long = await logIn(person, 'x'.repeat(1000));
    expect((await sessionsOf(long))[0]?.DEVICE).toBe('x'.repeat(120));
    const odd = await logIn(person, ' a\tb\u00ad\u0085c ');
    expect((await sessionsOf(odd))[0]?.DEVICE).toBe('abc');
  });
});

describe('logging out', () => {
  test('it ends the asking session and no other', async () => {
    const first = await somebody();
    const second = await logIn(first);
    expect(await isAlive(second)).toBe(true);
    expect((await logOut(second)).status).toBe(200);
    expect(await isAlive(second)).toBe(false);
    expect(await isAlive(first)).toBe(true);
    expect((await logOut(second)).status).toBe(401);
    expect(await sessionsOf(first)).toHaveLength(1);
  });

  test('a token logs out as a cookie does', async () => {
    const first = await somebody();
    const second = await logIn(first);
    const bearer = { authorization: `Bearer ${second.token}` };
    expect((await call(server, 'logOut', {}, bearer)).status).toBe(200);
    expect(await isAlive(second)).toBe(false);
    expect(await isAlive(first)).toBe(true);
  });

  test('with SESSION_ID it ends that one of the same account', async () => {
    const first = await somebody();
    const [second, third] = [await logIn(first), await logIn(first)];
    expect((await logOut(first, await numberOf(second))).status).toBe(200);
    expect((await logOut(first, String(await numberOf(third)))).status).toBe(200);
    expect([await isAlive(first), await isAlive(second), await isAlive(third)]).toEqual([true, false, false]);
  });

  test("somebody else's session and one that is none are 404, and nothing ends; its owner ends the very same", async () => {
    const victim = await somebody();
    const number = await numberOf(victim);
    expect((await logOut(carol, number)).status).toBe(404);
    expect((await logOut(carol, 999_999_999)).status).toBe(404);
    for (const bad of [0, -1, 1.5, 'x', '', {}, [number], true])
      expect((await logOut(carol, bad)).status).toBe(400);
    expect([await isAlive(victim), await isAlive(carol)]).toEqual([true, true]);
    expect((await logOut(victim, number)).status).toBe(200);
    expect(await isAlive(victim)).toBe(false);
  });

  test('logging out everywhere ends all of the account, the asking one too, and nobody else’s', async () => {
    const first = await somebody();
    const others = [await logIn(first), await logIn(first)];
    const answer = await call(server, 'logOutAll', credentials(first));
    expect(answer).toMatchObject({ status: 200, body: { ENDED: 3 } });
    for (const session of [first, ...others]) expect(await isAlive(session)).toBe(false);
    expect(await isAlive(carol)).toBe(true);
    expect(await isAlive(await logIn(first))).toBe(true);
  });
});

describe('how many', () => {
  test('of more than a hundred the least recently used end', async () => {
    await withServer(async (own) => {
      const first = await join(own, 'Alice');
      own.advance(hourMs);
      const old = await logIn(first, 'Old', own);
      const bob = await join(own, 'Bob');
      const passwordHash = (await own.store.findAccount(first.uid))?.passwordHash ?? '';
      for (let index = 0; index < 98; index += 1) {
        own.advance(1);
        const hash = `hash ${index}`;
        const session = {
          uid: first.uid,
          cookieHash: hash,
          tokenHash: hash,
          createdAt: own.clock(),
          device: '',
        };
        expect(await own.store.openSession(session, { passwordHash, most: 100 })).toBe(0);
      }
      expect(await sessionsOf(first, own)).toHaveLength(100);
      own.advance(2 * hourMs);
      await use(first, own);
      const newest = await logIn(first, 'Newest', own);
      expect(await sessionsOf(first, own)).toHaveLength(100);
      expect(await isAlive(old, own)).toBe(false);
      expect(await isAlive(first, own)).toBe(true);
      expect(await isAlive(newest, own)).toBe(true);
      expect(await isAlive(bob, own)).toBe(true);
    });
  });
});

describe('what was under way when sessions ended', () => {
  test('a login that was checked before the password changed opens nothing after it', async () => {
    const alice = await somebody();
    const open = server.store.openSession.bind(server.store);
    const held = spyOn(server.store, 'openSession').mockImplementationOnce(async (...asked) => {
      const change = { ...credentials(alice), PASSWORD: password, NEW_PASSWORD: 'another horse 43' };
      expect((await call(server, 'changeSettings', change)).status).toBe(200);
      return open(...asked);
    });
    const late = await call(server, 'login', { EMAIL: alice.email, PASSWORD: password });
    held.mockRestore();
    expect(late.status).toBe(401);
    expect(await sessionsOf(alice)).toHaveLength(1);
  });

  test('a change that was checked before its session ended changes nothing after it', async () => {
    const alice = await somebody();
    const thief = await logIn(alice);
    const apply = server.store.changeSettings.bind(server.store);
    const held = spyOn(server.store, 'changeSettings').mockImplementationOnce(async (...asked) => {
      expect((await call(server, 'logOutAll', credentials(alice))).status).toBe(200);
      return apply(...asked);
    });
    const change = { ...credentials(thief), PASSWORD: password, NEW_PASSWORD: 'another horse 43' };
    const late = await call(server, 'changeSettings', change);
    held.mockRestore();
    expect(late.status).toBe(401);
    expect(await isAlive(await logIn(alice))).toBe(true);
  });
});
