// The command line: how words are read against a table of commands, and the help that is made of it.
import { parseArgs } from 'node:util';

export interface Command<Context> {
  /** The command with what follows it, as the help shows it. */
  readonly usage: string;
  readonly meaning: string;
  /** Its options without the dashes: a `flag` stands alone, a `text` has a value. */
  readonly options?: Readonly<Record<string, 'flag' | 'text'>>;
  /** The fewest and the most plain words it takes; none when absent. */
  readonly words?: readonly [least: number, most: number];
  /** Returns the exit status, or null when the program goes on running. */
  readonly run: (asked: Asked, context: Context) => Promise<number | null>;
}

/** What was written after a command's name. */
export interface Asked {
  readonly words: readonly string[];
  readonly texts: Readonly<Record<string, string | undefined>>;
  readonly flags: ReadonlySet<string>;
}

/** Commands by their names of one or two words. */
export type CommandTable<Context> = Readonly<Record<string, Command<Context>>>;

/** The command line does not say what to do; the message says what is wrong with it. */
export class UsageError extends Error {}

/**
 * Finds the command that a line begins with and reads the rest of the line.
 * @throws UsageError for unknown, missing and superfluous words
 */
export function readLine<Context>(table: CommandTable<Context>, line: readonly string[]) {
  for (const length of [2, 1]) {
    const name = line.slice(0, length).join(' ');
    const command = Object.hasOwn(table, name) ? table[name] : undefined;
    if (command && line.length >= length) return { command, asked: readRest(command, line.slice(length)) };
  }
  const [first = '', second] = line;
  const family = namesOf(table, [first]);
  if (family.length === 0 || second !== undefined) throw unknown(family.length > 0 ? second : first);
  throw new UsageError(`What about "${first}"? One of: ${family.join(', ')}.`);
}

/** The help on the commands that a line begins like, on all when there are none such. */
export function commandHelp<Context>(table: CommandTable<Context>, line: readonly string[]): string {
  const [exact = [], family = []] = [2, 1].map((length) => namesOf(table, line.slice(0, length)));
  const shown = [exact, family, Object.keys(table)].find((names) => names.length > 0) ?? [];
  return shown.map((name) => helpLine(table[name])).join('\n');
}

function namesOf(table: CommandTable<never>, words: readonly string[]): string[] {
  const beginning = words.join(' ');
  return Object.keys(table).filter((name) => name === beginning || name.startsWith(`${beginning} `));
}

const column = 22;

function helpLine(command: Command<never> | undefined): string {
  const { usage = '', meaning = '' } = command ?? {};
  return usage.length <= column
    ? `  ${usage.padEnd(column)} ${meaning}`
    : `  ${usage}\n${' '.repeat(column + 3)}${meaning}`;
}

function readRest({ options = {}, words: [least, most] = [0, 0] }: Command<never>, rest: string[]): Asked {
  const types = Object.entries(options).map(([name, kind]) => {
    return [name, { type: kind === 'flag' ? ('boolean' as const) : ('string' as const) }] as const;
  });
  // Not strict: the library's own complaints would quote values, and a password could be among them.
  const { tokens } = parseArgs({
    args: rest,
    options: Object.fromEntries(types),
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const words: string[] = [];
  const texts: Record<string, string> = {};
  const flags = new Set<string>();
  for (const token of tokens) {
    if (token.kind === 'positional') words.push(token.value);
    if (token.kind !== 'option') continue;
    const kind = Object.hasOwn(options, token.name) ? options[token.name] : undefined;
    if (!kind) throw unknown(token.rawName);
    if (kind === 'flag' && token.value !== undefined) throw new UsageError(`${token.rawName} has no value.`);
    if (kind === 'flag') flags.add(token.name);
    else if (!token.value) throw new UsageError(`${token.rawName} needs a value.`);
    else texts[token.name] = token.value;
  }
  if (words.length > most) throw unknown(words[most]);
  if (words.length < least) throw new UsageError('Something is missing at the end.');
  return { words, texts, flags };
}

function unknown(word = ''): UsageError {
  return new UsageError(`There is no "${word}" here.`);
}
