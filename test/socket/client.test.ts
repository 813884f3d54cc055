// The client library against the running server: sends once, misses nothing, comes back by itself.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { ChatClient, type ChatMessage, SendError } from '../../src/client/client.ts';
import { directChatId } from '../../src/protocol/entities.ts';
import { join, makeGroup, type Person } from '../support/people.ts';
import { TestServer } from '../support/server.ts';

let server: TestServer;
let alice: Person;
let bob: Person;

beforeAll(async () => {
  // A fixed port, so that a restarted server is where its clients look for it.
  const free = Bun.serve({ port: 0, fetch: () => new Response('') });
  const port = String(free.port);
  await free.stop(true);
  server = await TestServer.start({ env: { PORT: port } });
  alice = await join(server, 'Alice');
  bob = await join(server, 'Bob');
}, 20_000);
afterAll(() => server.stop());

function open(person: Person): { client: ChatClient; seen: ChatMessage[]; online: Promise<void> } {
  const client = new ChatClient({ url: server.url, uid: person.uid, token: person.token });
  const seen: ChatMessage[] = [];
  client.on('message', (message) => seen.push(message));
  const online = new Promise<void>((resolve) =>
    client.on('state', (state) => state === 'online' && resolve()),
  );
  client.connect();
  return { client, seen, online };
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error('it did not come to pass');
    await Bun.sleep(10);
  }
}

test('both sides get every message once, in the order of the log', async () => {
  const team = await makeGroup(server, alice, [bob]);
  const [hers, his] = [open(alice), open(bob)];
  await Promise.all([hers.online, his.online]);
  const sends = Array.from({ length: 50 }, (_, index) => [
    hers.client.send(team, `a${index}`),
    his.client.send(team, `b${index}`),
  ]);
  await Promise.all(sends.flat());
  await until(() => hers.seen.length === 100 && his.seen.length === 100);
  const ids = Array.from({ length: 100 }, (_, index) => index + 1);
  for (const { seen } of [hers, his]) expect(seen.map(({ id }) => id)).toEqual(ids);
  expect(hers.seen).toEqual(his.seen);
  hers.client.close();
  his.client.close();
});

test('what is sent around a restart of the server arrives once and in order', async () => {
  const team = await makeGroup(server, alice, [bob]);
  const [hers, his] = [open(alice), open(bob)];
  await Promise.all([hers.online, his.online]);
  const sends: Promise<ChatMessage>[] = [];
  for (let count = 0; count < 60; count += 1) {
    sends.push(hers.client.send(team, `m${count}`));
    if (count === 30) await server.restart();
  }
  await Promise.all(sends);
  await until(() => his.seen.filter(({ groupId }) => groupId === team).length === 60);
  for (const { seen } of [hers, his]) {
    expect(seen.map(({ message }) => message)).toEqual(Array.from({ length: 60 }, (_, index) => `m${index}`));
  }
  hers.client.close();
  his.client.close();
}, 20_000);

test('hundreds of messages that waited for the connection are sent once and in order, and are no flood', async () => {
  const team = await makeGroup(server, alice, [bob]);
  const [hers, his] = [open(alice), open(bob)];
  await Promise.all([hers.online, his.online]);
  await server.running.stop();
  const sends = Array.from({ length: 500 }, (_, index) => hers.client.send(team, `m${index}`));
  await server.start();
  await Promise.all(sends);
  await until(() => his.seen.filter(({ groupId }) => groupId === team).length === 500);
  expect(his.seen.map(({ message }) => message)).toEqual(
    Array.from({ length: 500 }, (_, index) => `m${index}`),
  );
  expect(hers.client.state).toBe('online');
  hers.client.close();
  his.client.close();
}, 20_000);

test('two who write to each other for the first time at once both get both messages', async () => {
  const [hers, his] = [open(alice), open(bob)];
  await Promise.all([hers.online, his.online]);
  await Promise.all([
    hers.client.send(directChatId(alice.uid, bob.uid), 'hers', { newChat: true }),
    his.client.send(directChatId(bob.uid, alice.uid), 'his', { newChat: true }),
  ]);
  await until(() => hers.seen.length === 2 && his.seen.length === 2);
  for (const { seen } of [hers, his]) expect(seen.map(({ id }) => id)).toEqual([1, 2]);
  hers.client.close();
  his.client.close();
});

test('a message refused for good rejects with its status, and a closed client refuses', async () => {
  const { client, online } = open(alice);
  await online;
  const refused = await client.send('42', 'to nobody').catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(SendError);
  expect((refused as SendError).status).toBe(404);
  client.close();
  expect(client.state).toBe('stopped');
  expect(await client.send('42', 'late').catch((error: SendError) => error.status)).toBe(0);
});

test('a client whose session is not good stops and does not come back', async () => {
  const client = new ChatClient({ url: server.url, uid: alice.uid, token: bob.token });
  client.connect();
  await until(() => client.state === 'stopped');
});
