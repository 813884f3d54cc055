// Drills: beside a running server the newest snapshot is restored to a folder of its own, looked at, and removed; failures are told.
import { afterAll, beforeAll, expect, setDefaultTimeout, spyOn, test } from 'bun:test';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { createLog } from '../../src/log.ts';
import { runBackup } from '../../src/ops/backup/backup.ts';
import { createDrillRunner } from '../../src/ops/backup/runner.ts';
import { readBackupState } from '../../src/ops/backup/state.ts';
import { acquireLock } from '../../src/store/lock.ts';
import { asAdmin, auditLines } from '../support/admin.ts';
import { localTarget } from '../support/backup.ts';
import { runCommand } from '../support/command.ts';
import { advanceRemote, createRemote, git } from '../support/git.ts';
import { LogFile } from '../support/log-file.ts';
import { join, type Person } from '../support/people.ts';
import { entry, TestServer, withServer } from '../support/server.ts';
import { TestSocket } from '../support/socket.ts';

setDefaultTimeout(60_000);

const root = mkdtempSync(joinPath(tmpdir(), 'chat-drill-'));
const repo = joinPath(root, 'remote.git');
let server: TestServer;
let alice: Person;
let commit: string;

beforeAll(async () => {
  await createRemote(repo);
  server = await TestServer.start();
  alice = await join(server, 'Alice');
  await say('in the snapshot');
  commit = (await runBackup(localTarget(server.dataDir, repo))).commit;
  await say('after it');
});
afterAll(async () => {
  await server.stop();
  rmSync(root, { recursive: true, force: true });
});

async function say(text: string): Promise<void> {
  await using socket = await TestSocket.announced(server, alice);
  expect((await socket.say(text)).data.status_code).toBe(200);
}

const env = () => ({ DATA_DIR: server.dataDir, BACKUP_REPO: repo });
const drill = (more: Record<string, string> = {}) =>
  runCommand(['restore', '--drill'], { ...env(), ...more });
const lastDrill = () => readBackupState(server.dataDir).lastDrill;
/** Only what other parts leave there. */
const leftovers = () => readdirSync(joinPath(server.dataDir, 'backup')).filter((name) => name === 'drill');

test('A drill beside the server restores, reads and removes the newest snapshot, and notes that it went well.', async () => {
  const { status, stdout, stderr } = await drill();
  expect(status).toBe(0);
  expect(stdout).toMatch(
    /^The drill went well: .* was restored and read, 1 accounts, 1 messages, in \d+\.\d s\.\n$/,
  );
  expect(stderr).toInclude('made ready');
  expect(stderr).not.toInclude('swapped in');
  expect(lastDrill()).toMatchObject({ ok: true, commit, message: '1 messages can be restored' });
  expect(Math.abs((lastDrill()?.atMs ?? 0) - Date.now())).toBeLessThan(60_000);
  expect(leftovers()).toEqual([]);
  const texts = new LogFile(server.dataDir).rows().map(({ body }) => body);
  expect(texts).toEqual(['in the snapshot', 'after it']);
  await say('the server goes on');
});

test('What a killed drill left is removed by the next, and two at once are refused.', async () => {
  const folder = joinPath(server.dataDir, 'backup/drill');
  mkdirSync(folder, { recursive: true });
  writeFileSync(joinPath(folder, 'left over'), '');
  {
    using _lock = acquireLock(joinPath(server.dataDir, 'backup/drill.lock'), 0);
    const refused = await drill();
    expect(refused).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('Another drill is running.'),
    });
    expect(existsSync(joinPath(folder, 'left over'))).toBe(true);
  }
  expect(lastDrill()?.ok).toBe(true);
  expect(await drill()).toMatchObject({ status: 0 });
  expect(leftovers()).toEqual([]);
});

test('A drill that cannot reach the repository says so, with exit status 1, and notes it.', async () => {
  const { status, stderr } = await drill({ BACKUP_REPO: joinPath(root, 'nowhere.git') });
  expect({ status, stderr }).toEqual({ status: 1, stderr: expect.stringContaining('cannot be read') });
  expect(lastDrill()).toMatchObject({
    ok: false,
    commit: null,
    message: expect.stringContaining('cannot be read'),
  });
  expect(leftovers()).toEqual([]);
});

test('A failed drill is noted, and so is the first that goes well again.', async () => {
  const told: string[] = [];
  const log = createLog({ level: 'info', format: 'json', write: () => undefined });
  const runner = createDrillRunner({
    command: [process.execPath, entry],
    env: env(),
    dataDir: server.dataDir,
    schedule: 'off',
    log,
    note: (kind, detail) => void told.push(`${kind}: ${detail}`),
  });
  await advanceRemote(repo, 'manifest.json', '{"format":1}');
  await expect(runner.run()).rejects.toThrow('damaged');
  expect(lastDrill()).toMatchObject({
    ok: false,
    message: expect.stringContaining('manifest.json is damaged'),
  });
  await git('--git-dir', repo, 'update-ref', 'refs/heads/main', commit);
  expect(await runner.run()).toMatchObject({ commit, messages: 1 });
  expect(lastDrill()).toMatchObject({ ok: true, commit });
  expect(told).toEqual([expect.stringMatching(/^drill_failed: .*damaged/), `drill: commit ${commit}`]);
});

test('The server drills by DRILL_SCHEDULE; what fails is in its log as an error, in the audit log, and in health.', async () => {
  const { parse } = Bun.cron;
  const cron = Object.assign(spyOn(Bun, 'cron'), { parse });
  const events: string[] = [];
  const onLog = (line: string): void => {
    const { level, event } = JSON.parse(line);
    if (/drill/.test(event)) events.push(`${level}: ${event}`);
  };
  const schedule = '7 3 * * 2';
  const planned = {
    BACKUP_REPO: joinPath(root, 'gone.git'),
    BACKUP_SCHEDULE: 'off',
    DRILL_SCHEDULE: schedule,
  };
  try {
    await withServer(
      async (scheduled) => {
        const calls = cron.mock.calls as unknown as [string, () => Promise<void>][];
        const [, fire] = calls.find(([when]) => when === schedule) ?? [];
        await fire?.();
        expect(events).toEqual(['error: drill failed']);
        const [line] = (await auditLines(scheduled)).filter((one) => one.startsWith('drill_failed'));
        expect(line).toMatch(/^drill_failed null server The backup repository cannot be read/);
        const { body } = await asAdmin(scheduled, 'readyz');
        expect(JSON.stringify(body)).toMatch(
          /the restore drill failed \d+ s ago: The backup repository cannot be read/,
        );
      },
      { env: planned, onLog },
    );
  } finally {
    cron.mockRestore();
  }
});
