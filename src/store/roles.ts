// Who is what in a group, in SQLite: the list of members, and roles.
import { and, asc, eq, gt, sql } from 'drizzle-orm';
import type { Role } from '../protocol/entities.ts';
import type { ChatStore, RoleOutcome } from './chat-store.ts';
import { countListed, findGroup, roleOf } from './chats.ts';
import { accounts, chats, members } from './schema.ts';
import type { Driver, Queries } from './sqlite.ts';
import type { Emit } from './store.ts';

export function createRoleStore(
  driver: Driver,
  emit: Emit,
  defaultGroupId: string,
): Pick<ChatStore, 'setRole' | 'listMembers'> {
  const { reader } = driver;
  return {
    setRole: (actorUid, groupId, memberUid, role) =>
      driver.write(
        async (tx): Promise<RoleOutcome> => {
          const group = await findGroup(tx, groupId);
          const actorRole = group && (await roleOf(tx, group.id, actorUid));
          if (!group || !actorRole) return 'no_group';
          if (actorRole !== 'owner' || groupId === defaultGroupId) return 'not_allowed';
          const former = await roleOf(tx, group.id, memberUid);
          if (!former) return (await countListed(tx, [memberUid])) === 0 ? 'no_person' : 'not_member';
          if (former === role) return 'already';
          if (former === 'owner') return 'owner_stays';
          if (role === 'owner') await giveRole(tx, group.id, actorUid, 'admin');
          await giveRole(tx, group.id, memberUid, role);
          return 'done';
        },
        (outcome) => {
          if (outcome !== 'done') return;
          if (role === 'owner') emit({ kind: 'member_changed', groupId, uid: actorUid, role: 'admin' });
          emit({ kind: 'member_changed', groupId, uid: memberUid, role });
        },
      ),

    listMembers: async (uid, groupId, { after, limit }) => {
      const group = await reader
        .select({ id: chats.id })
        .from(chats)
        .innerJoin(members, and(eq(members.chatId, chats.id), eq(members.uid, uid)))
        .where(eq(chats.groupId, groupId))
        .get();
      if (!group) return null;
      return reader
        .select({
          uid: members.uid,
          name: sql<string>`${accounts.firstName} || ' ' || ${accounts.lastName}`,
          picture: accounts.picture,
          role: members.role,
        })
        .from(members)
        .innerJoin(accounts, eq(accounts.uid, members.uid))
        .where(and(eq(members.chatId, group.id), gt(members.uid, after)))
        .orderBy(asc(members.uid))
        .limit(limit);
    },
  };
}

async function giveRole(tx: Queries, chatId: number, uid: number, role: Role): Promise<void> {
  await tx
    .update(members)
    .set({ role })
    .where(and(eq(members.chatId, chatId), eq(members.uid, uid)));
}
