// Groups, direct chats and who is in them, in SQLite; every lookup goes through a membership.
import { and, asc, count, desc, eq, inArray, ne, sql } from 'drizzle-orm';
import { type ChatRef, type ChatView, deletedName } from '../protocol/entities.ts';
import { abandon } from './abandoned.ts';
import { isListed } from './accounts.ts';
import type { ChatHead, ChatStore, MarkStore, MemberOutcome } from './chat-store.ts';
import { countAddable, isAnyFull, ownsMost } from './group-bounds.ts';
import { accounts, chats, members, messages } from './schema.ts';
import type { Driver, Queries } from './sqlite.ts';
import type { Emit } from './store.ts';

/** The other account of a direct chat, seen by `members.uid`. */
export const otherUid = sql<
  number | null
>`CASE WHEN ${chats.lowUid} = ${members.uid} THEN ${chats.highUid} ELSE ${chats.lowUid} END`;

type Chats = Omit<ChatStore, 'setRole' | 'listMembers'> & MarkStore;

export function createChatStore(driver: Driver, emit: Emit, defaultGroupId: string): Chats {
  const { reader } = driver;
  const listOf = () =>
    reader
      .select({
        groupId: chats.groupId,
        groupName: chats.name,
        groupPicture: chats.picture,
        otherUid,
        otherName: sql<string>`${accounts.firstName} || ' ' || ${accounts.lastName}`,
        otherPicture: accounts.picture,
        createdAt: chats.createdAt,
        lastSeq: chats.lastSeq,
        lastBody: messages.body,
        lastMessageAt: chats.lastMessageAt,
        readSeq: members.readSeq,
        firstSeq: chats.firstSeq,
        retentionDays: chats.retentionDays,
      })
      .from(members)
      .innerJoin(chats, eq(chats.id, members.chatId))
      .leftJoin(messages, and(eq(messages.chatId, chats.id), eq(messages.seq, chats.lastSeq)))
      .leftJoin(accounts, eq(accounts.uid, otherUid));
  const list = listOf()
    .where(eq(members.uid, sql.placeholder('uid')))
    .orderBy(desc(sql`COALESCE(${chats.lastMessageAt}, ${members.joinedAt})`), asc(chats.id))
    .prepare();
  // Prepared: building one statement of 500 rows takes longer than running this 500 times.
  const addRow = driver.prepareRun(
    driver.writer.insert(members).values({
      chatId: sql.placeholder('chatId'),
      uid: sql.placeholder('uid'),
      role: sql.placeholder('role'),
      joinedAt: sql.placeholder('joinedAt'),
      readSeq: sql`0`,
    }),
  );

  return {
    ensureDefaultGroup: ({ groupId, name, now }) =>
      driver.write(async (tx) => {
        await tx
          .insert(chats)
          .values({ groupId, name, picture: '', createdAt: now })
          .onConflictDoUpdate({ target: chats.groupId, set: { name } });
        await tx.run(sql`
          INSERT INTO members (chat_id, uid, role, joined_at)
          SELECT ${chats.id}, ${accounts.uid}, 'member', ${now} FROM ${chats}, ${accounts}
          WHERE ${chats.groupId} = ${groupId} AND ${accounts.verifiedAt} IS NOT NULL
          ON CONFLICT DO NOTHING`);
      }),

    createGroup: (ownerUid, group) => {
      const memberUids = [...new Set(group.memberUids)].filter((uid) => uid !== ownerUid);
      return driver.write(
        async (tx) => {
          if (await findGroup(tx, group.groupId)) return 'id_taken';
          // The owner is counted too: he may have been deleted since he was let in.
          const uids = [ownerUid, ...memberUids];
          if ((await countAddable(tx, ownerUid, uids)) < uids.length) return 'no_person';
          if (await ownsMost(tx, ownerUid)) return 'owns_most';
          if (await isAnyFull(tx, uids, defaultGroupId)) return 'full';
          const { groupId, name, picture, now } = group;
          const chat = await tx
            .insert(chats)
            .values({ groupId, name, picture, createdAt: now })
            .returning({ id: chats.id })
            .get();
          for (const uid of uids)
            addRow({ chatId: chat.id, uid, role: uid === ownerUid ? 'owner' : 'member', joinedAt: now });
          return 'created';
        },
        (outcome) => {
          if (outcome !== 'created') return;
          const chat = headOf({ ...group, createdAt: group.now, lastSeq: 0 });
          for (const uid of [ownerUid, ...memberUids]) emit({ kind: 'joined', uid, chat });
        },
      );
    },

    addMember: (actorUid, groupId, memberUid, now) =>
      driver
        .write(
          async (tx): Promise<{ outcome: MemberOutcome; chat?: ChatHead }> => {
            const group = await findGroup(tx, groupId);
            const actorRole = group && (await roleOf(tx, group.id, actorUid));
            if (!group || !actorRole) return { outcome: 'no_group' };
            if (!mayManage(actorRole)) return { outcome: 'not_allowed' };
            if ((await countAddable(tx, actorUid, [memberUid])) === 0) return { outcome: 'no_person' };
            if (await roleOf(tx, group.id, memberUid)) return { outcome: 'already' };
            if (groupId !== defaultGroupId && (await isAnyFull(tx, [memberUid], defaultGroupId)))
              return { outcome: 'full' };
            addRow({ chatId: group.id, uid: memberUid, role: 'member', joinedAt: now });
            return { outcome: 'done', chat: headOf({ ...group, groupId }) };
          },
          ({ chat }) => {
            if (!chat) return;
            if (groupId !== defaultGroupId)
              emit({ kind: 'member_changed', groupId, uid: memberUid, role: 'member' });
            emit({ kind: 'joined', uid: memberUid, chat });
          },
        )
        .then(({ outcome }) => outcome),

    removeMember: (actorUid, groupId, memberUid) =>
      driver.write(
        async (tx): Promise<MemberOutcome> => {
          const group = await findGroup(tx, groupId);
          const actorRole = group && (await roleOf(tx, group.id, actorUid));
          if (!group || !actorRole) return 'no_group';
          if (!mayManage(actorRole) || groupId === defaultGroupId || actorUid === memberUid)
            return 'not_allowed';
          const role = await roleOf(tx, group.id, memberUid);
          if (!role) return (await countListed(tx, [memberUid])) === 0 ? 'no_person' : 'not_member';
          if (role === 'owner') return 'not_allowed';
          await removeFrom(tx, group.id, memberUid);
          return 'done';
        },
        (outcome) => {
          if (outcome === 'done') tellLeft(emit, groupId, memberUid);
        },
      ),

    leaveGroup: (actorUid, groupId) =>
      driver
        .write(
          async (tx): Promise<{ outcome: MemberOutcome; heirUid?: number | null }> => {
            const group = await findGroup(tx, groupId);
            const role = group && (await roleOf(tx, group.id, actorUid));
            if (!group || !role) return { outcome: 'no_group' };
            if (groupId === defaultGroupId) return { outcome: 'not_allowed' };
            await removeFrom(tx, group.id, actorUid);
            return { outcome: 'done', heirUid: role === 'owner' ? await handOver(tx, group.id) : null };
          },
          ({ outcome, heirUid }) => {
            if (outcome !== 'done') return;
            tellLeft(emit, groupId, actorUid);
            if (heirUid) emit({ kind: 'member_changed', groupId, uid: heirUid, role: 'owner' });
          },
        )
        .then(({ outcome }) => outcome),

    markRead: (uid, ref, seq) =>
      driver.write(
        async (tx) => {
          const chat = await tx
            .select({ id: chats.id, lastSeq: chats.lastSeq, readSeq: members.readSeq })
            .from(chats)
            .innerJoin(members, and(eq(members.chatId, chats.id), eq(members.uid, uid)))
            .where(isChat(uid, ref))
            .get();
          if (!chat) return null;
          const mark = Math.max(chat.readSeq, Math.min(seq, chat.lastSeq));
          if (mark > chat.readSeq) {
            await tx
              .update(members)
              .set({ readSeq: mark })
              .where(and(eq(members.chatId, chat.id), eq(members.uid, uid)));
          }
          return mark;
        },
        undefined,
        { keepsVersion: true },
      ),

    listChats: async (uid) => (await list.all({ uid })).map(viewOf),

    findChat: async (uid, ref) => {
      const row = await listOf()
        .where(and(eq(members.uid, uid), isChat(uid, ref)))
        .get();
      return row ? viewOf(row) : null;
    },
  };
}

