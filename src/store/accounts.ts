// Accounts in SQLite: sign-up, verification, settings, the people list, and what expires.
import { and, asc, eq, gt, gte, isNotNull, isNull, lt, lte, ne, not, notInArray, or, sql } from 'drizzle-orm';
import { blockedWith } from './blocks.ts';
import type { Person } from './chat-store.ts';
import { liveCodes, redeemCode } from './codes.ts';
import { giveBackUse, isGood, removeSpent, useOnce } from './invitations.ts';
import { accounts, chats, codes, members, sessions } from './schema.ts';
import { deleteSessions, isLive, tellEnded } from './sessions.ts';
import type { Driver, Queries } from './sqlite.ts';
import type { Account, AccountStore, Emit, NewAccount } from './store.ts';

type Row = typeof accounts.$inferSelect;
type Accounts = Omit<
  AccountStore,
  | 'openSession'
  | 'findSession'
  | 'touchSession'
  | 'listSessions'
  | 'endSessions'
  | 'issueCode'
  | 'withdrawCode'
  | 'resetPassword'
>;

/** The form in which addresses are compared. */
export function emailKey(email: string): string {
  return email.toLowerCase();
}

const personFields = {
  uid: accounts.uid,
  name: sql<string>`${accounts.firstName} || ' ' || ${accounts.lastName}`,
  picture: accounts.picture,
};

/** Whom others may find, add and write to. */
export const isListed = and(isNotNull(accounts.verifiedAt), isNull(accounts.bannedAt));

