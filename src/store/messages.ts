// The message log in SQLite: appends in batches, pages by position.
import { and, asc, desc, eq, gt, isNotNull, lt, sql } from 'drizzle-orm';
import type { ChatRef, Message } from '../protocol/entities.ts';
import { isChat, refOf } from './chats.ts';
import { accounts, chats, members, messages } from './schema.ts';
import type { Driver, Queries } from './sqlite.ts';
import type { AppendOutcome, DirectChat, MessageDraft, MessageStore, Person } from './store.ts';

const senderFields = {
  senderUid: messages.senderUid,
  senderName: sql<string>`COALESCE(${accounts.firstName} || ' ' || ${accounts.lastName}, 'Deleted account')`,
  senderPicture: sql<string>`COALESCE(${accounts.picture}, '')`,
};
const messageFields = { seq: messages.seq, body: messages.body, sentAt: messages.sentAt, ...senderFields };

export function createMessageStore(driver: Driver): MessageStore {
  const { reader } = driver;
  const statements = prepareAppend(driver.writer);
  const recent = reader
    .select({
      chatId: chats.id,
      groupId: chats.groupId,
      otherUid: sql<number>`CASE WHEN ${chats.lowUid} = ${members.uid} THEN ${chats.highUid} ELSE ${chats.lowUid} END`,
      message: messageFields,
    })
    .from(members)
    .innerJoin(chats, eq(chats.id, members.chatId))
    .leftJoin(
      messages,
      and(
        eq(messages.chatId, chats.id),
        gt(messages.seq, sql`${chats.lastSeq} - ${sql.placeholder('perChat')}`),
      ),
    )
    .leftJoin(accounts, eq(accounts.uid, messages.senderUid))
    .where(eq(members.uid, sql.placeholder('uid')))
    .orderBy(asc(chats.id), asc(messages.seq))
    .prepare();

  return {
    appendMessages: (drafts, committed) =>
      driver
        .write(async (tx) => {
          const outcomes: AppendOutcome[] = [];
          for (const draft of drafts) outcomes.push(await append(tx, statements, draft));
          return outcomes;
        }, committed)
        .then(() => undefined),

    listRecentMessages: async (uid, perChat) => {
      const byChat = new Map<number, { ref: ReturnType<typeof refOf>; messages: Message[] }>();
      for (const row of await recent.all({ uid, perChat })) {
        const chat = byChat.get(row.chatId) ?? { ref: refOf(row), messages: [] };
        byChat.set(row.chatId, chat);
        // A chat without messages has one row whose left-joined columns are all null.
        if (row.message?.seq) chat.messages.push(row.message as Message);
      }
      return [...byChat.values()];
    },

    listMessages: async (uid, ref, { before, after, limit }) => {
      const chat = await memberChat(reader, uid, ref);
      if (!chat) return null;
      const page = await reader
        .select(messageFields)
        .from(messages)
        .leftJoin(accounts, eq(accounts.uid, messages.senderUid))
        .where(
          and(
            eq(messages.chatId, chat.id),
            before === null ? undefined : lt(messages.seq, before),
            after === null ? undefined : gt(messages.seq, after),
          ),
        )
        .orderBy(after === null ? desc(messages.seq) : asc(messages.seq))
        .limit(limit);
      return after === null ? page.reverse() : page;
    },
  };
}

