// What the model asks of a device, whichever program runs on it.
import type { Line } from '../line.ts';
import type { Person } from '../people.ts';
import type { Follower, Message } from './follower.ts';

/** A message that was handed to a device, and what became of it; its text is unique. */
export interface Sending {
  readonly uid: number;
  readonly groupId: string;
  readonly text: string;
  /** Each position it was acknowledged with. */
  readonly acknowledged: number[];
  /** The status it was refused with for good. */
  refused: number | null;
}

export interface Device {
  readonly person: Person;
  readonly line: Line;
  readonly follower: Follower;
  readonly sendings: Sending[];
  /** Places that pushes went past: they must be its own messages, which it gets as replies and not as pushes. */
  readonly overtaken: readonly Pick<Message, 'groupId' | 'id'>[];
  /** Whether it is connected, and has all that it missed. */
  readonly ready: boolean;
  send(groupId: string, text: string, newChat: boolean): void;
  /** Sends a message once more, with its CLIENT_MESSAGE_ID. */
  retry(sending: Sending): void;
  /** Says goodbye with a close frame, and comes back. */
  hangUp(): void;
  close(): void;
}

export function isSettled({ acknowledged, refused }: Sending): boolean {
  return acknowledged.length > 0 || refused !== null;
}