export function createAccountStore(driver: Driver, emit: Emit, defaultGroupId: string): Accounts {
  const { reader } = driver;
  const allPeople = reader
    .select(personFields)
    .from(accounts)
    .where(isListed)
    .orderBy(asc(accounts.uid))
    .prepare();
  const hidden = blockedWith(reader, sql.placeholder('uid')).prepare();
  let everybody: readonly Person[] = [];
  let listedAt = '';
  return {
    createAccount: (account, session, code, invitationHash) =>
      driver.write(async (tx) => {
        // First: who is not invited must not learn whether the address is taken.
        const good = invitationHash === null || (await isGood(tx, invitationHash, account.createdAt));
        if (!good) return 'not_invited';
        const outcome = await insertAccount(tx, account);
        if (outcome !== 'created') return outcome;
        if (invitationHash !== null) await useOnce(tx, invitationHash, account.createdAt);
        await tx.insert(sessions).values({ ...session, lastUsedAt: session.createdAt });
        await tx.insert(codes).values(code);
        return 'created';
      }),

    removeUnverified: (uid, invitationHash) =>
      driver.write(async (tx) => {
        const removed = await tx
          .delete(accounts)
          .where(and(eq(accounts.uid, uid), isNull(accounts.verifiedAt)))
          .returning({ uid: accounts.uid });
        if (removed.length > 0 && invitationHash !== null) await giveBackUse(tx, invitationHash);
      }),

    isInvitationGood: (codeHash, now) => isGood(reader, codeHash, now),

    findAccount: async (uid) => accountOf(await findRow(reader, uid)),
    findAccountByEmail: async (email) =>
      accountOf(
        (await reader
          .select()
          .from(accounts)
          .where(eq(accounts.emailKey, emailKey(email)))
          .get()) ?? null,
      ),
    isEmailTaken: (email, exceptUid, now) => isTaken(reader, emailKey(email), exceptUid, now),

    verifyAccount: (uid, tried) =>
      driver.write(async (tx) => {
        if (!(await redeemCode(tx, { uid, purpose: 'verify' }, tried))) return false;
        await makeVerified(tx, defaultGroupId, uid, tried.now);
        return true;
      }),

    changeSettings: (uid, change) =>
      driver
        .write(
          async (tx) => {
            if (!(await isLive(tx, uid, change.sessionId)))
              return { outcome: 'session_ended' as const, ended: [] };
            if (change.email) {
              const refusal = await changeEmail(tx, uid, change.email, change.now);
              if (refusal !== null) return { outcome: refusal, ended: [] };
            }
            const changed = { ...change.fields, ...nameKeys(change.fields) };
            if (Object.keys(changed).length > 0) {
              await tx.update(accounts).set(changed).where(eq(accounts.uid, uid));
            }
            const ended = change.endsOtherSessions
              ? await deleteSessions(tx, eq(sessions.uid, uid), change.sessionId)
              : [];
            return { outcome: 'changed' as const, ended };
          },
          ({ ended }) => tellEnded(emit, ended),
        )
        .then(({ outcome }) => outcome),

    undoEmailChange: (email, tried, passwordHash) =>
      driver
        .write(
          async (tx) => {
            const key = emailKey(email);
            const undo = await tx
              .select()
              .from(codes)
              .where(
                and(
                  liveCodes('email_undo', tried.now),
                  eq(codes.target, key),
                  eq(codes.codeHash, tried.codeHash),
                ),
              )
              .get();
            if (!undo) return null;
            // Undo codes made later went to addresses the taker chose: they must not undo the undoing.
            await tx
              .update(codes)
              .set({ usedAt: tried.now })
              .where(and(eq(codes.uid, undo.uid), isNull(codes.usedAt), gte(codes.id, undo.id)));
            // The password may be one that was set by a mail to the address that goes.
            await tx
              .update(accounts)
              .set({ email: key, emailKey: key, passwordHash })
              .where(eq(accounts.uid, undo.uid));
            return { uid: undo.uid, ended: await deleteSessions(tx, eq(sessions.uid, undo.uid)) };
          },
          (undone) => tellEnded(emit, undone?.ended ?? []),
        )
        .then((undone) => undone?.uid ?? null),

    listAllPeople: async () => {
      const version = driver.version(); // before the list: what is committed in between only makes it be read again
      if (version !== listedAt) everybody = await allPeople.all();
      listedAt = version;
      return everybody;
    },

    listHiddenFrom: async (uid) => [uid, ...(await hidden.all({ uid })).map((row) => row.uid)],

    listPeople: async (uid, { prefix, after, limit }) => {
      const query = reader
        .select(personFields)
        .from(accounts)
        .where(
          and(
            isListed,
            ne(accounts.uid, uid),
            notInArray(accounts.uid, blockedWith(reader, uid)),
            gt(accounts.uid, after),
            nameBeginsWith(prefix),
          ),
        )
        .orderBy(asc(accounts.uid));
      return limit === null ? query : query.limit(limit);
    },

    removeExpired: async ({ now, sessionsUsedBefore, sessionsMadeBefore }) => {
      const isOver = or(
        lt(sessions.lastUsedAt, sessionsUsedBefore),
        lt(sessions.createdAt, sessionsMadeBefore),
      );
      await driver.write(
        async (tx) => {
          await tx.delete(accounts).where(and(isNull(accounts.verifiedAt), lte(accounts.expiresAt, now)));
          // An hour longer than they live, because the hourly cap counts them.
          await tx.delete(codes).where(lt(codes.expiresAt, now - 60 * 60 * 1000));
          await removeSpent(tx, now);
          return deleteSessions(tx, isOver);
        },
        (ended) => tellEnded(emit, ended),
      );
    },
  };
}

/** Verifies an account, if it is not yet, and makes it a member of the default group. */
export async function makeVerified(tx: Queries, groupId: string, uid: number, now: number): Promise<void> {
  await tx
    .update(accounts)
    .set({ verifiedAt: now, expiresAt: null })
    .where(and(eq(accounts.uid, uid), isNull(accounts.verifiedAt)));
  await joinDefaultGroup(tx, groupId, uid, now);
}

/** Makes an account a member of the default group; nothing happens when it is one. */
async function joinDefaultGroup(tx: Queries, groupId: string, uid: number, now: number): Promise<void> {
  const group = await tx.select({ id: chats.id }).from(chats).where(eq(chats.groupId, groupId)).get();
  if (!group) throw new Error(`the default group ${groupId} is missing`);
  await tx
    .insert(members)
    .values({ chatId: group.id, uid, role: 'member', joinedAt: now })
    .onConflictDoNothing();
}

