// Fills a data folder fast with people, groups and messages, for trials and benchmarks.
import { Database } from 'bun:sqlite';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import {
  deriveToken,
  hashPassword,
  hashSecret,
  newCookie,
  newInstallationKey,
  newUid,
} from '../src/accounts/secrets.ts';
import { type Config, ConfigError, loadConfig } from '../src/config.ts';
import { readOrMakeKey } from '../src/infra/keyfile.ts';
import { encodeText } from '../src/protocol/text.ts';
import { openStore } from '../src/store/open.ts';

const usage = `Usage: bun run scripts/populate.ts --users N [--groups G --members M --messages K] --out FILE

Fills the data folder of the configuration (DATA_DIR). The server must not be running on it; the folder need not be new.

  --users N      verified people to add, each with a session, all in the default group
  --groups G     groups to add (default 0)
  --members M    people in each of them, chosen among the new ones (default 10, or all when there are fewer)
  --messages K   messages in all, spread over the new groups; over the default group when G is 0 (default 0)
  --out FILE     gets one line of JSON per person: UID, COOKIE, TOKEN, EMAIL, PASSWORD
  --help         this text
`;

const password = 'populated horse 42';
const domain = 'example.test';
const rowsPerTransaction = 100_000;
/** How far back the people joined; their messages lie between then and now. */
const pastMs = 30 * 24 * 60 * 60 * 1000;

const firstNames =
  'Ada Bela Chidi Dunja Emre Fatou Goran Hana Ines Jamal Kaja Liang Mira Nils Oya Priya'.split(' ');
const lastNames =
  'Abel Brandt Costa Diallo Eriksen Fiore Garcia Haddad Ito Jansen Kaya Lund Moreau Novak'.split(' ');
const words = (
  'the a one this our next last good early late new message meeting plan build test change answer question release ' +
  'coffee weekend is was works fails waits looks needs has makes ready slow fine better today tomorrow again soon'
).split(' ');

interface Amounts {
  readonly users: number;
  readonly groups: number;
  readonly members: number;
  readonly messages: number;
}

/** The command line does not say what to do; the message names what is wrong. */
class UsageError extends Error {}

interface PopulatedPerson {
  readonly uid: number;
  readonly cookie: string;
  readonly token: string;
  readonly email: string;
}

/** A chat that gets messages: its row, where its log stands, and who writes in it. */
interface Room {
  readonly chatId: number;
  readonly lastSeq: number;
  readonly people: readonly number[];
}

