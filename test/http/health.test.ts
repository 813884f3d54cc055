// What supervisors and proxies are told of the server, and what it tells of each request.
import { Database } from 'bun:sqlite';
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { connect } from 'node:net';
import { join as joinPath } from 'node:path';
import { noteBackupState } from '../../src/ops/backup/state.ts';
import { adminKey, bearer } from '../support/admin.ts';
import { checked, credentials, join } from '../support/people.ts';
import { type Answer, TestServer, withServer } from '../support/server.ts';

const hourMs = 60 * 60 * 1000;
/** How long an answer of /readyz may be the one of before. */
const freshMs = 1050;

let server: TestServer;
beforeAll(async () => {
  server = await TestServer.start();
});
afterAll(() => server.stop());

async function readiness(at = server, headers: Record<string, string> = {}): Promise<Answer> {
  return checked('readyz', await at.get('/readyz', headers));
}

/** Keeps everybody else from writing until it is disposed, as a stuck program on the same file would. */
function holdDatabase(at: TestServer): Disposable {
  const database = new Database(joinPath(at.dataDir, 'chat.db'));
  database.run('BEGIN IMMEDIATE');
  return database;
}

describe('/healthz and /readyz', () => {
  test('tell anybody that all is up, and no more than that', async () => {
    expect(checked('healthz', await server.get('/healthz')).body).toEqual({ message: 'Alive' });
    const { status, body } = await readiness();
    expect(status).toBe(200);
    expect(body).toEqual({ message: 'Ready', checks: { SERVER: 'up', DATABASE: 'up', DISK: 'up' } });
  });

  test('tell details to whoever shows the admin key, and refuse a wrong one', async () => {
    const { body } = await readiness(server, bearer(adminKey(server)));
    expect(body.details.DATABASE).toEqual({ STATE: 'ok', DETAIL: 'can be written' });
    expect(body.details.DISK.DETAIL).toMatch(/^[\d.]+ [GT]iB free$/);
    expect((await readiness(server, bearer('wrong'))).status).toBe(403);
    expect((await readiness(server, { authorization: 'Basic eDp5' })).body.details).toBeUndefined();
  });

  test('a database that cannot be written makes it not ready, and ready again by itself', async () => {
    await withServer(async (own) => {
      expect((await readiness(own)).status).toBe(200);
      {
        using _lock = holdDatabase(own);
        expect((await readiness(own)).status).toBe(200); // looked at a moment ago
        await Bun.sleep(freshMs);
        const refused = await readiness(own);
        expect(refused.status).toBe(503);
        expect(refused.body).toEqual({
          message: 'Not ready: DATABASE',
          checks: { SERVER: 'up', DATABASE: 'down', DISK: 'up' },
        });
        const { details } = (await readiness(own, bearer(adminKey(own)))).body;
        expect(details.DATABASE).toMatchObject({ STATE: 'fail', DETAIL: expect.stringContaining('locked') });
        expect((await own.get('/healthz')).status).toBe(200);
      }
      await Bun.sleep(freshMs);
      expect((await readiness(own)).status).toBe(200);
    });
  }, 15_000);

  test('little free disk is a warning, with which traffic goes on', async () => {
    await withServer(
      async (own) => {
        const { status, body } = await readiness(own, bearer(adminKey(own)));
        expect(status).toBe(200);
        expect(body.checks.DISK).toBe('up');
        expect(body.details.DISK).toMatchObject({
          STATE: 'warn',
          DETAIL: expect.stringContaining('make room'),
        });
      },
      { env: { DISK_LOW_BYTES: String(2 ** 50) } },
    );
  });

  test('late and failed backups and drills are warnings, told to nobody without the key', async () => {
    await withServer(
      async (own) => {
        const states = async () => {
          await Bun.sleep(freshMs);
          const { status, body } = await readiness(own, bearer(adminKey(own)));
          expect(status).toBe(200);
          const { BACKUP, REMOTE, DRILL } = body.details;
          return { BACKUP: BACKUP.STATE, REMOTE: REMOTE.STATE, DRILL: DRILL.STATE, words: BACKUP.DETAIL };
        };
        expect(await states()).toMatchObject({ BACKUP: 'ok', REMOTE: 'ok', DRILL: 'ok' });
        own.advance(2 * hourMs);
        expect(await states()).toMatchObject({ BACKUP: 'ok', words: 'no backup yet' });
        own.advance(hourMs);
        expect(await states()).toMatchObject({ BACKUP: 'warn', words: 'no backup yet: look into the log' });

        const success = { commit: 'x', bytes: 5_000_000, durationMs: 900, outcome: 'pushed' } as const;
        const noteSuccess = () =>
          noteBackupState(own.dataDir, { lastSuccess: { atMs: own.clock(), ...success } });
        noteSuccess();
        expect(await states()).toMatchObject({ BACKUP: 'ok' });
        noteBackupState(own.dataDir, { lastFailure: { atMs: own.clock(), message: 'the remote is away' } });
        expect(await states()).toMatchObject({
          BACKUP: 'warn',
          words: expect.stringContaining('the remote is away'),
        });
        expect(JSON.stringify((await readiness(own)).body)).not.toContain('away');
        noteSuccess();
        const drill = { ok: false, message: 'a part is missing', durationMs: 900, commit: null };
        noteBackupState(own.dataDir, { lastDrill: { atMs: own.clock(), ...drill } });
        expect(await states()).toMatchObject({ BACKUP: 'ok', DRILL: 'warn' });
        noteBackupState(own.dataDir, { lastDrill: { atMs: own.clock(), ...drill, ok: true } });
        expect(await states()).toMatchObject({ DRILL: 'ok' });
        own.advance(15 * 24 * hourMs);
        expect(await states()).toMatchObject({ DRILL: 'warn' });
        expect((await readiness(own)).body.checks).toMatchObject({ BACKUP: 'up', REMOTE: 'up', DRILL: 'up' });
      },
      { env: { BACKUP_REPO: '/nowhere.git', BACKUP_SCHEDULE: '0 * * * *' } },
    );
  }, 30_000);

  test('a server that is stopping is not ready', async () => {
    const own = await TestServer.start();
    const socket = connect(Number(own.running.url.port), '127.0.0.1');
    const answered = new Promise<string>((resolve) => {
      let received = '';
      socket.on('data', (bytes) => {
        received += bytes;
      });
      socket.on('close', () => resolve(received));
    });
    socket.write('GET /readyz HTTP/1.1\r\nHost: x\r\n');
    await Bun.sleep(50);
    const stopped = own.stop();
    await Bun.sleep(20);
    socket.write('\r\n');
    const answer = await answered;
    expect(answer).toStartWith('HTTP/1.1 503');
    expect(answer).toContain('"SERVER":"down"');
    await stopped;
  });
});

