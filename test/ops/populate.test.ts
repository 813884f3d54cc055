// scripts/populate.ts: what it makes is what the server serves.
import { Database } from 'bun:sqlite';
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { endpoints } from '../../src/protocol/http.ts';
import { decodeText } from '../../src/protocol/text.ts';
import { TestServer } from '../support/server.ts';
import { defaultGroup, TestSocket } from '../support/socket.ts';

const script = join(import.meta.dir, '../../scripts/populate.ts');
const folder = mkdtempSync(join(tmpdir(), 'chat-populate-'));

interface Line {
  UID: number;
  COOKIE: string;
  TOKEN: string;
  EMAIL: string;
  PASSWORD: string;
}

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs the script to its end, in an empty folder. */
async function populate(dataDir: string, ...args: string[]) {
  const child = Bun.spawn([process.execPath, 'run', script, ...args], {
    cwd: folder,
    env: { PATH: process.env.PATH ?? '', DATA_DIR: dataDir },
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
    timeout: 20_000,
  });
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { status: child.exitCode, stdout, stderr };
}

function linesOf(file: string): Line[] {
  const text = readFileSync(join(folder, file), 'utf8');
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
}

/** The one number that a query gives. */
function numberIn(dataDir: string, query: string): number {
  using database = new Database(join(dataDir, 'chat.db'), { readonly: true });
  return Number(database.query(query).values()[0]?.[0]);
}

describe('a populated folder', () => {
  const dataDir = join(folder, 'populated');
  let server: TestServer;
  let people: Line[];
  let someone: Line;

  beforeAll(async () => {
    const amounts = ['--users', '40', '--groups', '5', '--members', '8', '--messages', '1000'];
    const { status, stderr } = await populate(dataDir, ...amounts, '--out', 'people.jsonl');
    expect(stderr).toMatch(/^messages: 1000 of 1000$/m);
    expect(stderr).toMatch(
      /Made 40 people, 5 groups and 1000 messages in \d+\.\d s \(\d+ people and messages a second\)/,
    );
    expect(status).toBe(0);
    people = linesOf('people.jsonl');
    someone = people[7] as Line;
    server = await TestServer.start({ env: { DATA_DIR: dataDir } });
  });

  afterAll(() => server.stop());

  test('There are as many people, groups, members and messages as were asked for.', () => {
    expect(people).toHaveLength(40);
    const one = (query: string) => numberIn(dataDir, query);
    expect(one('SELECT count(*) FROM accounts WHERE verified_at IS NOT NULL')).toBe(40);
    expect(one('SELECT count(*) FROM sessions')).toBe(40);
    expect(one('SELECT count(*) FROM chats')).toBe(6);
    expect(one('SELECT count(*) FROM members')).toBe(40 + 5 * 8);
    expect(one(`SELECT count(*) FROM members WHERE role = 'owner'`)).toBe(5);
    expect(one('SELECT count(*) FROM messages')).toBe(1000);
    expect(one('SELECT sum(last_seq) FROM chats')).toBe(1000);
    expect(one('SELECT count(*) FROM messages WHERE sent_at > unixepoch() * 1000')).toBe(0);
    expect(
      one(`SELECT count(*) FROM messages LEFT JOIN members USING (chat_id) WHERE members.uid = sender_uid`),
    ).toBe(1000);
  });

  test('The log of every chat has no gap and goes forward in time.', () => {
    const gaps = numberIn(
      dataDir,
      `SELECT count(*) FROM (SELECT seq, row_number() OVER chat AS place, sent_at,
         lag(sent_at, 1, 0) OVER chat AS before FROM messages WINDOW chat AS (PARTITION BY chat_id ORDER BY seq))
       WHERE seq <> place OR sent_at < before`,
    );
    expect(gaps).toBe(0);
    const heads = `SELECT count(*) FROM chats WHERE last_message_at IS NOT
      (SELECT max(sent_at) FROM messages WHERE chat_id = chats.id)`;
    expect(numberIn(dataDir, heads)).toBe(0);
  });

  test('The file of the people can be read by its owner alone.', () => {
    expect(statSync(join(folder, 'people.jsonl')).mode & 0o077).toBe(0);
  });

  test("Everybody's COOKIE opens the chat list, with the default group in it.", async () => {
    let memberships = 0;
    for (const { UID, COOKIE } of people) {
      const { status, body } = await server.post('/get_all_chats', { UID, COOKIE });
      expect(status).toBe(200);
      expect(endpoints.listChats.response.safeParse(body).error?.issues ?? []).toEqual([]);
      expect(Object.keys(body.chats)).toContain(defaultGroup);
      memberships += Object.keys(body.chats).length;
    }
    expect(memberships).toBe(40 + 5 * 8);
  });

  test('History shows the last 30 messages of a group, readable, by people with names.', async () => {
    const { UID, TOKEN } = people.find(
      ({ UID }) => UID === numberIn(dataDir, "SELECT uid FROM members WHERE role = 'owner' LIMIT 1"),
    ) as Line;
    const { status, body } = await server.post('/get_old_messages', { UID, TOKEN });
    expect(status).toBe(200);
    expect(endpoints.oldMessages.response.safeParse(body).error?.issues ?? []).toEqual([]);
    const groups = Object.entries<Record<string, { MESSAGE: string }>>(body.groups_messages);
    const [, log = {}] = groups.find(([id]) => id !== defaultGroup) ?? [];
    expect(Object.keys(log)).toHaveLength(30);
    for (const { MESSAGE } of Object.values(log)) {
      expect(MESSAGE).toStartWith('h:');
      expect(decodeText(MESSAGE)).toMatch(/^[A-Z][a-z ]+\.$/);
    }
  });

  test('TOKEN announces a socket, which can send.', async () => {
    const { UID: uid, COOKIE: cookie, TOKEN: token, EMAIL: email, PASSWORD: password } = someone;
    const socket = await TestSocket.announced(server, { uid, cookie, token, email, password, name: '' });
    expect((await socket.say('hello')).data).toMatchObject({ status_code: 200, MESSAGE_ID: 1 });
    await socket.close();
  });

  test('get_token gives the TOKEN of the line, and PASSWORD logs in.', async () => {
    const { UID, COOKIE, TOKEN, EMAIL, PASSWORD } = someone;
    expect((await server.post('/get_token', { UID, COOKIE })).body.TOKEN).toBe(TOKEN);
    const { status, body } = await server.post('/login', { EMAIL, PASSWORD });
    expect({ status, uid: body.UID }).toEqual({ status: 200, uid: UID });
    expect((await server.post('/login', { EMAIL, PASSWORD: `${PASSWORD}!` })).status).toBe(401);
  });

  test('While a server runs on the folder nothing is added.', async () => {
    const { status, stderr } = await populate(dataDir, '--users', '1', '--out', 'refused.jsonl');
    expect(status).toBe(1);
    expect(stderr).toInclude('Stop the server');
    expect(existsSync(join(folder, 'refused.jsonl'))).toBe(false);
    expect(numberIn(dataDir, 'SELECT count(*) FROM accounts')).toBe(40);
  });
});

