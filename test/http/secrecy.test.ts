// What must stay secret: nothing that opens an account or the server lies in the data folder in clear, or in the log.
import { Database } from 'bun:sqlite';
import { expect, setDefaultTimeout, test } from 'bun:test';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join as joinPath } from 'node:path';
import { adminKey, asAdmin, bearer } from '../support/admin.ts';
import { codeOf, enroll, freshCode, nextStep } from '../support/authenticator.ts';
import {
  call,
  credentials,
  join,
  mailAt,
  type Person,
  password,
  signUp,
  signUpBody,
} from '../support/people.ts';
import { type TestServer, withServer } from '../support/server.ts';
import { TestSocket } from '../support/socket.ts';

/** No secret of an account, but of those who say it to each other: never in the log. */
const saidText = 'what they said to each other';

// Hashing, git and mail take long on a busy machine.
setDefaultTimeout(20_000);

/** Where secrets lie in clear on purpose: mails on their way, and what the server is opened and signs with. */
const keepsSecrets = /^(?:outbox(?:\/|$)|server\.secret$|admin\.key$)/;

/** The bytes of every file of the data folder that must not have a secret, each as a text of Latin letters. */
function filesOf({ dataDir }: TestServer): Map<string, string> {
  const names = (readdirSync(dataDir, { recursive: true }) as string[]).filter(
    (name) => !keepsSecrets.test(name) && statSync(joinPath(dataDir, name)).isFile(),
  );
  return new Map(names.map((name) => [name, readFileSync(joinPath(dataDir, name), 'latin1')]));
}

/** Whether the text has the secret. Six digits may be part of a longer number, which says nothing. */
function has(text: string, secret: string): boolean {
  return /^\d+$/.test(secret) ? new RegExp(`(?<!\\d)${secret}(?!\\d)`).test(text) : text.includes(secret);
}

