// Sending messages, reading them back and removing them: the rules.
import type { Actor } from '../actor.ts';
import { AppError, type ErrorCode } from '../errors.ts';
import {
  type ChatRef,
  chatIdFor,
  limits,
  looksDirect,
  type Message,
  readChatId,
} from '../protocol/entities.ts';
import { decodeText, deliverableText } from '../protocol/text.ts';
import type {
  AppendOutcome,
  ChatHistory,
  DirectChat,
  HistoryPage,
  MessageStore,
  RemovalOutcome,
} from '../store/chat-store.ts';
import type { Note } from '../store/store.ts';
import { Committer } from './committer.ts';

export interface SendDraft {
  /** As the sender spelled it. */
  readonly chatId: string;
  /** As it was sent. */
  readonly text: string;
  readonly mayCreateChat: boolean;
  /** The sender's own id of the message, null for none. */
  readonly clientMessageId: string | null;
  /** From when on the sender is within his rate again (ms): whose is later waits longer when there is too much to do. */
  readonly dueAt: number;
}

/** A message that is on disk. */
export interface Sent {
  readonly ref: ChatRef;
  readonly message: Message;
  /** The direct chat, when this message made it. */
  readonly created: DirectChat | null;
  /** True when it had been sent before: everybody has it already. */
  readonly duplicate: boolean;
}

/** What follows a message that was sent. */
export interface Receipt {
  readonly acknowledge: (result: Sent | Error) => void;
  readonly publish: (sent: Sent) => void;
}

const appendRefusals: Record<
  Exclude<AppendOutcome['kind'], 'appended' | 'repeated'>,
  readonly [ErrorCode, string]
> = {
  not_member: ['forbidden', 'You are not a member of this chat.'],
  no_chat: ['not_found', 'There is no such chat.'],
  no_person: ['not_found', 'There is no such person.'],
  // The same whoever of the two has blocked the other.
  blocked: ['forbidden', "You can't write to this person."],
  other_content: ['conflict', 'Another message was sent with this CLIENT_MESSAGE_ID.'],
};

/** How each removal that was not made is answered. */
export const removalRefusals: Record<
  Exclude<RemovalOutcome['kind'], 'removed'>,
  readonly [ErrorCode, string]
> = {
  no_chat: ['not_found', 'There is no such chat.'],
  no_message: ['not_found', 'There is no such message.'],
  not_allowed: ['forbidden', 'You may not remove this message.'],
  already: ['conflict', 'This message was removed already.'],
};

export class MessageService {
  readonly #committer: Committer;

  constructor(
    private readonly store: MessageStore,
    private readonly note: Note,
    private readonly clock: () => number,
  ) {
    this.#committer = new Committer(store);
  }

  /**
   * Checks a message and fixes its place among its sender's, all in this turn. Later, in the order of the log, it is
   * acknowledged with the message once it is on disk, or with the error; then, if it is new, it is published.
   * @throws AppError `invalid` empty text; `too_large`; `forbidden` somebody else's direct chat; `not_found`
   */
  send(actor: Actor, request: SendDraft, { acknowledge, publish }: Receipt): void {
    const { mayCreateChat, clientMessageId, dueAt } = request;
    const ref = readRef(request.chatId, actor);
    const body = checkText(request.text);
    const draft = { senderUid: actor.uid, ref, body, mayCreateChat, sentAt: this.clock(), clientMessageId };
    this.#committer.append(draft, dueAt, {
      settled: (outcome) => acknowledge(sentOf(ref, outcome)),
      published: ({ message, created }) => publish({ ref, message, created, duplicate: false }),
    });
  }

  /** How many messages are neither on disk nor refused yet. */
  get unsettled(): number {
    return this.#committer.unsettled;
  }

  /** Waits until everything sent so far is on disk. */
  flush(): Promise<void> {
    return this.#committer.flush();
  }

  /** The newest messages of every chat of the actor, each ascending. */
  listRecent(actor: Actor): Promise<ChatHistory[]> {
    const most = { perChat: limits.historyPageDefault, characters: limits.recentCharacters };
    return this.store.listRecentMessages(actor.uid, most);
  }

  /** A page of one chat, ascending; null when it is none of the actor's. */
  async find(actor: Actor, chatId: string, page: HistoryPage): Promise<ChatHistory | null> {
    const ref = readChatId(chatId, actor.uid);
    const messages = ref && (await this.store.listMessages(actor.uid, ref, page));
    return ref && messages ? { ref, messages } : null;
  }

  /** A page of one chat, ascending. @throws AppError `forbidden` when it is none of the actor's */
  async list(actor: Actor, chatId: string, page: HistoryPage): Promise<ChatHistory> {
    const history = await this.find(actor, chatId, page);
    if (!history) throw new AppError('forbidden', 'You are not a member of this chat.');
    return history;
  }

  /**
   * Takes a message's text away for good; its place stays.
   * @param address where the request came from, for the audit log
   * @throws AppError `not_found` none of the actor's chats, or no such message; `forbidden` somebody else's message,
   *   unless the actor is owner or admin of the group; `conflict` removed already
   */
  async remove(
    { uid }: Actor,
    { chatId, seq }: { chatId: string; seq: number },
    address: string,
  ): Promise<void> {
    const ref = readChatId(chatId, uid);
    if (!ref) throw new AppError(...removalRefusals.no_chat);
    const now = this.clock();
    const outcome = await this.store.removeMessage({ uid, ref, seq, byOperator: false, now });
    if (outcome.kind !== 'removed') throw new AppError(...removalRefusals[outcome.kind]);
    await this.note({
      kind: 'message_removed',
      uid: outcome.message.senderUid,
      address,
      detail: `message ${seq} of chat ${chatIdFor(uid, ref)}, by ${uid}`,
    });
  }
}

function readRef(chatId: string, actor: Actor): ChatRef {
  const ref = readChatId(chatId, actor.uid);
  if (ref) return ref;
  // Whether the chat of two others exists is nobody else's business: the answer is the same either way.
  throw looksDirect(chatId)
    ? new AppError('forbidden', 'You are not a member of this chat.')
    : new AppError('not_found', 'There is no such chat.');
}

function checkText(text: string): string {
  const body = deliverableText(text);
  const shown = decodeText(body) ?? '';
  if (shown === '') throw new AppError('invalid', 'The message is empty.');
  // A text has at most as many code points as UTF-16 units, so most need no counting.
  if (shown.length > limits.messageCodePoints && [...shown].length > limits.messageCodePoints) {
    throw new AppError('too_large', `The message is longer than ${limits.messageCodePoints} characters.`);
  }
  return body;
}

function sentOf(ref: ChatRef, outcome: AppendOutcome | Error): Sent | Error {
  if (outcome instanceof Error) return outcome;
  if (outcome.kind === 'repeated') return { ref, message: outcome.message, created: null, duplicate: true };
  if (outcome.kind === 'appended') {
    return { ref, message: outcome.message, created: outcome.created, duplicate: false };
  }
  return new AppError(...appendRefusals[outcome.kind]);
}
