// Chats that nobody is in any more: a short one goes at once, a long one with its log in stretches, for others write on.
import { and, eq, isNull, lt, ne, or, sql } from 'drizzle-orm';
import type { OwnDataStore } from './own-data-store.ts';
import { abandonedChats, chats, members, messages } from './schema.ts';
import type { Driver, Queries } from './sqlite.ts';

/** How many messages are removed in one go: a few milliseconds' work. */
const stretch = 200;

/** The last member has just left this chat. */
export async function abandon(tx: Queries, chatId: number): Promise<void> {
  const isThis = eq(chats.id, chatId);
  const isShort = lt(sql`${chats.lastSeq} - ${chats.firstSeq}`, stretch);
  const gone = await tx.delete(chats).where(and(isThis, isShort)).returning({ id: chats.id });
  if (gone.length === 0) await tx.insert(abandonedChats).values({ chatId });
}

/** Takes the account out of the chats in which it is the last one, but never of the group everyone is in. */
export async function abandonLonely(tx: Queries, uid: number, defaultGroupId: string): Promise<void> {
  const isAlone = sql`NOT EXISTS (
    SELECT 1 FROM ${members} AS others WHERE others.chat_id = ${members.chatId} AND others.uid <> ${uid})`;
  const mayGo = or(isNull(chats.groupId), ne(chats.groupId, defaultGroupId));
  const lonely = await tx
    .select({ chatId: members.chatId })
    .from(members)
    .innerJoin(chats, eq(chats.id, members.chatId))
    .where(and(eq(members.uid, uid), isAlone, mayGo));
  for (const { chatId } of lonely) {
    await tx.delete(members).where(and(eq(members.chatId, chatId), eq(members.uid, uid)));
    await tx.insert(abandonedChats).values({ chatId });
  }
}

export function createAbandonedStore(driver: Driver): Pick<OwnDataStore, 'removeNextAbandoned'> {
  return {
    removeNextAbandoned: async () => {
      const next = await driver.reader.select().from(abandonedChats).limit(1).get();
      if (!next) return false;
      await driver.write((tx) => removeStretch(tx, next.chatId), undefined, { keepsVersion: true });
      return true;
    },
  };
}

/** Removes the oldest messages of a chat, and with the last of them the chat. */
async function removeStretch(tx: Queries, chatId: number): Promise<void> {
  const isOf = eq(messages.chatId, chatId);
  const oldest = tx
    .select({ seq: messages.seq })
    .from(messages)
    .where(isOf)
    .orderBy(messages.seq)
    .limit(stretch);
  const removed = await tx
    .delete(messages)
    .where(and(isOf, sql`${messages.seq} IN ${oldest}`))
    .returning({ seq: messages.seq });
  if (removed.length < stretch) await tx.delete(chats).where(eq(chats.id, chatId));
}
