// A clock that is set ahead or back: nothing is removed for it, nobody is kept waiting for it, and no order depends on it.
import { afterEach, beforeEach, describe, expect, setSystemTime, test } from 'bun:test';
import { socketLimits } from '../../src/gateway/limits.ts';
import { call, credentials, join, mailAt, makeGroup, type Person, signUp } from '../support/people.ts';
import { TestServer } from '../support/server.ts';
import { defaultGroup, RawSocket, TestSocket } from '../support/socket.ts';

const minuteMs = 60 * 1000;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;
const yearMs = 365 * dayMs;

let server: TestServer;
let alice: Person;
let lines: string[];

beforeEach(async () => {
  lines = [];
  const env = { RETENTION_DAYS: '30', RATE_LIMITS: 'on' };
  server = await TestServer.start({ env, onLog: (line) => lines.push(line) });
  alice = await join(server, 'Alice');
});
afterEach(async () => {
  setSystemTime();
  await server.stop();
});

/** What housekeeping leaves of the default group. */
async function kept(): Promise<number[]> {
  await server.running.keepHouse();
  const { body } = await call(server, 'oldMessages', { ...credentials(alice), GROUP_ID: defaultGroup });
  return Object.keys(body.groups_messages[defaultGroup]).map(Number);
}

async function say(...texts: string[]): Promise<string[]> {
  await using socket = await TestSocket.announced(server, alice);
  const times: string[] = [];
  for (const text of texts) {
    const { status_code, TIME_STAMP } = (await socket.say(text)).data;
    expect(status_code).toBe(200);
    times.push(TIME_STAMP);
  }
  return times;
}

/** So long that the clock is believed, with a session that is in use. */
async function stayUp(ms: number): Promise<void> {
  server.advance(ms);
  await server.running.keepHouse();
}

describe('a clock that is set ahead by a year', () => {
  test('removes no message, session or account, if it is set right within an hour', async () => {
    const unverified = await signUp(server, 'Bob');
    await say('one', 'two');
    await stayUp(2 * hourMs);
    server.setClock(yearMs + dayMs);
    await server.running.keepHouse();
    server.advance(50 * minuteMs);
    await server.running.keepHouse();
    // The session is over by this clock, but it is still there.
    expect((await call(server, 'listChats', credentials(alice))).status).toBe(403);
    server.setClock(-yearMs - dayMs);
    expect(await kept()).toEqual([1, 2]);
    expect((await call(server, 'listChats', credentials(alice))).status).toBe(200);
    expect((await call(server, 'resendCode', { ...credentials(unverified), MODE: 'DEFAULT' })).status).toBe(
      200,
    );
    const jumps = lines.filter((line) => line.includes('the clock was set')).map((line) => JSON.parse(line));
    expect(jumps.map(({ seconds }) => Math.round(seconds / 60))).toEqual([366 * 1440, -366 * 1440]);
  });

  test('is believed when it stays so for an hour', async () => {
    await say('one');
    await stayUp(2 * hourMs);
    server.setClock(40 * dayMs);
    expect(await kept()).toEqual([1]);
    server.advance(59 * minuteMs);
    expect(await kept()).toEqual([1]);
    server.advance(2 * minuteMs);
    expect(await kept()).toEqual([]);
  });

  test('holds up no removal for what was sent meanwhile', async () => {
    await say('one');
    server.setClock(80 * dayMs);
    await say('ahead', 'ahead too');
    server.setClock(-80 * dayMs);
    await say('right again');
    await stayUp(29 * dayMs);
    await say('young');
    await stayUp(2 * dayMs);
    expect(await kept()).toEqual([5]);
  });

  test('leaves no session that would never be idle', async () => {
    server.setClock(80 * dayMs);
    expect((await call(server, 'listChats', credentials(alice))).status).toBe(200);
    server.setClock(-80 * dayMs);
    for (const deadline = Date.now() + 2000; Date.now() < deadline; await Bun.sleep(5)) {
      await call(server, 'listChats', credentials(alice));
      const { body } = await call(server, 'listSessions', credentials(alice));
      if (Date.parse(body.sessions[0].LAST_USED_ON) <= server.clock()) return;
    }
    expect.unreachable('the use stayed noted in the future');
  });

  test('leaves no code that would be good until then', async () => {
    const bob = await signUp(server, 'Bob');
    server.setClock(yearMs);
    const late = await signUp(server, 'Late');
    const code = server.codeFor(late.email);
    server.setClock(-yearMs);
    const enter = (person: Person, digits: string) =>
      call(server, 'verifyAccount', { ...credentials(person), ENTERD_OTP: digits });
    expect((await enter(late, code)).status).toBe(401);
    expect((await enter(bob, server.codeFor(bob.email))).status).toBe(200);
    expect((await call(server, 'resendCode', { ...credentials(late), MODE: 'DEFAULT' })).status).toBe(200);
    expect((await enter(late, server.codeFor(late.email))).status).toBe(200);
  });
});

