// Prints the README's API examples as Markdown: runs a story through every endpoint and event of a real server.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generateSync } from 'otplib';
import { loadConfig } from '../src/config.ts';
import { createLog } from '../src/log.ts';
import type { Endpoint } from '../src/protocol/endpoint.ts';
import { directChatId } from '../src/protocol/entities.ts';
import { endpoints } from '../src/protocol/http.ts';
import { type RunningServer, startServer } from '../src/server.ts';

type Json = Record<string, unknown>;

interface Person {
  readonly UID: number;
  readonly COOKIE: string;
  readonly TOKEN: string;
}

const dataDir = mkdtempSync(join(tmpdir(), 'chat-examples-'));
const adminKey = 'an-admin-key-for-the-examples';
const server: RunningServer = await startServer({
  config: loadConfig({
    DATA_DIR: dataDir,
    PORT: '0',
    HOST: '127.0.0.1',
    ADMIN_KEY: adminKey,
    BACKUP_REPO: makeRepository(),
    BACKUP_SCHEDULE: 'off',
  }),
  log: createLog({ level: 'silent', format: 'json' }),
  command: [process.execPath, join(import.meta.dir, '../src/index.ts')],
});
const lines: string[] = [];
/** Whether a Markdown block is open that pushes may go to. */
let blockOpen = false;

await tellStory();
await server.stop();
rmSync(dataDir, { recursive: true, force: true });
console.log(lines.join('\n').trimEnd());

async function tellStory(): Promise<void> {
  const alice = await showSignUp();
  const bob = await quietJoin('Bob');
  const both = { UID: alice.UID, COOKIE: alice.COOKIE };
  await show(endpoints.login, { EMAIL: 'alice@example.test', PASSWORD: 'correct horse 42' });
  await show(endpoints.getToken, both);
  await show(endpoints.readSettings, both);
  await show(endpoints.resendCode, { ...both, MODE: 'EMAIL_CHANGE', EMAIL: 'alice@new.example.test' });
  const code = codeFor('alice@new.example.test');
  await show(endpoints.changeSettings, {
    ...both,
    FIRST_NAME: 'Alicia',
    EMAIL: 'alice@new.example.test',
    OTP: code,
  });
  await showSecondFactor(both);
  const direct = directChatId(alice.UID, bob.UID);
  const { GROUP_ID: group } = await show(endpoints.createGroup, { ...both, NAME: 'Plugin authors' });
  await showSockets(alice, bob, direct, () =>
    show(endpoints.addMember, { ...both, GROUP_ID: group, MEMBER_UID: bob.UID }),
  );
  await showMembers(both, bob, group);
  await showRemoval(alice, bob);
  await showBlocks(both, bob);
  await show(endpoints.listPeople, { UID: alice.UID, TOKEN: alice.TOKEN });
  await show(endpoints.profilePicture, {}, `/get_profile_pic_link/${bob.UID}`);
  await show(endpoints.listChats, both);
  await show(endpoints.oldMessages, { ...both, GROUP_ID: direct, LIMIT: 2 });
  await show(endpoints.removeMember, { ...both, GROUP_ID: group, MEMBER_UID: bob.UID });
  await show(endpoints.leaveGroup, { ...both, GROUP_ID: group });
  await Bun.sleep(50); // the notice with the undo code is mailed after the answer
  await show(endpoints.undoEmailChange, {
    EMAIL: 'alice@example.test',
    OTP: undoCodeFor('alice@example.test'),
  });
  await showSessionsAndReset();
  await showAdmin(bob);
  await showOwnData();
  await show(endpoints.uptime, {});
  await show(endpoints.healthz, {});
  await show(endpoints.readyz, {});
  await showMetrics();
  await show(endpoints.backUp, {}, endpoints.backUp.path, { authorization: `Bearer ${adminKey}` });
}

async function showMembers(both: Json, bob: Person, group: unknown): Promise<void> {
  const socket = await announcedQuietly(bob);
  await show(endpoints.setRole, { ...both, GROUP_ID: group, MEMBER_UID: bob.UID, ROLE: 'admin' });
  await show(endpoints.setRetention, { ...both, GROUP_ID: group, RETENTION_DAYS: 90 });
  await showPushes(socket, 'member_changed');
  await show(endpoints.listMembers, { ...both, GROUP_ID: group });
  socket.close();
}

