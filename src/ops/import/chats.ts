// Which chats the old server had, who is in them, and where their messages lie: by its lists, or by its tables alone.
import { newGroupId } from '../../chats/service.ts';
import type { OldChat, OldMember } from '../../store/import-store.ts';
import { type Course, type People, uidOf } from './course.ts';
import { mendGroupName, mendPicture, readTime } from './mending.ts';
import type { Cells, OldFile, OldFiles } from './old-files.ts';

/** A table of messages. */
export interface Log {
  readonly file: OldFile;
  readonly table: string;
}

/** A chat as the old files tell of it. */
export interface Plan {
  /** `G_` and its number there; of the two directions of a direct chat the smaller account's. */
  readonly origin: string;
  /** The two accounts of a direct chat by their old numbers, null for a group. */
  readonly pair: readonly [low: string, high: string] | null;
  /** A group's number there. */
  readonly guid: string;
  /** A row that tells of the group; null when there is none. */
  about: Cells | null;
  /** When each entered, by the number here. */
  readonly joined: Map<number, number | null>;
  readonly logs: Log[];
}

export type Plans = Map<string, Plan>;

const listColumns = ['GUID', 'GNAME', 'PROFILE_PIC', 'TIME_STAMP'];
const mostBytes = 16_384;
/** Wide enough for two numbers and what is between; SQLite itself would take any name. */
const logTable = /^G_([1-9]\d{0,39})$/i;
const listTable = /^CHATS_(\d{1,19})$/i;

/** Reads all lists and the names of all tables; no message yet. */
export function planChats({ users, lists, logs }: OldFiles, people: People, course: Course): Plans {
  const plans: Plans = new Map();
  const { report } = course;
  for (const file of users) passOver(file, /^users$/i, course);
  for (const file of lists) {
    passOver(file, /^(?:all_chats|CHATS_\d{1,19})$/i, course);
    // What the list of all says of a group goes before what its members' lists say.
    const [all, own] = [/^all_chats$/i, listTable].map((names) =>
      file.tables.filter((table) => names.test(table)),
    );
    for (const table of [...(all ?? []), ...(own ?? [])]) readList({ file, table, plans }, people, course);
  }
  for (const file of logs) {
    passOver(file, logTable, course);
    for (const table of file.tables) {
      const [, guid] = logTable.exec(table) ?? [];
      if (guid === undefined) continue;
      if (file.has(table, ['MESSAGE_ID', 'MESSAGE'])) planOf(plans, guid).logs.push({ file, table });
      else report.refused('TABLE', `G_${guid}`);
    }
  }
  return plans;
}

/** Counts the tables whose names are not understood; they may say anything, so they are not shown. */
function passOver(file: OldFile, understood: RegExp, { report }: Course): void {
  const others = file.tables.filter((table) => !understood.test(table) && !/^sqlite_/i.test(table));
  if (others.length > 0) report.refused('TABLE', `in ${file.name}`, others.length);
}

interface ListPlace {
  readonly file: OldFile;
  readonly table: string;
  readonly plans: Plans;
}

function readList(
  { file, table, plans }: ListPlace,
  people: People,
  { report, now, defaultGroupId }: Course,
): void {
  const owner = listTable.exec(table)?.[1];
  const where = owner === undefined ? 'all_chats' : `CHATS_${owner}`;
  const known = owner === undefined ? null : people.get(owner);
  if (owner !== undefined && !known?.exists) {
    report.refused('LIST_OWNER', where);
    return;
  }
  const damaged = () => report.refused('DAMAGE', where);
  for (const cells of file.rows({ table, columns: listColumns, mostBytes, damaged })) {
    const guid = readListedGuid(cells.GUID ?? null);
    if (guid === null) report.refused('LIST_ENTRY', where);
    else if (known || directPair(guid) === null) {
      const plan = planOf(plans, guid);
      plan.about ??= cells;
      // Everybody is in the default group anyway.
      if (known && guid !== defaultGroupId)
        plan.joined.set(known.uid, readTime(cells.TIME_STAMP ?? null, now));
    }
  }
}