describe('a clock that is set back by a day', () => {
  test('changes no order: positions, pages and cursors go on, only the times told go back', async () => {
    await using follower = await TestSocket.announced(server, alice, '/ws/follower');
    const { EPOCH } = (await follower.announce(alice)).data;
    const [before = ''] = await say('one');
    server.setClock(-dayMs);
    const [after = ''] = await say('two', 'three');
    expect(Date.parse(before) - Date.parse(after)).toBeGreaterThan(dayMs - minuteMs);
    const live = [await follower.next(), await follower.next(), await follower.next()];
    expect(live.map(({ data }) => data.MESSAGE_ID)).toEqual([1, 2, 3]);
    expect(await kept()).toEqual([1, 2, 3]);
    await using back = await TestSocket.open(server, '/ws/back');
    const { uid, token } = alice;
    back.send('wants_all_his_chats', { UID: uid, TOKEN: token, EPOCH, CURSORS: { [defaultGroup]: 1 } });
    expect([(await back.next()).data.MESSAGE_ID, (await back.next()).data.MESSAGE_ID]).toEqual([2, 3]);
  });

  test('keeps nobody who sends waiting for longer than a full bucket needs', async () => {
    await using socket = await TestSocket.announced(server, alice);
    // As many as may be sent at once, so that the next has to wait.
    for (let count = 0; count < 50; count += 1)
      socket.send('send_message', { MESSAGE: 'x', GROUP_ID: defaultGroup });
    for (let count = 0; count < 50; count += 1) await socket.next();
    server.setClock(-dayMs);
    const outcomes: number[] = [];
    for (let tries = 0; tries < 40 && outcomes.at(-1) !== 200; tries += 1) {
      outcomes.push((await socket.say('again')).data.status_code);
      await Bun.sleep(10);
    }
    expect(outcomes.at(-1)).toBe(200);
  });

  test('keeps nobody from asking for a code', async () => {
    const bob = await signUp(server, 'Bob');
    const again = { ...credentials(bob), MODE: 'DEFAULT' };
    const ask = async () => (await call(server, 'resendCode', again)).status;
    expect([await ask(), await ask(), await ask(), await ask()]).toEqual([200, 200, 200, 429]);
    server.setClock(-dayMs);
    expect(await ask()).toBe(200);
  });

  test('lets the limits of requests be told as what they are', async () => {
    const start = Date.now();
    setSystemTime(start);
    for (let tries = 0; tries < 6; tries += 1)
      await call(server, 'changeSettings', {
        ...credentials(alice),
        PASSWORD: 'wrong wrong wrong',
        NEW_PASSWORD: 'another horse 43',
      });
    setSystemTime(start - dayMs);
    for (let tries = 0; tries < 6; tries += 1) {
      const refused = await call(server, 'changeSettings', {
        ...credentials(alice),
        PASSWORD: 'wrong wrong wrong',
        NEW_PASSWORD: 'another horse 43',
      });
      if (refused.status !== 429) continue;
      expect(Number(refused.headers.get('retry-after'))).toBeWithin(1, 301);
      return;
    }
    expect.unreachable('the limit was never met');
  });

  test('ends no session that was just opened for one that seems to have been used later', async () => {
    const account = await server.store.findAccount(alice.uid);
    const checked = { passwordHash: account?.passwordHash ?? '', most: 100 };
    for (let index = 0; index < 100; index += 1) {
      const hashes = { cookieHash: `cookie ${index}`, tokenHash: `token ${index}` };
      const session = { uid: alice.uid, ...hashes, createdAt: server.clock(), device: '' };
      await server.store.openSession(session, checked);
    }
    server.setClock(-dayMs);
    const { body } = await call(server, 'login', { EMAIL: alice.email, PASSWORD: alice.password });
    const opened = { UID: body.UID, COOKIE: body.COOKIE };
    expect((await call(server, 'readSettings', opened)).status).toBe(200);
    expect(Object.keys((await call(server, 'listSessions', opened)).body.sessions).length).toBe(100);
  });

  test('lets those who have long been silent make room for others all the same', async () => {
    const sockets: TestSocket[] = [];
    while (sockets.length < socketLimits.unannouncedPerAddress) sockets.push(await TestSocket.open(server));
    server.setClock(-dayMs);
    expect((await RawSocket.open(server)).status).toBe(429); // nobody has been silent for long enough yet
    server.advance(31 * minuteMs);
    expect((await RawSocket.open(server)).status).toBe(101);
    expect((await sockets[0]?.closed)?.code).toBe(4002);
    for (const socket of sockets) socket.raw.terminate();
  });

  test('does not make the time the server is up negative, and mails go on', async () => {
    server.setClock(-dayMs);
    const { body } = await call(server, 'uptime');
    expect(body.UPTIME_SECONDS).toBeWithin(0, 60);
    await signUp(server, 'Bob');
    expect(await mailAt(server, 'bob@example.test', 1)).toContain('Subject: ');
  });

  test('lets groups be handed on and chats be listed, whatever order the times have', async () => {
    const bob = await join(server, 'Bob');
    const group = await makeGroup(server, alice, [bob]);
    server.setClock(-dayMs);
    await using socket = await TestSocket.announced(server, bob);
    expect((await socket.say('hello', group)).data.MESSAGE_ID).toBe(1);
    expect((await call(server, 'leaveGroup', { ...credentials(alice), GROUP_ID: group })).status).toBe(200);
    const { body } = await call(server, 'listChats', credentials(bob));
    expect(body.chats[group]).toMatchObject({ LAST_MESSAGE_ID: 1, LAST_MESSAGE: 'hello' });
  });
});
