// kill -9 at any moment under load: what was acknowledged is there, nothing is there twice, and retries find the first.
import { afterEach, beforeEach, expect, test } from 'bun:test';
import { rmSync, writeFileSync } from 'node:fs';
import { join as joinPath } from 'node:path';
import { LogFile } from '../support/log-file.ts';
import { join, makeGroup, type Person } from '../support/people.ts';
import { ServerProcess } from '../support/process.ts';
import { Random, setting } from '../support/random.ts';
import { TestSocket } from '../support/socket.ts';

let server: ServerProcess;
let file: LogFile;
let alice: Person;
let bob: Person;
let team: string;

beforeEach(async () => {
  const { server: started, made } = await ServerProcess.prepared(async (inside) => {
    const [one, other] = await Promise.all([join(inside, 'Alice'), join(inside, 'Bob')]);
    return { one, other, team: await makeGroup(inside, one, [other]) };
  });
  server = started;
  file = new LogFile(server.dataDir);
  [alice, bob, team] = [made.one, made.other, made.team];
});
afterEach(() => server.remove());

/** Somebody who sends without end, and after each reconnection first what was not acknowledged, with the same ids. */
class Sender {
  /** By CLIENT_MESSAGE_ID: every position that it was acknowledged with. */
  readonly acknowledged = new Map<string, number[]>();
  readonly unanswered = new Set<string>();
  /** What was neither 200 nor a known id. */
  readonly surprises: string[] = [];
  duplicates = 0;
  #count = 0;
  #socket: WebSocket | null = null;

  constructor(
    readonly person: Person,
    private readonly device: string,
  ) {}

  /** Connects and begins to send; resolves when the connection has ended. */
  async run(pauseMs: number): Promise<void> {
    const socket = await TestSocket.announced(server, this.person, `/ws/${this.device}`);
    this.#socket = socket.raw;
    socket.raw.onmessage = ({ data }) => this.#take(JSON.parse(String(data)));
    for (const id of this.unanswered) this.#send(id);
    const sending = setInterval(() => this.sendNew(), pauseMs);
    await socket.closed;
    clearInterval(sending);
  }

  /** A new message: some small, some of several pages of the file. */
  sendNew(): void {
    const id = `${this.device}-${this.#count++}`;
    this.unanswered.add(id);
    this.#send(id);
  }

  #send(id: string): void {
    const padding = 'x'.repeat(id.endsWith('7') ? 3000 : 10);
    const data = { GROUP_ID: team, MESSAGE: `${id} ${padding}`, CLIENT_MESSAGE_ID: id };
    if (this.#socket?.readyState === WebSocket.OPEN)
      this.#socket.send(JSON.stringify({ event: 'send_message', id, data }));
  }

  // biome-ignore lint/suspicious/noExplicitAny: frames of every shape
  #take({ id, data }: any): void {
    if (id === undefined) return; // somebody else's message
    if (data.status_code !== 200) this.surprises.push(JSON.stringify(data));
    else this.acknowledged.set(id, [...(this.acknowledged.get(id) ?? []), data.MESSAGE_ID]);
    this.unanswered.delete(id);
    if (data.DUPLICATE) this.duplicates += 1;
  }
}

/** Everything acknowledged that is not on disk exactly once, with its text, where it was acknowledged. */
function lost(senders: readonly Sender[]): string[] {
  const found = new Map<string, { seq: number; body: string; times: number }>();
  for (const { senderUid, clientMessageId, seq, body } of file.rows()) {
    const key = `${senderUid} ${clientMessageId}`;
    found.set(key, { seq, body, times: (found.get(key)?.times ?? 0) + 1 });
  }
  return senders.flatMap(({ person, acknowledged }) =>
    [...acknowledged].flatMap(([id, positions]) => {
      const row = found.get(`${person.uid} ${id}`);
      const right =
        row?.times === 1 && row.body.startsWith(`${id} `) && positions.every((at) => at === row.seq);
      return right ? [] : [`${id} acknowledged at ${positions}, on disk at ${row?.seq}, ${row?.times} times`];
    }),
  );
}

const kills = setting('KILLS', 20);

test(
  `${kills} kills at random moments lose nothing that was acknowledged, and no retry makes a second message`,
  async () => {
    const random = new Random(setting('KILL_SEED', Date.now() % 1_000_000));
    const senders = [new Sender(alice, 'phone'), new Sender(alice, 'desk'), new Sender(bob, 'phone-b')];
    for (let round = 1; round <= kills; round += 1) {
      const ended = senders.map((sender) => sender.run(random.between(1, 4)));
      await Bun.sleep(random.between(30, 200));
      await server.end('SIGKILL');
      await Promise.all(ended);
      await server.start();
      const what = { seed: random.seed, round, problems: file.problems(), lost: lost(senders) };
      expect(what).toEqual({ seed: random.seed, round, problems: [], lost: [] });
    }
    // Calm now: every retry is answered, and the file has each message once.
    for (const sender of senders) void sender.run(60_000);
    for (const deadline = Date.now() + 10_000; senders.some(({ unanswered }) => unanswered.size > 0); ) {
      if (Date.now() > deadline) throw new Error('a retry was not answered');
      await Bun.sleep(10);
    }
    expect(senders.flatMap(({ surprises }) => surprises)).toEqual([]);
    expect(lost(senders)).toEqual([]);
    expect(file.problems()).toEqual([]);
    const sent = senders.reduce((sum, { acknowledged }) => sum + acknowledged.size, 0);
    expect(file.rows().length).toBe(sent);
    expect(sent).toBeGreaterThan(kills * 10);
  },
  30_000 + kills * 2000,
);

test('a message whose sender was never told because of a kill right after COMMIT is the same one when sent again', async () => {
  const order = joinPath(server.dataDir, 'die-after-commit');
  for (let round = 1; round <= 5; round += 1) {
    await server.end('SIGKILL');
    await server.start({ preload: joinPath(import.meta.dir, '../support/die-after-commit.ts') });
    const socket = await TestSocket.announced(server, alice);
    const others = await TestSocket.announced(server, bob);
    const message = { GROUP_ID: team, MESSAGE: `round ${round}`, CLIENT_MESSAGE_ID: `id-${round}` };
    writeFileSync(order, '');
    socket.send('send_message', message);
    await server.ended();
    await Promise.all([socket.closed, others.closed]);
    expect(socket.frames.length).toBe(1); // the announce's reply and nothing after it
    expect(others.frames.length).toBe(1);
    rmSync(order);
    await server.start();
    expect(file.rows().map(({ seq, clientMessageId }) => [seq, clientMessageId])).toEqual(
      Array.from({ length: round }, (_, index) => [index + 1, `id-${index + 1}`]),
    );
    await using again = await TestSocket.announced(server, alice);
    const { data } = await again.ask('send_message', message);
    expect(data).toMatchObject({ status_code: 200, MESSAGE_ID: round, DUPLICATE: true });
    expect(file.end(team)).toBe(round);
  }
  expect(file.problems()).toEqual([]);
}, 20_000);