/** The condition that a chat is the one `uid` names so. */
export function isChat(uid: number, ref: ChatRef) {
  if (ref.kind === 'group') return eq(chats.groupId, ref.groupId);
  return and(eq(chats.lowUid, Math.min(uid, ref.otherUid)), eq(chats.highUid, Math.max(uid, ref.otherUid)));
}

interface ChatRow {
  groupId: string | null;
  groupName: string;
  groupPicture: string;
  otherUid: number | null;
  otherName: string | null;
  otherPicture: string | null;
  createdAt: number;
  lastSeq: number;
  lastBody: string | null;
  lastMessageAt: number | null;
  readSeq: number;
  firstSeq: number;
  retentionDays: number | null;
}

function viewOf(row: ChatRow): ChatView {
  const { createdAt, lastSeq, lastBody, lastMessageAt, firstSeq, retentionDays } = row;
  // What exists no more is not unread.
  const readSeq = Math.max(row.readSeq, firstSeq - 1);
  const rest = { createdAt, lastSeq, lastBody, lastMessageAt, readSeq, firstSeq, retentionDays };
  const ref = refOf(row);
  if (ref.kind === 'group') return { ref, name: row.groupName, picture: row.groupPicture, ...rest };
  return { ref, name: shownName(row.otherName), picture: row.otherPicture ?? '', ...rest };
}

