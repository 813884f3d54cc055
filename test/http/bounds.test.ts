// How much a request may be, how deep, how slow, and how many at once.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { limits } from '../../src/protocol/entities.ts';
import { createRemote } from '../support/git.ts';
import { call, credentials, join, type Person, signUpBody } from '../support/people.ts';
import { bodyIn, exchangeLines, statusIn } from '../support/raw.ts';
import { TestServer, withServer } from '../support/server.ts';

// Slow clients take their time.
setDefaultTimeout(60_000);

let server: TestServer;
let alice: Person;
let repo: string;
const log: string[] = [];

beforeAll(async () => {
  repo = await createRemote(mkdtempSync(joinPath(tmpdir(), 'bounds-')));
  const env = { BACKUP_REPO: repo, BACKUP_SCHEDULE: 'off' };
  server = await TestServer.start({ env, onLog: (line) => log.push(line) });
  alice = await join(server, 'Alice');
});
afterAll(async () => {
  await server.stop();
  rmSync(repo, { recursive: true });
});

describe('bodies', () => {
  /** A body with its credentials and a field nested so deep that the whole has this many levels. */
  const nested = (levels: number, open = '[', close = ']') =>
    `{"UID":${alice.uid},"COOKIE":"${alice.cookie}","DEEP":${open.repeat(levels - 1)}0${close.repeat(levels - 1)}}`;

  test('nested up to 32 levels are read, deeper ones are no body at all', async () => {
    for (const [open, close] of [
      ['[', ']'],
      ['{"a":', '}'],
    ]) {
      expect((await call(server, 'oldMessages', nested(limits.jsonDepth, open, close))).status).toBe(200);
      for (const levels of [limits.jsonDepth + 1, 1000, 9000])
        expect((await call(server, 'oldMessages', nested(levels, open, close))).status).toBe(400);
    }
    const wide = { ...credentials(alice), WIDE: Array.from({ length: 9000 }, () => [[]]) };
    expect((await call(server, 'oldMessages', wide)).status).toBe(200);
  });

  test('compressed ones are refused with 415, bombs unseen', async () => {
    const bomb = Bun.gzipSync(new Uint8Array(20_000_000));
    expect(bomb.length).toBeLessThan(limits.bodyBytes);
    for (const encoding of ['gzip', 'GZIP', 'deflate', 'br', 'zstd', 'identity, gzip', 'x', '']) {
      const response = await fetch(`${server.url}/login`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'content-encoding': encoding },
        body: bomb,
      });
      expect([encoding, response.status]).toEqual([encoding, 415]);
      expect(await response.json()).toEqual({ message: expect.any(String) });
      expect(response.headers.get('accept-encoding')).toBe('identity');
    }
    const plain = await call(server, 'listChats', credentials(alice), { 'content-encoding': 'identity' });
    expect(plain.status).toBe(200);
  });

  test('that are sent in two ways at once, or in none that is known, are not read', async () => {
    const body = '{"EMAIL":"a@b.test","PASSWORD":"x"}';
    const type = 'Content-Type: application/json';
    const chunked = `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
    for (const [lines, sent] of [
      [['Content-Length: 5', 'Transfer-Encoding: chunked'], chunked],
      [['Content-Length: 5', 'Content-Length: 6'], body],
      [['Content-Length: -1'], body],
      [['Content-Length: 1e3'], body],
      [['Content-Length: 99999999999999999999999'], body],
      [['Transfer-Encoding: gzip, chunked'], chunked],
      [['Transfer-Encoding: chunked'], `zz\r\n${body}\r\n0\r\n\r\n`],
      [['Transfer-Encoding: chunked'], `ffffffffffffffff\r\n${body}\r\n0\r\n\r\n`],
    ] as [string[], string][]) {
      const answer = await exchangeLines(server, 'POST /login HTTP/1.1', [type, ...lines], sent);
      expect([lines, statusIn(answer) || 'closed']).not.toEqual([lines, 200]);
      expect(statusIn(answer) || 400).toBeLessThan(500);
    }
    await expectAlive();
  });
});

describe('heads', () => {
  test('an address longer than 2,048 characters is 414 as JSON, one of that size is not', async () => {
    const fits = 'x'.repeat(limits.urlLength - `${server.url}/uptime?`.length);
    expect((await server.get(`/uptime?${fits}`)).status).toBe(200);
    const refused = await server.get(`/uptime?${fits}x`);
    expect([refused.status, refused.body]).toEqual([414, { message: expect.any(String) }]);
    expect((await server.get(`/ws/${'x'.repeat(3000)}`)).status).toBe(414);
  });

  test('header fields of more than 8 KiB are 431 as JSON, and beyond 16 KiB 431 all the same', async () => {
    const ask = (size: number, fields = 1) =>
      exchangeLines(
        server,
        'GET /uptime HTTP/1.1',
        Array.from({ length: fields }, (_none, index) => `X-Filler-${index}: ${'x'.repeat(size)}`),
      );
    expect(statusIn(await ask(7000))).toBe(200);
    const refused = await ask(9000);
    expect([statusIn(refused), bodyIn(refused)]).toEqual([431, { message: expect.any(String) }]);
    expect(statusIn(await ask(100, 90))).toBe(431);
    expect(statusIn(await ask(20_000))).toBe(431);
    expect(statusIn(await ask(1, 1000)) || 431).toBe(431);
    await expectAlive();
  });
});

describe('slow clients', () => {
  /** Begins like this, then sends a part a second; resolves after how many ms the server ended it, null if never. */
  function drip(first: string, part: string): Promise<number | null> {
    const { hostname, port } = server.running.url;
    const began = Date.now();
    return new Promise((resolve) => {
      const socket: Socket = connect(Number(port), hostname, () => socket.write(first));
      const timer = setInterval(() => part !== '' && socket.write(part), 1000);
      const enough = setTimeout(() => socket.destroy(), 45_000);
      socket.on('error', () => undefined).on('data', () => undefined);
      socket.on('close', () => {
        clearInterval(timer);
        clearTimeout(enough);
        resolve(Date.now() - began < 44_000 ? Date.now() - began : null);
      });
    });
  }

  /** A backup to a remote that takes 17 s over it; its status. */
  async function slowBackup(): Promise<number> {
    const hook = joinPath(repo, 'hooks', 'pre-receive');
    writeFileSync(hook, '#!/bin/sh\nsleep 17\n');
    chmodSync(hook, 0o755);
    const key = readFileSync(joinPath(server.dataDir, 'admin.key'), 'utf8').trim();
    return (await call(server, 'backUp', undefined, { authorization: `Bearer ${key}` })).status;
  }

  test('that drip a head or a body are cut off; others are answered, and a slow server is waited for', async () => {
    const head = 'POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n';
    const slow: [string, string, string][] = [
      ['nothing at all', '', ''],
      ['half a line', 'GET /upt', ''],
      ['a field letter by letter', `${head}X-Filler: `, 'x'],
      ['field after field', head, 'X-Filler: x\r\n'],
      ['half an upgrade', 'GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n', 'X: x\r\n'],
      ['half a body', `${head}Content-Length: 100\r\n\r\n{`, ''],
      ['a body letter by letter', `${head}Content-Length: 60000\r\n\r\n`, 'x'],
      ['a body in tiny chunks', `${head}Transfer-Encoding: chunked\r\n\r\n`, '1\r\nx\r\n'],
      ['a body just too slow', `${head}Content-Length: 60000\r\n\r\n`, 'x'.repeat(100)],
    ];
    const ends = Promise.all(
      slow.map(async ([what, first, part]) => [what, await drip(first, part)] as const),
    );
    const patience = setInterval(() => void expectAlive(), 2000);
    expect(await slowBackup()).toBe(200);
    for (const [what, ms] of await ends) expect([what, ms !== null && ms < 25_000]).toEqual([what, true]);
    clearInterval(patience);
    await expectAlive();
    expect(log.filter((line) => line.includes('"level":"error"'))).toEqual([]);
  });

  test('an address may have 200 requests under way; another is answered meanwhile', () =>
    withServer(
      async (own) => {
        const held: Socket[] = [];
        const { hostname, port } = own.running.url;
        while (held.length < 200) {
          const socket = connect(Number(port), hostname).on('error', () => undefined);
          socket.write(
            'POST /login HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 2001:db8::1\r\nContent-Length: 9\r\n\r\n{',
          );
          held.push(socket);
        }
        const from = (address: string) => own.get('/uptime', { 'x-forwarded-for': address });
        await until(async () => (await from('2001:db8::2')).status === 429);
        expect((await from('2001:db8::2')).headers.get('retry-after')).toBe('1');
        expect((await from('2001:db8:0:1::2')).status).toBe(200);
        for (const socket of held) socket.destroy();
        await until(async () => (await from('2001:db8::2')).status === 200);
      },
      { env: { RATE_LIMITS: 'on', TRUST_PROXY: '127.0.0.1' } },
    ));
});

async function until(condition: () => Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + 5000; !(await condition()); await Bun.sleep(20))
    if (Date.now() > deadline) throw new Error('it did not come to pass');
}

async function expectAlive(): Promise<void> {
  expect((await call(server, 'uptime')).status).toBe(200);
  expect((await call(server, 'signUp', signUpBody('7'))).status).toBe(400);
}
