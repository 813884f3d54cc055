// The command that brings over the databases of the old server, or tries on a copy what that would come to.
import { Database } from 'bun:sqlite';
import { copyFileSync, existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hashPasswords, newInstallationKey } from '../../accounts/secrets.ts';
import type { Config } from '../../config.ts';
import { AppError } from '../../errors.ts';
import { openDataFolder } from '../../infra/data-folder.ts';
import { readOrMakeKey } from '../../infra/keyfile.ts';
import { createLog } from '../../log.ts';
import { acquireLock } from '../../store/lock.ts';
import { openStore } from '../../store/open.ts';
import { finishRestore, halfRestored, isHalfRestored } from '../backup/swap.ts';
import type { Asked, Command } from '../command-line.ts';
import { takeAccounts } from './accounts.ts';
import { planChats } from './chats.ts';
import { takeChats } from './messages.ts';
import { type OldFiles, openOldFiles } from './old-files.ts';
import { createReport, type Report } from './report.ts';

export const importCommand: Command<Config> = {
  usage: 'import FOLDER [--dry-run] [--json]',
  meaning:
    'bring over accounts, chats and messages of the old server; --dry-run says what that would come to',
  options: { 'dry-run': 'flag', json: 'flag' },
  words: [1, 1],
  run,
};

async function run({ words: [folder = ''], flags }: Asked, config: Config): Promise<number> {
  const [isDry, json] = [flags.has('dry-run'), flags.has('json')];
  const report = createReport();
  try {
    using files = openFolder(folder);
    await (isDry ? tryOut : takeOver)({ files, report, config, silent: json });
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    const message = isDry ? error.message : `${error.message} What was taken stays; run it again to go on.`;
    process.stdout.write(json ? `${JSON.stringify({ ok: false, message })}\n` : '');
    process.stderr.write(json ? '' : `${message}\n`);
    return 1;
  }
  const title = isDry ? 'Nothing was written. This would be taken:' : 'Taken:';
  const facts = { ok: true, DRY_RUN: isDry, ...report.facts() };
  process.stdout.write(json ? `${JSON.stringify(facts)}\n` : `${[title, ...report.words()].join('\n')}\n`);
  return 0;
}

interface Work {
  readonly files: OldFiles;
  readonly report: Report;
  readonly config: Config;
  readonly silent: boolean;
}

/** @throws Error when a server runs on the data folder: it would not see what comes in under it */
async function takeOver(work: Work): Promise<void> {
  const { DATA_DIR: dataDir, LOG_LEVEL: level, LOG_FORMAT: format } = work.config;
  openDataFolder(dataDir, createLog({ level, format }));
  using lock = acquireLock(join(dataDir, 'server.lock'), 0);
  if (!lock) throw new Error(`A server or another import runs on ${dataDir}. Stop it first.`);
  finishRestore(dataDir);
  await takeInto(dataDir, hashPasswords, work);
}

/** Does all of it but the hashing, on a copy of the data that is thrown away. */
async function tryOut(work: Work): Promise<void> {
  if (isHalfRestored(work.config.DATA_DIR)) throw new Error(halfRestored);
  const trial = mkdtempSync(join(tmpdir(), 'import-trial-'));
  const remove = (): void => rmSync(trial, { recursive: true, force: true });
  process.once('exit', remove);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(1));
  try {
    copyData(work.config.DATA_DIR, trial);
    await takeInto(trial, async (passwords) => passwords.map(() => 'not hashed'), work);
  } finally {
    remove();
  }
}

function copyData(from: string, to: string): void {
  const [database, ledger] = ['chat.db', 'erasures.jsonl'];
  if (existsSync(join(from, ledger))) copyFileSync(join(from, ledger), join(to, ledger));
  if (!existsSync(join(from, database))) return;
  using source = new Database(join(from, database), { readonly: true });
  source.run('PRAGMA busy_timeout = 5000');
  source.run('VACUUM INTO ?', [join(to, database)]);
}

async function takeInto(
  dataDir: string,
  hash: typeof hashPasswords,
  { files, report, config, silent }: Work,
): Promise<void> {
  const defaultGroup = { groupId: config.DEFAULT_GROUP_ID, name: config.DEFAULT_GROUP_NAME };
  const path = join(dataDir, 'chat.db');
  const store = await openStore({ path, defaultGroup, emit: () => undefined, clock: Date.now });
  try {
    const course = {
      store,
      report,
      serverSecret: readOrMakeKey(join(dataDir, 'server.secret'), newInstallationKey),
      hashPasswords: hash,
      defaultGroupId: defaultGroup.groupId,
      now: Date.now(),
      silent,
    };
    const people = await takeAccounts(files.users, course);
    await takeChats(planChats(files, people, course), people, course);
    const about = { at: course.now, uid: null, actor: 'command', address: '' } as const;
    await store.appendAudit({ ...about, kind: 'imported', detail: report.summary() || 'nothing new' });
  } finally {
    await store.close();
  }
}

/** @throws Error in clear words when there is no such folder */
function openFolder(folder: string): OldFiles {
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory()) return openOldFiles(folder);
  throw new Error(`There is no folder ${folder}.`);
}
