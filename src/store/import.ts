// Taking over accounts, chats and messages of the old server in SQLite; what was taken is noted in the same transaction.
import { and, eq, gte, like, sql } from 'drizzle-orm';
import { insertAccount, makeVerified } from './accounts.ts';
import { findGroup } from './chats.ts';
import type {
  ImportStore,
  OldAccount,
  OldChat,
  OldMessages,
  TakenAccount,
  TakenChat,
} from './import-store.ts';
import type { Ledger } from './ledger.ts';
import { abandonedChats, accounts, chats, imported, members, messages, sessions } from './schema.ts';
import type { Driver, Queries } from './sqlite.ts';

type OldGroup = Extract<OldChat, { kind: 'group' }>;
type OldDirect = Extract<OldChat, { kind: 'direct' }>;

const { placeholder } = sql;
const accountOrigin = 'account:';

export function createImport(driver: Driver, defaultGroupId: string, ledger: Ledger): ImportStore {
  const insertMessage = driver.prepareRun(
    driver.writer.insert(messages).values({
      chatId: placeholder('chatId'),
      seq: placeholder('seq'),
      senderUid: placeholder('senderUid'),
      body: placeholder('body'),
      sentAt: placeholder('sentAt'),
    }),
  );
  return {
    listImportedAccounts: async () => {
      const rows = await driver.reader
        .select({ origin: imported.origin, uid: imported.value, existing: accounts.uid })
        .from(imported)
        .leftJoin(accounts, eq(accounts.uid, imported.value))
        .where(like(imported.origin, `${accountOrigin}%`));
      return rows.map(({ origin, uid, existing }) => {
        return { oldUid: origin.slice(accountOrigin.length), uid, exists: existing !== null };
      });
    },

    takeAccounts: (batch) =>
      driver.write(async (tx) => {
        const taken: (TakenAccount | null)[] = [];
        for (const one of batch)
          taken.push(ledger.has(one.account.uid) ? null : await takeAccount(tx, one, defaultGroupId));
        return taken;
      }),

    takeChat: (chat) =>
      driver.write(async (tx) => {
        const origin = `chat:${chat.origin}`;
        const value = await findValue(tx, origin);
        if (value !== null) return findTaken(tx, chat, String(value));
        const taken =
          chat.kind === 'group' ? await takeGroup(tx, chat, defaultGroupId) : await takeDirect(tx, chat);
        await note(tx, origin, Number(taken.groupId));
        return taken;
      }),

    findTakenTo: async (table) => (await findValue(driver.reader, `log:${table}`)) ?? 0,

    takeMessages: (batch) =>
      driver.write(
        async (tx) => {
          const end = await endOf(tx, batch.chatId);
          await tx
            .insert(imported)
            .values({ origin: `unread:${batch.origin}`, value: end.lastSeq })
            .onConflictDoNothing();
          append(insertMessage, batch, end);
          await advance(tx, batch, end);
          for (const [table, id] of batch.readTo) await note(tx, `log:${table}`, id);
        },
        undefined,
        { keepsVersion: true },
      ),

    finishChat: (origin, chatId) =>
      driver.write(async (tx) => {
        const from = await findValue(tx, `unread:${origin}`);
        if (from === null) return;
        const { lastSeq: readSeq } = await endOf(tx, chatId);
        await tx
          .update(members)
          .set({ readSeq })
          .where(and(eq(members.chatId, chatId), gte(members.readSeq, from)));
        await tx.delete(imported).where(eq(imported.origin, `unread:${origin}`));
      }),
  };
}

async function findValue(db: Queries, origin: string): Promise<number | null> {
  const row = await db.select().from(imported).where(eq(imported.origin, origin)).get();
  return row?.value ?? null;
}

async function note(tx: Queries, origin: string, value: number): Promise<void> {
  await tx
    .insert(imported)
    .values({ origin, value })
    .onConflictDoUpdate({ target: imported.origin, set: { value } });
}

async function takeAccount(tx: Queries, one: OldAccount, defaultGroupId: string): Promise<TakenAccount> {
  let { account } = one;
  for (;;) {
    const outcome = await insertAccount(tx, account);
    if (outcome === 'created') break;
    if (outcome === 'uid_taken') account = { ...account, uid: one.spare.uid() };
    else account = { ...account, email: one.spare.email() };
  }
  const { uid, email, createdAt } = account;
  if (one.verified) await makeVerified(tx, defaultGroupId, uid, createdAt);
  await note(tx, `${accountOrigin}${one.oldUid}`, uid);
  const keepsSession = one.session?.uid === uid && (await takeSession(tx, one.session));
  return { uid, email, keepsSession };
}

