// What erased accounts left in the message log, taken out in short stretches so that messages are sent in between.
import { and, asc, eq, gt, isNotNull, isNull, or, type SQL, sql } from 'drizzle-orm';
import { limits, removedText } from '../protocol/entities.ts';
import { refOf } from './chats.ts';
import type { Erasure, LogPlace, OwnDataStore } from './own-data-store.ts';
import { chats, erasures, messages } from './schema.ts';
import type { Driver, Queries } from './sqlite.ts';
import type { Emit, StoreEvent } from './store.ts';

/** How many messages are looked at, and perhaps changed, in one go: a few milliseconds' work. */
const stretch = 200;
/** Fewer, because ids are random: each changes pages of its own, in the log and in the index. */
const idsAtOnce = 50;
const beforeAll: LogPlace = { chatId: 0, seq: 0 };
/** What a chat shows when it is opened; of older messages nobody is told, else one erasure could be a flood. */
const isShown = gt(messages.seq, sql`${chats.lastSeq} - ${limits.historyPageDefault}`);

export function createClearing(
  driver: Driver,
  emit: Emit,
): Pick<OwnDataStore, 'listUncleared' | 'clearNext'> {
  return {
    listUncleared: async () =>
      (await driver.reader.select({ uid: erasures.uid }).from(erasures)).map(({ uid }) => uid),

    clearNext: async (uid, after) => {
      const erasure = await driver.reader.select().from(erasures).where(eq(erasures.uid, uid)).get();
      if (!erasure) return null;
      return erasure.messages === 'keep'
        ? clearIds(driver, uid)
        : clearTexts(driver, emit, { erasure, after: after ?? beforeAll });
    },
  };
}

/** Found by their index, so it always begins anew: what was cleared is not found again. */
async function clearIds(driver: Driver, uid: number): Promise<LogPlace | null> {
  const isOwn = and(eq(messages.senderUid, uid), isNotNull(messages.clientMessageId));
  return driver.write(
    async (tx) => {
      const place = { chatId: messages.chatId, seq: messages.seq };
      const some = tx.select(place).from(messages).where(isOwn).limit(idsAtOnce);
      const cleared = await tx
        .update(messages)
        .set({ clientMessageId: null })
        .where(sql`(${messages.chatId}, ${messages.seq}) IN ${some}`)
        .returning(place);
      if (cleared.length === idsAtOnce) return beforeAll;
      await forget(tx, uid);
      return null;
    },
    undefined,
    { keepsVersion: true },
  );
}

/** Goes through the whole log, because no index has the senders: it would cost every message that is sent. */
async function clearTexts(
  driver: Driver,
  emit: Emit,
  { erasure: { uid, at }, after }: { erasure: Erasure; after: LogPlace },
): Promise<LogPlace | null> {
  const next = await findEndOfStretch(driver.reader, after);
  const part = and(
    isBetween(after, next),
    eq(messages.senderUid, uid),
    or(isNull(messages.removedAt), isNotNull(messages.clientMessageId)),
  );
  if (next && !(await isAny(driver.reader, part))) return next;
  const clear = async (tx: Queries): Promise<StoreEvent[]> => {
    const shown = await listShown(tx, part);
    const removedAt = sql`COALESCE(${messages.removedAt}, ${at})`;
    await tx.update(messages).set({ body: removedText, removedAt, clientMessageId: null }).where(part);
    if (!next) await forget(tx, uid);
    return shown.map(({ seq, ...chat }) => ({
      kind: 'message_removed',
      message: { ref: refOf(chat), viewerUid: uid, seq, senderUid: uid },
    }));
  };
  await driver.write(clear, (events) => events.forEach(emit), { keepsVersion: true });
  return next;
}

/** The last place of the stretch after `after`; null when the log ends before. */
async function findEndOfStretch(db: Queries, after: LogPlace): Promise<LogPlace | null> {
  const end = await db
    .select({ chatId: messages.chatId, seq: messages.seq })
    .from(messages)
    .where(isBetween(after, null))
    .orderBy(asc(messages.chatId), asc(messages.seq))
    .limit(1)
    .offset(stretch - 1)
    .get();
  return end ?? null;
}

/** After the one place, up to and with the other or the end of the log; one range of the primary key. */
function isBetween(after: LogPlace, end: LogPlace | null): SQL | undefined {
  const here = sql`(${messages.chatId}, ${messages.seq})`;
  return and(
    sql`${here} > (${after.chatId}, ${after.seq})`,
    end ? sql`${here} <= (${end.chatId}, ${end.seq})` : undefined,
  );
}

async function isAny(db: Queries, part: SQL | undefined): Promise<boolean> {
  const row = await db.select({ seq: messages.seq }).from(messages).where(part).limit(1).get();
  return row !== undefined;
}

function listShown(tx: Queries, part: SQL | undefined) {
  return tx
    .select({
      groupId: chats.groupId,
      otherUid: sql<number>`CASE WHEN ${chats.lowUid} = ${messages.senderUid} THEN ${chats.highUid} ELSE ${chats.lowUid} END`,
      seq: messages.seq,
    })
    .from(messages)
    .innerJoin(chats, eq(chats.id, messages.chatId))
    .where(and(part, isNull(messages.removedAt), isShown))
    .orderBy(asc(messages.chatId), asc(messages.seq));
}

async function forget(tx: Queries, uid: number): Promise<void> {
  await tx.delete(erasures).where(eq(erasures.uid, uid));
}
