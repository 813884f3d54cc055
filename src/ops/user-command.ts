// The commands on accounts and invitations: they act on the database file, also while a server runs on it.

import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { z } from 'zod';
import { createAudit } from '../accounts/audit.ts';
import type { Config } from '../config.ts';
import { AppError } from '../errors.ts';
import { createLog } from '../log.ts';
import { limits, readUid, wireTime } from '../protocol/entities.ts';
import * as field from '../protocol/fields.ts';
import type { AccountSummary, AdminStore } from '../store/admin-store.ts';
import { openStore } from '../store/open.ts';
import type { Store } from '../store/store.ts';
import { accountOnWire } from './admin/routes.ts';
import { type ActingAdmin, AdminService } from './admin/service.ts';
import { halfRestored, isHalfRestored } from './backup/swap.ts';
import { type Asked, type Command, type CommandTable, UsageError } from './command-line.ts';

const by: ActingAdmin = { actor: 'command', address: '' };

interface Opened {
  readonly store: Store & AdminStore;
  readonly service: AdminService;
}

/** What a command did: for machines, and in words. */
interface Done {
  readonly facts: Record<string, unknown>;
  readonly words: string;
}

export const userCommands: CommandTable<Config> = {
  'user create': {
    usage: 'user create --email A --first-name F --last-name L [--password-stdin] [--json]',
    meaning: 'make a verified account; prints a made-up password unless one comes on standard input',
    options: {
      email: 'text',
      'first-name': 'text',
      'last-name': 'text',
      'password-stdin': 'flag',
      json: 'flag',
    },
    run: create,
  },
  'user verify': onAccount('verify', 'verify an account without a code', async ({ service }, uid) => {
    await service.verify(uid, by);
    return { facts: { UID: uid }, words: `Account ${uid} is verified.` };
  }),
  'user ban': {
    ...onAccount('ban', 'shut an account out; its messages stay', async ({ service }, uid, { texts }) => {
      await service.ban(uid, readText('reason', field.note, texts.reason ?? ''), by);
      return { facts: { UID: uid }, words: `Account ${uid} is banned and logged out.` };
    }),
    usage: 'user ban ACCOUNT [--reason TEXT] [--json]',
    options: { reason: 'text', json: 'flag' },
  },
  'user unban': onAccount('unban', 'let it in again', async ({ service }, uid) => {
    await service.unban(uid, by);
    return { facts: { UID: uid }, words: `Account ${uid} is not banned any more.` };
  }),
  'user reset-password': onAccount(
    'reset-password',
    'give an account a made-up password, which is printed, and log it out everywhere',
    async ({ service }, uid) => {
      const { password, ended } = await service.resetPassword(uid, by);
      const words = `Account ${uid} has the password ${password} now, shown only here; ${ended} sessions ended.`;
      return { facts: { UID: uid, PASSWORD: password, SESSIONS: ended }, words };
    },
  ),
  'user remove-second-factor': onAccount(
    'remove-second-factor',
    'let who lost authenticator and recovery codes log in by the password alone',
    async ({ service }, uid) => {
      await service.dropSecondFactor(uid, by);
      return { facts: { UID: uid }, words: `Account ${uid} has no second factor any more.` };
    },
  ),
  'user list': {
    usage: 'user list [TEXT] [--json]',
    meaning: 'list accounts, or those whose name, address or number begins so',
    options: { json: 'flag' },
    words: [0, 1],
    run: (asked, config) =>
      run(asked, config, { creates: false }, ({ store }) => list(store, asked.words[0] ?? '')),
  },
  invite: {
    usage: 'invite [--uses N] [--days N] [--json]',
    meaning: 'make an invitation, by default for one sign-up within 7 days',
    options: { uses: 'text', days: 'text', json: 'flag' },
    run: invite,
  },
};

/** A command on one account, named by its address or number. */
function onAccount(
  name: string,
  meaning: string,
  act: (opened: Opened, uid: number, asked: Asked) => Promise<Done>,
): Command<Config> {
  return {
    usage: `user ${name} ACCOUNT [--json]`,
    meaning,
    options: { json: 'flag' },
    words: [1, 1],
    run: (asked, config) => {
      const [account = ''] = asked.words;
      if (!account.includes('@') && readUid(account) === null)
        throw new UsageError(`"${account}" is neither an e-mail address nor an account number.`);
      return run(asked, config, { creates: false }, async (opened) =>
        act(opened, await findUid(opened.store, account), asked),
      );
    },
  };
}

async function create(asked: Asked, config: Config): Promise<number> {
  const { texts, flags } = asked;
  const person = {
    email: readText('email', field.email, texts.email),
    firstName: readText('first-name', field.personName, texts['first-name']),
    lastName: readText('last-name', field.personName, texts['last-name']),
  };
  // Never an argument: those are seen by everybody on the machine.
  const typed = flags.has('password-stdin') ? (await Bun.stdin.text()).replace(/\r?\n$/, '') : null;
  const password = typed === null ? null : readText('password-stdin', field.password, typed);
  return run(asked, config, { creates: true }, async ({ service }) => {
    const made = await service.createAccount(person, password, by);
    const facts = {
      UID: made.uid,
      EMAIL: person.email,
      ...(made.password ? { PASSWORD: made.password } : {}),
    };
    const words = `Account ${made.uid} is made for ${person.email}.`;
    return {
      facts,
      words: made.password ? `${words}\nIts password, shown only here: ${made.password}` : words,
    };
  });
}

