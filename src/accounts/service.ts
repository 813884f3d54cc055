// Sign-up, verification, login and the one-time codes: the rules.
import type { Actor } from '../actor.ts';
import { AppError } from '../errors.ts';
import type { Guesses } from '../infra/guesses.ts';
import type { Limiter } from '../infra/limiter.ts';
import type { Mailer } from '../infra/mailer.ts';
import type { Log } from '../log.ts';
import { exactMessages } from '../protocol/http.ts';
import type { Account, AccountStore, Note } from '../store/store.ts';
import { maskEmail } from './audit.ts';
import { codeOwner, type OneTimeCodes } from './codes.ts';
import type { MailSender } from './mails.ts';
import { findPasswordFlaw } from './passwords.ts';
import { assertAllowedAddress, assertMayRegister, notInvited, type Registration } from './registration.ts';
import { type SecondFactors, wrongCode } from './second-factor.ts';
import {
  assertHashingHasRoom,
  hashCode,
  hashPassword,
  hashSecret,
  newUid,
  verifyPassword,
} from './secrets.ts';
import { banned, type Keys, type Origin, type Sessions } from './sessions.ts';

const unverifiedLifetimeMs = 24 * 60 * 60 * 1000;

export interface AccountDeps {
  readonly store: AccountStore;
  readonly sessions: Sessions;
  readonly secondFactors: SecondFactors;
  readonly codes: OneTimeCodes;
  readonly mailer: Mailer;
  readonly limiter: Limiter;
  /** Delays those who guess passwords, by the hash of the address they try. */
  readonly loginGuesses: Guesses;
  /** Delays those who guess passwords with a session of the account, by session. */
  readonly passwordGuesses: Guesses;
  /** Delays those who guess mailed codes that prove an address, by whose code and what for. */
  readonly codeGuesses: Guesses;
  readonly sender: MailSender;
  readonly note: Note;
  readonly clock: () => number;
  readonly log: Log;
  readonly registration: Registration;
}

export interface SignUp {
  readonly firstName: string;
  readonly lastName: string;
  readonly email: string;
  readonly phone: string;
  readonly dob: string | null;
  readonly password: string;
  /** '' for none. */
  readonly invitation: string;
}

export interface Login {
  readonly email: string;
  readonly password: string;
  /** A code of the second factor, or null where none was entered. */
  readonly code: string | null;
  /** A session that the asker has already, as he shows it. */
  readonly shown: { readonly uid: number; readonly cookie: string } | null;
}

export class AccountService {
  constructor(private readonly deps: AccountDeps) {}

  /**
   * Makes an unverified account and mails its first code.
   * @throws AppError `conflict` when the address is taken; `invalid` when registration is not for this person or the
   *   mail host refuses the address; `rate_limited`
   */
  async signUp(person: SignUp, from: Origin): Promise<Keys & { uid: number }> {
    const { store, sessions, codes, registration, note } = this.deps;
    const { address } = from;
    const { password, invitation, ...profile } = person;
    const now = this.deps.clock();
    const invitationHash = await assertMayRegister(registration, invitation, now, store);
    assertAllowedAddress(registration, person.email);
    const flaw = await findPasswordFlaw(person.password, person);
    if (flaw) throw new AppError('invalid', `PASSWORD ${flaw}.`);
    if (await store.isEmailTaken(person.email, 0, now)) throw emailTaken();

    const passwordHash = await hashPassword(password);
    for (;;) {
      const uid = newUid();
      const { keys, session } = sessions.create(uid, from);
      const made = await codes.make(uid, 'verify', person.email);
      const account = {
        ...profile,
        uid,
        picture: '',
        passwordHash,
        createdAt: now,
        expiresAt: now + unverifiedLifetimeMs,
      };
      const outcome = await store.createAccount(account, session, made.row, invitationHash);
      if (outcome === 'not_invited') throw notInvited();
      if (outcome === 'email_taken') throw emailTaken();
      if (outcome === 'uid_taken') continue;
      await codes.mail(made, person.email, () => store.removeUnverified(uid, invitationHash));
      await note({ kind: 'sign_up', uid, address });
      return { uid, ...keys };
    }
  }

  /** @throws AppError `unauthenticated` for a wrong, expired or used-up code, or none pending; `rate_limited` */
  async verify(actor: Actor, code: string, address: string): Promise<void> {
    const refused = new AppError(
      'unauthenticated',
      'The code is wrong or no longer good. Ask for a new one.',
    );
    if (actor.verified) throw refused;
    const whose = codeOwner(actor.uid, 'verify');
    // Each new code has five tries: without a delay who asks for codes again and again would hit one at last.
    await this.deps.codeGuesses.begin(whose);
    const codeHash = await hashCode(code, whose);
    if (!(await this.deps.store.verifyAccount(actor.uid, { codeHash, now: this.deps.clock() })))
      throw refused;
    await this.deps.note({ kind: 'verified', uid: actor.uid, address });
  }

