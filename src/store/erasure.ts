// Erasing accounts in SQLite: the row goes with all that hangs on it; leftovers.ts then clears the message log.
import { and, eq, isNotNull, isNull } from 'drizzle-orm';
import { deletedName } from '../protocol/entities.ts';
import { abandonLonely } from './abandoned.ts';
import { handOver, otherUid } from './chats.ts';
import type { Ledger } from './ledger.ts';
import type { Erasure, OwnDataStore } from './own-data-store.ts';
import { accounts, chats, erasures, members, sessions } from './schema.ts';
import { findSessionRefusal } from './sessions.ts';
import type { Driver, Queries } from './sqlite.ts';
import type { Emit, SessionRefusal, StoreEvent } from './store.ts';

export interface Eraser extends Pick<OwnDataStore, 'eraseAccount'> {
  /** Erases the accounts of the ledger that exist again, as those of a restored backup do; returns their numbers. */
  eraseAgain(): Promise<number[]>;
}

interface Place {
  readonly emit: Emit;
  readonly defaultGroupId: string;
  readonly ledger: Ledger;
}

export function createEraser(driver: Driver, { emit, defaultGroupId, ledger }: Place): Eraser {
  const erase = async (erasure: Erasure, findRefusal: (tx: Queries) => Promise<SessionRefusal | null>) => {
    const { refusal } = await driver.write(
      async (tx) => {
        const refusal = await findRefusal(tx);
        return { refusal, events: refusal ? [] : await eraseRows(tx, erasure, defaultGroupId) };
      },
      ({ events }) => events.forEach(emit),
    );
    return refusal;
  };

  return {
    eraseAccount: (erasure, sessionId) =>
      erase(erasure, async (tx) => {
        const refusal = await findSessionRefusal(tx, { uid: erasure.uid, sessionId }, erasure.at);
        if (refusal === null) ledger.append(erasure);
        return refusal;
      }),

    async eraseAgain() {
      const back: number[] = [];
      for (const erasure of ledger.list()) {
        if (!(await exists(driver.reader, erasure.uid))) continue;
        await erase(erasure, async () => null);
        back.push(erasure.uid);
      }
      return back;
    },
  };
}

async function exists(db: Queries, uid: number): Promise<boolean> {
  const row = await db.select({ uid: accounts.uid }).from(accounts).where(eq(accounts.uid, uid)).get();
  return row !== undefined;
}

/** Returns what is to be told, that the account's own sockets end first. */
async function eraseRows(tx: Queries, erasure: Erasure, defaultGroupId: string) {
  const { uid } = erasure;
  const ended = await tx.delete(sessions).where(eq(sessions.uid, uid)).returning({ id: sessions.id });
  const events: StoreEvent[] = [{ kind: 'sessions_ended', uid, sessionIds: ended.map(({ id }) => id) }];
  await abandonLonely(tx, uid, defaultGroupId);
  events.push(...(await tellPartners(tx, uid)));
  events.push(...(await leaveGroups(tx, uid, defaultGroupId)));
  await tx.insert(erasures).values(erasure);
  await tx.delete(accounts).where(eq(accounts.uid, uid));
  return events;
}

/** In the lists of those it wrote with directly the account is shown without its name. */
async function tellPartners(tx: Queries, uid: number): Promise<StoreEvent[]> {
  const rows = await tx
    .select({ partnerUid: otherUid, createdAt: chats.createdAt, lastSeq: chats.lastSeq })
    .from(members)
    .innerJoin(chats, eq(chats.id, members.chatId))
    .where(and(eq(members.uid, uid), isNull(chats.groupId)));
  return rows.map(({ partnerUid, createdAt, lastSeq }) => ({
    kind: 'joined',
    uid: partnerUid ?? 0, // a direct chat has two numbers; the table's CHECK says so
    chat: { ref: { kind: 'direct', otherUid: uid }, name: deletedName, picture: '', createdAt, lastSeq },
  }));
}

/** Leaves every group as somebody who leaves by himself does. */
async function leaveGroups(tx: Queries, uid: number, defaultGroupId: string): Promise<StoreEvent[]> {
  const left = await tx
    .select({ chatId: chats.id, groupId: chats.groupId, role: members.role })
    .from(members)
    .innerJoin(chats, eq(chats.id, members.chatId))
    .where(and(eq(members.uid, uid), isNotNull(chats.groupId)));
  await tx.delete(members).where(eq(members.uid, uid));
  const events: StoreEvent[] = [];
  for (const { chatId, groupId, role } of left) {
    if (groupId === null) continue;
    events.push({ kind: 'left', uid, groupId });
    if (groupId === defaultGroupId) continue;
    events.push({ kind: 'member_changed', groupId, uid, role: null });
    const heirUid = role === 'owner' ? await handOver(tx, chatId) : null;
    if (heirUid) events.push({ kind: 'member_changed', groupId, uid: heirUid, role: 'owner' });
  }
  return events;
}
