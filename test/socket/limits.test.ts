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
    for (let id = 0; id < 125; id += 1) flooding.send('connect_user', {});
    const first = await take(flooding, 125);
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

describe('what costs more than a frame', () => {
  const now = { RATE_LIMITS: 'on' };

  test(
    'announces, resumes and read marks have limits of their own, per account, and say 429',
    () =>
      withServer(
        async (server) => {
          const [alice, bob] = [await join(server, 'Alice'), await join(server, 'Bob')];
          const announce = { UID: alice.uid, TOKEN: alice.token };
          for (const [event, most, data] of [
            ['get_all_messages', 200, announce],
            ['resume', 100, { EPOCH: 'another', CURSORS: {} }],
            ['mark_read', 100, { GROUP_ID: defaultGroup, MESSAGE_ID: 0 }],
          ] as const) {
            await using hers = await TestSocket.announced(server, alice, '/ws/desk');
            await using other = await TestSocket.announced(server, bob);
            let passed = 0;
            // So much slower than frames may come that only the event's own limit can be met.
            for (; passed <= most + 50; passed += 1) {
              const { data: reply } = await hers.ask(event, data);
              if (reply.status_code === 429) break;
              expect([event, reply.status_code]).toEqual([event, 200]);
              if (passed % 40 === 39) await Bun.sleep(850);
            }
            expect([event, passed >= most - 5 && passed <= most + 50]).toEqual([event, true]);
            expect(hers.raw.readyState).toBe(WebSocket.OPEN);
            const mine = event === 'get_all_messages' ? { UID: bob.uid, TOKEN: bob.token } : data;
            expect((await other.ask(event, mine)).data.status_code).toBe(200);
            server.advance(10 * 60_000);
            expect((await hers.ask(event, data)).data.status_code).toBe(200);
          }
        },
        { env: now },
      ),
    60_000,
  );

  test('announces with a wrong token use up nothing of the account', () =>
    withServer(
      async (server) => {
        const alice = await join(server, 'Alice');
        await using guessing = await TestSocket.open(server);
        for (let tries = 0; tries < 250; tries += 1) {
          const reply = await guessing.ask('get_all_messages', { UID: alice.uid, TOKEN: `wrong ${tries}` });
          expect([401, 429]).toContain(reply.data.status_code);
          if (reply.data.status_code === 429) expect(reply.event).toBe('error');
          server.advance(25);
        }
        await using hers = await TestSocket.open(server);
        expect((await hers.announce(alice)).data.status_code).toBe(200);
      },
      { env: now },
    ));

  test('pings are frames: a flood of them ends its connection, and no other of the account', () =>
    withServer(
      async (server) => {
        const alice = await join(server, 'Alice');
        await using desk = await TestSocket.announced(server, alice, '/ws/desk');
        const { socket } = await RawSocket.open(server, '/ws/phone');
        socket.send({ event: 'get_all_messages', data: { UID: alice.uid, TOKEN: alice.token } });
        await socket.take(/"status_code":200/);
        const ping = Buffer.from([0x89, 0x80, 0, 0, 0, 0]);
        socket.raw.write(Buffer.concat(Array<Buffer>(1000).fill(ping)));
        await socket.ended;
        expect(socket.received).toContain('"event":"error","data":{"status_code":429');
        // The close frame carries 4503.
        expect(socket.received).toContain('\x11\x97');
        server.advance(5000);
        expect((await desk.say('still here')).data.status_code).toBe(200);
      },
      { env: now },
    ));

  test('a flood costs its own account the rate and nobody else anything; its other sockets stay', () =>
    withServer(
      async (server) => {
        const [alice, bob] = [await join(server, 'Alice'), await join(server, 'Bob')];
        await using desk = await TestSocket.announced(server, alice, '/ws/desk');
        await using flooding = await TestSocket.announced(server, alice, '/ws/phone');
        await using his = await TestSocket.announced(server, bob);
        for (let id = 0; id < 5000; id += 1) flooding.send('connect_user', {});
        expect((await his.ask('connect_user', {})).data.status_code).toBe(200);
        expect((await flooding.closed).code).toBe(4503);
        server.advance(5000);
        expect((await desk.ask('connect_user', {})).data.status_code).toBe(200);
        // Not one reply for each of the 5,000: the flood was stopped as it came.
        expect(flooding.frames.length).toBeLessThan(1000);
        await using again = await TestSocket.announced(server, alice, '/ws/phone');
        expect(again.raw.readyState).toBe(WebSocket.OPEN);
      },
      { env: now },
    ));

  test('an address that floods again and again is not let in for a while, and nobody else is kept out', () =>
    withServer(
      async (server) => {
        const from = (address: string) => RawSocket.open(server, '/ws', { 'X-Forwarded-For': address });
        const statuses: number[] = [];
        for (let round = 0; round < 40 && statuses.at(-1) !== 429; round += 1) {
          const { socket, status } = await from('192.0.2.1');
          statuses.push(status);
          for (let frame = 0; status === 101 && frame < 300; frame += 1)
            socket.send({ event: 'ping', data: {} });
          await socket.ended;
        }
        expect(statuses.at(-1)).toBe(429);
        expect(statuses.length).toBeGreaterThan(10);
        const neighbour = await from('192.0.2.2');
        expect(neighbour.status).toBe(101);
        neighbour.socket.raw.destroy();
      },
      { env: { ...now, TRUST_PROXY: '127.0.0.1' } },
    ));

  test('sockets of one /64 are counted together', () =>
    withServer(
      async (server) => {
        const from = (address: string) => RawSocket.open(server, '/ws', { 'X-Forwarded-For': address });
        const sockets = await Promise.all(
          Array.from({ length: socketLimits.unannouncedPerAddress }, (_none, host) =>
            from(`2001:db8:1:2::${host.toString(16)}`),
          ),
        );
        expect(new Set(sockets.map(({ status }) => status))).toEqual(new Set([101]));
        expect((await from('2001:db8:1:2:ffff::1')).status).toBe(429);
        const neighbour = await from('2001:db8:1:3::1');
        expect(neighbour.status).toBe(101);
        for (const { socket } of [...sockets, neighbour]) socket.raw.destroy();
      },
      { env: { ...now, TRUST_PROXY: '127.0.0.1' } },
    ));
});
