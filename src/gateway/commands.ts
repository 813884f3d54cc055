// The command table: every event a client may send, the schema its data must have, and what it does.
import { AppError } from '../errors.ts';
import {
  type AnnounceRequest,
  type ClientEvent,
  clientEvents,
  type MarkRequest,
  type ResumeRequest,
  type SendRequest,
} from '../protocol/socket.ts';
import type { Socket } from './connection.ts';

/** Sends the one reply of a command: 200 with these fields (or their JSON, ready made), or an error. */
export type Reply = (outcome: Record<string, unknown> | string | Error) => void;

/** What the commands act through. */
export interface Handlers {
  announce(socket: Socket, request: AnnounceRequest, reply: Reply): Promise<void>;
  send(socket: Socket, request: SendRequest, mayCreateChat: boolean, reply: Reply): void;
  resume(socket: Socket, request: ResumeRequest, reply: Reply): Promise<void>;
  markRead(socket: Socket, request: MarkRequest, reply: Reply): Promise<void>;
}

interface Command {
  /** What data that does not fit the schema is answered with. */
  readonly invalid: 400 | 401;
  /** Whether only an announced socket may use it. */
  readonly announced: boolean;
  /** A command that has to look something up returns a promise; the socket's next frames wait for it. */
  readonly run: (handlers: Handlers, socket: Socket, data: never, reply: Reply) => void | Promise<void>;
}

const announce: Command = {
  invalid: 401,
  announced: false,
  run: (handlers, socket, data: AnnounceRequest, reply) => handlers.announce(socket, data, reply),
};

const send = (mayCreateChat: boolean): Command => ({
  invalid: 400,
  announced: true,
  run: (handlers, socket, data: SendRequest, reply) => handlers.send(socket, data, mayCreateChat, reply),
});

const alive: Command = {
  invalid: 400,
  announced: false,
  run: (_handlers, _socket, _data, reply) => reply({ message: 'OK' }),
};

export const commands: Record<ClientEvent, Command> = {
  wants_all_his_chats: announce,
  get_all_messages: announce,
  get_all_chat_list: announce,
  send_message: send(false),
  send_message_new_chat: send(true),
  resume: {
    invalid: 400,
    announced: true,
    run: (handlers, socket, data: ResumeRequest, reply) => handlers.resume(socket, data, reply),
  },
  mark_read: {
    invalid: 400,
    announced: true,
    run: (handlers, socket, data: MarkRequest, reply) => handlers.markRead(socket, data, reply),
  },
  connect_user: alive,
  ping: alive,
};

export function isClientEvent(event: string): event is ClientEvent {
  return Object.hasOwn(clientEvents, event);
}

/** Whether an event sends a message. */
export function isSend(event: string): boolean {
  return event === 'send_message' || event === 'send_message_new_chat';
}

export function notAnnounced(): AppError {
  return new AppError(
    'unauthenticated',
    'This connection is not logged in yet. Press CHATS, open the chat and send it again.',
  );
}
