// The figures of a running server as Prometheus reads them: who may see them, what is counted, and the log of slow queries.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { availableParallelism } from 'node:os';
import { join as joinPath } from 'node:path';
import { adminKey, bearer } from '../support/admin.ts';
import { call, credentials, join, makeGroup, type Person, password } from '../support/people.ts';
import { TestServer, withServer } from '../support/server.ts';
import { defaultGroup, TestSocket } from '../support/socket.ts';

const metricsKey = 'the-metrics-key-of-this-test';

let server: TestServer;
let alice: Person;
let bob: Person;
beforeAll(async () => {
  server = await TestServer.start({ env: { METRICS_KEY: metricsKey } });
  [alice, bob] = [await join(server, 'Alice'), await join(server, 'Bob')];
});
afterAll(() => server.stop());

async function scrape(at = server, key = adminKey(at)): Promise<string> {
  const response = await fetch(`${at.url}/metrics`, { headers: bearer(key) });
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toStartWith('text/plain; version=0.0.4');
  return response.text();
}

/** The values by series, as `name{label="value"}`. */
async function valuesOf(at = server): Promise<Record<string, number>> {
  const lines = (await scrape(at)).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return Object.fromEntries(
    lines.map((line) => {
      const space = line.lastIndexOf(' ');
      return [line.slice(0, space), Number(line.slice(space + 1))];
    }),
  );
}

/** Keeps a data folder's database locked for so long, from a process of its own; resolves when it is. */
async function lockFor(dataDir: string, ms: number): Promise<void> {
  const hold = `
    const { Database } = require('bun:sqlite');
    const database = new Database(${JSON.stringify(joinPath(dataDir, 'chat.db'))});
    database.run('BEGIN IMMEDIATE');
    console.log('held');
    Bun.sleepSync(${ms});
    database.run('ROLLBACK');`;
  const child = Bun.spawn([process.execPath, '-e', hold], { stdout: 'pipe', stderr: 'inherit' });
  await child.stdout.getReader().read();
}

describe('who may see them', () => {
  test('nobody without a key, nor with a wrong one', async () => {
    expect((await call(server, 'metrics')).status).toBe(401);
    for (const wrong of ['x', alice.token, `${metricsKey}x`])
      expect((await call(server, 'metrics', {}, bearer(wrong))).status).toBe(403);
    expect((await server.get(`/metrics?key=${adminKey(server)}`)).status).toBe(401);
  });

  test('whoever shows METRICS_KEY, which opens nothing else', async () => {
    expect(await scrape(server, metricsKey)).toContain('chat_sockets_open');
    expect((await call(server, 'adminUsers', {}, bearer(metricsKey))).status).toBe(403);
    expect((await call(server, 'readyz', {}, bearer(metricsKey))).status).toBe(403);
  });
});