  /**
   * Opens a session for an address and its password. One answer for an unknown address and a wrong password.
   * @throws AppError `unauthenticated`; `forbidden` when banned, with SECOND_FACTOR where a code of the second factor is
   *   missing, and with UID and COOKIE for an account still to be verified, which gets a code; `rate_limited`
   */
  async login({ email, password, code, shown }: Login, from: Origin): Promise<Keys & { uid: number }> {
    const { store, sessions, secondFactors, note } = this.deps;
    const { address } = from;
    const wrong = new AppError('unauthenticated', 'The e-mail address or the password is wrong.');
    const account = await store.findAccountByEmail(email);
    const forget = await this.#limitGuesses(email, account, shown);
    if (!(await verifyPassword(account?.passwordHash ?? null, password)) || !account) {
      await note({ kind: 'login_failed', uid: account?.uid ?? null, address, detail: maskEmail(email) });
      throw wrong;
    }
    // What keeps an account from logging in is told from here on: only to who knows its password.
    await forget();
    if (account.banned) throw banned(); // before a recovery code is used up for nothing
    if (!(await secondFactors.demand(account.uid, code, address))) {
      const detail = 'right password, wrong second factor';
      await note({ kind: 'login_failed', uid: account.uid, address, detail });
      throw wrongCode();
    }
    const keys = await sessions.open(account, from);
    if (!keys) throw wrong;
    if (account.verified) return { uid: account.uid, ...keys };
    await this.#sendCodeIfAllowed(account);
    throw new AppError('forbidden', exactMessages.loginUnverified, {
      body: { UID: account.uid, COOKIE: keys.cookie, redirect: true },
    });
  }

  /**
   * Others' guesses must not lock the owner out: who shows a live session of that very account is delayed by what was
   * guessed with that session, as when he changes its settings, not by what was guessed at the address.
   * @returns what forgets the guesses once one was right
   * @throws AppError `rate_limited`
   */
  async #limitGuesses(
    email: string,
    account: Account | null,
    shown: Login['shown'],
  ): Promise<() => Promise<void>> {
    const { sessions, loginGuesses, passwordGuesses } = this.deps;
    const asker = shown && (await sessions.authenticate(shown));
    const session = asker && asker.uid === account?.uid ? String(asker.sessionId) : null;
    assertHashingHasRoom();
    await (session ? passwordGuesses.begin(session) : loginGuesses.begin(guessKey(email)));
    return async () => {
      await loginGuesses.succeed(guessKey(email));
      if (session) await passwordGuesses.succeed(session);
    };
  }

  /**
   * Mails another code to the address of an account still to be verified.
   * @throws AppError `conflict` when there is nothing to verify; `rate_limited`; `invalid` when the host refuses
   */
  async resendCode(actor: Actor): Promise<void> {
    const account = await this.deps.store.findAccount(actor.uid);
    if (!account || account.verified) throw new AppError('conflict', 'This account is verified already.');
    await this.deps.codes.send(account.uid, 'verify', account.email);
  }

  /**
   * Mails a code to the address that an account wants to change to.
   * @throws AppError `conflict` when the address is taken; `unauthenticated` before verification; `rate_limited`;
   *   `invalid` when there is no address, it is not allowed, or the host refuses it
   */
  async sendEmailChangeCode(actor: Actor, email: string): Promise<void> {
    if (!actor.verified) throw new AppError('unauthenticated', 'Verify the account first.');
    if (email === '') throw new AppError('invalid', 'EMAIL is missing: the new address.');
    assertAllowedAddress(this.deps.registration, email);
    const account = await this.deps.store.findAccount(actor.uid);
    if (account?.email.toLowerCase() === email.toLowerCase()) {
      throw new AppError('conflict', 'This is the address of your account already.');
    }
    if (await this.deps.store.isEmailTaken(email, actor.uid, this.deps.clock())) throw emailTaken();
    await this.deps.codes.send(actor.uid, 'email_change', email);
  }

  async #sendCodeIfAllowed(account: Account): Promise<void> {
    try {
      await this.deps.codes.send(account.uid, 'verify', account.email);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      // The answer says that a code is needed either way; an earlier one may still be good, or be asked for later.
      this.deps.log.info('no code was mailed at login', { uid: account.uid, reason: error.message });
    }
  }
}

/** One size, whatever was typed, and the same for every spelling of an address. */
export function guessKey(email: string): string {
  return hashSecret(email.toLowerCase());
}

export function emailTaken(): AppError {
  return new AppError('conflict', exactMessages.emailTaken);
}
