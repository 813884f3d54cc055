// Reading the message log in SQLite: the newest of every chat, and pages by position.
import { and, asc, desc, eq, gt, lt, sql } from 'drizzle-orm';
import type { ChatRef, Message } from '../protocol/entities.ts';
import { createAppend } from './append.ts';
import { isChat, refOf } from './chats.ts';
import { accounts, chats, members, messages } from './schema.ts';
import type { Driver, Queries } from './sqlite.ts';
import type { MessageStore } from './store.ts';

const senderFields = {
  senderUid: messages.senderUid,
  senderName: sql<string>`COALESCE(${accounts.firstName} || ' ' || ${accounts.lastName}, 'Deleted account')`,
  senderPicture: sql<string>`COALESCE(${accounts.picture}, '')`,
};
const messageFields = { seq: messages.seq, body: messages.body, sentAt: messages.sentAt, ...senderFields };

export function createMessageStore(driver: Driver): MessageStore {
  const { reader } = driver;
  const recent = reader
    .select({
      chatId: chats.id,
      groupId: chats.groupId,
      otherUid: sql<number>`CASE WHEN ${chats.lowUid} = ${members.uid} THEN ${chats.highUid} ELSE ${chats.lowUid} END`,
      message: messageFields,
    })
    .from(members)
    .innerJoin(chats, eq(chats.id, members.chatId))
    .leftJoin(
      messages,
      and(
        eq(messages.chatId, chats.id),
        gt(messages.seq, sql`${chats.lastSeq} - ${sql.placeholder('perChat')}`),
      ),
    )
    .leftJoin(accounts, eq(accounts.uid, messages.senderUid))
    .where(eq(members.uid, sql.placeholder('uid')))
    .orderBy(asc(chats.id), asc(messages.seq))
    .prepare();

  return {
    appendMessages: createAppend(driver),

    listRecentMessages: async (uid, perChat) => {
      const byChat = new Map<number, { ref: ReturnType<typeof refOf>; messages: Message[] }>();
      for (const row of await recent.all({ uid, perChat })) {
        const chat = byChat.get(row.chatId) ?? { ref: refOf(row), messages: [] };
        byChat.set(row.chatId, chat);
        // A chat without messages has one row whose left-joined columns are all null.
        if (row.message?.seq) chat.messages.push(row.message as Message);
      }
      return [...byChat.values()];
    },

    listMessages: async (uid, ref, { before, after, limit }) => {
      const chat = await memberChat(reader, uid, ref);
      if (!chat) return null;
      const page = await reader
        .select(messageFields)
        .from(messages)
        .leftJoin(accounts, eq(accounts.uid, messages.senderUid))
        .where(
          and(
            eq(messages.chatId, chat.id),
            before === null ? undefined : lt(messages.seq, before),
            after === null ? undefined : gt(messages.seq, after),
          ),
        )
        .orderBy(after === null ? desc(messages.seq) : asc(messages.seq))
        .limit(limit);
      return after === null ? page.reverse() : page;
    },
  };
}

/** The chat if this account is in it: found means allowed. */
async function memberChat(db: Queries, uid: number, ref: ChatRef) {
  return db
    .select({ id: chats.id })
    .from(chats)
    .innerJoin(members, and(eq(members.chatId, chats.id), eq(members.uid, uid)))
    .where(isChat(uid, ref))
    .get();
}