describe('what is counted', () => {
  test('sockets, accounts, sends, deliveries, batches and commits', async () => {
    const before = await valuesOf();
    const sockets = [
      await TestSocket.announced(server, alice),
      await TestSocket.announced(server, bob),
      await TestSocket.announced(server, bob),
      await TestSocket.open(server),
    ];
    const [first] = sockets as [TestSocket];
    expect((await first.say('one')).data.status_code).toBe(200);
    expect((await first.say('two')).data.status_code).toBe(200);
    expect((await first.say('nowhere', '42')).data.status_code).toBe(404);
    const after = await valuesOf();
    const grown = (name: string) => (after[name] ?? 0) - (before[name] ?? 0);
    expect(after).toMatchObject({
      chat_sockets_open: 4,
      chat_sockets_announced: 3,
      chat_accounts_online: 2,
      chat_sockets_buffered_bytes: 0,
      chat_committer_queue: 0,
      chat_hashing_queue: 0,
      chat_outbox_queue: 0,
    });
    expect(grown('chat_sends_accepted_total')).toBe(2);
    expect(grown('chat_sends_refused_total{reason="not_found"}')).toBe(1);
    expect(grown('chat_acknowledgement_seconds_count')).toBe(2);
    expect(grown('chat_acknowledgement_seconds_bucket{le="1"}')).toBe(2);
    expect(grown('chat_acknowledgement_seconds_sum')).toBeWithin(0.00001, 2);
    expect(grown('chat_batch_messages_sum')).toBe(3);
    expect(grown('chat_commit_seconds_count')).toBeGreaterThanOrEqual(2);
    // Bob's two sockets are of one login and count as one.
    expect(grown('chat_deliveries_total')).toBe(2);
    for (const socket of sockets) await socket.close();
    expect((await valuesOf()).chat_sockets_open).toBe(0);
  });

  test('direct messages are delivered once for each device of the two', async () => {
    const before = (await valuesOf()).chat_deliveries_total ?? 0;
    const [one, other] = [await TestSocket.announced(server, alice), await TestSocket.announced(server, bob)];
    const chat = `${alice.uid}${'0'.repeat(16)}${bob.uid}`;
    expect((await one.say('hello', chat, 'send_message_new_chat')).data.status_code).toBe(200);
    expect((await valuesOf()).chat_deliveries_total).toBe(before + 1);
    await one.close();
    await other.close();
  });

  test('logins by their outcome, and HTTP requests by the class of their status', async () => {
    const before = await valuesOf();
    expect((await call(server, 'login', { EMAIL: alice.email, PASSWORD: password })).status).toBe(200);
    expect((await call(server, 'login', { EMAIL: alice.email, PASSWORD: 'wrong' })).status).toBe(401);
    const after = await valuesOf();
    for (const series of [
      'chat_logins_total{result="ok"}',
      'chat_logins_total{result="failed"}',
      'chat_http_request_seconds_count{status="4xx"}',
    ])
      expect([series, (after[series] ?? 0) - (before[series] ?? 0)]).toEqual([series, 1]);
  });

  test('refusals by each kind of limit, under its name', async () => {
    await withServer(
      async (own) => {
        const carol = await join(own, 'Carol');
        const wrong = { EMAIL: carol.email, PASSWORD: 'wrong horse 42' };
        for (let tries = 0; tries < 6; tries += 1) await call(own, 'login', wrong);
        for (let tries = 0; tries < 11; tries += 1)
          await call(own, 'adminUsers', {}, { ...bearer('wrong'), 'x-forwarded-for': '203.0.113.1' });
        const socket = await TestSocket.announced(own, carol);
        const message = { MESSAGE: 'x', GROUP_ID: defaultGroup };
        for (let sent = 0; sent < 80; sent += 1) socket.send('send_message', message);
        for (let heard = 0; heard < 80; heard += 1) await socket.next();
        const values = await valuesOf(own);
        const tooFast = values['chat_limits_hit_total{rule="message"}'];
        expect(tooFast).toBeWithin(1, 31);
        expect(values).toMatchObject({
          'chat_limits_hit_total{rule="loginGuesses"}': 1,
          'chat_limits_hit_total{rule="adminKeyByAddress"}': 1,
          'chat_sends_refused_total{reason="rate_limited"}': tooFast,
        });
        await socket.close();
      },
      { env: { RATE_LIMITS: 'on', TRUST_PROXY: '127.0.0.1' } },
    );
  }, 15_000);

  test('passwords that were not hashed because too many waited', async () => {
    const before = (await valuesOf()).chat_hashing_refused_total ?? 0;
    const login = (who: number) =>
      call(server, 'login', { EMAIL: `nobody${who}@example.test`, PASSWORD: 'wrong horse 42' });
    // A hundred may wait besides those that are hashed, of which there is one for each core but one.
    const tries = availableParallelism() + 130;
    const answers = await Promise.all(Array.from({ length: tries }, (_, who) => login(who)));
    const statuses = answers.map(({ status }) => status);
    const refused = statuses.filter((status) => status === 429).length;
    expect(refused).toBeWithin(1, 32);
    expect(statuses.filter((status) => status === 401)).toHaveLength(tries - refused);
    expect((await valuesOf()).chat_hashing_refused_total).toBe(before + refused);
  }, 30_000);

  test('nothing of people: no account, address, chat or text is in it', async () => {
    const group = await makeGroup(server, alice, [bob]);
    const socket = await TestSocket.announced(server, alice);
    await socket.say('the text', group);
    await socket.close();
    const text = await scrape();
    for (const secret of [alice.uid, bob.uid, alice.email, group, defaultGroup, 'the text', '127.0.0.1'])
      expect(text).not.toContain(String(secret));
  });

  test('every sample belongs to a series that says what it is', async () => {
    const text = await scrape();
    const typed = [...text.matchAll(/^# TYPE (\w+) (counter|gauge|histogram)$/gm)].map(([, name]) => name);
    expect(new Set(typed).size).toBe(typed.length);
    const samples = [...text.matchAll(/^(\w+)(?:\{[^}]*\})? \S+$/gm)].map(([, name = '']) => name);
    expect(samples.length).toBeGreaterThan(50);
    for (const sample of samples)
      expect(typed).toContain(typed.includes(sample) ? sample : sample.replace(/_(?:bucket|sum|count)$/, ''));
    expect(text).toMatch(/^process_resident_memory_bytes [1-9]\d+$/m);
    expect(text).toMatch(/^chat_build_info\{version="[\d.]+",bun="[\d.]+",platform="\w+-\w+"\} 1$/m);
  });
});

describe('slow queries', () => {
  const slowLines = (lines: string[]) =>
    lines.map((line) => JSON.parse(line)).filter(({ event }) => event === 'slow query');

  test('a call of the store that takes long is logged by its name, and by nothing that was asked', async () => {
    const lines: string[] = [];
    await withServer(
      async (own) => {
        const carol = await join(own, 'Carol');
        lines.length = 0;
        await lockFor(own.dataDir, 400);
        const body = { ...credentials(carol), NAME: 'the secret name' };
        expect((await call(own, 'createGroup', body)).status).toBe(200);
        const slow = slowLines(lines).filter(({ method }) => method === 'createGroup');
        expect(slow).toHaveLength(1);
        expect(slow[0].level).toBe('warn');
        expect(slow[0].ms).toBeWithin(100, 1000);
        expect(
          slowLines(lines)
            .map((line) => JSON.stringify(line))
            .join(),
        ).not.toContain('name"');
        expect((await valuesOf(own)).chat_slow_queries_total).toBeGreaterThanOrEqual(1);
      },
      { onLog: (line) => lines.push(line) },
    );
  });

  test('SLOW_QUERY_MS=0 logs none', async () => {
    const lines: string[] = [];
    await withServer(
      async (own) => {
        const carol = await join(own, 'Carol');
        await lockFor(own.dataDir, 300);
        expect((await call(own, 'createGroup', { ...credentials(carol), NAME: 'Slow' })).status).toBe(200);
        expect(slowLines(lines)).toEqual([]);
      },
      { onLog: (line) => lines.push(line), env: { SLOW_QUERY_MS: '0' } },
    );
  });
});

describe('scripts/deploy/grafana-dashboard.json', () => {
  interface Panel {
    readonly id: number;
    readonly gridPos: { readonly x: number; readonly w: number };
    readonly targets: readonly { readonly expr: string }[];
  }
  const path = joinPath(import.meta.dir, '../../scripts/deploy/grafana-dashboard.json');
  const ofHistogram = /_(?:bucket|sum|count)$/;

  test('each series it names is one of ours, and each of ours is on it', async () => {
    const text = await scrape();
    const typed = [...text.matchAll(/^# TYPE (\w+) (\w+)$/gm)];
    const ours = new Set(typed.map(([, name = '']) => name));
    const histograms = new Set(typed.flatMap(([, name = '', type]) => (type === 'histogram' ? [name] : [])));
    const { panels }: { panels: Panel[] } = await Bun.file(path).json();
    const shown = new Set<string>();
    for (const { expr } of panels.flatMap(({ targets }) => targets))
      for (const [name] of expr.matchAll(/\b(?:chat|process)_\w+/g)) {
        const base = histograms.has(name.replace(ofHistogram, '')) ? name.replace(ofHistogram, '') : name;
        expect([expr, ours.has(base)]).toEqual([expr, true]);
        shown.add(base);
      }
    expect([...ours].filter((name) => !shown.has(name))).toEqual([]);
  });

  test('its panels have numbers of their own and fit into the width', async () => {
    const { panels }: { panels: Panel[] } = await Bun.file(path).json();
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    for (const { gridPos, targets } of panels) {
      expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24);
      expect(targets.length).toBeGreaterThan(0);
    }
  });
});
