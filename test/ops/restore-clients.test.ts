// Clients over a restore: they come back by themselves, are told that history began anew, and neither miss nor double anything of it.
import { afterAll, expect, setDefaultTimeout, test } from 'bun:test';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { ChatClient, type ChatMessage } from '../../src/client/client.ts';
import { runCommand } from '../support/command.ts';
import { createRemote } from '../support/git.ts';
import { LogFile } from '../support/log-file.ts';
import { join, makeGroup, type Person } from '../support/people.ts';
import { ServerProcess } from '../support/process.ts';

setDefaultTimeout(60_000);

const root = mkdtempSync(joinPath(tmpdir(), 'chat-restore-clients-'));
const repo = joinPath(root, 'remote.git');
afterAll(() => rmSync(root, { recursive: true, force: true }));

const line = ({ id, message }: ChatMessage) => `${id} ${message}`;

/** Follows one group, and writes down what it is told in the order it is told. */
class Follower {
  /** Messages as `ID TEXT`, and `reset`. */
  readonly told: string[] = [];
  readonly client: ChatClient;

  constructor(server: ServerProcess, { uid, token }: Person, clientId: string) {
    this.client = new ChatClient({ url: server.url, uid, token, clientId });
    this.client.on('message', (message) => this.told.push(line(message)));
    this.client.on('reset', () => this.told.push('reset'));
    this.client.connect();
  }

  async hears(text: string): Promise<void> {
    await until(text, () => this.told.includes(text));
  }

  async online(): Promise<void> {
    await until('online', () => this.client.state === 'online');
  }
}

async function until(what: string, condition: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 20_000; !condition(); await Bun.sleep(10))
    if (Date.now() > deadline) throw new Error(`it did not come to pass: ${what}`);
}

test('Over a restore connected clients are reset once, hear each later message once, and what waited to be sent arrives once.', async () => {
  const { server, made } = await ServerProcess.prepared(async (inside) => {
    const [alice, bob] = [await join(inside, 'Alice'), await join(inside, 'Bob')];
    return { alice, bob, team: await makeGroup(inside, alice, [bob]) };
  });
  const { team } = made;
  await createRemote(repo);
  const [alice, bob] = [new Follower(server, made.alice, 'hers'), new Follower(server, made.bob, 'his')];
  const both = [alice, bob];
  try {
    for (const one of both) await one.online();
    for (const text of ['one', 'two']) await alice.client.send(team, text);
    const env = { DATA_DIR: server.dataDir, BACKUP_REPO: repo };
    expect(await runCommand(['backup'], env)).toMatchObject({ status: 0 });
    const lost = await bob.client.send(team, 'lost');
    expect(lost.id).toBe(3);
    for (const one of both) await one.hears('3 lost');

    expect(await server.end('SIGTERM')).toBe(0);
    const waiting = alice.client.send(team, 'written while the server was away');
    expect(await runCommand(['restore'], env)).toMatchObject({ status: 0 });
    await server.start();
    for (const one of both) await one.online();
    expect((await waiting).id).toBe(3); // the place of what was lost
    const inTheGroup = ['1 one', '2 two', '3 written while the server was away'];
    for (const one of both) {
      const shown = (await one.client.history(team)).map(line);
      expect(shown).toEqual(inTheGroup);
    }
    await bob.client.send(team, 'and on');
    for (const one of both) await one.hears('4 and on');

    // The next restart is one like any other.
    expect(await server.end('SIGTERM')).toBe(0);
    await server.start();
    for (const one of both) await one.online();
    await alice.client.send(team, 'the end');
    for (const one of both) await one.hears('5 the end');

    for (const { told } of both) {
      expect(told.slice(0, 4)).toEqual(['1 one', '2 two', '3 lost', 'reset']);
      // Who came back after it was sent finds the one that waited in the history that a reset makes it load.
      const heard = told.slice(4);
      expect(heard).toEqual([...inTheGroup, '4 and on', '5 the end'].slice(-heard.length));
      expect([2, 3]).toContain(heard.length);
    }
    expect(new LogFile(server.dataDir).problems()).toEqual([]);
  } finally {
    for (const one of both) one.client.close();
    await server.remove();
  }
});
