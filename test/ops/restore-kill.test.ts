// kill -9 during a restore, before each of its changes to the file system: the old installation is there, or the new one.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { runBackup } from '../../src/ops/backup/backup.ts';
import { localTarget } from '../support/backup.ts';
import { runCommand } from '../support/command.ts';
import { createRemote } from '../support/git.ts';
import { LogFile } from '../support/log-file.ts';
import { call, credentials, join, password } from '../support/people.ts';
import { fixedPort, ServerProcess } from '../support/process.ts';
import { TestServer } from '../support/server.ts';
import { TestSocket } from '../support/socket.ts';

setDefaultTimeout(180_000);

const root = mkdtempSync(joinPath(tmpdir(), 'chat-restore-kill-'));
/** A data folder as a killed server leaves it: the newest rows are in the journal alone. */
const template = joinPath(root, 'template');
const repo = joinPath(root, 'remote.git');
const secret = 'what dora wrote';
const texts = {
  old: ['said before', 'This message was removed', 'said after'],
  restored: ['said before', 'This message was removed'],
};

beforeAll(async () => {
  await createRemote(repo);
  const server = await TestServer.start();
  const [alice, dora] = [await join(server, 'Alice'), await join(server, 'Dora')];
  const say = async (person: typeof alice, text: string) => {
    await using socket = await TestSocket.announced(server, person);
    expect((await socket.say(text)).data.status_code).toBe(200);
  };
  await say(alice, 'said before');
  await say(dora, secret);
  await runBackup(localTarget(server.dataDir, repo));
  const asked = { ...credentials(dora), PASSWORD: password, MESSAGES: 'remove' };
  expect((await call(server, 'deleteAccount', asked)).status).toBe(200);
  await say(alice, 'said after');
  cpSync(server.dataDir, template, { recursive: true, filter: (path) => !path.endsWith('-shm') });
  await server.stop();
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const bodies = (folder: string) => new LogFile(folder).rows().map(({ body }) => body);
const leftovers = (folder: string) => readdirSync(folder).filter((name) => name.startsWith('restore.'));

/** Starts the server on the folder, as its owner would after a crash, and stops it again. */
async function serveOnce(folder: string): Promise<void> {
  const server = new ServerProcess(folder, await fixedPort());
  await server.start();
  await server.end('SIGTERM');
}

/** The installation that the folder has, which must be all of one of the two. */
function whichOf(folder: string): 'old' | 'restored' {
  const found = bodies(folder);
  const name = found.length === texts.old.length ? 'old' : 'restored';
  expect(found).toEqual(texts[name]);
  expect(new LogFile(folder).problems()).toEqual([]);
  expect(readFileSync(joinPath(folder, 'erasures.jsonl'), 'utf8')).toMatch(
    /^{"uid":\d+,"at":\d+,"messages":"remove"}\n$/,
  );
  expect(readFileSync(joinPath(folder, 'chat.db'), 'latin1')).not.toInclude(secret);
  return name;
}

test('Each kill leaves what the next start, or the next restore, brings to one of the two whole installations.', async () => {
  const seen: string[] = [];
  let halves = 0;
  for (let step = 1; ; step += 1) {
    const folder = joinPath(root, `killed-${step}`);
    cpSync(template, folder, { recursive: true });
    const env = { DATA_DIR: folder, BACKUP_REPO: repo };
    const preload = joinPath(import.meta.dir, '../support/die-at-step.ts');
    const restored = await runCommand(['restore'], { ...env, DIE_AT_STEP: String(step) }, { preload });
    if (restored.status === 0) break;
    expect({ status: restored.status, stdout: restored.stdout, step }).toEqual({
      status: null,
      stdout: '',
      step,
    });

    if (leftovers(folder).includes('restore.ready')) {
      // No command makes anything of the half of a swap.
      const words = halves % 2 === 0 ? ['user', 'list'] : ['backup'];
      const refused = await runCommand(words, env);
      expect(refused).toMatchObject({
        status: 1,
        stderr: expect.stringContaining('A restore was interrupted.'),
      });
      halves += 1;
    }
    if (step % 3 === 0) expect(await runCommand(['restore'], env)).toMatchObject({ status: 0 });
    await serveOnce(folder);
    const name = whichOf(folder);
    seen.push(name);
    if (step % 3 === 0) expect(name).toBe('restored');
    expect(leftovers(folder)).toEqual([]);
    const asides = readdirSync(folder).filter((one) => one.startsWith('before-restore-'));
    if (name === 'restored')
      expect(asides.map((one) => bodies(joinPath(folder, one)))).toContainEqual(texts.old);
    else expect(asides).toEqual([]);
    rmSync(folder, { recursive: true });
  }
  expect(halves).toBeGreaterThan(3);
  expect(new Set(seen)).toEqual(new Set(['old', 'restored']));
});