test('A new folder is made, a second run goes on where the first stopped, and messages go to the default group.', async () => {
  const dataDir = join(folder, 'new');
  expect((await populate(dataDir, '--users', '3', '--messages', '50', '--out', 'one.jsonl')).status).toBe(0);
  expect((await populate(dataDir, '--users', '4', '--messages', '50', '--out', 'two.jsonl')).status).toBe(0);
  const emails = [...linesOf('one.jsonl'), ...linesOf('two.jsonl')].map(({ EMAIL }) => EMAIL);
  expect(emails).toEqual([1, 2, 3, 4, 5, 6, 7].map((number) => `user00000${number}@example.test`));
  expect(numberIn(dataDir, 'SELECT last_seq FROM chats')).toBe(100);
  expect(numberIn(dataDir, 'SELECT count(DISTINCT sender_uid) FROM messages')).toBe(7);
  expect(statSync(join(dataDir, 'server.secret')).mode & 0o077).toBe(0);
});

test('Groups of everybody have everybody in them once.', async () => {
  const dataDir = join(folder, 'everybody');
  const amounts = ['--users', '5', '--groups', '2', '--members', '5'];
  expect((await populate(dataDir, ...amounts, '--out', 'all.jsonl')).status).toBe(0);
  expect(numberIn(dataDir, 'SELECT count(DISTINCT chat_id * 100000000000 + uid) FROM members')).toBe(15);
});

describe('the command line', () => {
  test('--help prints the usage and exits 0.', async () => {
    const { status, stdout } = await populate(join(folder, 'none'), '--help');
    expect(status).toBe(0);
    expect(stdout).toInclude('Usage: ');
  });

  const wrong = {
    'no --users': ['--out', 'x'],
    'no --out': ['--users', '3'],
    nobody: ['--users', '0', '--out', 'x'],
    'a number that is none': ['--users', 'many', '--out', 'x'],
    'a negative number': ['--users', '3', '--messages=-1', '--out', 'x'],
    'groups larger than the people': ['--users', '3', '--groups', '1', '--members', '4', '--out', 'x'],
    'an unknown option': ['--users', '3', '--out', 'x', '--fast'],
    'a stray word': ['--users', '3', '--out', 'x', 'more'],
  };
  for (const [what, args] of Object.entries(wrong)) {
    test(`It is refused with the usage and exit status 2: ${what}.`, async () => {
      const { status, stdout, stderr } = await populate(join(folder, 'none'), ...args);
      expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
      expect(stderr).toInclude('Usage: ');
      expect(existsSync(join(folder, 'none'))).toBe(false);
    });
  }

  test('A bad configuration is refused with exit status 2.', async () => {
    const child = Bun.spawn([process.execPath, 'run', script, '--users', '1', '--out', 'x'], {
      cwd: folder,
      env: { PATH: process.env.PATH ?? '', PORT: 'eighty' },
      stderr: 'pipe',
    });
    expect(await child.stderr.text()).toInclude('PORT: "eighty"');
    expect(await child.exited).toBe(2);
  });
});