async function changeEmail(
  tx: Queries,
  uid: number,
  { address, proof, undo }: NonNullable<Parameters<AccountStore['changeSettings']>[1]['email']>,
  now: number,
): Promise<'email_taken' | 'no_code' | 'wrong_code' | null> {
  const key = emailKey(address);
  if (await isTaken(tx, key, uid, now)) return 'email_taken';
  const owned = and(eq(codes.uid, uid), eq(codes.purpose, 'email_change'), eq(codes.target, key));
  if (!(await tx.select({ id: codes.id }).from(codes).where(owned).limit(1).get())) return 'no_code';
  if (!(await redeemCode(tx, { uid, purpose: 'email_change', target: key }, proof))) return 'wrong_code';
  await removeExpiredHolder(tx, key, now);
  await tx.update(accounts).set({ email: address, emailKey: key }).where(eq(accounts.uid, uid));
  await tx.insert(codes).values(undo);
  return null;
}

/** A sign-up that was not verified in time; the housekeeping may not have come by yet. */
function isExpired(now: number) {
  return sql`(${accounts.verifiedAt} IS NULL AND COALESCE(${accounts.expiresAt} <= ${now}, FALSE))`;
}

/** Makes an address free that only an expired sign-up still holds. */
async function removeExpiredHolder(tx: Queries, key: string, now: number): Promise<void> {
  await tx.delete(accounts).where(and(eq(accounts.emailKey, key), isExpired(now)));
}

async function isTaken(db: Queries, key: string, exceptUid: number, now: number): Promise<boolean> {
  const owner = await db
    .select({ uid: accounts.uid })
    .from(accounts)
    .where(and(eq(accounts.emailKey, key), ne(accounts.uid, exceptUid), not(isExpired(now))))
    .get();
  if (owner) return true;
  // Who may still take the address back by an undo code must not find it given away.
  const reserved = await db
    .select({ uid: codes.uid })
    .from(codes)
    .where(and(liveCodes('email_undo', now), eq(codes.target, key), ne(codes.uid, exceptUid)))
    .get();
  return reserved !== undefined;
}

export async function findRow(db: Queries, uid: number): Promise<Row | null> {
  return (await db.select().from(accounts).where(eq(accounts.uid, uid)).get()) ?? null;
}

export function nameBeginsWith(prefix: string) {
  if (prefix === '') return undefined;
  const from = prefix.toLowerCase();
  const to = `${from}\u{10ffff}`;
  return or(
    and(gte(accounts.firstKey, from), lt(accounts.firstKey, to)),
    and(gte(accounts.lastKey, from), lt(accounts.lastKey, to)),
  );
}

function nameKeys({ firstName, lastName }: Partial<Pick<Account, 'firstName' | 'lastName'>>) {
  return {
    ...(firstName === undefined ? {} : { firstKey: firstName.toLowerCase() }),
    ...(lastName === undefined ? {} : { lastKey: lastName.toLowerCase() }),
  };
}

/** Makes the row of an account that is not verified yet. */
export async function insertAccount(
  tx: Queries,
  account: NewAccount,
): Promise<'created' | 'email_taken' | 'uid_taken'> {
  const key = emailKey(account.email);
  await removeExpiredHolder(tx, key, account.createdAt);
  if (await isTaken(tx, key, 0, account.createdAt)) return 'email_taken';
  if ((await findRow(tx, account.uid)) !== null) return 'uid_taken';
  await tx.insert(accounts).values(rowOf(account));
  return 'created';
}

function rowOf(account: NewAccount): typeof accounts.$inferInsert {
  return {
    ...account,
    firstKey: account.firstName.toLowerCase(),
    lastKey: account.lastName.toLowerCase(),
    emailKey: emailKey(account.email),
  };
}

export function accountOf(row: Row | null): Account | null {
  if (row === null) return null;
  const { uid, firstName, lastName, email, phone, dob, picture, passwordHash, verifiedAt, bannedAt } = row;
  return {
    uid,
    firstName,
    lastName,
    email,
    phone,
    dob,
    picture,
    passwordHash,
    verified: verifiedAt !== null,
    banned: bannedAt !== null,
  };
}