/** The statements of the hot path, prepared once: a freshly built query costs 20 to 40 times a prepared one. */
function prepareAppend(writer: Queries) {
  const placeholder = sql.placeholder;
  const chatOf = () =>
    writer
      .select({ id: chats.id, lastSeq: chats.lastSeq, memberUid: members.uid })
      .from(chats)
      .leftJoin(members, and(eq(members.chatId, chats.id), eq(members.uid, placeholder('uid'))));
  return {
    group: chatOf()
      .where(eq(chats.groupId, placeholder('groupId')))
      .prepare(),
    direct: chatOf()
      .where(and(eq(chats.lowUid, placeholder('low')), eq(chats.highUid, placeholder('high'))))
      .prepare(),
    person: selectPeople(writer)
      .where(and(eq(accounts.uid, placeholder('uid')), isNotNull(accounts.verifiedAt)))
      .prepare(),
    insert: writer
      .insert(messages)
      .values({
        chatId: placeholder('chatId'),
        seq: placeholder('seq'),
        senderUid: placeholder('senderUid'),
        body: placeholder('body'),
        sentAt: placeholder('sentAt'),
      })
      .prepare(),
    advance: writer
      .update(chats)
      .set({ lastSeq: sql`${placeholder('seq')}`, lastMessageAt: sql`${placeholder('sentAt')}` })
      .where(eq(chats.id, placeholder('chatId')))
      .prepare(),
  };
}

type Statements = ReturnType<typeof prepareAppend>;

async function append(tx: Queries, statements: Statements, draft: MessageDraft): Promise<AppendOutcome> {
  const { senderUid, ref, body, sentAt } = draft;
  let chat = await lookUp(statements, senderUid, ref);
  let created: DirectChat | null = null;
  if (!chat) {
    if (ref.kind === 'group' || !draft.mayCreateChat) return { kind: 'no_chat' };
    created = await createDirect(tx, senderUid, ref.otherUid, sentAt);
    if (!created) return { kind: 'no_person' };
    chat = await lookUp(statements, senderUid, ref);
  }
  const sender = await statements.person.get({ uid: senderUid });
  if (!chat || chat.memberUid === null || !sender) return { kind: 'not_member' };
  const seq = chat.lastSeq + 1;
  await statements.insert.run({ chatId: chat.id, seq, senderUid, body, sentAt });
  await statements.advance.run({ chatId: chat.id, seq, sentAt });
  const message = { seq, senderUid, senderName: sender.name, senderPicture: sender.picture, body, sentAt };
  return { kind: 'appended', message, created };
}

function lookUp(statements: Statements, uid: number, ref: ChatRef) {
  if (ref.kind === 'group') return statements.group.get({ uid, groupId: ref.groupId });
  const [low, high] = [Math.min(uid, ref.otherUid), Math.max(uid, ref.otherUid)];
  return statements.direct.get({ uid, low, high });
}

/** The chat if this account is in it: found means allowed. */
async function memberChat(db: Queries, uid: number, ref: ChatRef) {
  return db
    .select({ id: chats.id })
    .from(chats)
    .innerJoin(members, and(eq(members.chatId, chats.id), eq(members.uid, uid)))
    .where(isChat(uid, ref))
    .get();
}

async function createDirect(
  tx: Queries,
  uid: number,
  otherUid: number,
  now: number,
): Promise<DirectChat | null> {
  const [one, other] = [await findPerson(tx, uid), await findPerson(tx, otherUid)];
  if (!one || !other) return null;
  const chat = await tx
    .insert(chats)
    .values({
      lowUid: Math.min(uid, otherUid),
      highUid: Math.max(uid, otherUid),
      name: '',
      picture: '',
      createdAt: now,
    })
    .returning({ id: chats.id })
    .get();
  const people = [...new Set([uid, otherUid])];
  await tx
    .insert(members)
    .values(
      people.map((person) => ({ chatId: chat.id, uid: person, role: 'member' as const, joinedAt: now })),
    );
  return { people: [one, other], createdAt: now };
}

function selectPeople(db: Queries) {
  return db
    .select({
      uid: accounts.uid,
      name: sql<string>`${accounts.firstName} || ' ' || ${accounts.lastName}`,
      picture: accounts.picture,
    })
    .from(accounts);
}

async function findPerson(tx: Queries, uid: number): Promise<Person | undefined> {
  return selectPeople(tx)
    .where(and(eq(accounts.uid, uid), isNotNull(accounts.verifiedAt)))
    .get();
}
