// Puts the store together: one database file, the default group made sure of.
import { randomUUID } from 'node:crypto';
import { eq } from 'drizzle-orm';
import { createAccountStore } from './accounts.ts';
import { createAdminStore } from './admin.ts';
import type { AdminStore } from './admin-store.ts';
import { createAuditStore } from './audit.ts';
import { createBlockStore } from './blocks.ts';
import { createChatStore } from './chats.ts';
import { createCodeStore } from './codes.ts';
import { createMessageStore } from './messages.ts';
import { createResetStore } from './reset.ts';
import { createRoleStore } from './roles.ts';
import { chats, installation } from './schema.ts';
import { createSecondFactorStore } from './second-factors.ts';
import { createSessionStore } from './sessions.ts';
import { type Driver, openDatabase } from './sqlite.ts';
import type { Emit, Store } from './store.ts';

/** A server that commits without a pause leaves a command only short gaps to write in. */
const commandPatienceMs = 15_000;

export interface StoreOptions {
  /** The database file; made when it does not exist. */
  readonly path: string;
  readonly defaultGroup: { readonly groupId: string; readonly name: string };
  readonly emit: Emit;
  readonly clock: () => number;
  /** Opened by a command, perhaps beside a server: waits long for its writes, and holds them up as little as it can. */
  readonly beside?: boolean;
}

/**
 * Opens the store; the caller closes it.
 * @throws Error when the file was written by a newer version of this program
 */
export async function openStore({
  path,
  defaultGroup,
  emit,
  clock,
  beside = false,
}: StoreOptions): Promise<Store & AdminStore> {
  const driver = openDatabase(path, beside ? commandPatienceMs : undefined);
  const epoch = await findOrMakeEpoch(driver);
  const store: Store & AdminStore = {
    ...createAccountStore(driver, emit, defaultGroup.groupId),
    ...createSessionStore(driver, emit),
    ...createCodeStore(driver),
    ...createSecondFactorStore(driver),
    ...createResetStore(driver, emit, defaultGroup.groupId),
    ...createChatStore(driver, emit, defaultGroup.groupId),
    ...createRoleStore(driver, emit, defaultGroup.groupId),
    ...createMessageStore(driver, emit, defaultGroup.groupId),
    ...createBlockStore(driver),
    ...createAuditStore(driver),
    ...createAdminStore(driver, emit, defaultGroup.groupId),
    epoch,
    close: () => driver.close(),
  };
  // It looks at every account, so a command leaves that to the server where it has done it.
  if (!beside || !(await hasGroup(driver, defaultGroup.groupId)))
    await store.ensureDefaultGroup({ ...defaultGroup, now: clock() });
  return store;
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
