// The old server's messages: every chat's tables read in step by time, appended in batches after what the chat has.
import type { OldMessage, TakenChat } from '../../store/import-store.ts';
import { type Progress, startProgress } from '../progress.ts';
import { chatOf, type Log, type Plan, type Plans } from './chats.ts';
import { type Course, type People, uidOf } from './course.ts';
import { mendText, readTime } from './mending.ts';
import type { Cells } from './old-files.ts';

/** One transaction has at most so many messages, and about so many characters. */
const messagesAtOnce = 4000;
const charactersAtOnce = 4_000_000;
/** A longer text is none that anybody has typed. */
const mostBytes = 1_000_000;
const isNumbered = `typeof(MESSAGE_ID) = 'integer' AND MESSAGE_ID BETWEEN 1 AND ${Number.MAX_SAFE_INTEGER}`;

/** A row of a table, with the time that puts it in order: no earlier than that of the row before. */
interface Row {
  readonly table: string;
  readonly id: number;
  readonly orderedAt: number;
  readonly sentAt: number;
  readonly cells: Cells;
}

/** Takes all chats with all their messages. */
export async function takeChats(plans: Plans, people: People, course: Course): Promise<void> {
  const logs = [...plans.values()].flatMap((plan) => plan.logs);
  const total = logs.reduce((sum, { file, table }) => sum + file.count(table, '1'), 0);
  using progress = startProgress('messages', { total, silent: course.silent });
  for (const plan of plans.values()) {
    const found = chatOf(plan, people, course);
    const taken = found && (await course.store.takeChat(found.chat));
    if (found && taken) {
      tell(plan, { ...taken, isMended: found.isMended }, course);
      const chat = { chatId: taken.chatId, createdAt: found.chat.createdAt };
      await takeMessages(plan, { chat, people, progress }, course);
      continue;
    }
    course.report.refused(found ? 'CHAT_DELETED' : 'CHAT', plan.origin);
    for (const { file, table } of plan.logs) progress.advance(file.count(table, '1'));
  }
}

function tell(
  { pair, guid, origin }: Plan,
  { made, groupId, isMended }: TakenChat & { readonly isMended: boolean },
  { report, defaultGroupId }: Course,
): void {
  if (guid === defaultGroupId) return; // it is here before any import
  const kind = pair ? 'DIRECT_CHATS' : 'GROUPS';
  if (!made) {
    report.hadTaken(kind);
    return;
  }
  report.took(kind);
  if (isMended) report.mended('GROUP', origin);
  if (groupId !== null && groupId !== guid) report.mended('GROUP_NUMBER', origin);
}

interface Place {
  readonly chat: { readonly chatId: number; readonly createdAt: number };
  readonly people: People;
  readonly progress: Progress;
}

async function takeMessages({ origin, logs }: Plan, place: Place, course: Course): Promise<void> {
  const { people, progress } = place;
  const { chatId } = place.chat;
  const begun = [];
  for (const log of logs) begun.push(await begin(log, place, course));
  let messages: OldMessage[] = [];
  let readTo = new Map<string, number>();
  let rows = 0;
  let characters = 0;
  const flush = async (): Promise<void> => {
    if (rows === 0) return;
    await course.store.takeMessages({ origin, chatId, messages, readTo });
    progress.advance(rows);
    [messages, readTo, rows, characters] = [[], new Map(), 0, 0];
  };
  for (const row of inStep(begun)) {
    const taken = messagesOf(row, people, course);
    for (const message of taken) characters += message.body.length;
    messages.push(...taken);
    readTo.set(row.table, row.id);
    rows += 1;
    if (rows >= messagesAtOnce || characters >= charactersAtOnce) await flush();
  }
  await flush();
  await course.store.finishChat(origin, chatId);
}

