// Restarts under load: the client library goes on by itself, and nothing is lost, doubled or out of order.
import { expect, test } from 'bun:test';
import { ChatClient, type ChatMessage } from '../../src/client/client.ts';
import { LogFile } from '../support/log-file.ts';
import { join, makeGroup, type Person } from '../support/people.ts';
import { ServerProcess } from '../support/process.ts';

const restarts = 2;

/** A client that sends without end until it is told to stop. */
class Talker {
  readonly seen: ChatMessage[] = [];
  readonly acknowledged = new Map<string, number>();
  readonly refused: string[] = [];
  readonly #client: ChatClient;
  #talking: ReturnType<typeof setInterval> | undefined;
  #count = 0;

  constructor(
    server: ServerProcess,
    { uid, token }: Person,
    private readonly device: string,
    private readonly groupId: string,
  ) {
    this.#client = new ChatClient({ url: server.url, uid, token, clientId: device });
    this.#client.on('message', (message) => this.seen.push(message));
    this.#client.connect();
  }

  get online(): boolean {
    return this.#client.state === 'online';
  }

  /** Everything it was asked to send has been answered. */
  get settled(): boolean {
    return this.acknowledged.size + this.refused.length === this.#count;
  }

  talk(): void {
    this.#talking = setInterval(() => {
      for (let burst = 0; burst < 3; burst += 1) this.#send(`${this.device} ${this.#count++}`);
    }, 5);
  }

  hush(): void {
    clearInterval(this.#talking);
  }

  close(): void {
    this.hush();
    this.#client.close();
  }

  #send(text: string): void {
    this.#client.send(this.groupId, text).then(
      ({ id }) => this.acknowledged.set(text, id),
      (error) => this.refused.push(`${text}: ${error}`),
    );
  }
}

async function until(what: string, condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`it did not come to pass: ${what}`);
    await Bun.sleep(10);
  }
}

test(`${restarts} restarts while three devices send lose, double and reorder nothing`, async () => {
  const { server, made } = await ServerProcess.prepared(async (inside) => {
    const [alice, bob] = [await join(inside, 'Alice'), await join(inside, 'Bob')];
    return { alice, bob, team: await makeGroup(inside, alice, [bob]) };
  });
  const { alice, bob, team } = made;
  const file = new LogFile(server.dataDir);
  const phone = new Talker(server, alice, 'phone', team);
  const desk = new Talker(server, alice, 'desk', team);
  const his = new Talker(server, bob, 'his', team);
  const talkers = [phone, desk, his];
  try {
    await until('all are online', () => talkers.every(({ online }) => online));
    for (const talker of talkers) talker.talk();
    for (let round = 0; round < restarts; round += 1) {
      await Bun.sleep(100);
      expect(await server.end('SIGTERM')).toBe(0);
      await server.start();
      await until('all are back', () => talkers.every(({ online }) => online));
    }
    for (const talker of talkers) talker.hush();
    await until('all is settled', () => talkers.every(({ settled }) => settled));
    const rows = file.rows().filter(({ chat }) => chat === team);
    await until('all is seen', () => talkers.every(({ seen }) => seen.length >= rows.length));
    expect(file.problems()).toEqual([]);
    for (const { seen, acknowledged, refused } of talkers) {
      expect(refused).toEqual([]);
      expect(seen.map(({ id, message }) => `${id} ${message}`)).toEqual(
        rows.map(({ seq, body }) => `${seq} ${body}`),
      );
      for (const [text, id] of acknowledged) expect(rows[id - 1]?.body).toBe(text);
    }
    expect(rows.length).toBe(talkers.reduce((sum, { acknowledged }) => sum + acknowledged.size, 0));
    expect(new Set(rows.map(({ body }) => body)).size).toBe(rows.length);
  } finally {
    for (const talker of talkers) talker.close();
    await server.remove();
  }
}, 60_000);
