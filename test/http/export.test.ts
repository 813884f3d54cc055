// Taking one's data along: what is in the export, what is not, and that its size does not matter.
import { Database } from 'bun:sqlite';
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { connect } from 'node:net';
import { join as joinPath } from 'node:path';
import { directChatId } from '../../src/protocol/entities.ts';
import { call, credentials, join, makeGroup, type Person, password } from '../support/people.ts';
import { ServerProcess } from '../support/process.ts';
import { TestServer, withServer } from '../support/server.ts';
import { defaultGroup, TestSocket } from '../support/socket.ts';

// Hashing takes long on a busy machine.
setDefaultTimeout(30_000);

let server: TestServer;
let alice: Person;
let bob: Person;
beforeAll(async () => {
  server = await TestServer.start();
  [alice, bob] = [await join(server, 'Alice'), await join(server, 'Bob')];
});
afterAll(() => server.stop());

const exportOf = (person: Person, PASSWORD: unknown = password, at = server) =>
  call(at, 'exportData', { ...credentials(person), PASSWORD });

async function say(person: Person, text: string, groupId: string): Promise<number> {
  await using socket = await TestSocket.announced(server, person);
  return (await socket.say(text, groupId, 'send_message_new_chat')).data.MESSAGE_ID;
}

describe('the export', () => {
  test('It has the account, its logins, its chats and what it sent, also to a group it has left.', async () => {
    const [team, left] = [await makeGroup(server, bob, [alice]), await makeGroup(server, bob, [alice])];
    const direct = directChatId(alice.uid, bob.uid);
    await say(alice, 'h:68656c6c6f', team);
    await say(bob, 'not hers', team);
    await say(alice, 'hi bob', direct);
    await say(alice, 'before she left', left);
    const removed = await say(alice, 'a slip', team);
    const gone = { ...credentials(alice), GROUP_ID: team, MESSAGE_ID: removed };
    expect((await call(server, 'removeMessage', gone)).status).toBe(200);
    expect((await call(server, 'leaveGroup', { ...credentials(alice), GROUP_ID: left })).status).toBe(200);
    expect((await call(server, 'blockUser', { ...credentials(alice), BLOCKED_UID: bob.uid })).status).toBe(
      200,
    );
    const { status, body, headers } = await exportOf(alice);
    expect(status).toBe(200);
    expect(headers.get('content-type')).toBe('application/json');
    expect(headers.get('content-disposition')).toBe(`attachment; filename="chat-data-${alice.uid}.json"`);
    expect(headers.get('cache-control')).toBe('no-store');
    expect(body.account).toMatchObject({
      UID: alice.uid,
      FIRST_NAME: 'Alice',
      EMAIL: alice.email,
      SECOND_FACTOR: false,
      BLOCKED: [bob.uid],
    });
    expect(body.sessions).toHaveLength(1);
    expect(body.chats.map(({ GROUP_ID }: { GROUP_ID: string }) => GROUP_ID).sort()).toEqual(
      [defaultGroup, team, direct].sort(),
    );
    const sent = body.messages.map((one: Record<string, unknown>) => [
      one.GROUP_ID,
      one.MESSAGE_ID,
      one.MESSAGE,
    ]);
    expect(sent.sort()).toEqual(
      [
        [team, 1, 'h:68656c6c6f'],
        [team, 3, 'This message was removed'],
        [direct, 1, 'hi bob'],
        [left, 1, 'before she left'],
      ].sort(),
    );
  });

  test('No secret and nothing of other people is in it.', async () => {
    const text = JSON.stringify((await exportOf(alice)).body);
    for (const secret of [password, alice.cookie, alice.token, '$argon2', bob.email, 'not hers'])
      expect(text).not.toInclude(secret);
  });

  test('It needs the right password; without it nothing is noted, with it that is.', async () => {
    expect((await exportOf(bob, 'wrong horse 42')).status).toBe(401);
    expect((await call(server, 'exportData', credentials(bob))).status).toBe(400);
    const notes = async () => {
      const entries = await server.store.listAudit({ uid: bob.uid, before: null, limit: 50 });
      return entries.filter(({ kind }) => kind === 'data_exported').length;
    };
    expect(await notes()).toBe(0);
    expect((await exportOf(bob)).status).toBe(200);
    expect(await notes()).toBe(1);
  });

  test('It is given a few times a day to each account, and a wrong password uses none of them up.', async () => {
    await withServer(
      async (limited) => {
        const carol = await join(limited, 'Carol');
        const statuses: number[] = [];
        for (let count = 0; count < 4; count++)
          statuses.push((await exportOf(carol, password, limited)).status);
        expect(statuses).toEqual([200, 200, 200, 429]);
        // The twin: others are not limited by it.
        const dave = await join(limited, 'Dave');
        for (let count = 0; count < 4; count++) await exportOf(dave, 'wrong horse 42', limited);
        expect((await exportOf(dave, password, limited)).status).toBe(200);
      },
      { env: { RATE_LIMITS: 'on' } },
    );
  });
});

