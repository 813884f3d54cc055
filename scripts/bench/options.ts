// The command line of the benchmarks.
import { parseArgs } from 'node:util';
import { dialects, type TargetName } from './targets.ts';

export interface Options {
  /** The sizes that are reported, not the ones that are quick. */
  readonly full: boolean;
  readonly runs: number;
  readonly targets: readonly TargetName[];
  /** What is not given has a default of each benchmark's own. */
  readonly members: readonly number[] | undefined;
  readonly seconds: number | undefined;
  readonly pace: number | undefined;
  readonly sockets: number | undefined;
  readonly sizes: readonly number[] | undefined;
  readonly messages: number | undefined;
  readonly connects: number | undefined;
}

export const usage = `  --full                    the sizes that are reported; without it quick ones
  --runs 3                  of each, of which the median is shown
  --targets raw,ours,socketio
  --members 10,100,1000     fanout, paced: how many are in the group
  --seconds 3               fanout, paced: how long is measured
  --pace 500                paced, storm, backup: sends a second
  --sockets 10000           idle, storm
  --sizes 10000,1000000     history, restore, backup: messages in the database
  --messages 300000         growth
  --connects 5000           growth
  --help                    this text
`;

/**
 * Reads the command line.
 * @returns the names of the benchmarks, as typed, and how to run them; null when help is asked for
 * @throws Error that says what is wrong
 */
export function readOptions(args: string[]): { names: string[]; options: Options } | null {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean', default: false } as const;
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      full: flag,
      help: flag,
      runs: { type: 'string', default: '3' },
      targets: { type: 'string', default: 'raw,ours,socketio' },
      members: text,
      seconds: text,
      pace: text,
      sockets: text,
      sizes: text,
      messages: text,
      connects: text,
    },
  });
  if (values.help) return null;
  const options = {
    full: values.full,
    runs: readNumber(values.runs),
    targets: values.targets.split(',').map(readTarget),
    members: readEach(values.members),
    seconds: readEach(values.seconds)?.[0],
    pace: readEach(values.pace)?.[0],
    sockets: readEach(values.sockets)?.[0],
    sizes: readEach(values.sizes),
    messages: readEach(values.messages)?.[0],
    connects: readEach(values.connects)?.[0],
  };
  return { names: positionals, options };
}

function readEach(text: string | undefined): number[] | undefined {
  return text?.split(',').map(readNumber);
}

function readNumber(text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new Error(`"${text}" is not a whole number from 1.`);
}

function readTarget(name: string): TargetName {
  if (Object.hasOwn(dialects, name)) return name as TargetName;
  throw new Error(`There is no target "${name}".`);
}