/** @throws UsageError */
function readArguments(args: string[]): (Amounts & { out: string }) | 'help' {
  const text = { type: 'string' } as const;
  const options = {
    users: text,
    groups: text,
    members: text,
    messages: text,
    out: text,
    help: { type: 'boolean' },
  } as const;
  let values: ReturnType<typeof parseArgs<{ options: typeof options }>>['values'];
  try {
    ({ values } = parseArgs({ args, options }));
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
  if (values.help) return 'help';
  const users = readCount('users', values.users, 1);
  const groups = readCount('groups', values.groups ?? '0', 0);
  const members = readCount('members', values.members ?? String(Math.min(10, users)), 1);
  const messages = readCount('messages', values.messages ?? '0', 0);
  if (members > users) throw new UsageError(`--members ${members} is more than the ${users} new people.`);
  if (!values.out) throw new UsageError('--out is missing: the file for the lines of the new people.');
  return { users, groups, members, messages, out: values.out };
}

function readCount(name: string, text: string | undefined, least: number): number {
  if (text === undefined) throw new UsageError(`--${name} is missing.`);
  const count = Number(text);
  if (/^\d{1,9}$/.test(text) && count >= least) return count;
  throw new UsageError(`--${name} "${text}" is not a whole number from ${least}.`);
}

/** A fixed sequence for each seed (mulberry32): numbers from 0 up to, not including, `below`. */
function createDice(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

/**
 * Adds people, groups and messages to the data folder.
 *
 * Everybody has the same password and the same hash of it: hashing is dear on purpose, and a hash for each of 10,000
 * people would take minutes. Do not populate an installation that strangers can reach.
 * @throws Error when a server is running on the folder
 */
async function populate(config: Config, amounts: Amounts): Promise<PopulatedPerson[]> {
  mkdirSync(config.DATA_DIR, { recursive: true, mode: 0o700 });
  const path = join(config.DATA_DIR, 'chat.db');
  assertUnused(path);
  const defaultGroup = { groupId: config.DEFAULT_GROUP_ID, name: config.DEFAULT_GROUP_NAME };
  const store = await openStore({ path, defaultGroup, emit: () => undefined, clock: Date.now });
  await store.close();

  const secret = readOrMakeKey(join(config.DATA_DIR, 'server.secret'), newInstallationKey);
  const passwordHash = await hashPassword(password);
  using database = openForBulk(path);
  const first = countPopulated(database) + 1;
  const dice = createDice(first);
  const since = Date.now() - pastMs;
  const people = addPeople(database, { first, count: amounts.users, secret, passwordHash, since });
  const uids = people.map(({ uid }) => uid);
  const everyone = joinDefaultGroup(database, config.DEFAULT_GROUP_ID, uids, since);
  const rooms = addGroups(database, amounts, { uids, since, first, dice });
  addMessages(database, rooms.length > 0 ? rooms : [everyone], amounts.messages, { since, dice });
  database.run('PRAGMA wal_checkpoint(TRUNCATE)');
  return people;
}

/** @throws Error when another process has the database open: a server would not learn of what is added here */
function assertUnused(path: string): void {
  if (!existsSync(path)) return;
  using database = new Database(path, { readwrite: true });
  database.run('PRAGMA locking_mode = EXCLUSIVE');
  try {
    database.run('BEGIN IMMEDIATE');
    database.run('COMMIT');
  } catch {
    throw new Error(`${path} is in use. Stop the server that runs on it.`);
  }
}

/** Not synced with every transaction: what a power cut destroys here is simply made again. */
function openForBulk(path: string): Database {
  const database = new Database(path, { readwrite: true, strict: true });
  database.run('PRAGMA synchronous = NORMAL');
  database.run('PRAGMA foreign_keys = ON');
  database.run('PRAGMA cache_size = -131072');
  return database;
}

/** The highest number among the addresses an earlier run made; 0 before the first. */
function countPopulated(database: Database): number {
  const row = database
    .query<{ highest: number | null }, [string]>(
      'SELECT max(CAST(substr(email_key, 5) AS INTEGER)) AS highest FROM accounts WHERE email_key GLOB ?',
    )
    .get(`user[0-9]*@${domain}`);
  return row?.highest ?? 0;
}

function addPeople(
  database: Database,
  {
    first,
    count,
    secret,
    passwordHash,
    since,
  }: { first: number; count: number; secret: string; passwordHash: string; since: number },
): PopulatedPerson[] {
  const taken = new Set(
    database
      .query<{ uid: number }, []>('SELECT uid FROM accounts')
      .all()
      .map(({ uid }) => uid),
  );
  const account = database.prepare(`
    INSERT INTO accounts (uid, first_name, last_name, first_key, last_key, email, email_key, phone, picture,
      password_hash, created_at, verified_at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, '', '', ?7, ?8, ?8)`);
  const session = database.prepare(`
    INSERT INTO sessions (uid, cookie_hash, token_hash, created_at, last_used_at) VALUES (?1, ?2, ?3, ?4, ?4)`);
  const now = Date.now();
  const people: PopulatedPerson[] = [];
  inTransactions(database, 'people', count, (index) => {
    let uid = newUid();
    while (taken.has(uid)) uid = newUid();
    taken.add(uid);
    const cookie = newCookie();
    const token = deriveToken(secret, cookie);
    const email = `user${String(first + index).padStart(6, '0')}@${domain}`;
    const firstName = pick(firstNames, index);
    const lastName = pick(lastNames, Math.floor(index / firstNames.length));
    account.run(
      uid,
      firstName,
      lastName,
      firstName.toLowerCase(),
      lastName.toLowerCase(),
      email,
      passwordHash,
      since,
    );
    session.run(uid, hashSecret(cookie), hashSecret(token), now);
    people.push({ uid, cookie, token, email });
  });
  return people;
}

function joinDefaultGroup(database: Database, groupId: string, uids: readonly number[], since: number): Room {
  const chat = database
    .query<{ id: number; lastSeq: number }, [string]>(
      'SELECT id, last_seq AS lastSeq FROM chats WHERE group_id = ?',
    )
    .get(groupId);
  if (!chat) throw new Error(`the default group ${groupId} is missing`);
  const member = memberStatement(database);
  inTransactions(database, 'memberships of the default group', uids.length, (index) => {
    member.run(chat.id, pick(uids, index), 'member', since);
  });
  return { chatId: chat.id, lastSeq: chat.lastSeq, people: uids };
}

function addGroups(
  database: Database,
  { groups, members }: Amounts,
  {
    uids,
    since,
    first,
    dice,
  }: { uids: readonly number[]; since: number; first: number; dice: (below: number) => number },
): Room[] {
  const chat = database.prepare<{ id: number }, [string, string, number]>(`
    INSERT INTO chats (group_id, name, picture, created_at) VALUES (?1, ?2, '', ?3)
    ON CONFLICT DO NOTHING RETURNING id`);
  const member = memberStatement(database);
  const rooms: Room[] = [];
  inTransactions(database, 'groups', groups, (index) => {
    let row: { id: number } | null = null;
    // 13 digits without a 0, as the groups that people make have.
    while (!row) row = chat.get(digits(dice), `Group ${first}-${index + 1}`, since);
    const chatId = row.id;
    const people = choose(uids, members, dice);
    people.forEach((uid, place) => void member.run(chatId, uid, place === 0 ? 'owner' : 'member', since));
    rooms.push({ chatId, lastSeq: 0, people });
  });
  return rooms;
}

/**
 * Deals the messages out to the rooms in the order of their times, then writes room after room: the log is clustered
 * by chat, and rows in its own order go in several times faster.
 */
function addMessages(
  database: Database,
  rooms: readonly Room[],
  count: number,
  { since, dice }: { since: number; dice: (below: number) => number },
): void {
  const insert = database.prepare(
    'INSERT INTO messages (chat_id, seq, sender_uid, body, sent_at) VALUES (?1, ?2, ?3, ?4, ?5)',
  );
  const advance = database.prepare('UPDATE chats SET last_seq = ?2, last_message_at = ?3 WHERE id = ?1');
  const texts = Array.from({ length: 4096 }, () => encodeText(sentence(dice)));
  const stepMs = (Date.now() - since) / (count + 1);
  const placesOf = deal(count, rooms.length, dice);
  let roomIndex = 0;
  let placeInRoom = 0;
  inTransactions(database, 'messages', count, () => {
    while (placeInRoom >= (placesOf[roomIndex]?.length ?? 0)) {
      roomIndex += 1;
      placeInRoom = 0;
    }
    const { chatId, lastSeq, people } = pick(rooms, roomIndex);
    const places = pick(placesOf, roomIndex);
    const sentAt = Math.floor(since + stepMs * (pick(places, placeInRoom) + 1));
    placeInRoom += 1;
    const seq = lastSeq + placeInRoom;
    insert.run(chatId, seq, pick(people, dice(people.length)), pick(texts, dice(texts.length)), sentAt);
    if (placeInRoom === places.length) advance.run(chatId, seq, sentAt);
  });
}

/** For each room the places, ascending, that it has among all `count` messages. */
function deal(count: number, rooms: number, dice: (below: number) => number): number[][] {
  const placesOf: number[][] = Array.from({ length: rooms }, () => []);
  for (let place = 0; place < count; place += 1) placesOf[dice(rooms)]?.push(place);
  return placesOf;
}

/** Runs `add` for 0 to `count - 1` in few big transactions, and tells how far it is after each. */
function inTransactions(database: Database, what: string, count: number, add: (index: number) => void): void {
  for (let from = 0; from < count; from += rowsPerTransaction) {
    const to = Math.min(count, from + rowsPerTransaction);
    database.transaction(() => {
      for (let index = from; index < to; index += 1) add(index);
    })();
    process.stderr.write(`${what}: ${to} of ${count}\n`);
  }
}

function memberStatement(database: Database) {
  return database.prepare('INSERT INTO members (chat_id, uid, role, joined_at) VALUES (?1, ?2, ?3, ?4)');
}

function pick<T>(list: readonly T[], index: number): T {
  return list[index % list.length] as T; // no list here is empty
}

/** `count` different ones of the list. */
function choose(list: readonly number[], count: number, dice: (below: number) => number): number[] {
  const chosen = new Set<number>();
  if (count * 2 < list.length) {
    while (chosen.size < count) chosen.add(pick(list, dice(list.length)));
    return [...chosen];
  }
  const left = [...list];
  return Array.from({ length: count }, () => left.splice(dice(left.length), 1)[0] as number);
}

function digits(dice: (below: number) => number): string {
  return Array.from({ length: 13 }, () => 1 + dice(9)).join('');
}

function sentence(dice: (below: number) => number): string {
  const text = Array.from({ length: 3 + dice(18) }, () => pick(words, dice(words.length))).join(' ');
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

async function run(args: string[]): Promise<number> {
  const wanted = readArguments(args);
  if (wanted === 'help') {
    process.stdout.write(usage);
    return 0;
  }
  const begun = performance.now();
  const people = await populate(loadConfig(), wanted);
  const lines = people.map(({ uid, cookie, token, email }) =>
    JSON.stringify({ UID: uid, COOKIE: cookie, TOKEN: token, EMAIL: email, PASSWORD: password }),
  );
  await Bun.write(wanted.out, `${lines.join('\n')}\n`);
  const seconds = (performance.now() - begun) / 1000;
  const rows = wanted.users + wanted.messages;
  process.stderr.write(
    `Made ${wanted.users} people, ${wanted.groups} groups and ${wanted.messages} messages in ${seconds.toFixed(1)} s ` +
      `(${Math.round(rows / seconds)} people and messages a second).\n`,
  );
  return 0;
}

/** Exit status: 0 made, 1 it went wrong, 2 the command line or the configuration is not valid. */
async function main(): Promise<number> {
  process.umask(0o077); // the file has everybody's keys
  try {
    return await run(process.argv.slice(2));
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    process.stderr.write(error instanceof UsageError ? `${message}\n\n${usage}` : `${message}\n`);
    return error instanceof UsageError || error instanceof ConfigError ? 2 : 1;
  }
}

if (import.meta.main) process.exitCode = await main();
