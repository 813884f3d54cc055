// What must stay secret: nothing that opens an account lies in the database, its journal or the log.
import { expect, setDefaultTimeout, test } from 'bun:test';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join as joinPath } from 'node:path';
import { call, credentials, join, mailAt, type Person, password, signUp } from '../support/people.ts';
import { type TestServer, withServer } from '../support/server.ts';
import { TestSocket } from '../support/socket.ts';

// Hashing, git and mail take long on a busy machine.
setDefaultTimeout(20_000);

/** The bytes of the database and its companions, as one text of Latin letters. */
function databaseBytes(server: TestServer): string {
  const names = readdirSync(server.dataDir).filter((name) => name.startsWith('chat.db'));
  expect(names).toContain('chat.db-wal');
  return names.map((name) => readFileSync(joinPath(server.dataDir, name), 'latin1')).join('\n');
}

/** Does all that a person can do with secrets, and returns every secret that was used. */
async function wholeSession(server: TestServer): Promise<string[]> {
  const alice = await join(server, 'Alice');
  const secrets = [password, alice.cookie, alice.token, server.codeFor(alice.email)];
  await call(server, 'getToken', credentials(alice));
  await call(server, 'listChats', {}, { authorization: `Bearer ${alice.token}` });
  const socket = await TestSocket.announced(server, alice);
  await socket.say('hello');
  await socket.close();

  const login = await call(server, 'login', { EMAIL: alice.email, PASSWORD: password });
  secrets.push(login.body.COOKIE, login.body.TOKEN);
  const session: Person = { ...alice, cookie: login.body.COOKIE, token: login.body.TOKEN };
  for (const wrong of ['a wrong password', 'another wrong one']) {
    await call(server, 'login', { EMAIL: alice.email, PASSWORD: wrong });
    await call(server, 'changeSettings', { ...credentials(session), PASSWORD: wrong });
    secrets.push(wrong);
  }
  secrets.push(...(await newPasswordAndAddress(server, session)));

  const unverified = await signUp(server, 'Bob');
  await call(server, 'resendCode', credentials(unverified));
  const pending = await call(server, 'login', { EMAIL: unverified.email, PASSWORD: password });
  await call(server, 'verifyAccount', { ...credentials(unverified), OTP: '000000' });
  secrets.push(unverified.cookie, unverified.token, pending.body.COOKIE, server.codeFor(unverified.email));
  await server.get(`/quick_quick_save_data_to_database_repository?key=${adminKey(server)}`);
  await server.get('/quick_quick_save_data_to_database_repository?key=a-guess-at-the-key');
  return [...secrets, adminKey(server), serverSecret(server), 'a-guess-at-the-key'];
}

async function newPasswordAndAddress(server: TestServer, person: Person): Promise<string[]> {
  const next = 'the next password';
  const changed = await call(server, 'changeSettings', {
    ...credentials(person),
    PASSWORD: password,
    NEW_PASSWORD: next,
  });
  expect(changed.status).toBe(200);
  await mailAt(server, person.email, 2);
  const target = 'elsewhere@example.test';
  await call(server, 'resendCode', { ...credentials(person), MODE: 'EMAIL_CHANGE', EMAIL: target });
  const code = server.codeFor(target);
  const moved = await call(server, 'changeSettings', { ...credentials(person), EMAIL: target, OTP: code });
  expect(moved.status).toBe(200);
  const undo = /^ {4}([A-Z0-9]{20})\r?$/m.exec(await mailAt(server, person.email, 3))?.[1] ?? '';
  expect(undo).toHaveLength(20);
  await call(server, 'undoEmailChange', { EMAIL: person.email, OTP: `${undo.slice(1)}X` });
  return [next, code, undo];
}

function adminKey(server: TestServer): string {
  return readFileSync(joinPath(server.dataDir, 'admin.key'), 'utf8').trim();
}

function serverSecret(server: TestServer): string {
  return readFileSync(joinPath(server.dataDir, 'server.secret'), 'utf8').trim();
}

test('no cookie, token, code, password or key is in clear in the database or the log of a whole session', async () => {
  const log: string[] = [];
  await withServer(
    async (server) => {
      const secrets = await wholeSession(server);
      const [bytes, lines] = [databaseBytes(server), log.join('')];
      // The twin: what is no secret is found there, so the search does search.
      expect(bytes).toContain('alice@example.test');
      expect(secrets.every((secret) => typeof secret === 'string' && secret.length >= 6)).toBe(true);
      const found = secrets.flatMap((secret, index) => [
        ...(bytes.includes(secret) ? [`secret ${index} in the database`] : []),
        ...(lines.includes(secret) ? [`secret ${index} in the log`] : []),
      ]);
      expect(found).toEqual([]);
      expect(lines).not.toMatch(/MESSANGER__\w|MESS__TOK__\w/);
    },
    { onLog: (line) => log.push(line) },
  );
  expect(log.length).toBeGreaterThan(0);
});

test('the secrets of the installation are files that only their owner may read', async () => {
  await withServer(async (server) => {
    for (const name of ['server.secret', 'admin.key'])
      expect(statSync(joinPath(server.dataDir, name)).mode & 0o777).toBe(0o600);
    expect(adminKey(server)).not.toBe(serverSecret(server));
    expect(adminKey(server).length).toBeGreaterThanOrEqual(32);
  });
});
