// Forgotten passwords: a code by mail sets a new one. Nothing here says whether an address has an account.
import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { AppError } from '../errors.ts';
import type { Guesses } from '../infra/guesses.ts';
import type { Account } from '../store/store.ts';
import { codeOwner } from './codes.ts';
import { notify, passwordResetMail } from './mails.ts';
import { findPasswordFlaw } from './passwords.ts';
import { hashCode, hashPassword } from './secrets.ts';
import { type AccountDeps, guessKey } from './service.ts';

/** Whose number is hashed with where there is no account: nobody's. */
const nobody = 0;

export interface PasswordReset {
  readonly email: string;
  readonly code: string;
  readonly newPassword: string;
}

export class PasswordRecovery {
  /** Codes that were asked for and are not mailed yet. */
  readonly #held = new Set<Promise<void>>();
  readonly #hurry = new AbortController();

  constructor(
    /** Delays those who guess codes, by the hash of the address they try. */
    private readonly deps: AccountDeps & { readonly resetGuesses: Guesses },
  ) {}

  /**
   * Mails a code to the address if it has an account. Until the answer the work is the same for every address; what
   * differs comes after it.
   * @throws AppError `rate_limited`
   * @see https://cheatsheetseries.owasp.org/cheatsheets/Forgot_Password_Cheat_Sheet.html
   */
  async forgot(email: string): Promise<void> {
    const { limiter, codes, log } = this.deps;
    await limiter.consume('forgotByEmail', guessKey(email));
    await limiter.consume('forgotByEmailDaily', guessKey(email));
    const account = await this.#findOwner(email);
    const made = await codes.make(account?.uid ?? nobody, 'reset', email);
    if (!account) return;
    // Not at once either: a request sent right behind this one would have to wait for the disk, and tell.
    const mailing = this.#hold()
      .then(() => codes.mailReset(made, account.email))
      .catch((error: unknown) => log.error('a code for a new password could not be mailed', { error }))
      .finally(() => this.#held.delete(mailing));
    this.#held.add(mailing);
  }

  /** Hands every code over that is held back, because the server stops: whoever waits for one would wait in vain. */
  async stop(): Promise<void> {
    this.#hurry.abort();
    await Promise.all(this.#held);
  }

  /**
   * Sets a new password by a mailed code, verifies the account and ends all its sessions. The order keeps every refusal
   * mute: what can be said of the password without an account is said first, what takes its names only with a right code.
   * @throws AppError `unauthenticated` for a wrong, expired or used code and for an unknown address; `invalid` for a
   *   password that must not be; `rate_limited`
   */
  async reset({ email, code, newPassword }: PasswordReset, address: string): Promise<void> {
    const { store, resetGuesses } = this.deps;
    const stranger = { email, firstName: '', lastName: '' };
    throwFlaw(await findPasswordFlaw(newPassword, stranger));
    await resetGuesses.begin(guessKey(email));
    const account = await this.#findOwner(email);
    const owner = { uid: account?.uid ?? nobody, target: email.toLowerCase() };
    const codeHash = await hashCode(code, codeOwner(owner.uid, 'reset'));
    const passwordHash = await hashPassword(newPassword);
    const flaw = await findPasswordFlaw(newPassword, account ?? stranger);
    const tried = { codeHash, now: this.deps.clock() };
    const outcome = await store.resetPassword(owner, tried, flaw ? null : passwordHash);
    if (outcome === 'wrong_code' || !account) {
      throw new AppError('unauthenticated', 'The code is wrong or no longer good. Ask for a new one.');
    }
    throwFlaw(flaw);
    await this.#tell(account, outcome, address);
  }

  async #hold(): Promise<void> {
    const { signal } = this.#hurry;
    await sleep(randomInt(20, 300), undefined, { signal }).catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
  }

  /** The account that may have its password reset by a mail to this address; null is answered like no account at all. */
  async #findOwner(email: string): Promise<Account | null> {
    const account = await this.deps.store.findAccountByEmail(email);
    return account?.banned ? null : account;
  }

  /** Who proved that the mailbox is his is no longer delayed for what others guessed. */
  async #tell(
    { uid, email }: Account,
    { ended, wasVerified }: { ended: number; wasVerified: boolean },
    address: string,
  ): Promise<void> {
    const { note, sender, clock, loginGuesses, resetGuesses } = this.deps;
    await Promise.all([loginGuesses.succeed(guessKey(email)), resetGuesses.succeed(guessKey(email))]);
    await note({ kind: 'password_reset', uid, address, detail: `${ended} sessions ended` });
    if (!wasVerified) await note({ kind: 'verified', uid, address, detail: 'by a password reset' });
    await notify(this.deps, passwordResetMail(sender, email, clock()));
  }
}

function throwFlaw(flaw: string | null): void {
  if (flaw) throw new AppError('invalid', `NEW_PASSWORD ${flaw}.`);
}