async function showRemoval({ UID, COOKIE }: Person, bob: Person): Promise<void> {
  const socket = await announcedQuietly(bob);
  await show(endpoints.removeMessage, { UID, COOKIE, GROUP_ID: '1000000000000', MESSAGE_ID: 2 });
  await showPushes(socket, 'message_changed');
  socket.close();
}

async function showOwnData(): Promise<void> {
  const { UID, COOKIE } = await quietJoin('Dave');
  const proof = { UID, COOKIE, PASSWORD: 'correct horse 42' };
  await show(endpoints.exportData, proof);
  await show(endpoints.deleteAccount, { ...proof, MESSAGES: 'remove' });
}

async function showBlocks(both: Json, bob: Person): Promise<void> {
  await show(endpoints.blockUser, { ...both, BLOCKED_UID: bob.UID });
  await show(endpoints.listBlocked, both);
  await show(endpoints.unblockUser, { ...both, BLOCKED_UID: bob.UID });
}

async function announcedQuietly({ UID, TOKEN }: Person) {
  const socket = await openSocket('/ws', 'bob');
  await socket.askQuietly('wants_all_his_chats', { UID, TOKEN });
  return socket;
}

/** Shows what was pushed to a socket since it was last looked at. */
async function showPushes(socket: { printPushes: () => void }, event: string): Promise<void> {
  heading(`push \`${event}\``);
  await Bun.sleep(20);
  socket.printPushes();
  closeBlock();
}

async function showSignUp(): Promise<Person> {
  const person = (await show(endpoints.signUp, signUpOf('Alice'))) as unknown as Person;
  const proof = { UID: person.UID, COOKIE: person.COOKIE };
  await show(endpoints.resendCode, { ...proof, MODE: 'DEFAULT', EMAIL: '' });
  await show(endpoints.verifyAccount, { ...proof, ENTERD_OTP: codeFor('alice@example.test') });
  return person;
}

async function showAdmin(bob: Person): Promise<void> {
  const key = { authorization: `Bearer ${adminKey}` };
  const ask = (endpoint: Endpoint, body: Json) => show(endpoint, body, endpoint.path, key);
  const member = { MEMBER_UID: bob.UID };
  await ask(endpoints.adminUsers, { QUERY: 'bob', LIMIT: 10 });
  await ask(endpoints.adminEndSessions, member);
  await ask(endpoints.adminBan, { ...member, REASON: 'spam' });
  await ask(endpoints.adminUnban, member);
  const carol = await quietPost('/sign_up', signUpOf('Carol'));
  await ask(endpoints.adminVerify, { MEMBER_UID: carol.UID });
  await ask(endpoints.adminRemoveMessage, { GROUP_ID: '1000000000000', MESSAGE_ID: 1 });
  await ask(endpoints.adminInvite, { USES: 5, DAYS: 7 });
  await ask(endpoints.adminInvitations, {});
  await ask(endpoints.adminGroups, { LIMIT: 1 });
  await ask(endpoints.adminAudit, { ...member, LIMIT: 2 });
}

async function showSecondFactor(both: Json): Promise<void> {
  const PASSWORD = 'correct horse 42';
  const { SECRET } = await show(endpoints.enrollTotp, { ...both, PASSWORD });
  // Each time step's code works once, so the second one shown is the next step's, as a fast clock would have it.
  const [first, second] = [0, 30].map((ahead) =>
    generateSync({ secret: String(SECRET), epoch: Math.floor(Date.now() / 1000) + ahead }),
  );
  const { RECOVERY_CODES: codes } = await show(endpoints.confirmTotp, { ...both, CODE: first });
  await show(endpoints.login, { EMAIL: 'alice@new.example.test', PASSWORD, TOTP: second });
  const renewed = await show(endpoints.newRecoveryCodes, { ...both, PASSWORD, CODE: firstOf(codes) });
  await show(endpoints.disableTotp, { ...both, PASSWORD, CODE: firstOf(renewed.RECOVERY_CODES) });
}

