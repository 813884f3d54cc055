// What one socket, account or address may ask for, with RATE_LIMITS on.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { socketLimits } from '../../src/gateway/limits.ts';
import { join, makeGroup, type Person } from '../support/people.ts';
import { TestServer, withServer } from '../support/server.ts';
import { defaultGroup, type Frame, RawSocket, TestSocket } from '../support/socket.ts';

const env = { RATE_LIMITS: 'on' };

async function take(socket: TestSocket, frames: number): Promise<Frame[]> {
  const taken: Frame[] = [];
  while (taken.length < frames) taken.push(await socket.next());
  return taken;
}

describe('how fast one may send', () => {
  let server: TestServer;
  let alice: Person;
  let bob: Person;

  beforeAll(async () => {
    server = await TestServer.start({ env });
    [alice, bob] = await Promise.all([join(server, 'Alice'), join(server, 'Bob')]);
  });
  afterAll(() => server.stop());

  test('messages beyond the rate are 429 with what the chat shows, the socket stays open, and others may write', async () => {
    const team = await makeGroup(server, alice, [bob]);
    await using hers = await TestSocket.announced(server, alice);
    await using his = await TestSocket.announced(server, bob);
    for (let id = 0; id < 150; id += 1) hers.send('send_message', { MESSAGE: `m${id}`, GROUP_ID: team });
    const replies = (await take(hers, 150)).map(({ data }) => data);
    const sent = replies.filter(({ status_code }) => status_code === 200);
    const refused = replies.filter(({ status_code }) => status_code === 429);
    expect(sent.length + refused.length).toBe(150);
    expect(sent.length).toBeGreaterThanOrEqual(50);
    expect(refused.length).toBeGreaterThanOrEqual(50);
    expect(refused[0]).toMatchObject({ content: { SENDER_ID: 0, SENDER_NAME: 'Server', GROUP_ID: team } });
    expect((await take(his, sent.length)).at(-1)?.data.MESSAGE_ID).toBe(sent.length);
    expect((await his.say('my own rate', team)).data.MESSAGE_ID).toBe(sent.length + 1);
    expect((await hers.next()).data.MESSAGE).toBe('my own rate');
    server.advance(10_000);
    expect((await hers.say('later', team)).data.status_code).toBe(200);
  });

  test('the rate is one for all sockets of an account', async () => {
    server.advance(60_000);
    await using desk = await TestSocket.announced(server, alice, '/ws/desk');
    await using phone = await TestSocket.announced(server, alice, '/ws/phone');
    const write = (socket: TestSocket) =>
      socket.send('send_message', { MESSAGE: 'x', GROUP_ID: defaultGroup });
    for (let id = 0; id < 80; id += 1) write(desk);
    await take(desk, 80);
    await phone.rest();
    for (let id = 0; id < 40; id += 1) write(phone);
    // Another one is allowed every 100 ms, so a slow machine lets a few pass, but never the 50 of a fresh account.
    const statuses = (await take(phone, 40)).map(({ data }) => data.status_code);
    expect(statuses.filter((status) => status === 429).length).toBeGreaterThan(20);
  });

  test('too many frames are refused on event `error`, and a socket that goes on is closed with 4503', async () => {
    server.advance(60_000);
    await using flooding = await TestSocket.announced(server, bob);
    await using calm = await TestSocket.announced(server, alice);
    for (let id = 0; id < 250; id += 1) flooding.send('connect_user', {});
    const first = await take(flooding, 250);
    expect(first.at(-1)).toMatchObject({ event: 'error', data: { status_code: 429 } });
    expect(flooding.raw.readyState).toBe(WebSocket.OPEN);
    for (let id = 0; id < 500; id += 1) flooding.send('connect_user', {});
    expect((await flooding.closed).code).toBe(4503);
    expect((await calm.say('I am not meant')).data.status_code).toBe(200);
  });

  test('messages taken before a flood are kept and reach the others although the flooder is closed', async () => {
    server.advance(60_000);
    const team = await makeGroup(server, alice, [bob]);
    await using hers = await TestSocket.announced(server, alice);
    const { socket } = await RawSocket.open(server);
    socket.send({ event: 'get_all_messages', data: { UID: bob.uid, TOKEN: bob.token } });
    await socket.take(/"status_code":200/);
    const message = { event: 'send_message', data: { MESSAGE: 'kept', GROUP_ID: team } };
    const flood = Array<{ event: string; data: object }>(800).fill({ event: 'connect_user', data: {} });
    socket.send(message, message, message, ...flood);
    await socket.ended;
    expect((await hers.rest()).map(({ data }) => data.MESSAGE_ID)).toEqual([1, 2, 3]);
  });
});

test('unannounced sockets of one address are bounded; the longest silent goes, but not before 30 minutes', () =>
  withServer(
    async (server) => {
      const alice = await join(server, 'Alice');
      const sockets: TestSocket[] = [];
      while (sockets.length < socketLimits.unannouncedPerAddress) sockets.push(await TestSocket.open(server));
      const refused = await RawSocket.open(server);
      expect([refused.status, refused.body.message]).toEqual([429, expect.any(String)]);

      server.advance(29 * 60_000);
      expect((await RawSocket.open(server)).status).toBe(429);
      await sockets[0]?.ask('connect_user', {});
      server.advance(60_000);
      await using late = await TestSocket.open(server);
      expect((await sockets[1]?.closed)?.code).toBe(4002);
      for (const socket of [sockets[0], sockets[2], late]) {
        expect((await socket?.ask('connect_user', {}))?.data.status_code).toBe(200);
      }

      await sockets[2]?.announce(alice);
      server.advance(-30 * 60_000);
      await using _another = await TestSocket.open(server);
      expect((await RawSocket.open(server)).status).toBe(429);
      for (const socket of sockets) socket.raw.terminate();
    },
    { env },
  ));

test('a person may have fifty sockets, and with one more the oldest goes', () =>
  withServer(async (server) => {
    const [alice, bob] = [await join(server, 'Alice'), await join(server, 'Bob')];
    await using his = await TestSocket.announced(server, bob);
    const sockets: TestSocket[] = [];
    while (sockets.length < 50)
      sockets.push(await TestSocket.announced(server, alice, `/ws/${sockets.length}`));
    await his.say('for fifty');
    for (const socket of sockets) expect((await socket.rest()).length).toBe(1);
    sockets.push(await TestSocket.announced(server, alice, '/ws/50'));
    expect((await sockets.shift()?.closed)?.code).toBe(4002);
    await his.say('for fifty again');
    for (const socket of sockets) expect((await socket.rest()).length).toBe(1);
    expect((await his.say('and I am still here')).data.status_code).toBe(200);
    for (const socket of sockets) socket.raw.terminate();
  }));