/** The rows of a table that are still to be taken. */
async function begin(
  { file, table }: Log,
  { chat, progress }: Place,
  { store, report, now }: Course,
): Promise<Generator<Row>> {
  const name = table.toUpperCase();
  const takenTo = await store.findTakenTo(name);
  const before = takenTo === 0 ? 0 : file.count(table, `${isNumbered} AND MESSAGE_ID <= ?`, [takenTo]);
  const unnumbered = file.count(table, `(${isNumbered}) IS NOT TRUE`);
  report.hadTaken('MESSAGES', before);
  if (unnumbered > 0) report.refused('MESSAGE_NUMBER', name, unnumbered);
  progress.advance(before + unnumbered);
  const rows = file.rows({
    table,
    columns: ['MESSAGE_ID', 'SENDER_ID', 'MESSAGE', 'TIME_STAMP'],
    computed: 'typeof(MESSAGE) AS TYPE',
    rest: `WHERE ${isNumbered} AND MESSAGE_ID > ? ORDER BY here.MESSAGE_ID`,
    bound: [takenTo],
    mostBytes,
    damaged: () => report.refused('DAMAGE', name),
  });
  return readRows(name, rows, { beganAt: chat.createdAt, now });
}

function* readRows(
  table: string,
  rows: Iterable<Cells>,
  { beganAt, now }: { beganAt: number; now: number },
): Generator<Row> {
  let orderedAt = 0;
  let sentAt = beganAt;
  for (const cells of rows) {
    sentAt = readTime(cells.TIME_STAMP ?? null, now) ?? sentAt;
    orderedAt = Math.max(orderedAt, sentAt);
    yield { table, id: Number(cells.MESSAGE_ID), orderedAt, sentAt, cells };
  }
}

/** Of several tables, each in its order, the rows by time and then by number. */
function* inStep(tables: readonly Generator<Row>[]): Generator<Row> {
  const heads = tables.flatMap((rows) => headOf(rows));
  for (;;) {
    const [first] = heads.sort((one, other) => comesBefore(one.row, other.row));
    if (!first) return;
    yield first.row;
    heads.splice(0, 1, ...headOf(first.rows));
  }
}

function comesBefore(one: Row, other: Row): number {
  return one.orderedAt - other.orderedAt || one.id - other.id || one.table.localeCompare(other.table);
}

/** The next row of a table with the rest of them; nothing at its end. */
function headOf(rows: Generator<Row>): { row: Row; rows: Generator<Row> }[] {
  const { value, done } = rows.next();
  return done ? [] : [{ row: value, rows }];
}

/** What a row becomes: mostly one message; none when it is refused, several when it is too long for one. */
function messagesOf({ table, id, sentAt, cells }: Row, people: People, course: Course): OldMessage[] {
  const { report, now } = course;
  const example = `${table} ${id}`;
  const { SENDER_ID: sender = null, MESSAGE: text = null, TYPE: type = null } = cells;
  const known = people.get(sender ?? '');
  const refuse = (kind: Parameters<typeof report.refused>[0]): OldMessage[] => {
    report.refused(kind, example);
    return [];
  };
  if (known && !known.exists) return refuse('MESSAGE_DELETED');
  if (type === 'blob') return refuse('MESSAGE_BINARY');
  if (text === null) return refuse(type === 'text' ? 'MESSAGE_LONG' : 'MESSAGE_EMPTY');
  const { bodies, isEncoded } = mendText(text);
  if (bodies.length === 0) return refuse('MESSAGE_EMPTY');
  report.took('MESSAGES');
  if (!known) report.mended('SENDER', example);
  if (type !== 'text') report.mended('TEXT_NUMBER', example);
  if (isEncoded) report.mended('TEXT_ENCODED', example);
  if (bodies.length > 1) report.mended('TEXT_SPLIT', example);
  if (readTime(cells.TIME_STAMP ?? null, now) === null) report.mended('TIME', example);
  const senderUid = uidOf(sender ?? '', people);
  return bodies.map((body) => ({ senderUid, body, sentAt }));
}
