// The backup endpoint: who may use it, and what it says of every outcome.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { createRemote, listCommits, refusePushes } from '../support/git.ts';
import { checked, join, signUp } from '../support/people.ts';
import { type Answer, TestServer, withServer } from '../support/server.ts';

// Hashing, git and mail take long on a busy machine.
setDefaultTimeout(20_000);

const path = '/quick_quick_save_data_to_database_repository';
const root = mkdtempSync(joinPath(tmpdir(), 'backup-route-'));
let repo: string;
let server: TestServer;

beforeAll(async () => {
  repo = await createRemote(joinPath(root, 'remote.git'));
  server = await TestServer.start({ env: { BACKUP_REPO: repo, BACKUP_SCHEDULE: 'off' } });
});
afterAll(async () => {
  await server.stop();
  rmSync(root, { recursive: true, force: true });
});

function keyOf(at: TestServer): string {
  return readFileSync(joinPath(at.dataDir, 'admin.key'), 'utf8').trim();
}

async function backUp(headers: Record<string, string> = bearer(keyOf(server)), at = server): Promise<Answer> {
  return checked('backUp', await at.get(path, headers));
}

function bearer(key: string): Record<string, string> {
  return { authorization: `Bearer ${key}` };
}

describe('with the key', () => {
  test('a first backup is pushed, told with its commit, and without a change there is no second', async () => {
    const pushed = await backUp();
    expect(pushed).toMatchObject({ status: 200, body: { OUTCOME: 'pushed' } });
    expect(pushed.body.message).toContain(pushed.body.COMMIT.slice(0, 12));
    const unchanged = await backUp();
    expect(unchanged).toMatchObject({
      status: 200,
      body: { OUTCOME: 'unchanged', COMMIT: pushed.body.COMMIT },
    });
    expect((await listCommits(repo)).map(({ hash }) => hash)).toEqual([pushed.body.COMMIT]);
  });

  test('a change is pushed, also by ?key= as a browser sends it', async () => {
    await signUp(server, 'Alice');
    const before = (await listCommits(repo)).length;
    const answer = checked('backUp', await server.get(`${path}?key=${keyOf(server)}`));
    expect(answer).toMatchObject({ status: 200, body: { OUTCOME: 'pushed' } });
    expect(await listCommits(repo)).toHaveLength(before + 1);
  });

  test('of two at once one is made and the other is 409', async () => {
    await signUp(server, 'Bob');
    const answers = await Promise.all([backUp(), backUp()]);
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 409]);
  });

  test('a remote that refuses is 503 with its reason, and the next one works again', async () => {
    const accept = await refusePushes(repo, 'the disk quota is used up');
    await signUp(server, 'Carol');
    const refused = await backUp();
    expect(refused.status).toBe(503);
    expect(refused.body.message).toContain('the disk quota is used up');
    await accept();
    expect((await backUp()).status).toBe(200);
  });

  test('without a repository it is 503 and says what to set, which is no defect to be logged with a stack', async () => {
    const log: string[] = [];
    await withServer(
      async (own) => {
        const answer = await backUp(bearer(keyOf(own)), own);
        expect(answer.status).toBe(503);
        expect(answer.body.message).toContain('BACKUP_REPO');
      },
      { onLog: (line) => log.push(line) },
    );
    expect(log.map((line) => JSON.parse(line)).filter(({ level }) => level === 'error')).toEqual([]);
    expect(log.join('')).not.toMatch(/\bat .*\.ts:\d/);
  });

  test('the key may be given by ADMIN_KEY, and then none is made', async () => {
    const key = 'a key of my own choosing'.replaceAll(' ', '-');
    await withServer(
      async (own) => {
        expect((await backUp(bearer(key), own)).status).toBe(503);
        expect(() => keyOf(own)).toThrow();
      },
      { env: { ADMIN_KEY: key } },
    );
  });
});

describe('without the key', () => {
  test('none is 401', async () => {
    expect((await backUp({})).status).toBe(401);
    expect((await backUp({ authorization: `Basic ${keyOf(server)}` })).status).toBe(401);
    expect(checked('backUp', await server.get(`${path}?key=`)).status).toBe(401);
  });

  test("a wrong one is 403, and so is everybody's own token", async () => {
    const person = await join(server, 'Dave');
    const key = keyOf(server);
    for (const wrong of ['x', person.token, person.cookie, key.slice(1), `${key}x`, key.toUpperCase()]) {
      expect((await backUp(bearer(wrong))).status).toBe(403);
      expect(checked('backUp', await server.get(`${path}?key=${encodeURIComponent(wrong)}`)).status).toBe(
        403,
      );
    }
  });

  test('nobody learns whether backups are configured', async () => {
    await withServer(async (own) => {
      expect((await backUp({}, own)).status).toBe(401);
      expect((await backUp(bearer('wrong'), own)).status).toBe(403);
    });
  });
});