function firstOf(codes: unknown): string {
  return (codes as string[])[0] ?? '';
}

/** Alice, whom taking back her address logged out, forgets her password, and tidies up her logins. */
async function showSessionsAndReset(): Promise<void> {
  const EMAIL = 'alice@example.test';
  await show(endpoints.forgotPassword, { EMAIL });
  await Bun.sleep(1000); // the code is mailed some time after the answer
  const NEW_PASSWORD = 'a better horse 43';
  await show(endpoints.resetPassword, { EMAIL, OTP: codeFor(EMAIL), NEW_PASSWORD });
  const logins: Json[] = [];
  for (let count = 0; count < 2; count += 1)
    logins.push(await quietPost('/login', { EMAIL, PASSWORD: NEW_PASSWORD }));
  const [{ UID, COOKIE } = {}] = logins;
  const { sessions } = await show(endpoints.listSessions, { UID, COOKIE });
  const other = (sessions as Json[]).find(({ CURRENT }) => CURRENT === false);
  await show(endpoints.logOut, { UID, COOKIE, SESSION_ID: other?.SESSION_ID });
  await show(endpoints.logOutAll, { UID, COOKIE });
}

async function showSockets(
  alice: Person,
  bob: Person,
  direct: string,
  addBob: () => Promise<Json>,
): Promise<void> {
  const a = await openSocket('/ws/phone', 'alice');
  const b = await openSocket('/ws', 'bob');
  heading('WebSocket `/ws/{client_id}` and `/ws`');
  await a.ask('connect_user', {});
  await a.ask('wants_all_his_chats', { UID: alice.UID, TOKEN: alice.TOKEN });
  await b.ask('get_all_messages', { UID: bob.UID, TOKEN: bob.TOKEN });
  await b.ask('get_all_chat_list', { UID: bob.UID, TOKEN: bob.TOKEN });
  await a.ask('send_message', {
    SENDER_ID: alice.UID,
    MESSAGE: 'h:68656c6c6f',
    GROUP_ID: '1000000000000',
    PROFILE_PIC: '',
  });
  await Bun.sleep(20);
  await a.ask('send_message_new_chat', {
    SENDER_ID: alice.UID,
    MESSAGE: 'Hi Bob',
    GROUP_ID: direct,
    PROFILE_PIC: '',
  });
  await Bun.sleep(20);
  const once = { MESSAGE: 'once', GROUP_ID: '1000000000000', CLIENT_MESSAGE_ID: 'phone-17' };
  for (const _try of ['first', 'again']) await a.ask('send_message', once);
  await Bun.sleep(20);
  await b.ask('mark_read', { GROUP_ID: '1000000000000', MESSAGE_ID: 2 });
  await b.ask('resume', { EPOCH: server.store.epoch, CURSORS: { '1000000000000': 1 } });
  await Bun.sleep(20);
  await a.ask('ping', {});
  await a.ask('send_message', { MESSAGE: 'to nobody', GROUP_ID: '42' });
  await a.ask('sing', {});
  closeBlock();
  await addBob();
  await showPushes(b, 'chat_changed');
  a.close();
  b.close();
}

async function openSocket(path: string, who: string) {
  const socket = new WebSocket(`${server.url.origin.replace('http', 'ws')}${path}`);
  const pushes: string[] = [];
  let waiting: ((frame: string) => void) | null = null;
  socket.onmessage = ({ data }) => {
    const frame = `${who.padEnd(5)} <- ${masked(String(data))}`;
    if (waiting) waiting(frame);
    else (blockOpen ? lines : pushes).push(frame);
    waiting = null;
  };
  await new Promise((resolve) => {
    socket.onopen = resolve;
  });
  const askQuietly = (event: string, data: Json): Promise<string> => {
    const reply = new Promise<string>((resolve) => {
      waiting = resolve;
    });
    socket.send(JSON.stringify({ event, data }));
    return reply;
  };
  return {
    askQuietly,
    async ask(event: string, data: Json): Promise<void> {
      const question = masked(JSON.stringify({ event, data }));
      lines.push(`${who.padEnd(5)} -> ${question}`, await askQuietly(event, data));
    },
    printPushes: () => void lines.push(...pushes.splice(0)),
    close: () => socket.close(),
  };
}

