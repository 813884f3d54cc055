// What whoever runs the server does, in SQLite: accounts seen and changed by somebody else, invitations, the groups.
import { and, asc, count, eq, gt, gte, inArray, lt, or, sql } from 'drizzle-orm';
import { emailKey, findRow, insertAccount, makeVerified, nameBeginsWith } from './accounts.ts';
import type { AdminOutcome, AdminStore } from './admin-store.ts';
import { createInvitationStore } from './invitations.ts';
import { accounts, chats, codes, members, recoveryCodes, secondFactors, sessions } from './schema.ts';
import { deleteSessions, type Ended, tellEnded } from './sessions.ts';
import type { Driver, Queries } from './sqlite.ts';
import type { Emit } from './store.ts';

/** Fewer than the variables one statement may have: https://sqlite.org/limits.html#max_variable_number */
const sessionsAtOnce = 5000;

export function createAdminStore(driver: Driver, emit: Emit, defaultGroupId: string): AdminStore {
  const { reader } = driver;
  /** A change of an account that ends all its sessions. */
  const endingSessions = async (uid: number, change: (tx: Queries) => Promise<void>) => {
    const ended = await driver.write(
      async (tx) => {
        if ((await findRow(tx, uid)) === null) return null;
        await change(tx);
        return deleteSessions(tx, eq(sessions.uid, uid));
      },
      (those) => tellEnded(emit, those ?? []),
    );
    return ended?.length ?? null;
  };

  return {
    ...createInvitationStore(driver),
    listAccounts: (page) => listAccounts(reader, page),
    listGroups: (page) => listGroups(reader, page),

    createVerifiedAccount: (account) =>
      driver.write(async (tx) => {
        const outcome = await insertAccount(tx, account);
        if (outcome === 'created') await makeVerified(tx, defaultGroupId, account.uid, account.createdAt);
        return outcome;
      }),

    verifyWithoutCode: (uid, now) =>
      driver.write(async (tx): Promise<AdminOutcome> => {
        const row = await findRow(tx, uid);
        if (row === null) return 'no_account';
        if (row.verifiedAt !== null) return 'already';
        await makeVerified(tx, defaultGroupId, uid, now);
        return 'done';
      }),

    ban: async (uid, reason, now) => {
      const { outcome } = await driver.write(
        async (tx): Promise<{ outcome: AdminOutcome; ended: Ended[] }> => {
          const row = await findRow(tx, uid);
          if (row === null || row.bannedAt !== null)
            return { outcome: row ? 'already' : 'no_account', ended: [] };
          // A sign-up that was never verified stays too: else its address would be free for the next one.
          await tx
            .update(accounts)
            .set({ bannedAt: now, banReason: reason, expiresAt: null })
            .where(eq(accounts.uid, uid));
          await voidResetCodes(tx, uid);
          return { outcome: 'done', ended: await deleteSessions(tx, eq(sessions.uid, uid)) };
        },
        ({ ended }) => tellEnded(emit, ended),
      );
      return outcome;
    },

    unban: (uid) =>
      driver.write(async (tx): Promise<AdminOutcome> => {
        const row = await findRow(tx, uid);
        if (row === null || row.bannedAt === null) return row ? 'already' : 'no_account';
        await tx.update(accounts).set({ bannedAt: null, banReason: null }).where(eq(accounts.uid, uid));
        return 'done';
      }),

    endAllSessions: (uid) => endingSessions(uid, async () => undefined),

    dropSecondFactor: (uid) =>
      driver.write(
        async (tx) => {
          await tx.delete(recoveryCodes).where(eq(recoveryCodes.uid, uid));
          const gone = tx.delete(secondFactors).where(eq(secondFactors.uid, uid));
          return (await gone.returning({ uid: secondFactors.uid })).length > 0;
        },
        undefined,
        { keepsVersion: true },
      ),

    replacePassword: (uid, passwordHash) =>
      endingSessions(uid, async (tx) => {
        await tx.update(accounts).set({ passwordHash }).where(eq(accounts.uid, uid));
        await voidResetCodes(tx, uid);
      }),

    foreignVersion: () => driver.foreignVersion(),
    probe: () => driver.probe(),

    findEndedSessions: async (ids) => {
      const live = new Set<number>();
      for (let from = 0; from < ids.length; from += sessionsAtOnce) {
        const rows = await reader
          .select({ id: sessions.id })
          .from(sessions)
          .where(inArray(sessions.id, ids.slice(from, from + sessionsAtOnce)));
        for (const { id } of rows) live.add(id);
      }
      return ids.filter((id) => !live.has(id));
    },
  };
}

async function listAccounts(
  reader: Queries,
  { prefix, after, limit }: Parameters<AdminStore['listAccounts']>[0],
) {
  const from = emailKey(prefix);
  const ofAddress = and(gte(accounts.emailKey, from), lt(accounts.emailKey, `${from}\u{10ffff}`));
  const rows = await reader
    .select({
      uid: accounts.uid,
      name: sql<string>`${accounts.firstName} || ' ' || ${accounts.lastName}`,
      email: accounts.email,
      createdAt: accounts.createdAt,
      verifiedAt: accounts.verifiedAt,
      bannedAt: accounts.bannedAt,
      banReason: accounts.banReason,
      sessions: count(sessions.id),
    })
    .from(accounts)
    .leftJoin(sessions, eq(sessions.uid, accounts.uid))
    .where(and(gt(accounts.uid, after), prefix === '' ? undefined : or(nameBeginsWith(prefix), ofAddress)))
    .groupBy(accounts.uid)
    .orderBy(asc(accounts.uid))
    .limit(limit);
  return rows.map(({ verifiedAt, bannedAt, banReason, ...row }) => ({
    ...row,
    verified: verifiedAt !== null,
    banned: bannedAt !== null,
    banReason: banReason ?? '',
  }));
}

async function listGroups(reader: Queries, { after, limit }: Parameters<AdminStore['listGroups']>[0]) {
  const rows = await reader
    .select({
      groupId: chats.groupId,
      name: chats.name,
      createdAt: chats.createdAt,
      members: count(members.uid),
      ownerUid: sql<number | null>`MAX(CASE WHEN ${members.role} = 'owner' THEN ${members.uid} END)`,
      lastSeq: chats.lastSeq,
      lastMessageAt: chats.lastMessageAt,
    })
    .from(chats)
    .leftJoin(members, eq(members.chatId, chats.id))
    .where(gt(chats.groupId, after))
    .groupBy(chats.id)
    .orderBy(asc(chats.groupId))
    .limit(limit);
  return rows.map(({ groupId, ...row }) => ({ ...row, groupId: groupId ?? '' }));
}

/** A code mailed earlier must not outlive the decision that somebody else took meanwhile. */
async function voidResetCodes(tx: Queries, uid: number): Promise<void> {
  await tx.delete(codes).where(and(eq(codes.uid, uid), eq(codes.purpose, 'reset')));
}
