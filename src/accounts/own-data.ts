// One's own data: having it all, and having it erased. Both ask for the password, which a stolen session does not have.
import type { Actor } from '../actor.ts';
import { AppError } from '../errors.ts';
import type { Guesses } from '../infra/guesses.ts';
import type { Limiter } from '../infra/limiter.ts';
import type { Mailer } from '../infra/mailer.ts';
import type { Log } from '../log.ts';
import { chatIdFor, wireTime } from '../protocol/entities.ts';
import type {
  LogPlace,
  MessagesFate,
  OwnAccount,
  OwnChat,
  OwnDataStore,
  OwnMessage,
} from '../store/own-data-store.ts';
import type { Account, AccountStore, Note } from '../store/store.ts';
import { accountDeletedMail, type MailSender, notify } from './mails.ts';
import { provePassword } from './passwords.ts';
import { type SecondFactors, wrongCode } from './second-factor.ts';
import { addressNew } from './sessions.ts';

const chatsAtOnce = 200;

interface OwnDataDeps {
  readonly store: OwnDataStore & Pick<AccountStore, 'findAccount'>;
  readonly secondFactors: SecondFactors;
  readonly mailer: Mailer;
  readonly limiter: Limiter;
  /** Delays who guesses passwords, by session. */
  readonly passwordGuesses: Guesses;
  readonly sender: MailSender;
  readonly note: Note;
  readonly clock: () => number;
  readonly log: Log;
}

export interface ErasureRequest {
  readonly password: string;
  readonly messages: MessagesFate;
  /** Of the second factor, where one is on; null when none was entered. */
  readonly code: string | null;
}

export class OwnData {
  constructor(private readonly deps: OwnDataDeps) {}

  /**
   * Erases the actor's account for good; a mail confirms it. Takes as long as it takes to go through the message log.
   * @throws AppError `unauthenticated` for a wrong password or code or an ended session; `forbidden` when a second
   *   factor is on and no code was entered; `conflict` when the session is younger than a change of address that can still
   *   be undone; `rate_limited`; `unavailable`
   */
  async erase(actor: Actor, request: ErasureRequest, address: string): Promise<void> {
    const { store, secondFactors, sender, note, clock } = this.deps;
    const { password, messages, code } = request;
    const { email } = await this.#prove(actor, password);
    if (!(await secondFactors.demand(actor.uid, code, address))) throw wrongCode();
    const at = clock();
    const refusal = await store.eraseAccount({ uid: actor.uid, at, messages }, actor.sessionId);
    if (refusal === 'address_new') throw addressNew();
    if (refusal !== null) throw gone();
    await note({ kind: 'account_deleted', uid: actor.uid, address, detail: `messages: ${messages}` });
    await this.#clear([actor.uid]);
    await notify(this.deps, accountDeletedMail(sender, email, messages, at));
  }

  /** Clears the message log of chats that nobody is in any more, and of what could not be cleared when it was erased. */
  async clearLeftovers(goesOn: () => boolean): Promise<void> {
    await this.#clear(await this.deps.store.listUncleared(), goesOn);
  }

  /**
   * All that is kept of the actor, as the pieces of one JSON object; each is read when it is asked for, so that a
   * million messages take no more memory than a hundred.
   * @throws AppError `unauthenticated` for a wrong password; `rate_limited`
   */
  async export(actor: Actor, password: string, address: string): Promise<AsyncIterable<string>> {
    await this.#prove(actor, password);
    await this.deps.limiter.consume('exportByAccount', String(actor.uid));
    const own = await this.deps.store.findOwnAccount(actor.uid);
    if (!own) throw gone();
    await this.deps.note({ kind: 'data_exported', uid: actor.uid, address });
    return this.#pieces(own, await this.deps.secondFactors.isOn(actor.uid));
  }