/** Numbers of direct chats were put into 64 bits; one that overflowed is no such number any more. */
function readListedGuid(guid: string | null): string | null {
  return guid !== null && (/^[1-9]\d{0,14}$/.test(guid) || directPair(guid) !== null) ? guid : null;
}

/** The two old numbers that the number of a direct chat is made of, as they stand; null for a group's. */
function directPair(guid: string): [string, string] | null {
  const [, one = '', other = ''] = /^([1-9]\d{0,9})0{16}([1-9]\d{0,9})$/.exec(guid) ?? [];
  return one === '' ? null : [one, other];
}

function planOf(plans: Plans, guid: string): Plan {
  const pair = directPair(guid)?.sort((one, other) => Number(one) - Number(other)) ?? null;
  const origin = `G_${pair ? pair.join('0'.repeat(16)) : guid}`;
  const plan = plans.get(origin) ?? { origin, pair, guid, about: null, joined: new Map(), logs: [] };
  plans.set(origin, plan);
  return plan;
}

/** The chat to be made, and whether a group's name or picture was mended; null when nobody of the accounts is in it. */
export function chatOf(
  plan: Plan,
  people: People,
  course: Course,
): { readonly chat: OldChat; readonly isMended: boolean } | null {
  const { origin, pair, guid, about } = plan;
  const isDefault = guid === course.defaultGroupId;
  const createdAt = firstTime(plan, course);
  const members = membersOf(plan, people, createdAt);
  if (members.length === 0 && !isDefault) return null;
  const rows = { origin, createdAt, members };
  if (pair) {
    const [lowUid = 0, highUid = 0] = pair
      .map((oldUid) => uidOf(oldUid, people))
      .sort((one, other) => one - other);
    return { chat: { kind: 'direct', ...rows, lowUid, highUid }, isMended: false };
  }
  const [name, picture] = [mendGroupName(about?.GNAME ?? null), mendPicture(about?.PROFILE_PIC ?? null)];
  const groupId = isDefault || isSafeGroupId(guid) ? guid : newGroupId();
  const group = { groupId, name: name.value, picture: picture.value, spareId: newGroupId };
  return { chat: { kind: 'group', ...rows, ...group }, isMended: name.isMended || picture.isMended };
}

/** Whether it can be no part of a direct chat's id: the client in use looks chats up by substring. */
function isSafeGroupId(guid: string): boolean {
  return guid.length <= 15 && (!/^\d{1,10}0*$/.test(guid) || /^10{10,}$/.test(guid));
}

/** Who is in it and exists, the first to enter first. Of a group that is in nobody's list: who has written in it. */
function membersOf({ pair, joined, logs }: Plan, people: People, createdAt: number): OldMember[] {
  const listed = pair ? pair : joined.size > 0 ? [] : logs.flatMap(sendersIn);
  const found = new Map(pair ? [] : joined);
  for (const oldUid of listed) {
    const known = people.get(oldUid);
    if (known?.exists) found.set(known.uid, null);
  }
  return [...found]
    .map(([uid, joinedAt]) => ({ uid, joinedAt: joinedAt ?? createdAt }))
    .sort((one, other) => one.joinedAt - other.joinedAt || one.uid - other.uid);
}

function sendersIn({ file, table }: Log): string[] {
  const damaged = () => undefined; // told when the messages are read
  const rows = file.rows({
    table,
    columns: ['SENDER_ID'],
    rest: 'GROUP BY here.SENDER_ID',
    mostBytes: 20,
    damaged,
  });
  return [...rows].flatMap(({ SENDER_ID }) => SENDER_ID ?? []);
}

/** When the chat began, by its list entry and its first messages; now when nothing tells. */
function firstTime({ about, logs }: Plan, { now }: Course): number {
  const times = logs.flatMap(({ file, table }) => {
    const rest = 'ORDER BY here.MESSAGE_ID LIMIT 1';
    const damaged = () => undefined; // told when the messages are read
    const [first] = [...file.rows({ table, columns: ['TIME_STAMP'], rest, mostBytes: 64, damaged })];
    return readTime(first?.TIME_STAMP ?? null, now) ?? [];
  });
  return Math.min(readTime(about?.TIME_STAMP ?? null, now) ?? now, ...times);
}