describe('a large one', () => {
  const count = 300_000;

  /** Writes a long log straight into the file: over the wire it would take minutes. */
  function fill(dataDir: string, sender: Person, other: Person): void {
    const database = new Database(joinPath(dataDir, 'chat.db'));
    const chat = 'SELECT id FROM chats WHERE group_id = ?1';
    database.run(
      `WITH RECURSIVE n (seq) AS (SELECT 1 UNION ALL SELECT seq + 1 FROM n WHERE seq < ${count})
       INSERT INTO messages (chat_id, seq, sender_uid, body, sent_at)
       SELECT (${chat}), seq, CASE seq % 3 WHEN 0 THEN ?2 ELSE ?3 END, 'text number ' || seq || printf('%.80c', 'x'), 1
       FROM n`,
      [defaultGroup, other.uid, sender.uid],
    );
    database.run(`UPDATE chats SET last_seq = ${count} WHERE group_id = ?`, [defaultGroup]);
    database.close();
  }

  test('takes no memory for its length, also when it is read slowly, and holds nobody up.', async () => {
    const { server: process, made } = await ServerProcess.prepared(async (inside) => {
      const people = { alice: await join(inside, 'Alice'), bob: await join(inside, 'Bob') };
      return people;
    });
    try {
      await process.end('SIGTERM');
      fill(process.dataDir, made.alice, made.bob);
      await process.start();
      const body = JSON.stringify({ ...credentials(made.alice), PASSWORD: password });
      const before = process.memory;
      const slow = await readSlowly(process.port, body);
      expect(slow.bytes).toBeGreaterThan(0);
      // Nobody reads on; what has not been asked for is not made. The whole is more than 30 MB.
      await Bun.sleep(1500);
      const growth = process.memory - before;
      expect(growth / 1e6).toBeLessThan(25);
      const asked = performance.now();
      await fetch(`${process.url}/uptime`);
      expect(performance.now() - asked).toBeLessThan(200);
      slow.end();

      const answer = await fetch(`${process.url}/export_data`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body,
      });
      // biome-ignore lint/suspicious/noExplicitAny: its shape is held by the tests above
      const { messages } = (await answer.json()) as any;
      expect(messages).toHaveLength((count / 3) * 2);
      expect(messages.at(-1)).toMatchObject({ GROUP_ID: defaultGroup, MESSAGE_ID: count - 1 });
    } finally {
      await process.remove();
    }
  });

  /** Sends the request and reads the first bytes of the answer, and then no more. */
  function readSlowly(port: number, body: string): Promise<{ bytes: number; end: () => void }> {
    const socket = connect(port, '127.0.0.1');
    const head = [`POST /export_data HTTP/1.1`, `Host: 127.0.0.1`, `Content-Type: application/json`];
    socket.write(`${head.join('\r\n')}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
    return new Promise((resolve, reject) => {
      socket.once('error', reject);
      socket.once('data', (bytes) => {
        socket.pause();
        resolve({ bytes: bytes.length, end: () => socket.destroy() });
      });
    });
  }
});
