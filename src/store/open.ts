// Puts the store together: one database file, the default group made sure of.
import { randomUUID } from 'node:crypto';
import { dirname, join } from 'node:path';
import { eq } from 'drizzle-orm';
import type { AppError } from '../errors.ts';
import { createAbandonedStore } from './abandoned.ts';
import { createAccountStore } from './accounts.ts';
import { createAdminStore } from './admin.ts';
import type { AdminStore } from './admin-store.ts';
import { createAuditStore } from './audit.ts';
import { createBlockStore } from './blocks.ts';
import { createChatStore } from './chats.ts';
import { createCodeStore } from './codes.ts';
import { createEraser } from './erasure.ts';
import { createExport } from './export.ts';
import { tellingFailures } from './failures.ts';
import { createImport } from './import.ts';
import type { ImportStore } from './import-store.ts';
import { openLedger } from './ledger.ts';
import { createClearing } from './leftovers.ts';
import { acquireLock } from './lock.ts';
import { createMessageStore } from './messages.ts';
import type { LogPlace, OwnDataStore } from './own-data-store.ts';
import { createResetStore } from './reset.ts';
import { createRetentionStore } from './retention.ts';
import { createRoleStore } from './roles.ts';
import { chats, installation } from './schema.ts';
import { createSecondFactorStore } from './second-factors.ts';
import { createSessionStore } from './sessions.ts';
import { type Driver, openDatabase } from './sqlite.ts';
import type { Emit, Store } from './store.ts';
import type { Upgrade } from './upgrade.ts';
import { type StoreWatch, watched } from './watch.ts';

/** A server that commits without a pause leaves a command only short gaps to write in. */
const commandPatienceMs = 15_000;

export interface StoreOptions {
  /** The database file; made when it does not exist. Beside it lies the ledger of erased accounts. */
  readonly path: string;
  readonly defaultGroup: { readonly groupId: string; readonly name: string };
  readonly emit: Emit;
  readonly clock: () => number;
  /** Opened by a command, perhaps beside a server: waits long for its writes, and holds them up as little as it can. */
  readonly beside?: boolean;
  /** Is told when a file of an older schema was upgraded. */
  readonly upgraded?: (upgrade: Upgrade) => void;
  /** Told of each call and each transaction. */
  readonly watch?: StoreWatch;
  /** Is told of each failure that passes, such as a full disk. */
  readonly failed?: (failure: AppError) => void;
}

/**
 * Opens the store; unless beside a server, neither an account that was ever erased is in it then, nor what such a one
 * left in the message log, nor a chat that nobody is in any more. The caller closes it.
 * @throws Error when the file was written by a newer version of this program, or the ledger cannot be read
 */
export async function openStore({
  path,
  defaultGroup,
  emit,
  clock,
  beside = false,
  upgraded,
  watch,
  failed = () => undefined,
}: StoreOptions): Promise<Store & AdminStore & OwnDataStore & ImportStore> {
  const inFolder = (name: string) => join(dirname(path), name);
  const ledger = openLedger(inFolder('erasures.jsonl'), { mends: !beside });
  const driver = beside
    ? openDatabase(path, {
        patienceMs: commandPatienceMs,
        alone: () => acquireLock(inFolder('server.lock'), 0),
        upgraded,
        watch,
      })
    : openDatabase(path, { upgraded, watch });
  const epoch = await findOrMakeEpoch(driver);
  const { eraseAccount, eraseAgain } = createEraser(driver, {
    emit,
    defaultGroupId: defaultGroup.groupId,
    ledger,
  });
  const accounts = createAccountStore(driver, emit, defaultGroup.groupId);
  const admin = createAdminStore(driver, emit, defaultGroup.groupId);
  const store: Store & AdminStore & OwnDataStore & ImportStore = tellingFailures(
    {
      ...accounts,
      ...admin,
      // Messages of an erased account may have stayed, and must not become somebody else's.
      createAccount: async (account, ...rest) =>
        ledger.has(account.uid) ? 'uid_taken' : accounts.createAccount(account, ...rest),
      createVerifiedAccount: async (account) =>
        ledger.has(account.uid) ? 'uid_taken' : admin.createVerifiedAccount(account),
      ...createSessionStore(driver, emit),
      ...createCodeStore(driver),
      ...createSecondFactorStore(driver),
      ...createResetStore(driver, emit, defaultGroup.groupId),
      ...createChatStore(driver, emit, defaultGroup.groupId),
      ...createRoleStore(driver, emit, defaultGroup.groupId),
      ...createMessageStore(driver, emit, defaultGroup.groupId),
      ...createBlockStore(driver),
      ...createRetentionStore(driver, defaultGroup.groupId),
      ...createAuditStore(driver),
      ...createExport(driver),
      ...createImport(driver, defaultGroup.groupId, ledger),
      ...createClearing(driver, emit),
      ...createAbandonedStore(driver),
      eraseAccount,
      epoch,
      trimLog: (when) => driver.trimLog(when),
      close: () => driver.close(),
    },
    failed,
  );
  // It looks at every account, so a command leaves that to the server where it has done it.
  if (!beside || !(await hasGroup(driver, defaultGroup.groupId)))
    await store.ensureDefaultGroup({ ...defaultGroup, now: clock() });
  if (beside) return store;
  for (const uid of await eraseAgain()) {
    const detail = 'again: a restored backup had it';
    const kind = 'account_deleted';
    await store.appendAudit({ at: clock(), kind, uid, actor: 'server', address: '', detail });
  }
  await clear(store);
  return watch ? watched(store, watch) : store;
}

/** In one go: nobody is served yet. */
async function clear(store: OwnDataStore): Promise<void> {
  for (const uid of await store.listUncleared()) {
    let place: LogPlace | null = null;
    do place = await store.clearNext(uid, place);
    while (place);
  }
  while (await store.removeNextAbandoned());
}

async function hasGroup({ reader }: Driver, groupId: string): Promise<boolean> {
  return (
    (await reader.select({ id: chats.id }).from(chats).where(eq(chats.groupId, groupId)).get()) !== undefined
  );
}

async function findOrMakeEpoch(driver: Driver): Promise<string> {
  return driver.write(async (tx) => {
    await tx.insert(installation).values({ id: 1, epoch: randomUUID() }).onConflictDoNothing();
    const row = await tx.select().from(installation).get();
    if (!row) throw new Error('the installation row could not be made');
    return row.epoch;
  });
}