/** Logs in, changes and guesses what opens an account, and returns every secret that was used. */
async function accounts(server: TestServer): Promise<string[]> {
  const alice = await join(server, 'Alice');
  const secrets = [password, alice.cookie, alice.token, server.codeFor(alice.email)];
  await call(server, 'getToken', credentials(alice));
  await call(server, 'listChats', {}, { authorization: `Bearer ${alice.token}` });
  const socket = await TestSocket.announced(server, alice);
  await socket.say(saidText);
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
  return [...secrets, 'a-guess-at-the-key'];
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

/** Forgets the password, guesses at the code and sets a new one; then logs out, exports and deletes the account. */
async function resetAndDeletion(server: TestServer): Promise<string[]> {
  const carol = await join(server, 'Carol');
  await call(server, 'forgotPassword', { EMAIL: carol.email });
  await mailAt(server, carol.email, 2);
  const [code, wrong, next] = [server.codeFor(carol.email), 'guess1', 'a password after a reset'];
  const reset = { EMAIL: carol.email, NEW_PASSWORD: next };
  expect((await call(server, 'resetPassword', { ...reset, OTP: wrong })).status).toBe(401);
  expect((await call(server, 'resetPassword', { ...reset, OTP: code })).status).toBe(200);

  const sessions: Person[] = [];
  for (let count = 0; count < 2; count++) {
    const { body } = await call(server, 'login', { EMAIL: carol.email, PASSWORD: next });
    sessions.push({ ...carol, cookie: body.COOKIE, token: body.TOKEN });
  }
  const [first = carol, second = carol] = sessions;
  expect((await call(server, 'logOut', credentials(first))).status).toBe(200);
  expect((await call(server, 'logOut', credentials(first))).status).toBe(401);
  const proof = { ...credentials(second), PASSWORD: next };
  for (const name of ['exportData', 'deleteAccount'] as const) {
    expect((await call(server, name, { ...proof, PASSWORD: 'a wrong one at the end' })).status).toBe(401);
    expect((await call(server, name, proof)).status).toBe(200);
  }
  return [
    code,
    wrong,
    next,
    'a wrong one at the end',
    ...sessions.flatMap((each) => [each.cookie, each.token]),
  ];
}

/** Switches a second factor on, logs in by its codes, and deletes the account by one. */
async function secondFactor(server: TestServer): Promise<{ secrets: string[]; seed: string }> {
  const dora = await join(server, 'Dora');
  const seed = await enroll(server, dora);
  nextStep(server);
  const [code, wrong] = [codeOf(server, seed), 'wrong-factor'];
  const confirm = (CODE: string) => call(server, 'confirmTotp', { ...credentials(dora), CODE });
  expect((await confirm(wrong)).status).toBe(401);
  const codes: string[] = (await confirm(code)).body.RECOVERY_CODES;

  const login = (TOTP?: string) => call(server, 'login', { EMAIL: dora.email, PASSWORD: password, TOTP });
  expect((await login()).status).toBe(403);
  expect((await login(wrong)).status).toBe(401);
  const later = freshCode(server, seed);
  const answers = [await login(later), await login(codes[0])];
  expect(answers.map(({ status }) => status)).toEqual([200, 200]);
  const proof = { ...credentials(dora), PASSWORD: password };
  const renewed = await call(server, 'newRecoveryCodes', { ...proof, CODE: codes[1] });
  codes.push(...renewed.body.RECOVERY_CODES);
  expect(codes).toHaveLength(20);
  const last = codes.at(-1);
  expect((await call(server, 'deleteAccount', { ...proof, TOTP: wrong })).status).toBe(401);
  const kept = await call(server, 'disableTotp', { ...proof, CODE: last });
  expect(kept.status).toBe(200);
  const again = await enroll(server, dora);
  const keys = answers.flatMap(({ body }) => [body.COOKIE, body.TOKEN]);
  const spellings = codes.flatMap((each) => [each, each.replaceAll('-', '')]);
  return { secrets: [code, later, wrong, ...keys, ...spellings, seed], seed: again };
}

/** Uses the admin key and guesses at it; lets somebody in by invitation. */
async function administration(server: TestServer): Promise<string[]> {
  const guess = 'another-guess-at-the-key';
  expect((await call(server, 'adminInvite', { USES: 1, DAYS: 1 }, bearer(guess))).status).toBe(403);
  const invitation: string = (await asAdmin(server, 'adminInvite', { USES: 1, DAYS: 1 })).body.CODE;
  await server.restart({ REGISTRATION: 'invite' });
  const signUpWith = async (INVITATION: string) =>
    (await call(server, 'signUp', signUpBody('Eve', { INVITATION }))).status;
  const wrong = 'NOT-AN-INVITATION';
  expect([await signUpWith(wrong), await signUpWith(invitation)]).toEqual([400, 200]);
  return [guess, invitation, invitation.replaceAll('-', ''), wrong, adminKey(server), serverSecret(server)];
}

function serverSecret(server: TestServer): string {
  return readFileSync(joinPath(server.dataDir, 'server.secret'), 'utf8').trim();
}

test('no cookie, token, code, password or key is in clear in a file or the log of all that is done with them', async () => {
  const log: string[] = [];
  await withServer(
    async (server) => {
      const secrets = [...(await accounts(server)), ...(await resetAndDeletion(server))];
      const factor = await secondFactor(server);
      secrets.push(...factor.secrets, ...(await administration(server)));
      expect(secrets.every((secret) => typeof secret === 'string' && secret.length >= 6)).toBe(true);

      const files = filesOf(server);
      const lines = log.join('');
      // The twin: what is no secret is found there, so the search does search.
      expect([...files.keys()]).toEqual(expect.arrayContaining(['chat.db', 'chat.db-wal', 'erasures.jsonl']));
      const database = [...files.values()].join('\n');
      for (const open of ['alice@example.test', saidText, factor.seed]) expect(database).toContain(open);
      expect(lines).toContain('/quick_quick_save_data_to_database_repository');
      const found = [...files, ['the log', lines] as const].flatMap(([name, text]) =>
        secrets.flatMap((secret, index) => (has(text, secret) ? [`secret ${index} in ${name}`] : [])),
      );
      expect(found).toEqual([]);
      // An authenticator's secret in force has to be kept as it is; like what people say, it is in no log.
      for (const kept of [factor.seed, saidText]) expect(lines).not.toContain(kept);
      expect(lines).not.toMatch(/MESSANGER__\w|MESS__TOK__\w|otpauth:/);
    },
    { onLog: (line) => log.push(line) },
  );
  expect(log.length).toBeGreaterThan(0);
});

test('a database that refuses is logged, but not with what it was to keep', async () => {
  const log: string[] = [];
  await withServer(
    async (server) => {
      const alice = await join(server, 'Alice');
      using database = new Database(joinPath(server.dataDir, 'chat.db'));
      for (const table of ['second_factors', 'codes'])
        database.run(
          `CREATE TRIGGER no_${table} BEFORE INSERT ON ${table} BEGIN SELECT RAISE (ABORT, 'refused here'); END`,
        );
      const enrolling = { ...credentials(alice), PASSWORD: password };
      expect((await server.post('/enroll_totp', enrolling)).status).toBe(500);
      const target = 'somebody@example.test';
      expect((await server.post('/sign_up', signUpBody('Bob', { EMAIL: target }))).status).toBe(500);
      const lines = log.join('');
      expect(lines.match(/SQLiteError: refused here/g)).toHaveLength(2);
      expect(lines).not.toContain(target);
      expect(lines).not.toContain(String(alice.uid));
      expect(lines).not.toMatch(/[A-Z2-7]{32}/);
    },
    { onLog: (line) => log.push(line) },
  );
});

test('the secrets of the installation are files that only their owner may read', async () => {
  await withServer(async (server) => {
    for (const name of ['server.secret', 'admin.key'])
      expect(statSync(joinPath(server.dataDir, name)).mode & 0o777).toBe(0o600);
    expect(adminKey(server)).not.toBe(serverSecret(server));
    expect(adminKey(server).length).toBeGreaterThanOrEqual(32);
  });
});