/** How somebody is shown whose account may be gone. */
export function shownName(name: string | null): string {
  return name ?? deletedName;
}

/** A chat row is a group's or a direct chat's; the table's CHECK says so. */
export function refOf(row: { groupId: string | null; otherUid: number | null }): ChatRef {
  return row.groupId === null
    ? { kind: 'direct', otherUid: row.otherUid ?? 0 }
    : { kind: 'group', groupId: row.groupId };
}

function headOf(group: Omit<ChatHead, 'ref'> & { groupId: string }): ChatHead {
  const { groupId, name, picture, createdAt, lastSeq } = group;
  return { ref: { kind: 'group', groupId }, name, picture, createdAt, lastSeq };
}

export async function findGroup(tx: Queries, groupId: string) {
  return tx
    .select({
      id: chats.id,
      name: chats.name,
      picture: chats.picture,
      createdAt: chats.createdAt,
      lastSeq: chats.lastSeq,
    })
    .from(chats)
    .where(eq(chats.groupId, groupId))
    .get();
}

export async function roleOf(tx: Queries, chatId: number, uid: number) {
  const row = await tx
    .select({ role: members.role })
    .from(members)
    .where(and(eq(members.chatId, chatId), eq(members.uid, uid)))
    .get();
  return row?.role;
}

export function mayManage(role: string | undefined): boolean {
  return role === 'owner' || role === 'admin';
}

export async function countListed(tx: Queries, uids: readonly number[]): Promise<number> {
  if (uids.length === 0) return 0;
  const row = await tx
    .select({ people: count() })
    .from(accounts)
    .where(and(inArray(accounts.uid, [...uids]), isListed))
    .get();
  return row?.people ?? 0;
}

/** Who is out is told so, and the others that he is. */
function tellLeft(emit: Emit, groupId: string, uid: number): void {
  emit({ kind: 'left', uid, groupId });
  emit({ kind: 'member_changed', groupId, uid, role: null });
}

/** The last one out takes the group and its log along. */
async function removeFrom(tx: Queries, chatId: number, uid: number): Promise<void> {
  await tx.delete(members).where(and(eq(members.chatId, chatId), eq(members.uid, uid)));
  const left = await tx
    .select({ uid: members.uid })
    .from(members)
    .where(eq(members.chatId, chatId))
    .limit(1)
    .get();
  if (!left) await abandon(tx, chatId);
}

/** Makes the longest-standing admin, else member, the owner; null when there is nobody. */
export async function handOver(tx: Queries, chatId: number): Promise<number | null> {
  const heir = await tx
    .select({ uid: members.uid })
    .from(members)
    .where(and(eq(members.chatId, chatId), ne(members.role, 'owner')))
    .orderBy(
      asc(sql`CASE ${members.role} WHEN 'admin' THEN 0 ELSE 1 END`),
      asc(members.joinedAt),
      asc(members.uid),
    )
    .limit(1)
    .get();
  if (!heir) return null;
  await tx
    .update(members)
    .set({ role: 'owner' })
    .where(and(eq(members.chatId, chatId), eq(members.uid, heir.uid)));
  return heir.uid;
}
