// Sign-up, verification, login and the one-time codes: the rules.
import type { Actor } from '../actor.ts';
import { AppError, tooFast } from '../errors.ts';
import type { Limiter } from '../infra/limiter.ts';
import type { Mailer } from '../infra/mailer.ts';
import type { Log } from '../log.ts';
import { exactMessages } from '../protocol/http.ts';
import type { Account, AccountStore, CodeLimits, CodePurpose, NewCode } from '../store/store.ts';
import { codeMail, type MailSender } from './mails.ts';
import { findPasswordFlaw } from './passwords.ts';
import { assertAllowedAddress, assertMayRegister, notInvited, type Registration } from './registration.ts';
import type { SecondFactors } from './second-factor.ts';
import { hashCode, hashPassword, newCode, newUid, verifyPassword } from './secrets.ts';
import type { Keys, Sessions } from './sessions.ts';

const codeLifetimeMs = 10 * 60 * 1000;
const unverifiedLifetimeMs = 24 * 60 * 60 * 1000;

/** The first and three resends pass at once, because people do press the button straight away. */
const codeLimits: CodeLimits = { atOnce: 4, spacingMs: 60_000, perHour: 10 };

export interface AccountDeps {
  readonly store: AccountStore;
  readonly sessions: Sessions;
  readonly secondFactors: SecondFactors;
  readonly mailer: Mailer;
  readonly limiter: Limiter;
  readonly sender: MailSender;
  readonly clock: () => number;
  readonly log: Log;
  /** False lifts the limits of resending, never those of trying. */
  readonly limitCodes: boolean;
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
}

export class AccountService {
  constructor(private readonly deps: AccountDeps) {}

  /**
   * Makes an unverified account and mails its first code.
   * @throws AppError `conflict` when the address is taken; `invalid` when registration is not for this person or the
   *   mail host refuses the address; `rate_limited`
   */
  async signUp(person: SignUp, address: string): Promise<Keys & { uid: number }> {
    const { store, limiter, sessions, registration } = this.deps;
    await limiter.consume('signUpByAddress', address);
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
      const { keys, session } = sessions.create(uid);
      const { code, row } = await this.#makeCode(uid, 'verify', person.email);
      const account = {
        ...profile,
        uid,
        picture: '',
        passwordHash,
        createdAt: now,
        expiresAt: now + unverifiedLifetimeMs,
      };
      const outcome = await store.createAccount(account, session, row, invitationHash);
      if (outcome === 'not_invited') throw notInvited();
      if (outcome === 'email_taken') throw emailTaken();
      if (outcome === 'uid_taken') continue;
      await this.#mailCode({ ...row, target: person.email }, code, () =>
        store.removeUnverified(uid, invitationHash),
      );
      return { uid, ...keys };
    }
  }

  /** @throws AppError `unauthenticated` for a wrong, expired or used-up code, or none pending */
  async verify(actor: Actor, code: string): Promise<void> {
    const refused = new AppError(
      'unauthenticated',
      'The code is wrong or no longer good. Ask for a new one.',
    );
    if (actor.verified) throw refused;
    const codeHash = await hashCode(code, codeOwner(actor.uid, 'verify'));
    if (!(await this.deps.store.verifyAccount(actor.uid, { codeHash, now: this.deps.clock() })))
      throw refused;
  }

  /**
   * Opens a session for an address and its password. One answer for an unknown address and a wrong password.
   * @throws AppError `unauthenticated`; `forbidden` when banned, with SECOND_FACTOR where a code of the second factor is
   *   missing, and with UID and COOKIE for an account still to be verified, which gets a code; `rate_limited`
   */
  async login({ email, password, code }: Login, address: string): Promise<Keys & { uid: number }> {
    const { store, limiter, sessions, secondFactors } = this.deps;
    const key = email.toLowerCase();
    await limiter.consume('loginByAddress', address);
    await limiter.consume('loginByAddressAndEmail', `${address} ${key}`);
    await limiter.consume('loginByEmail', key);
    const account = await store.findAccountByEmail(email);
    if (!(await verifyPassword(account?.passwordHash ?? null, password)) || !account) {
      throw new AppError('unauthenticated', 'The e-mail address or the password is wrong.');
    }
    await limiter.reset('loginByAddressAndEmail', `${address} ${key}`);
    await secondFactors.demand(account.uid, code, address);
    const keys = await sessions.open(account.uid);
    if (account.verified) return { uid: account.uid, ...keys };
    await this.#sendCodeIfAllowed(account);
    throw new AppError('forbidden', exactMessages.loginUnverified, {
      body: { UID: account.uid, COOKIE: keys.cookie, redirect: true },
    });
  }

  /**
   * Mails another code to the address of an account still to be verified.
   * @throws AppError `conflict` when there is nothing to verify; `rate_limited`; `invalid` when the host refuses
   */
  async resendCode(actor: Actor): Promise<void> {
    const account = await this.deps.store.findAccount(actor.uid);
    if (!account || account.verified) throw new AppError('conflict', 'This account is verified already.');
    await this.#sendCode(account.uid, 'verify', account.email);
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
    await this.#sendCode(actor.uid, 'email_change', email);
  }

  async #sendCodeIfAllowed(account: Account): Promise<void> {
    try {
      await this.#sendCode(account.uid, 'verify', account.email);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      // The answer says that a code is needed either way; an earlier one may still be good, or be asked for later.
      this.deps.log.info('no code was mailed at login', { uid: account.uid, reason: error.message });
    }
  }

  async #sendCode(uid: number, purpose: CodePurpose, target: string): Promise<void> {
    const { store, limitCodes } = this.deps;
    const { code, row } = await this.#makeCode(uid, purpose, target);
    const { waitMs } = await store.issueCode(row, limitCodes ? codeLimits : null);
    if (waitMs > 0) throw tooFast(waitMs);
    await this.#mailCode({ ...row, target }, code, () => store.withdrawCode(row));
  }

  async #makeCode(
    uid: number,
    purpose: CodePurpose,
    target: string,
  ): Promise<{ code: string; row: NewCode }> {
    const code = newCode();
    const codeHash = await hashCode(code, codeOwner(uid, purpose));
    const createdAt = this.deps.clock();
    const row = {
      uid,
      purpose,
      target: target.toLowerCase(),
      codeHash,
      createdAt,
      expiresAt: createdAt + codeLifetimeMs,
    };
    return { code, row };
  }

  /** Hands a code to the mail host; `undo` takes back what was stored for it when the host says no. */
  async #mailCode({ target, expiresAt }: NewCode, code: string, undo: () => Promise<void>): Promise<void> {
    const outcome = await this.deps.mailer.send(codeMail(this.deps.sender, target, code, expiresAt));
    if (outcome.kind === 'sent' || outcome.kind === 'queued') return;
    await undo();
    if (outcome.kind === 'refused')
      throw new AppError('invalid', 'EMAIL: the mail host refuses this address.');
    throw new AppError('rate_limited', 'The mail host asks to try again later.', {
      retryAfterMs: outcome.retryAfterMs,
    });
  }
}

/** Whose code it is and what for: the salt of its hash. */
export function codeOwner(uid: number, purpose: CodePurpose): string {
  return `${uid}:${purpose}`;
}

export function emailTaken(): AppError {
  return new AppError('conflict', exactMessages.emailTaken);
}