describe('request ids', () => {
  const idOf = ({ headers }: Answer) => headers.get('x-request-id') ?? '';

  test('each answer has one of its own, refusals too', async () => {
    const answers = [
      await server.get('/uptime'),
      await server.get('/nothing'),
      await server.get('/ws'),
      await server.post('/login', '{'),
      await server.get('/healthz'),
    ];
    expect(new Set(answers.map(idOf)).size).toBe(answers.length);
    for (const answer of answers) expect(idOf(answer)).toMatch(/^[0-9a-f-]{36}$/);
    expect(answers[0]?.headers.get('access-control-expose-headers')).toContain('X-Request-Id');
  });

  test('one that comes along is taken over from a trusted proxy alone, and only if well formed', async () => {
    expect(idOf(await server.get('/uptime', { 'x-request-id': 'abc-1' }))).not.toBe('abc-1');
    await withServer(
      async (own) => {
        expect(idOf(await own.get('/uptime', { 'x-request-id': 'abc-1' }))).not.toBe('abc-1');
      },
      { env: { TRUST_PROXY: '10.0.0.0/8' } },
    );
    await withServer(
      async (own) => {
        const given = async (id: string) => idOf(await own.get('/uptime', { 'x-request-id': id }));
        expect(await given('0af7651916cd43dd-8448eb211c80319c')).toBe('0af7651916cd43dd-8448eb211c80319c');
        for (const bad of ['', 'a b', 'x'.repeat(129), '{"level":"error"}', '<script>'])
          expect(await given(bad)).toMatch(/^[0-9a-f-]{36}$/);
      },
      { env: { TRUST_PROXY: '127.0.0.1' } },
    );
  });

  test('the access log and the log of a mistake of ours have it, and the answer to that names it', async () => {
    const lines: string[] = [];
    await withServer(
      async (own) => {
        const alice = await join(own, 'Alice');
        using database = new Database(joinPath(own.dataDir, 'chat.db'));
        database.run('DROP TABLE blocks');
        const answer = await own.post('/get_blocked_users?key=hidden', credentials(alice));
        expect(answer.status).toBe(500);
        expect(answer.body).toEqual({ message: expect.any(String), REQUEST_ID: idOf(answer) });
        const about = lines
          .map((line) => JSON.parse(line))
          .filter(({ requestId }) => requestId === idOf(answer));
        expect(about).toMatchObject([
          { level: 'error', event: 'request failed', error: expect.stringContaining('blocks') },
          { level: 'debug', event: 'request', method: 'POST', path: '/get_blocked_users', status: 500 },
        ]);
        expect(lines.join()).not.toContain('hidden');
      },
      { onLog: (line) => lines.push(line) },
    );
  });
});
