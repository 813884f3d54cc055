// Restores over a network, from a git daemon: whole ones, and those whose remote falls silent or goes away in the middle.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { listSnapshots } from '../../src/ops/backup/fetch.ts';
import { restore } from '../../src/ops/backup/restore.ts';
import { failureOf, Installation, localTarget } from '../support/backup.ts';
import { runCommand } from '../support/command.ts';
import { git } from '../support/git.ts';
import { type GitDaemon, serveRepositories } from '../support/git-daemon.ts';
import { serveGitHttp } from '../support/git-http.ts';
import { Line } from '../support/line.ts';
import { LogFile } from '../support/log-file.ts';

setDefaultTimeout(60_000);

const root = mkdtempSync(joinPath(tmpdir(), 'chat-restore-network-'));
let installation: Installation;
let daemon: GitDaemon;

beforeAll(async () => {
  installation = await Installation.make(joinPath(root, 'here'), 'one');
  await installation.backUp();
  await Bun.sleep(1000); // times of snapshots are told in seconds
  installation.say('two');
  await installation.backUp();
  await git('--git-dir', installation.repo, 'config', 'uploadpack.allowFilter', 'true');
  daemon = await serveRepositories(joinPath(root, 'here'));
});
afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
  rmSync(root, { recursive: true, force: true });
});

const texts = (folder: string) => new LogFile(folder).rows().map(({ body }) => body);

/** Restores through the line in this process, with little patience for a silent remote. */
function restoreThrough(line: Line, folder: string) {
  const repo = `${line.url.replace('http', 'git')}/remote.git`;
  const defaultGroup = { groupId: '1000000000000', name: 'Everybody' };
  const request = { to: null, moment: null, endSessions: false, store: { defaultGroup, clock: Date.now } };
  return restore({ ...request, target: localTarget(folder, repo) }, { stallMs: 1000 });
}

test('The newest and an older snapshot are restored over the network.', async () => {
  const env = { BACKUP_REPO: `${daemon.url}/remote.git` };
  const folder = joinPath(root, 'newest');
  expect(await runCommand(['restore'], { ...env, DATA_DIR: folder })).toMatchObject({ status: 0 });
  expect(texts(folder)).toEqual(['one', 'two']);
  const { stdout } = await runCommand(['restore', '--list', '--json'], { ...env, DATA_DIR: folder });
  const [, older] = JSON.parse(stdout).snapshots;
  const other = joinPath(root, 'older');
  const words = ['restore', '--at', older.commit];
  expect(await runCommand(words, { ...env, DATA_DIR: other })).toMatchObject({ status: 0 });
  expect(texts(other)).toEqual(['one']);
});

test('Over http with a login both kinds of snapshots are restored, and a wrong login is refused without being shown.', async () => {
  await using http = serveGitHttp(joinPath(root, 'here'), 'me:right token');
  const env = {
    BACKUP_REPO: `${http.origin.replace('//', '//me@')}/remote.git`,
    DATA_DIR: joinPath(root, 'http'),
  };
  const wrong = await runCommand(['restore'], { ...env, BACKUP_TOKEN: 'wrong token' });
  expect(wrong).toMatchObject({
    status: 1,
    stderr: expect.stringMatching(/cannot be read: .*Authentication failed/),
  });
  expect(wrong.stderr).not.toInclude('wrong token');
  const right = { ...env, BACKUP_TOKEN: 'right token' };
  const { stdout } = await runCommand(['restore', '--list', '--json'], right);
  const [, older] = JSON.parse(stdout).snapshots;
  for (const args of [[], ['--at', older.commit]])
    expect(await runCommand(['restore', ...args], right)).toMatchObject({ status: 0 });
  expect(texts(env.DATA_DIR)).toEqual(['one']);
});

test('Listing fetches the commits alone, from a daemon that may leave out files and from a folder of this machine.', async () => {
  for (const repo of [`${daemon.url}/remote.git`, installation.repo]) {
    const folder = mkdtempSync(joinPath(root, 'list-'));
    const { access, branch } = localTarget(folder, repo);
    const heads = await listSnapshots({ access, branch, folder });
    expect(heads).toHaveLength(2);
    const counted = await git('--git-dir', joinPath(folder, 'list'), 'count-objects', '-v');
    expect(counted).toMatch(/^in-pack: 2$/m);
  }
});

test('A remote that falls silent is given up, one that goes away is told of; the next try is a whole one.', async () => {
  const line = await Line.open(daemon.port);
  const folder = joinPath(root, 'cut');
  try {
    line.freeze();
    const silent = await failureOf(restoreThrough(line, folder));
    expect(silent.message).toMatch(/gave no sign of life for 1 s.*Nothing was changed\.$/);
    line.thaw();
    setTimeout(() => line.cut(), 30);
    line.freeze();
    const cut = await failureOf(restoreThrough(line, folder));
    expect(cut.message).toMatch(/^The backup repository cannot be read: .*Nothing was changed\.$/);
    line.thaw();
    expect(readdirSync(folder).filter((name) => /restore|chat/.test(name))).toEqual([]);
    expect(await restoreThrough(line, folder)).toMatchObject({ messages: 2 });
    expect(texts(folder)).toEqual(['one', 'two']);
  } finally {
    line.close();
  }
});
