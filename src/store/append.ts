// Appending to the message log in SQLite: the hot path, which looks nothing up twice.
import { and, eq, sql } from 'drizzle-orm';
import type { ChatRef } from '../protocol/entities.ts';
import { isListed } from './accounts.ts';
import { isBetween } from './blocks.ts';
import type { AppendOutcome, DirectChat, MessageDraft, MessageStore, Person } from './chat-store.ts';
import { accounts, blocks, chats, members, messages } from './schema.ts';
import type { Driver, Queries } from './sqlite.ts';

/** A chat's end, as far as this transaction has come. */
interface LogEnd {
  readonly id: number;
  seq: number;
  /** ms since the epoch of the newest message */
  sentAt: number;
}

/**
 * What the hot path remembers of the tables. It is thrown away whenever the driver's version says that a membership or
 * an account may have changed, so that it is never asked about what is no longer true.
 */
interface Memory {
  version: string;
  /** Chats by the name their members use, only for accounts that are members. */
  readonly memberships: Map<string, LogEnd>;
  readonly chats: Map<number, LogEnd>;
  readonly people: Map<number, Person>;
  /** Chats that this transaction appended to. */
  readonly moved: Set<LogEnd>;
}

export function createAppend(driver: Driver): MessageStore['appendMessages'] {
  const statements = prepare(driver);
  const memory: Memory = {
    version: '',
    memberships: new Map(),
    chats: new Map(),
    people: new Map(),
    moved: new Set(),
  };
  return async (drafts, committed) => {
    await driver.write(
      async (tx) => {
        forgetIfStale(memory, driver.version());
        const outcomes: AppendOutcome[] = [];
        for (const draft of drafts) {
          const remembered = appendRemembered(statements, memory, draft);
          outcomes.push(remembered ?? (await append(tx, statements, memory, draft)));
        }
        // Once per chat, however many messages it got.
        for (const { id, seq, sentAt } of memory.moved)
          await statements.advance.run({ chatId: id, seq, sentAt });
        memory.moved.clear();
        return outcomes;
      },
      committed,
      { keepsVersion: true },
    );
  };
}

function forgetIfStale(memory: Memory, version: string): void {
  if (memory.version === version && memory.memberships.size < 100_000) return;
  memory.version = version;
  memory.memberships.clear();
  memory.chats.clear();
  memory.people.clear();
  memory.moved.clear();
}

/** The way of most messages: a known sender in a known chat, and nothing to wait for. Null when it is not that. */
function appendRemembered(statements: Statements, memory: Memory, draft: MessageDraft): AppendOutcome | null {
  if (draft.clientMessageId) return null;
  const sender = memory.people.get(draft.senderUid);
  const chat = memory.memberships.get(membershipKey(draft.senderUid, draft.ref));
  return sender && chat ? insert(statements, memory, { draft, sender, chat }) : null;
}

async function append(
  tx: Queries,
  statements: Statements,
  memory: Memory,
  draft: MessageDraft,
): Promise<AppendOutcome> {
  const { senderUid, ref, sentAt } = draft;
  const sender = memory.people.get(senderUid) ?? (await findSender(statements, memory, senderUid));
  if (!sender) return { kind: 'not_member' };
  if (draft.clientMessageId) {
    const repeated = await findRepeated(statements, sender, draft);
    if (repeated) return repeated;
  }
  let created: DirectChat | null = null;
  const remembered = memory.memberships.get(membershipKey(senderUid, ref));
  // A chat is remembered only while nobody of it has blocked the other: a block makes everything be forgotten.
  if (!remembered && ref.kind === 'direct' && (await isBlocked(statements, senderUid, ref.otherUid)))
    return { kind: 'blocked' };
  let found = remembered ?? (await findChat(statements, memory, senderUid, ref));
  if (found === 'no_chat' && ref.kind === 'direct' && draft.mayCreateChat) {
    created = await createDirect(tx, statements, sender, ref.otherUid, sentAt);
    if (!created) return { kind: 'no_person' };
    found = await findChat(statements, memory, senderUid, ref);
  }
  if (typeof found === 'string') return { kind: found };
  return { ...insert(statements, memory, { draft, sender, chat: found }), created };
}

function insert(
  statements: Statements,
  memory: Memory,
  { draft, sender, chat }: { draft: MessageDraft; sender: Person; chat: LogEnd },
): Extract<AppendOutcome, { kind: 'appended' }> {
  const { senderUid, body, sentAt, clientMessageId } = draft;
  const seq = chat.seq + 1;
  statements.insert({ chatId: chat.id, seq, senderUid, body, sentAt, clientMessageId });
  chat.seq = seq;
  chat.sentAt = sentAt;
  memory.moved.add(chat);
  const { name: senderName, picture: senderPicture } = sender;
  const message = { seq, senderUid, senderName, senderPicture, body, sentAt, removedAt: null };
  return { kind: 'appended', message, created: null };
}

