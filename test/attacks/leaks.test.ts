// Attack: by reading what the server leaves behind: its log, its answers to errors, its files, its old copies.
import { expect, test } from 'bun:test';
import { copyFileSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join as joinPath } from 'node:path';
import { adminKey } from '../support/admin.ts';
import { credentials, join } from '../support/people.ts';
import { withServer } from '../support/server.ts';
import { defaultGroup, TestSocket } from '../support/socket.ts';

test('the log is searched for passwords, codes, cookies and keys', async () => {
  const lines: string[] = [];
  await withServer(
    async (server) => {
      const alice = await join(server, 'Alice');
      await server.post('/login', { EMAIL: alice.email, PASSWORD: alice.password });
      await server.post('/login', { EMAIL: alice.email, PASSWORD: 'mistyped secret 9' });
      await server.get(`/quick_quick_save_data_to_database_repository?key=${adminKey(server)}`);
      const log = lines.join('\n');
      expect(log).toContain('"level":');
      const code = server.codeFor(alice.email);
      for (const secret of [
        alice.password,
        alice.cookie,
        alice.token,
        'mistyped secret 9',
        adminKey(server),
        code,
      ])
        expect(log).not.toContain(secret);
    },
    { onLog: (line) => lines.push(line) },
  );
});

test('another user of the machine reads the data folder', () =>
  withServer(async (server) => {
    await join(server, 'Alice');
    expect(statSync(server.dataDir).mode & 0o077).toBe(0);
    for (const name of readdirSync(server.dataDir)) {
      if (name.startsWith('chat.db') || name.endsWith('.secret') || name.endsWith('.key'))
        expect({ name, open: statSync(joinPath(server.dataDir, name)).mode & 0o077 }).toEqual({
          name,
          open: 0,
        });
    }
  }));

test('a restored copy of the database brings a deleted account back', () =>
  withServer(async (server) => {
    const alice = await join(server, 'Alice');
    await server.running.stop();
    const [database, copy] = ['chat.db', 'copy'].map((name) => joinPath(server.dataDir, name));
    copyFileSync(database as string, copy as string);
    await server.start();
    const deletion = { ...credentials(alice), PASSWORD: alice.password, MESSAGES: 'keep' };
    expect((await server.post('/delete_account', deletion)).status).toBe(200);
    await server.running.stop();
    copyFileSync(copy as string, database as string);
    await server.start();
    expect((await server.post('/login', { EMAIL: alice.email, PASSWORD: alice.password })).status).toBe(401);
  }));

test('a removed message is read in the history, or in the file', () =>
  withServer(async (server) => {
    const alice = await join(server, 'Alice');
    await using hers = await TestSocket.announced(server, alice);
    const { MESSAGE_ID } = (await hers.say('what I should not have said')).data;
    const removal = { ...credentials(alice), GROUP_ID: defaultGroup, MESSAGE_ID };
    expect((await server.post('/remove_message', removal)).status).toBe(200);
    const { body } = await server.post('/get_old_messages', credentials(alice));
    expect(JSON.stringify(body)).not.toContain('should not have said');
    await server.running.stop();
    expect(readFileSync(joinPath(server.dataDir, 'chat.db'), 'latin1')).not.toContain('should not have said');
    await server.start();
  }));
