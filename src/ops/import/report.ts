// What an import took, mended and refused: counted by kind, with a few examples by number, never a text or a secret.

/** What was brought over although not as it was. */
export const mendings = {
  NUMBER: 'accounts whose number no account may have here got another; these people log in again',
  EMAIL: 'accounts whose address is not valid or belongs to another have one that gets no mail',
  PASSWORD: 'accounts without a password that can be used; these people need /forgot_password',
  COOKIE: 'logins that were not of the form that ours have, or not unique; these people log in again',
  NAME: 'accounts with a name that may not be so',
  PICTURE: 'accounts whose picture was no safe address and was left out',
  PHONE: 'accounts whose phone number was none and was left out',
  BIRTH_DATE: 'accounts whose date of birth was none and was left out',
  JOIN_TIME: 'accounts without a readable time of joining',
  GROUP: 'groups whose name or picture could not stay',
  GROUP_NUMBER: 'groups whose number could be part of a direct chat or belongs to another, with another one',
  SENDER: 'messages of senders who are not among the accounts; shown as of a deleted account',
  TIME: 'messages without a readable time; they have that of the one before',
  TEXT_ENCODED: 'texts that would have been taken for encoded ones, now encoded',
  TEXT_SPLIT: 'texts longer than a message may be, now several messages',
  TEXT_NUMBER: 'texts that were kept as numbers',
} as const;

/** What was left behind. */
export const refusals = {
  ACCOUNT: 'accounts without a readable number, or with that of another',
  ACCOUNT_DELETED: 'accounts that were deleted here',
  LIST_ENTRY: 'entries of chat lists that name no chat',
  LIST_OWNER: 'chat lists of people who are not among the accounts',
  CHAT: 'chats that nobody of the accounts is in, with all their messages',
  CHAT_DELETED: 'chats that were deleted here',
  MESSAGE_DELETED: 'messages of people who deleted their account here',
  MESSAGE_EMPTY: 'messages without a text',
  MESSAGE_BINARY: 'messages that are not text',
  MESSAGE_LONG: 'messages of more than a million bytes',
  MESSAGE_NUMBER: 'messages without a readable number',
  TABLE: 'tables that are not understood',
  DAMAGE: 'tables with damaged pages, taken as far as they could be read',
} as const;

export type Mending = keyof typeof mendings;
export type Refusal = keyof typeof refusals;
export type TakenKind = 'ACCOUNTS' | 'LOGINS' | 'GROUPS' | 'DIRECT_CHATS' | 'MESSAGES';

interface Tally {
  readonly COUNT: number;
  /** The first few, as `account 7` or `G_5 12`. */
  readonly EXAMPLES: readonly string[];
}

const mostExamples = 5;
/** How many new numbers are told in words. */
const mostNumbers = 20;
const taken: Readonly<Record<TakenKind, string>> = {
  ACCOUNTS: 'accounts',
  LOGINS: 'logins that go on',
  GROUPS: 'groups',
  DIRECT_CHATS: 'direct chats',
  MESSAGES: 'messages',
};

export type Report = ReturnType<typeof createReport>;

export function createReport() {
  const counts = { TAKEN: new Map<TakenKind, number>(), BEFORE: new Map<TakenKind, number>() };
  const tallies = { MENDED: new Map<Mending, Tally>(), REFUSED: new Map<Refusal, Tally>() };
  const numbers = new Map<string, number>();
  const add = <Kind>(tally: Map<Kind, Tally>, kind: Kind, example: string, count = 1): void => {
    const { COUNT, EXAMPLES } = tally.get(kind) ?? { COUNT: 0, EXAMPLES: [] };
    const shown = EXAMPLES.length < mostExamples ? [...EXAMPLES, example] : EXAMPLES;
    tally.set(kind, { COUNT: COUNT + count, EXAMPLES: shown });
  };
  const plus = (kinds: Map<TakenKind, number>, kind: TakenKind, count: number): void => {
    if (count > 0) kinds.set(kind, (kinds.get(kind) ?? 0) + count);
  };
  return {
    took: (kind: TakenKind, count = 1) => plus(counts.TAKEN, kind, count),
    /** An earlier import had taken it. */
    hadTaken: (kind: TakenKind, count = 1) => plus(counts.BEFORE, kind, count),
    mended: (kind: Mending, example: string) => add(tallies.MENDED, kind, example),
    refused: (kind: Refusal, example: string, count = 1) => add(tallies.REFUSED, kind, example, count),
    renumbered: (oldUid: string, uid: number) => void numbers.set(oldUid, uid),
    /** All of it, for machines. */
    facts: () => ({
      TAKEN: { ...noneTaken(), ...Object.fromEntries(counts.TAKEN) },
      TAKEN_BEFORE: { ...noneTaken(), ...Object.fromEntries(counts.BEFORE) },
      MENDED: Object.fromEntries(tallies.MENDED),
      REFUSED: Object.fromEntries(tallies.REFUSED),
      NEW_NUMBERS: Object.fromEntries(numbers),
    }),
    /** What was taken, on one line; '' for nothing. */
    summary: () => [...counts.TAKEN].map(([kind, count]) => `${count} ${taken[kind]}`).join(', '),
    /** All of it in words, a line each. */
    words: () => [
      ...Object.entries(taken).map(([kind, name]) => takenLine(name, kind as TakenKind, counts)),
      ...lines('Mended:', mendings, tallies.MENDED),
      ...lines('Refused:', refusals, tallies.REFUSED),
      ...[...numbers].slice(0, mostNumbers).map(([oldUid, uid]) => `Account ${oldUid} is ${uid} here.`),
      ...(numbers.size > mostNumbers ? ['All new numbers are told with --json.'] : []),
    ],
  };
}

function noneTaken(): Record<string, number> {
  return Object.fromEntries(Object.keys(taken).map((kind) => [kind, 0]));
}

function takenLine(
  name: string,
  kind: TakenKind,
  { TAKEN, BEFORE }: Record<'TAKEN' | 'BEFORE', Map<TakenKind, number>>,
): string {
  const before = BEFORE.get(kind);
  const line = `${String(TAKEN.get(kind) ?? 0).padStart(10)}  ${name}`;
  return before ? `${line}, ${before} more by an earlier import` : line;
}

function lines<Kind extends string>(
  title: string,
  meanings: Readonly<Record<Kind, string>>,
  tallies: ReadonlyMap<Kind, Tally>,
): string[] {
  const told = [...tallies].map(([kind, { COUNT, EXAMPLES }]) => {
    const more = COUNT > EXAMPLES.length ? ', ...' : '';
    return `${String(COUNT).padStart(10)}  ${meanings[kind]} (${EXAMPLES.join(', ')}${more})`;
  });
  return told.length > 0 ? [title, ...told] : [];
}
