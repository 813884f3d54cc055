// Reading the message log in SQLite: the newest of every chat, and pages by position.
import { and, asc, desc, eq, gt, lt, type SQL, sql } from 'drizzle-orm';
import { deletedName, type Message } from '../protocol/entities.ts';
import { createAppend } from './append.ts';
import type { ChatHistory, MessageStore } from './chat-store.ts';
import { refOf } from './chats.ts';
import { createRemoval } from './removal.ts';
import { accounts, chats, members, messages } from './schema.ts';
import type { Driver } from './sqlite.ts';
import type { Emit } from './store.ts';

const senderFields = {
  senderUid: messages.senderUid,
  senderName: sql<string>`COALESCE(${accounts.firstName} || ' ' || ${accounts.lastName}, ${deletedName})`,
  senderPicture: sql<string>`COALESCE(${accounts.picture}, '')`,
};
const messageFields = {
  seq: messages.seq,
  body: messages.body,
  sentAt: messages.sentAt,
  removedAt: messages.removedAt,
  ...senderFields,
};

export function createMessageStore(driver: Driver, emit: Emit, defaultGroupId: string): MessageStore {
  const { reader } = driver;
  const { placeholder } = sql;
  const chatsOf = reader
    .select({
      id: chats.id,
      groupId: chats.groupId,
      otherUid: sql<number>`CASE WHEN ${chats.lowUid} = ${members.uid} THEN ${chats.highUid} ELSE ${chats.lowUid} END`,
    })
    .from(members)
    .innerJoin(chats, eq(chats.id, members.chatId))
    .where(eq(members.uid, placeholder('uid')))
    .orderBy(desc(sql`COALESCE(${chats.lastMessageAt}, ${members.joinedAt})`), asc(chats.id))
    .prepare();

  const pageOf = (order: SQL) =>
    reader
      .select(messageFields)
      .from(messages)
      .leftJoin(accounts, eq(accounts.uid, messages.senderUid))
      .where(
        and(
          eq(messages.chatId, placeholder('chatId')),
          lt(messages.seq, placeholder('before')),
          gt(messages.seq, placeholder('after')),
        ),
      )
      .orderBy(order)
      .limit(placeholder('limit'))
      .prepare();
  const [newestFirst, oldestFirst] = [pageOf(desc(messages.seq)), pageOf(asc(messages.seq))];
  /** The chat if the asker is in it: found means allowed. */
  const memberChat = (named: SQL | undefined) =>
    reader
      .select({ id: chats.id })
      .from(chats)
      .innerJoin(members, and(eq(members.chatId, chats.id), eq(members.uid, placeholder('uid'))))
      .where(named)
      .prepare();
  const memberGroup = memberChat(eq(chats.groupId, placeholder('groupId')));
  const memberDirect = memberChat(
    and(eq(chats.lowUid, placeholder('low')), eq(chats.highUid, placeholder('high'))),
  );

  return {
    appendMessages: createAppend(driver),
    removeMessage: createRemoval(driver, emit, defaultGroupId),

    listRecentMessages: async (uid, { perChat, characters }) => {
      const histories: ChatHistory[] = [];
      let left = characters;
      for (const chat of await chatsOf.all({ uid })) {
        const newest =
          left > 0
            ? await newestFirst.all({
                chatId: chat.id,
                before: Number.MAX_SAFE_INTEGER,
                after: 0,
                limit: perChat,
              })
            : [];
        const fitting: Message[] = [];
        for (const message of newest) {
          left -= message.body.length;
          if (left >= 0) fitting.unshift(message);
        }
        histories.push({ ref: refOf(chat), messages: fitting });
      }
      return histories;
    },

    listMessages: async (uid, ref, { before, after, limit }) => {
      const chat =
        ref.kind === 'group'
          ? await memberGroup.get({ uid, groupId: ref.groupId })
          : await memberDirect.get({
              uid,
              low: Math.min(uid, ref.otherUid),
              high: Math.max(uid, ref.otherUid),
            });
      if (!chat) return null;
      const window = { chatId: chat.id, before: before ?? Number.MAX_SAFE_INTEGER, after: after ?? 0, limit };
      const page = await (after === null ? newestFirst : oldestFirst).all(window);
      return after === null ? page.reverse() : page;
    },
  };
}