  async *#pieces(own: OwnAccount, hasSecondFactor: boolean): AsyncGenerator<string> {
    const { uid } = own.account;
    const head = {
      message: 'OK',
      EXPORTED_ON: wireTime(this.deps.clock()),
      ...accountOnWire(own, hasSecondFactor),
    };
    yield `${JSON.stringify(head).slice(0, -1)},"chats":[`;
    yield* joined(this.#chats(uid), (chat) => chatOnWire(uid, chat));
    yield '],"messages":[';
    yield* joined(this.#messages(uid), (message) => messageOnWire(uid, message));
    yield ']}\n';
  }

  async *#chats(uid: number): AsyncGenerator<readonly OwnChat[]> {
    let place = 0;
    for (;;) {
      const chats = await this.deps.store.listOwnChats(uid, place, chatsAtOnce);
      const last = chats.at(-1);
      if (!last) return;
      yield chats;
      place = last.place;
    }
  }

  async *#messages(uid: number): AsyncGenerator<readonly OwnMessage[]> {
    let place: LogPlace | null = null;
    do {
      const page: Awaited<ReturnType<OwnDataStore['listOwnMessages']>> =
        await this.deps.store.listOwnMessages(uid, place);
      yield page.messages;
      place = page.next;
      await new Promise(setImmediate); // the whole log is gone through: others have their turn in between
    } while (place);
  }

  /** The accounts are gone whatever becomes of this: what fails, or is cut off by a stop, is done later. */
  async #clear(uids: readonly number[], goesOn = () => true): Promise<void> {
    const { store, log } = this.deps;
    const turn = () => new Promise(setImmediate); // messages that came meanwhile go first
    try {
      while (goesOn() && (await store.removeNextAbandoned())) await turn();
      for (const uid of uids) {
        let place: LogPlace | null = null;
        do {
          place = await store.clearNext(uid, place);
          await turn();
        } while (place && goesOn());
      }
    } catch (error) {
      log.warn('the message log still has something of what was deleted', { uids, error });
    }
  }

  async #prove({ uid, sessionId }: Actor, password: string): Promise<Account> {
    const account = await this.deps.store.findAccount(uid);
    if (!account) throw gone();
    await provePassword(this.deps.passwordGuesses, { account, sessionId }, password);
    return account;
  }
}

function gone(): AppError {
  return new AppError('unauthenticated', 'This account or session does not exist any more.');
}

/** The items of all pages as JSON with commas between them, one piece for each page that has any. */
async function* joined<T>(
  pages: AsyncIterable<readonly T[]>,
  onWire: (item: T) => unknown,
): AsyncGenerator<string> {
  let comma = '';
  for await (const page of pages) {
    if (page.length === 0) continue;
    yield comma + page.map((item) => JSON.stringify(onWire(item))).join(',');
    comma = ',';
  }
}

function accountOnWire(own: OwnAccount, hasSecondFactor: boolean) {
  const { account, createdAt, verifiedAt, sessions, blockedUids } = own;
  return {
    account: {
      UID: account.uid,
      FIRST_NAME: account.firstName,
      LAST_NAME: account.lastName,
      EMAIL: account.email,
      PHONE: account.phone,
      DOB: account.dob,
      PROFILE_PIC: account.picture,
      CREATION_DATE: wireTime(createdAt),
      VERIFIED_ON: verifiedAt === null ? null : wireTime(verifiedAt),
      SECOND_FACTOR: hasSecondFactor,
      BLOCKED: blockedUids,
    },
    sessions: sessions.map((session) => ({
      SESSION_ID: session.id,
      CREATED_ON: wireTime(session.createdAt),
      LAST_USED_ON: wireTime(session.lastUsedAt),
      DEVICE: session.device,
    })),
  };
}

function chatOnWire(uid: number, { ref, name, createdAt, role, joinedAt, readSeq }: OwnChat) {
  return {
    GROUP_ID: chatIdFor(uid, ref),
    NAME: name,
    KIND: ref.kind,
    CREATION_DATE: wireTime(createdAt),
    ROLE: role,
    JOINED_ON: wireTime(joinedAt),
    READ_MESSAGE_ID: readSeq,
  };
}

function messageOnWire(uid: number, { ref, seq, sentAt, body, removedAt }: OwnMessage) {
  return {
    GROUP_ID: chatIdFor(uid, ref),
    MESSAGE_ID: seq,
    TIME_STAMP: wireTime(sentAt),
    MESSAGE: body,
    ...(removedAt === null ? {} : { REMOVED: true }),
  };
}