async function invite(asked: Asked, config: Config): Promise<number> {
  const { uses: usesText = '1', days: daysText = '7' } = asked.texts;
  const uses = readText('uses', field.wholeNumber(1, limits.invitationUses), usesText);
  const days = readText('days', field.wholeNumber(1, limits.invitationDays), daysText);
  return run(asked, config, { creates: true }, async ({ service }) => {
    const { code, expiresAt } = await service.invite(uses, days, by);
    const facts = { CODE: code, USES: uses, EXPIRES_ON: wireTime(expiresAt) };
    const often = uses === 1 ? 'one sign-up' : `${uses} sign-ups`;
    return { facts, words: `${code}\nGood for ${often} until ${wireTime(expiresAt)}; shown only here.` };
  });
}

async function list(store: AdminStore, text: string): Promise<Done> {
  const uid = readUid(text);
  const found: AccountSummary[] = [];
  for (let after = 0; ; ) {
    const page = await store.listAccounts({ prefix: uid === null ? text : '', after, limit: 1000 });
    found.push(...page.filter((account) => uid === null || String(account.uid).startsWith(text)));
    const last = page.at(-1);
    if (!last) break;
    after = last.uid;
  }
  const words = [...found.map(describe), `${found.length} ${found.length === 1 ? 'account' : 'accounts'}`];
  return { facts: { users: found.map(accountOnWire) }, words: words.join('\n') };
}

function describe({ uid, name, email, verified, banned, banReason, sessions }: AccountSummary): string {
  const state = banned ? `banned${banReason ? ` (${banReason})` : ''}` : verified ? 'verified' : 'unverified';
  const line = `${String(uid).padStart(10)}  ${state}, ${sessions} sessions  ${email}  ${name}`;
  return line.replace(/\p{Cc}/gu, ' '); // an imported name must not steer the terminal
}

/** Opens the store, acts, and prints what came of it; 0 when it was done, 1 when it was not. */
async function run(
  { flags }: Asked,
  config: Config,
  { creates }: { creates: boolean },
  act: (opened: Opened) => Promise<Done>,
): Promise<number> {
  const json = flags.has('json');
  try {
    const { facts, words } = await withStore(config, creates, act);
    process.stdout.write(json ? `${JSON.stringify({ ok: true, ...facts })}\n` : `${words}\n`);
    return 0;
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    if (json) process.stdout.write(`${JSON.stringify({ ok: false, message: error.message })}\n`);
    else process.stderr.write(`${error.message}\n`);
    return 1;
  }
}

/** @throws AppError; `not_found` when the data folder has no database and `creates` is false */
async function withStore<T>(
  config: Config,
  creates: boolean,
  act: (opened: Opened) => Promise<T>,
): Promise<T> {
  const path = join(config.DATA_DIR, 'chat.db');
  if (isHalfRestored(config.DATA_DIR)) throw new AppError('unavailable', halfRestored);
  if (creates) mkdirSync(config.DATA_DIR, { recursive: true, mode: 0o700 });
  else if (!existsSync(path))
    throw new AppError('not_found', `There is no database in ${config.DATA_DIR}. Check DATA_DIR.`);
  const defaultGroup = { groupId: config.DEFAULT_GROUP_ID, name: config.DEFAULT_GROUP_NAME };
  // Nobody listens in this process: a running server finds out by itself.
  const store = await openStore({ path, defaultGroup, emit: () => undefined, clock: Date.now, beside: true });
  try {
    const log = createLog({ level: config.LOG_LEVEL, format: config.LOG_FORMAT });
    const { note } = createAudit(store, Date.now, log);
    const service = new AdminService({ store, audit: note, clock: Date.now });
    return await act({ store, service });
  } finally {
    await store.close();
  }
}

/** @throws AppError `not_found` */
async function findUid(store: Store, account: string): Promise<number> {
  const uid = readUid(account);
  const found = uid === null ? await store.findAccountByEmail(account) : await store.findAccount(uid);
  if (!found) throw new AppError('not_found', `There is no account ${account}.`);
  return found.uid;
}

/** @throws UsageError in the words of the field's rule, which never repeat the value */
function readText<Schema extends z.ZodType>(
  option: string,
  schema: Schema,
  text: string | undefined,
): z.output<Schema> {
  if (text === undefined) throw new UsageError(`--${option} is missing.`);
  const read = schema.safeParse(text);
  if (read.success) return read.data;
  throw new UsageError(`--${option} ${read.error.issues[0]?.message ?? 'is not valid'}.`);
}
