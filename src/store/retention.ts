// Removing messages by their age in SQLite: each group's rule, and the oldest of every log, a stretch at a time.
import { and, asc, eq, gt, lte, sql } from 'drizzle-orm';
import type { RetentionStore } from './chat-store.ts';
import { findGroup, mayManage, roleOf } from './chats.ts';
import { chats, messages } from './schema.ts';
import type { Driver, Queries } from './sqlite.ts';

/** How many chats are looked at, and how many messages are removed, in one go: a few milliseconds' work each. */
const chatsAtOnce = 1000;
const messagesAtOnce = 250;
/** How many messages could be removed in the time that it takes to turn to another chat. */
const worthOfChat = 10;
const dayMs = 24 * 60 * 60 * 1000;

export function createRetentionStore(driver: Driver, defaultGroupId: string): RetentionStore {
  const { placeholder } = sql;
  const [own, most] = [chats.retentionDays, placeholder('mostDays')];
  /** The shorter of the group's rule and everybody's, where null is for ever. */
  const days = sql<number | null>`
    CASE WHEN ${own} IS NULL OR ${own} > ${most} THEN COALESCE(${most}, ${own}) ELSE ${own} END`;
  const oldestAt = sql<number | null>`
    (SELECT ${messages.sentAt} FROM ${messages} WHERE ${messages.chatId} = ${chats.id} ORDER BY ${messages.seq} LIMIT 1)`;
  const looked = driver.reader
    .select({
      id: chats.id,
      days,
      oldestAt: sql<number | null>`CASE WHEN ${days} IS NOT NULL THEN ${oldestAt} END`,
    })
    .from(chats)
    .where(gt(chats.id, placeholder('after')))
    .orderBy(asc(chats.id))
    .limit(chatsAtOnce)
    .prepare();
  const oldest = driver.writer
    .select({ seq: messages.seq, sentAt: messages.sentAt, days })
    .from(messages)
    .innerJoin(chats, eq(chats.id, messages.chatId))
    .where(eq(messages.chatId, placeholder('chatId')))
    .orderBy(asc(messages.seq))
    .limit(messagesAtOnce)
    .prepare();

  return {
    setRetention: (actorUid, groupId, retentionDays) =>
      driver.write(
        async (tx) => {
          const group = await findGroup(tx, groupId);
          const role = group && (await roleOf(tx, group.id, actorUid));
          if (!group || !role) return 'no_group';
          if (!mayManage(role) || groupId === defaultGroupId) return 'not_allowed';
          await tx.update(chats).set({ retentionDays }).where(eq(chats.id, group.id));
          return 'done';
        },
        undefined,
        { keepsVersion: true },
      ),

    removeOldMessages: async ({ mostDays, now }, after) => {
      const rows = await looked.all({ after, mostDays });
      const due = rows.filter((chat) => isOutside(chat.oldestAt, chat.days, now));
      const next = rows.length < chatsAtOnce ? null : (rows.at(-1)?.id ?? null);
      if (due.length === 0) return { removed: 0, next };
      return driver.write(
        async (tx) => {
          let removed = 0;
          for (const [index, { id }] of due.entries()) {
            const here = await removeFrom(tx, id, { rows: await oldest.all({ chatId: id, mostDays }), now });
            removed += here;
            // A chat that lost all that was looked at is looked at again.
            if (here === messagesAtOnce) return { removed, next: id - 1 };
            if (removed + index * worthOfChat >= messagesAtOnce) return { removed, next: id };
          }
          return { removed, next };
        },
        undefined,
        { keepsVersion: true },
      );
    },
  };
}

interface Stretch {
  /** The oldest messages of a chat, and the days they may stay, which may have changed since it was looked at. */
  readonly rows: readonly { readonly seq: number; readonly sentAt: number; readonly days: number | null }[];
  readonly now: number;
}

/** Removes those that are too old, and notes where the log now begins: positions are never given again. */
async function removeFrom(tx: Queries, chatId: number, { rows, now }: Stretch): Promise<number> {
  const kept = rows.findIndex(({ sentAt, days }) => !isOutside(sentAt, days, now));
  const passed = kept === -1 ? rows : rows.slice(0, kept);
  const last = passed.findLastIndex(({ sentAt }) => sentAt <= now);
  const seq = passed[last]?.seq;
  if (seq === undefined) return 0;
  await tx.delete(messages).where(and(eq(messages.chatId, chatId), lte(messages.seq, seq)));
  await tx
    .update(chats)
    .set({ firstSeq: seq + 1 })
    .where(eq(chats.id, chatId));
  return last + 1;
}

/**
 * Whether a message's time is none at which it would be kept: older than its days, or of a clock that was ahead. One of
 * the latter says nothing of its age, and goes with the next that does: else a single one would keep all after it.
 */
function isOutside(sentAt: number | null, days: number | null, now: number): boolean {
  return sentAt !== null && days !== null && (sentAt < now - days * dayMs || sentAt > now);
}
