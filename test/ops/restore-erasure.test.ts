// Who was erased after a snapshot does not come back with it: not here, not on a new machine, not with an older snapshot.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { runCommand } from '../support/command.ts';
import { createRemote } from '../support/git.ts';
import { LogFile } from '../support/log-file.ts';
import { call, credentials, join, type Person, password } from '../support/people.ts';
import { TestServer } from '../support/server.ts';
import { TestSocket } from '../support/socket.ts';

setDefaultTimeout(60_000);

const root = mkdtempSync(joinPath(tmpdir(), 'chat-restore-erasure-'));
const repo = joinPath(root, 'remote.git');
const dataDir = joinPath(root, 'data');
let alice: Person;
let dora: Person;
let eve: Person;
/** The snapshot that has all three. */
let first: string;

/** Dora is erased before the second snapshot, Eve after the last. */
beforeAll(async () => {
  await createRemote(repo);
  const server = await TestServer.start();
  [alice, dora, eve] = [await join(server, 'Alice'), await join(server, 'Dora'), await join(server, 'Eve')];
  for (const person of [alice, dora, eve]) await say(server, person, `${person.name} was here`);
  first = await backUp(server.dataDir);
  await erase(server, dora, 'remove');
  await backUp(server.dataDir);
  await erase(server, eve, 'keep');
  await server.end();
  cpSync(server.dataDir, dataDir, { recursive: true });
  rmSync(server.dataDir, { recursive: true });
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

async function say(server: TestServer, person: Person, text: string): Promise<void> {
  await using socket = await TestSocket.announced(server, person);
  expect((await socket.say(text)).data.status_code).toBe(200);
}

async function erase(server: TestServer, person: Person, fate: 'keep' | 'remove'): Promise<void> {
  const asked = { ...credentials(person), PASSWORD: password, MESSAGES: fate };
  expect((await call(server, 'deleteAccount', asked)).status).toBe(200);
}

async function backUp(folder: string): Promise<string> {
  const { stdout } = await runCommand(['backup', '--json'], { DATA_DIR: folder, BACKUP_REPO: repo });
  return JSON.parse(stdout).commit;
}

async function restore(folder: string, ...args: string[]) {
  const env = { DATA_DIR: folder, BACKUP_REPO: repo };
  return JSON.parse((await runCommand(['restore', ...args, '--json'], env)).stdout);
}

const texts = (folder: string) => new LogFile(folder).rows().map(({ body }) => body);
const ledger = (folder: string): string[] =>
  readFileSync(joinPath(folder, 'erasures.jsonl'), 'utf8').trim().split('\n');
const removed = 'This message was removed';

test('On a new machine an older snapshot is without those who were erased until the newest one, whose ledger it brings along.', async () => {
  const folder = joinPath(root, 'new machine');
  const done = await restore(folder, '--at', first);
  expect(done).toMatchObject({ ok: true, commit: first, erased: 1, accounts: 2 });
  expect(texts(folder)).toEqual(['Alice Tester was here', removed, 'Eve Tester was here']);
  expect(ledger(folder)).toEqual([expect.stringContaining(`"uid":${dora.uid},`)]);
  expect(readFileSync(joinPath(folder, 'chat.db'), 'latin1')).not.toInclude('Dora Tester was here');
});

test('In the data folder those too are gone who were erased after the last snapshot; each is noted, and no number is given again.', async () => {
  const done = await restore(dataDir, '--at', first);
  expect(done).toMatchObject({ ok: true, erased: 2, accounts: 1 });
  expect(texts(dataDir)).toEqual(['Alice Tester was here', removed, 'Eve Tester was here']);
  expect(ledger(dataDir).map((line) => JSON.parse(line).uid)).toEqual([dora.uid, eve.uid]);
  const { stdout } = await runCommand(['user', 'list', '--json'], { DATA_DIR: dataDir });
  expect(JSON.parse(stdout).users.map(({ UID }: { UID: number }) => UID)).toEqual([alice.uid]);
  // The next snapshot carries both on.
  await backUp(dataDir);
  const folder = joinPath(root, 'newer machine');
  expect(await restore(folder, '--at', first)).toMatchObject({ erased: 2 });
  expect(ledger(folder)).toEqual(ledger(dataDir));
});

test('A ledger here that cannot be read stops the restore, which changes nothing.', async () => {
  const broken = joinPath(root, 'broken');
  cpSync(dataDir, broken, { recursive: true });
  await Bun.write(joinPath(broken, 'erasures.jsonl'), '{"uid":"six"}\n');
  const done = await restore(broken);
  expect(done).toMatchObject({
    ok: false,
    message: expect.stringMatching(/erasures\.jsonl, line 1.*Nothing was changed/),
  });
  expect(readFileSync(joinPath(broken, 'erasures.jsonl'), 'utf8')).toBe('{"uid":"six"}\n');
});