/** Of two accounts with one cookie it is the first one's. */
async function takeSession(tx: Queries, session: NonNullable<OldAccount['session']>): Promise<boolean> {
  const made = await tx
    .insert(sessions)
    .values({ ...session, lastUsedAt: session.createdAt })
    .onConflictDoNothing()
    .returning({ id: sessions.id });
  return made.length > 0;
}

/** Not by the chat's row: its number may have been given to another chat since. */
async function findTaken(tx: Queries, chat: OldChat, groupId: string): Promise<TakenChat | null> {
  const found = chat.kind === 'group' ? await findGroup(tx, groupId) : await findDirect(tx, chat);
  if (!found || (await isAbandoned(tx, found.id))) return null;
  return { chatId: found.id, made: false, groupId: chat.kind === 'group' ? groupId : null };
}

async function isAbandoned(tx: Queries, chatId: number): Promise<boolean> {
  return (
    (await tx.select().from(abandonedChats).where(eq(abandonedChats.chatId, chatId)).get()) !== undefined
  );
}

function findDirect(tx: Queries, { lowUid, highUid }: OldDirect) {
  const pair = and(eq(chats.lowUid, lowUid), eq(chats.highUid, highUid));
  return tx.select({ id: chats.id }).from(chats).where(pair).get();
}

async function takeGroup(tx: Queries, chat: OldGroup, defaultGroupId: string): Promise<TakenChat> {
  const { name, picture, createdAt } = chat;
  let { groupId } = chat;
  for (;;) {
    const found = await findGroup(tx, groupId);
    if (!found) break;
    if (groupId === defaultGroupId) {
      const began = Math.min(createdAt, found.createdAt);
      await tx.update(chats).set({ createdAt: began }).where(eq(chats.id, found.id));
      return { chatId: found.id, made: false, groupId };
    }
    groupId = chat.spareId();
  }
  const made = { groupId, name, picture, createdAt };
  const { id } = await tx.insert(chats).values(made).returning({ id: chats.id }).get();
  await addMembers(tx, id, chat.members, 'owner');
  return { chatId: id, made: true, groupId };
}

async function takeDirect(tx: Queries, chat: OldDirect): Promise<TakenChat> {
  const { lowUid, highUid, createdAt } = chat;
  const found = await findDirect(tx, chat);
  if (found) return { chatId: found.id, made: false, groupId: null };
  const made = { lowUid, highUid, name: '', picture: '', createdAt };
  const { id } = await tx.insert(chats).values(made).returning({ id: chats.id }).get();
  await addMembers(tx, id, chat.members, 'member');
  return { chatId: id, made: true, groupId: null };
}

async function addMembers(
  tx: Queries,
  chatId: number,
  people: OldChat['members'],
  firstRole: 'owner' | 'member',
): Promise<void> {
  for (const [index, { uid, joinedAt }] of people.entries()) {
    const role = index === 0 ? firstRole : 'member';
    await tx.insert(members).values({ chatId, uid, role, joinedAt }).onConflictDoNothing();
  }
}

interface End {
  readonly lastSeq: number;
  readonly lastMessageAt: number | null;
}

async function endOf(tx: Queries, chatId: number): Promise<End> {
  const { lastSeq, lastMessageAt } = chats;
  const row = await tx.select({ lastSeq, lastMessageAt }).from(chats).where(eq(chats.id, chatId)).get();
  if (!row) throw new Error('a chat was removed during the import; run it again');
  return row;
}

function append(insert: ReturnType<Driver['prepareRun']>, batch: OldMessages, { lastSeq }: End): void {
  for (const [index, { senderUid, body, sentAt }] of batch.messages.entries())
    insert({ chatId: batch.chatId, seq: lastSeq + 1 + index, senderUid, body, sentAt });
}

/** What was said here since may be newer than all that is imported. */
async function advance(tx: Queries, { chatId, messages: added }: OldMessages, end: End): Promise<void> {
  if (added.length === 0) return;
  const newest = added.reduce((latest, { sentAt }) => Math.max(latest, sentAt), end.lastMessageAt ?? 0);
  await tx
    .update(chats)
    .set({ lastSeq: end.lastSeq + added.length, lastMessageAt: newest })
    .where(eq(chats.id, chatId));
}
