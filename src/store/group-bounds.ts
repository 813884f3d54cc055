// Who may be put into a group, and how many groups one account may own and be in, in SQLite.
import { and, count, eq, gte, inArray, ne, notInArray } from 'drizzle-orm';
import { limits } from '../protocol/entities.ts';
import { isListed } from './accounts.ts';
import { blockedWith } from './blocks.ts';
import { accounts, chats, members } from './schema.ts';
import type { Queries } from './sqlite.ts';

/**
 * How many of these exist for the actor: who has blocked him, or is blocked by him, does not, or a block would be
 * circumvented by a new group.
 */
export async function countAddable(tx: Queries, actorUid: number, uids: readonly number[]): Promise<number> {
  const row = await tx
    .select({ people: count() })
    .from(accounts)
    .where(
      and(inArray(accounts.uid, [...uids]), isListed, notInArray(accounts.uid, blockedWith(tx, actorUid))),
    )
    .get();
  return row?.people ?? 0;
}

/** Whether this account owns as many groups as one may. */
export async function ownsMost(tx: Queries, uid: number): Promise<boolean> {
  const row = await tx
    .select({ groups: count() })
    .from(members)
    .where(and(eq(members.uid, uid), eq(members.role, 'owner')))
    .get();
  return (row?.groups ?? 0) >= limits.groupsOwned;
}

/** Whether one of these is in as many groups as one may; direct chats and the default group do not count. */
export async function isAnyFull(
  tx: Queries,
  uids: readonly number[],
  defaultGroupId: string,
): Promise<boolean> {
  // Counted by the index alone, chats of every kind: whom this does not show needs no look at what they are.
  const inMany = tx
    .select({ uid: members.uid })
    .from(members)
    .where(inArray(members.uid, [...uids]))
    .groupBy(members.uid)
    .having(gte(count(), limits.groupMemberships));
  const full = await tx
    .select({ uid: members.uid })
    .from(members)
    .innerJoin(chats, eq(chats.id, members.chatId))
    // A direct chat has no group id, so it compares as unknown.
    .where(and(inArray(members.uid, inMany), ne(chats.groupId, defaultGroupId)))
    .groupBy(members.uid)
    .having(gte(count(), limits.groupMemberships))
    .limit(1)
    .get();
  return full !== undefined;
}
