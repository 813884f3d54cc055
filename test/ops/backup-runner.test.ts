// Backups on behalf of the server: a child for each, what it reports, what is logged, noted and told of it.
import { afterAll, beforeEach, describe, expect, setDefaultTimeout, spyOn, test } from 'bun:test';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLog } from '../../src/log.ts';
import { createBackupRunner } from '../../src/ops/backup/runner.ts';
import { readBackupState } from '../../src/ops/backup/state.ts';
import { failureOf, Installation, isAlive, readIfThere, until, wrapGit } from '../support/backup.ts';

setDefaultTimeout(30_000);

const root = await mkdtemp(join(tmpdir(), 'backup-runner-'));
const backupScript = join(import.meta.dir, '../../scripts/backup.ts');
let count = 0;
let folder = root;

beforeEach(async () => {
  count += 1;
  folder = join(root, `case ${count}`);
  await mkdir(folder);
});
afterAll(() => rm(root, { recursive: true, force: true }));

describe('the runner of the server', () => {
  const report = {
    outcome: 'pushed' as const,
    commit: 'a'.repeat(40),
    bytes: 4096,
    durationMs: 12,
    warnings: [] as string[],
  };
  const log = createLog({ level: 'silent', format: 'json' });

  /** A runner whose command is a script with this body; it sees `say(object)`, which prints a line of JSON. */
  async function makeRunner(body: string, schedule = 'off', runnerLog = log) {
    const script = join(folder, 'program.ts');
    await Bun.write(script, `const say = (line: unknown) => console.log(JSON.stringify(line));\n${body}\n`);
    const env = { MARK: 'from the runner' };
    const command = [process.execPath, script];
    return createBackupRunner({
      command,
      env,
      dataDir: folder,
      schedule,
      log: runnerLog,
      clock: () => 1_000,
    });
  }

  test('a report comes back as it was printed', async () => {
    const runner = await makeRunner(
      `if (process.argv.slice(2).join() === 'backup,--json' && process.env.MARK === 'from the runner' && process.env.PATH)
         say({ ok: true, ...${JSON.stringify(report)} });`,
    );
    expect(await runner.run()).toEqual(report);
  });

  test('a reported problem comes back as an error of its kind; only a failure is noted', async () => {
    const failing = await makeRunner(`say({ ok: false, kind: 'failed', message: 'No.' }); process.exit(1);`);
    expect(await failureOf(failing.run())).toMatchObject({ kind: 'failed', message: 'No.' });
    const noted = readBackupState(folder);
    expect(noted.lastFailure).toEqual({ atMs: 1_000, message: 'No.' });
    const refused = await makeRunner(
      `say({ ok: false, kind: 'running', message: 'Later.' }); process.exit(1);`,
    );
    expect(await failureOf(refused.run())).toMatchObject({ kind: 'running', message: 'Later.' });
    expect(readBackupState(folder)).toEqual(noted);
  });

  test('a child that ends without a report is a failure that says how it ended', async () => {
    const exits = await makeRunner(`console.error('cannot //bob:pw@host'); process.exit(7);`);
    const message = 'The backup process ended with status 7 without a report: cannot //host';
    expect(await failureOf(exits.run())).toMatchObject({ kind: 'failed', message });
    const killed = await makeRunner(`process.kill(process.pid, 'SIGKILL'); await Bun.sleep(9000);`);
    expect((await failureOf(killed.run())).message).toContain('was killed by SIGKILL without a report');
    expect(readBackupState(folder).lastFailure?.message).toContain('was killed by SIGKILL');
    const missing = createBackupRunner({
      command: [join(folder, 'none')],
      env: {},
      dataDir: folder,
      schedule: 'off',
      log,
    });
    expect((await failureOf(missing.run())).message).toContain('could not be started');
  });

  test('each failure is told to be noted, and the first success after one; a success like the last is not', async () => {
    const script = join(folder, 'program.ts');
    // As a real one does, it notes its success by itself.
    const module = join(import.meta.dir, '../../src/ops/backup/state.ts');
    const works = `import { noteBackupState } from ${JSON.stringify(module)};
      noteBackupState(${JSON.stringify(folder)}, { lastSuccess: { ...${JSON.stringify(report)}, atMs: Date.now() } });
      console.log(JSON.stringify({ ok: true, ...${JSON.stringify(report)} }));`;
    const notes: string[] = [];
    const note = (kind: string, detail: string): void => void notes.push(`${kind}: ${detail}`);
    const command = [process.execPath, script];
    const runner = createBackupRunner({ command, env: {}, dataDir: folder, schedule: 'off', log, note });
    for (const body of [works, 'process.exit(7);', 'process.exit(8);', works, works]) {
      await Bun.write(script, body);
      await runner.run().catch(() => null);
    }
    expect(notes).toEqual([
      'backup_failed: The backup process ended with status 7 without a report.',
      'backup_failed: The backup process ended with status 8 without a report.',
      `backup: commit ${report.commit}`,
    ]);
  });

  test('a second run at once is refused and does not disturb the first', async () => {
    const runner = await makeRunner(`await Bun.sleep(200); say({ ok: true, ...${JSON.stringify(report)} });`);
    const first = runner.run();
    expect(await failureOf(runner.run())).toMatchObject({ kind: 'running' });
    expect(await first).toEqual(report);
    expect(await runner.run()).toEqual(report);
  });

  test('stopping ends a real backup under way together with its git', async () => {
    const installation = await Installation.make(folder, 'one');
    const PATH = await wrapGit(folder, 'push', `echo $$ > '${folder}/pid'; exec sleep 30`);
    const { dataDir, repo } = installation;
    const env = { DATA_DIR: dataDir, BACKUP_REPO: repo, PATH };
    const runner = createBackupRunner({
      command: [process.execPath, backupScript],
      env,
      dataDir,
      schedule: 'off',
      log,
    });
    const running = failureOf(runner.run());
    const sleeper = await until(async () => Number(await readIfThere(join(folder, 'pid'))));
    runner.stop();
    expect(await running).toMatchObject({ kind: 'failed', message: 'The server is stopping.' });
    await until(() => !isAlive(sleeper));
    expect(installation.state.lastFailure).toBeNull();
    expect((await installation.backUp()).outcome).toBe('pushed');
  });

  test('the schedule logs each outcome, never rejects, and ends when the runner is stopped', async () => {
    const cron = spyOn(Bun, 'cron');
    try {
      const events: string[] = [];
      const write = (line: string): void => void events.push(JSON.parse(line).event);
      const runnerLog = createLog({ level: 'info', format: 'json', write });
      const runner = await makeRunner(
        `if (await Bun.file('${folder}/ok').exists()) say({ ok: true, ...${JSON.stringify(report)} });`,
        '0 0 1 1 *',
        runnerLog,
      );
      const [schedule, fire] = cron.mock.calls[0] as unknown as [string, () => Promise<void>];
      expect(schedule).toBe('0 0 1 1 *');
      await fire();
      await Bun.write(join(folder, 'ok'), '');
      const running = fire();
      await fire();
      await running;
      expect(events).toEqual(['backup failed', 'backup skipped', 'backup done']);
      runner.stop();
      expect(await failureOf(runner.run())).toMatchObject({ kind: 'failed' });
      await makeRunner('', 'off');
      expect(cron).toHaveBeenCalledTimes(1);
    } finally {
      cron.mockRestore();
    }
  });
});