function heading(title: string): void {
  lines.push(`#### ${title}`, '', '```');
  blockOpen = true;
}

function closeBlock(): void {
  lines.push('```', '');
  blockOpen = false;
}

async function show(
  { method, path }: Endpoint,
  body: Json,
  actualPath: string = path,
  headers: Record<string, string> = {},
): Promise<Json> {
  const sent = method === 'GET' ? {} : { body: JSON.stringify(body) };
  const response = await fetch(server.url.origin + actualPath, {
    method,
    headers: { 'content-type': 'application/json', ...headers },
    ...sent,
  });
  const answer = (await response.json()) as Json;
  if (response.status !== 200) throw new Error(`${path}: ${response.status} ${answer.message}`);
  const request = method === 'GET' ? actualPath : masked(JSON.stringify(body));
  lines.push(
    `#### \`${method} ${path}\``,
    '',
    '```',
    `-> ${request}`,
    `<- 200 ${masked(JSON.stringify(answer))}`,
    '```',
    '',
  );
  return answer;
}

/** They are text and long, so only how they begin is shown. */
async function showMetrics(): Promise<void> {
  const { method, path } = endpoints.metrics;
  const headers = { authorization: `Bearer ${adminKey}` };
  const text = await (await fetch(server.url.origin + path, { headers })).text();
  const begin = text.split('\n').slice(0, 4);
  lines.push(`#### \`${method} ${path}\``, '', '```', `-> ${path}`, '<- 200', ...begin, '...', '```', '');
}

/** Secrets are shown by their form alone. */
function masked(text: string): string {
  return text
    .replace(/MESSANGER__\w{64}/g, 'MESSANGER__<64 letters and digits>')
    .replace(/(?<="CODE":")[A-Z\d]{20}/, '<20 letters and digits>')
    .replace(/MESS__TOK__\w{32}/g, 'MESS__TOK__<32 letters and digits>')
    .replace(/(?<=SECRET":"|secret=)[A-Z2-7]{32}/g, '<32 letters and digits>');
}

async function quietJoin(name: string): Promise<Person> {
  const made = (await quietPost('/sign_up', signUpOf(name))) as unknown as Person;
  const code = codeFor(`${name.toLowerCase()}@example.test`);
  await quietPost('/account_verification', { UID: made.UID, COOKIE: made.COOKIE, ENTERD_OTP: code });
  return made;
}

async function quietPost(path: string, body: Json): Promise<Json> {
  const headers = { 'content-type': 'application/json' };
  const response = await fetch(server.url.origin + path, {
    method: 'POST',
    headers,
    body: JSON.stringify(body),
  });
  return (await response.json()) as Json;
}

function signUpOf(name: string): Json {
  const email = `${name.toLowerCase()}@example.test`;
  return { FIRST_NAME: name, LAST_NAME: 'Example', EMAIL: email, PHONE_NO: '', PASSWORD: 'correct horse 42' };
}

function codeFor(email: string): string {
  return inNewestMail(email, /^ {4}(\d{6})\r?$/m);
}

function undoCodeFor(email: string): string {
  return inNewestMail(email, /^ {4}([A-Z\d]{20})\r?$/m);
}

function inNewestMail(email: string, pattern: RegExp): string {
  const outbox = join(dataDir, 'outbox');
  const names = readdirSync(outbox).filter((name) => name.endsWith('.eml'));
  const mails = names.sort().map((name) => readFileSync(join(outbox, name), 'utf8'));
  const mail = mails.findLast((text) => text.includes(`To: ${email}`)) ?? '';
  const found = pattern.exec(mail)?.[1];
  if (!found) throw new Error(`there is no code in the newest mail to ${email}`);
  return found;
}

function makeRepository(): string {
  const path = join(dataDir, 'backups.git');
  Bun.spawnSync(['git', 'init', '--quiet', '--bare', path]);
  return path;
}
