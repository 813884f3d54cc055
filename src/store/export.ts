// A person's own data in SQLite, read page by page: the account, its chats, and what it sent.
import { and, asc, desc, eq, gt, sql } from 'drizzle-orm';
import { accountOf } from './accounts.ts';
import { otherUid, refOf, shownName } from './chats.ts';
import type { LogPlace, OwnDataStore } from './own-data-store.ts';
import { accounts, blocks, chats, members, messages, sessions } from './schema.ts';
import type { Driver } from './sqlite.ts';

/** How many messages of the log, whosever, are looked at in one go: about a millisecond's work. */
const stretch = 2000;

export function createExport({
  reader,
}: Driver): Pick<OwnDataStore, 'findOwnAccount' | 'listOwnChats' | 'listOwnMessages'> {
  const { placeholder } = sql;
  const here = sql`(${messages.chatId}, ${messages.seq})`;
  const after = sql`${here} > (${placeholder('chatId')}, ${placeholder('seq')})`;
  const inOrder = [asc(messages.chatId), asc(messages.seq)];
  const endOfStretch = reader
    .select({ chatId: messages.chatId, seq: messages.seq })
    .from(messages)
    .where(after)
    .orderBy(...inOrder)
    .limit(1)
    .offset(stretch - 1)
    .prepare();
  const sent = reader
    .select({
      groupId: chats.groupId,
      otherUid: sql<number>`CASE WHEN ${chats.lowUid} = ${messages.senderUid} THEN ${chats.highUid} ELSE ${chats.lowUid} END`,
      seq: messages.seq,
      sentAt: messages.sentAt,
      body: messages.body,
      removedAt: messages.removedAt,
    })
    .from(messages)
    .innerJoin(chats, eq(chats.id, messages.chatId))
    .where(
      and(
        after,
        sql`${here} <= (${placeholder('endChatId')}, ${placeholder('endSeq')})`,
        eq(messages.senderUid, placeholder('uid')),
      ),
    )
    .orderBy(...inOrder)
    .prepare();

  return {
    findOwnAccount: async (uid) => {
      const row = await reader.select().from(accounts).where(eq(accounts.uid, uid)).get();
      const account = accountOf(row ?? null);
      if (!row || !account) return null;
      const { id, createdAt, lastUsedAt, device } = sessions;
      const own = await reader
        .select({ id, createdAt, lastUsedAt, device })
        .from(sessions)
        .where(eq(sessions.uid, uid))
        .orderBy(desc(lastUsedAt), desc(id));
      const blocked = await reader
        .select({ uid: blocks.blockedUid })
        .from(blocks)
        .where(eq(blocks.uid, uid))
        .orderBy(asc(blocks.blockedUid));
      const blockedUids = blocked.map((person) => person.uid);
      const { createdAt: madeAt, verifiedAt } = row;
      return { account, createdAt: madeAt, verifiedAt, sessions: own, blockedUids };
    },

    listOwnChats: async (uid, place, limit) => {
      const rows = await reader
        .select({
          place: chats.id,
          groupId: chats.groupId,
          groupName: chats.name,
          otherUid,
          otherName: sql<string | null>`${accounts.firstName} || ' ' || ${accounts.lastName}`,
          createdAt: chats.createdAt,
          readSeq: members.readSeq,
          role: members.role,
          joinedAt: members.joinedAt,
        })
        .from(members)
        .innerJoin(chats, eq(chats.id, members.chatId))
        .leftJoin(accounts, eq(accounts.uid, otherUid))
        .where(and(eq(members.uid, uid), gt(members.chatId, place)))
        .orderBy(asc(members.chatId))
        .limit(limit);
      return rows.map(({ groupId, groupName, otherUid: other, otherName, ...rest }) => {
        const ref = refOf({ groupId, otherUid: other });
        return { ref, name: ref.kind === 'group' ? groupName : shownName(otherName), ...rest };
      });
    },

    listOwnMessages: async (uid, from) => {
      const start: LogPlace = from ?? { chatId: 0, seq: 0 };
      const next = (await endOfStretch.get({ ...start })) ?? null;
      const end = next ?? { chatId: Number.MAX_SAFE_INTEGER, seq: Number.MAX_SAFE_INTEGER };
      const rows = await sent.all({ ...start, endChatId: end.chatId, endSeq: end.seq, uid });
      const found = rows.map(({ groupId, otherUid: other, ...message }) => ({
        ref: refOf({ groupId, otherUid: other }),
        ...message,
      }));
      return { messages: found, next };
    },
  };
}
