// What is measured: this server, the ceiling beside it, and what one would pick instead; each with its dialect.

export type TargetName = 'ours' | 'raw' | 'socketio';

/** How the load speaks to a target. Message texts carry the time they were sent, in front of the first blank. */
export interface Dialect {
  readonly path: string;
  /** What a client says first; null when nothing. */
  hello(user: User | undefined): string | null;
  send(text: string): string;
  /** What a frame is, by a byte or two of it: reading all of it would make the load the bottleneck. */
  kindOf(bytes: Uint8Array, from: number): 'welcome' | 'ack' | 'push' | 'ping' | 'other';
  /** The answer to a ping of the dialect's own; null when it has none. */
  readonly pong: string | null;
}

export interface User {
  readonly UID: number;
  readonly TOKEN: string;
}

const char = (text: string) => text.charCodeAt(0);
const ourEvent = '{"event":"';
const ourSend = '{"event":"send_message","data":{"';

export const dialects: Record<TargetName, Dialect> = {
  ours: {
    path: '/ws',
    hello: (user) =>
      JSON.stringify({ event: 'wants_all_his_chats', data: { UID: user?.UID, TOKEN: user?.TOKEN } }),
    send: (text) => `{"event":"send_message","data":{"MESSAGE":"${text}","GROUP_ID":"1000000000000"}}`,
    kindOf(bytes, from) {
      if (bytes[from + ourEvent.length] === char('w')) return 'welcome';
      if (bytes[from + ourEvent.length] !== char('s')) return 'other';
      return bytes[from + ourSend.length] === char('s') ? 'ack' : 'push';
    },
    pong: null,
  },
  // The raw server answers `a` + a frame of our size, and pushes `p` + one.
  raw: {
    path: '/',
    hello: () => 'hello',
    send: (text) => `{"event":"send_message","data":{"MESSAGE":"${text}","GROUP_ID":"1000000000000"}}`,
    kindOf: (bytes, from) =>
      bytes[from] === char('p') ? 'push' : bytes[from] === char('a') ? 'ack' : 'welcome',
    pong: null,
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
  },
};
