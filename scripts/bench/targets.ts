// What is measured: this server, the ceiling beside it, and what one would pick instead; each with its dialect.
import { readFileSync } from 'node:fs';

export type TargetName = 'ours' | 'raw' | 'socketio';

/** The group everyone is in, where the benchmarks speak. */
export const groupId = '1000000000000';

/** Where a returning client of ours stands. */
export interface Standing {
  readonly epoch: string;
  readonly cursor: number;
}

/** How the load speaks to a target. Message texts carry the time they were sent, in front of the first blank. */
export interface Dialect {
  readonly path: string;
  /** What a client says first, and when it comes back; null when nothing. */
  hello(user: User | undefined, standing?: Standing): string | null;
  send(text: string): string;
  /** What a frame is, by a byte or two of it: reading all of it would make the load the bottleneck. */
  kindOf(bytes: Uint8Array, from: number): 'welcome' | 'ack' | 'push' | 'ping' | 'other';
  /** The answer to a ping of the dialect's own; null when it has none. */
  readonly pong: string | null;
  /** What stands in front of a message's text. */
  readonly textMark: Buffer;
}

export interface User {
  readonly UID: number;
  readonly TOKEN: string;
}

/** The people of a file of `populate.ts`. */
export function readUsers(file: string | null): User[] {
  if (file === null) return [];
  const lines = readFileSync(file, 'utf8').trim().split('\n');
  return lines.map((line) => JSON.parse(line) as User);
}

const char = (text: string) => text.charCodeAt(0);
const ourEvent = '{"event":"';
const ourSend = '{"event":"send_message","data":{"';
const positionMark = Buffer.from('"MESSAGE_ID":');

const ours: Dialect = {
  path: '/ws',
  hello: (user, standing) =>
    JSON.stringify({
      event: 'wants_all_his_chats',
      data: {
        UID: user?.UID,
        TOKEN: user?.TOKEN,
        EPOCH: standing?.epoch,
        CURSORS: standing && { [groupId]: standing.cursor },
      },
    }),
  send: (text) => `{"event":"send_message","data":{"MESSAGE":"${text}","GROUP_ID":"${groupId}"}}`,
  kindOf(bytes, from) {
    if (bytes[from + ourEvent.length] === char('w')) return 'welcome';
    if (bytes[from + ourEvent.length] !== char('s')) return 'other';
    return bytes[from + ourSend.length] === char('s') ? 'ack' : 'push';
  },
  pong: null,
  textMark: Buffer.from('"MESSAGE":"'),
};

export const dialects: Record<TargetName, Dialect> = {
  ours,
  // The raw server answers `a` + a frame of our size, and pushes `p` + one.
  raw: {
    ...ours,
    path: '/',
    hello: () => 'hello',
    kindOf: (bytes, from) =>
      bytes[from] === char('p') ? 'push' : bytes[from] === char('a') ? 'ack' : 'welcome',
  },
  // Engine.IO 4 and Socket.IO 5 by hand: `0` open, `40` connect, `42[...]` events, `2` ping.
  socketio: {
    path: '/socket.io/?EIO=4&transport=websocket',
    hello: () => '40',
    send: (text) => `42["send","${text}"]`,
    kindOf(bytes, from) {
      const [first, second, third] = [bytes[from], bytes[from + 1], bytes[from + 4]];
      if (first === char('2')) return 'ping';
      if (first !== char('4')) return 'other';
      if (second === char('0')) return 'welcome';
      return third === char('a') ? 'ack' : 'push';
    },
    pong: '3',
    textMark: Buffer.from('["send","'),
  },
};

/** A frame's message position; null when it has none, as the raw server's. */
export function positionIn(frame: Buffer): number | null {
  const at = frame.indexOf(positionMark);
  if (at < 0) return null;
  const from = at + positionMark.length;
  return Number.parseInt(frame.toString('latin1', from, from + 16), 10);
}
