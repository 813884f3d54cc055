// The write-ahead log beside the database: how long a reader can make it, and that its room is taken back.
import { Database } from 'bun:sqlite';
import { afterEach, beforeEach, expect, test } from 'bun:test';
import { statSync } from 'node:fs';
import { join as joinPath } from 'node:path';
import { join } from '../support/people.ts';
import { TestServer } from '../support/server.ts';
import { defaultGroup, TestSocket } from '../support/socket.ts';

const mebibyte = 1024 * 1024;

let server: TestServer;
let socket: TestSocket;
let lines: string[];

beforeEach(async () => {
  lines = [];
  server = await TestServer.start({ onLog: (line) => lines.push(line) });
  socket = await TestSocket.announced(server, await join(server, 'Alice'));
});
afterEach(async () => {
  await socket.close();
  await server.stop();
});

const logBytes = () => statSync(joinPath(server.dataDir, 'chat.db-wal')).size;

/** Says long things, many at once, until the condition holds. */
async function sayMuch(isEnough: () => boolean): Promise<void> {
  while (!isEnough()) {
    for (let count = 0; count < 20; count += 1)
      socket.send('send_message', { MESSAGE: 'y'.repeat(3900), GROUP_ID: defaultGroup });
    for (let count = 0; count < 20; count += 1) expect((await socket.next()).data.status_code).toBe(200);
  }
}

/** Reads what the database is now, as a backup does, until it is disposed of. */
function readOn(): Disposable {
  const reader = new Database(joinPath(server.dataDir, 'chat.db'), { readonly: true });
  reader.run('BEGIN');
  reader.query('SELECT count(*) FROM messages').get();
  return reader;
}

test('without long readers it stays within a checkpoint, however much is written', async () => {
  let written = 0;
  let longest = 0;
  await sayMuch(() => {
    written += 20 * 3900;
    longest = Math.max(longest, logBytes());
    return written > 40 * mebibyte;
  });
  expect(longest).toBeGreaterThan(10 * mebibyte);
  expect(longest).toBeLessThan(20 * mebibyte);
}, 30_000);

test('a reader makes it grow, holds up nobody, and once it ends the writers cut it and a quiet moment takes all back', async () => {
  const reader = readOn();
  await sayMuch(() => logBytes() > 70 * mebibyte);
  // Housekeeping comes by and neither waits for the reader nor lets anybody wait.
  await server.running.keepHouse();
  expect(logBytes()).toBeGreaterThan(70 * mebibyte);
  expect(lines.filter((line) => line.includes('the write-ahead log grows')).length).toBe(1);
  const askedAt = performance.now();
  expect((await socket.say('at once')).data.status_code).toBe(200);
  expect(performance.now() - askedAt).toBeLessThan(900); // as long as a writer waits for a lock, and less
  reader[Symbol.dispose]();

  await socket.say('brings it into the file');
  await socket.say('begins it anew');
  expect(logBytes()).toBe(64 * mebibyte);
  await server.running.keepHouse();
  expect(logBytes()).toBe(0);
  expect((await socket.say('goes on')).data.status_code).toBe(200);
}, 60_000);

test('what a reader left is taken back although nobody writes any more', async () => {
  const reader = readOn();
  await sayMuch(() => logBytes() > 20 * mebibyte);
  reader[Symbol.dispose]();
  expect(logBytes()).toBeGreaterThan(20 * mebibyte);
  await server.running.keepHouse();
  expect(logBytes()).toBe(0);
  expect(lines.filter((line) => line.includes('"level":"error"'))).toEqual([]);
}, 30_000);