/** The first result of a message that was sent before: the same id with another content is a conflict. */
async function findRepeated(
  statements: Statements,
  sender: Person,
  { senderUid, ref, body: repeated, clientMessageId }: MessageDraft,
): Promise<AppendOutcome | null> {
  const first = await statements.repeated.get({ senderUid, clientMessageId });
  if (!first) return null;
  // Also for one who has left since: it is his own message, and he must learn that it was sent.
  const chat = await lookUp(statements, senderUid, ref);
  // What a removed one said is not known any more: the id alone says that it is the same.
  const { chatId, seq, body, sentAt, removedAt } = first;
  if (chatId !== chat?.id || (body !== repeated && removedAt === null)) return { kind: 'other_content' };
  const { name: senderName, picture: senderPicture } = sender;
  return {
    kind: 'repeated',
    message: { seq, senderUid, senderName, senderPicture, body, sentAt, removedAt },
  };
}

/** The two look-ups behind the memory: a message whose sender and chat are remembered waits for nothing. */
async function findSender(statements: Statements, memory: Memory, uid: number): Promise<Person | undefined> {
  const person = await statements.person.get({ uid });
  if (person) memory.people.set(uid, person);
  return person;
}

async function findChat(
  statements: Statements,
  memory: Memory,
  uid: number,
  ref: ChatRef,
): Promise<LogEnd | 'no_chat' | 'not_member' | 'no_person'> {
  const row = await lookUp(statements, uid, ref);
  if (!row) return 'no_chat';
  if (row.memberUid === null) return 'not_member';
  // A chat with somebody who is banned or gone stays, but nobody writes to him there.
  if (ref.kind === 'direct' && !(await statements.person.get({ uid: ref.otherUid }))) return 'no_person';
  const chat = memory.chats.get(row.id) ?? { id: row.id, seq: row.lastSeq, sentAt: 0 };
  memory.chats.set(row.id, chat);
  memory.memberships.set(membershipKey(uid, ref), chat);
  return chat;
}

async function isBlocked(statements: Statements, one: number, other: number): Promise<boolean> {
  return (await statements.blocked.get({ one, other })) !== undefined;
}

function membershipKey(uid: number, ref: ChatRef): string {
  return ref.kind === 'group' ? `${uid} ${ref.groupId}` : `${uid} with ${ref.otherUid}`;
}

function lookUp(statements: Statements, uid: number, ref: ChatRef) {
  if (ref.kind === 'group') return statements.group.get({ uid, groupId: ref.groupId });
  const [low, high] = [Math.min(uid, ref.otherUid), Math.max(uid, ref.otherUid)];
  return statements.direct.get({ uid, low, high });
}

async function createDirect(
  tx: Queries,
  statements: Statements,
  sender: Person,
  otherUid: number,
  now: number,
): Promise<DirectChat | null> {
  const other = await statements.person.get({ uid: otherUid });
  if (!other) return null;
  const [lowUid, highUid] = [Math.min(sender.uid, otherUid), Math.max(sender.uid, otherUid)];
  const chat = await tx
    .insert(chats)
    .values({ lowUid, highUid, name: '', picture: '', createdAt: now })
    .returning({ id: chats.id })
    .get();
  const people = [...new Set([lowUid, highUid])];
  await tx
    .insert(members)
    .values(people.map((uid) => ({ chatId: chat.id, uid, role: 'member' as const, joinedAt: now })));
  return { people: [sender, other], createdAt: now };
}

type Statements = ReturnType<typeof prepare>;

/** Prepared once: a freshly built query costs 20 to 40 times a prepared one. */
function prepare({ writer, prepareRun }: Driver) {
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
    person: writer
      .select({
        uid: accounts.uid,
        name: sql<string>`${accounts.firstName} || ' ' || ${accounts.lastName}`,
        picture: accounts.picture,
      })
      .from(accounts)
      .where(and(eq(accounts.uid, placeholder('uid')), isListed))
      .prepare(),
    repeated: writer
      .select({
        chatId: messages.chatId,
        seq: messages.seq,
        body: messages.body,
        sentAt: messages.sentAt,
        removedAt: messages.removedAt,
      })
      .from(messages)
      .where(
        and(
          eq(messages.senderUid, placeholder('senderUid')),
          eq(messages.clientMessageId, placeholder('clientMessageId')),
        ),
      )
      .prepare(),
    blocked: writer
      .select({ uid: blocks.uid })
      .from(blocks)
      .where(isBetween(placeholder('one'), placeholder('other')))
      .limit(1)
      .prepare(),
    insert: prepareRun(
      writer.insert(messages).values({
        chatId: placeholder('chatId'),
        seq: placeholder('seq'),
        senderUid: placeholder('senderUid'),
        body: placeholder('body'),
        sentAt: placeholder('sentAt'),
        clientMessageId: placeholder('clientMessageId'),
      }),
    ),
    advance: writer
      .update(chats)
      .set({ lastSeq: sql`${placeholder('seq')}`, lastMessageAt: sql`${placeholder('sentAt')}` })
      .where(eq(chats.id, placeholder('chatId')))
      .prepare(),
  };
}
