// The optional second factor of a login: codes by time from an authenticator (RFC 6238), recovery codes for its loss.
import { generateSecret, generateURI, verifySync } from 'otplib';
import type { Actor } from '../actor.ts';
import { AppError } from '../errors.ts';
import type { Guesses } from '../infra/guesses.ts';
import type { Mailer } from '../infra/mailer.ts';
import type { Log } from '../log.ts';
import type {
  Account,
  AccountStore,
  FactorProof,
  Note,
  SecondFactor,
  SecondFactorStore,
} from '../store/store.ts';
import { type MailSender, notify, secondFactorMail } from './mails.ts';
import { provePassword } from './passwords.ts';
import { hashSecret, newRecoveryCode } from './secrets.ts';
import { addressNew } from './sessions.ts';

const stepSeconds = 30;
const recoveryCodeCount = 10;

const auditKinds = {
  on: 'second_factor_on',
  off: 'second_factor_off',
  renewed: 'recovery_codes_renewed',
} as const;

interface SecondFactorDeps {
  readonly store: SecondFactorStore & Pick<AccountStore, 'findAccount'>;
  /** Delays who guesses passwords, by session. */
  readonly passwordGuesses: Guesses;
  /** Delays who guesses, by account: each try is at three codes of a million. Sessions go on meanwhile. */
  readonly guesses: Guesses;
  /** Its name is what authenticators show beside the code. */
  readonly sender: MailSender;
  readonly mailer: Mailer;
  readonly note: Note;
  readonly clock: () => number;
  readonly log: Log;
}

/** What somebody enters to prove a factor, and from which address. */
export interface EnteredCode {
  /** Six digits, or a recovery code. */
  readonly code: string;
  readonly address: string;
}

export class SecondFactors {
  constructor(private readonly deps: SecondFactorDeps) {}

  /** Whether a login of this account needs a code. */
  async isOn(uid: number): Promise<boolean> {
    return (await this.deps.store.findSecondFactor(uid))?.confirmed === true;
  }

  /**
   * The second step, after a password that was right. True when the code is right or the account has no factor in force,
   * false when it is wrong or used; the caller knows what that amounts to.
   * @throws AppError `forbidden` with SECOND_FACTOR when `code` is null; `rate_limited` after too many wrong ones
   */
  async demand(uid: number, code: string | null, address: string): Promise<boolean> {
    const factor = await this.deps.store.findSecondFactor(uid);
    if (!factor?.confirmed) return true;
    if (code === null) {
      throw new AppError('forbidden', 'Second factor needed', { body: { SECOND_FACTOR: true } });
    }
    const use = (proof: FactorProof) => this.deps.store.redeemFactorProof(uid, proof);
    return this.#redeem(uid, factor, { code, address }, use);
  }

  /**
   * Makes a secret that is in force once confirmed; the one before it, never confirmed, is forgotten.
   * @returns the secret in Base32 and the URI that authenticators scan
   * @throws AppError `conflict` when a factor is in force, or the session is younger than a change of address that can
   *   still be undone; `unauthenticated` for a wrong password; `rate_limited`
   * @see https://github.com/google/google-authenticator/wiki/Key-Uri-Format
   */
  async enroll(actor: Actor, password: string): Promise<{ secret: string; uri: string }> {
    const taken = new AppError('conflict', 'A second factor is on already.');
    if (await this.isOn(actor.uid)) throw taken;
    const { email } = await this.#provePassword(actor, password);
    const secret = generateSecret();
    const outcome = await this.deps.store.enrollSecondFactor(actor, secret, this.deps.clock());
    if (outcome === 'address_new') throw addressNew();
    if (outcome === 'session_ended') throw new AppError('unauthenticated', 'This session has ended.');
    if (outcome === 'on_already') throw taken;
    const issuer = this.deps.sender.serviceName.replaceAll(':', ' '); // a colon ends it in the URI's label
    return { secret, uri: generateURI({ issuer, label: email, secret }) };
  }

  /**
   * Puts the enrolled secret in force.
   * @returns the recovery codes, which are never shown again
   * @throws AppError `conflict` when none is to be confirmed; `unauthenticated` for a wrong code; `rate_limited`
   */
  async confirm(actor: Actor, entered: EnteredCode): Promise<string[]> {
    const factor = await this.deps.store.findSecondFactor(actor.uid);
    if (!factor || factor.confirmed) throw new AppError('conflict', 'There is no second factor to confirm.');
    const { codes, codeHashes } = newRecoveryCodes();
    const confirmed = { codeHashes, now: this.deps.clock() };
    const use = (proof: FactorProof) => this.deps.store.confirmSecondFactor(actor, proof, confirmed);
    if (!(await this.#redeem(actor.uid, factor, entered, use))) throw wrongCode();
    await this.#tell('on', actor, entered.address);
    return codes;
  }

  /**
   * Switches the factor off and forgets its secret and recovery codes.
   * @throws AppError `conflict` when none is in force; `unauthenticated` for a wrong password or code; `rate_limited`
   */
  async disable(actor: Actor, password: string, entered: EnteredCode): Promise<void> {
    const factor = await this.#getFactor(actor);
    await this.#provePassword(actor, password);
    const use = (proof: FactorProof) => this.deps.store.removeSecondFactor(actor, proof);
    if (!(await this.#redeem(actor.uid, factor, entered, use))) throw wrongCode();
    await this.#tell('off', actor, entered.address);
  }

  /**
   * Replaces all recovery codes.
   * @returns the new ones, which are never shown again
   * @throws AppError `conflict` when none is in force; `unauthenticated` for a wrong password or code; `rate_limited`
   */
  async renewRecoveryCodes(actor: Actor, password: string, entered: EnteredCode): Promise<string[]> {
    const factor = await this.#getFactor(actor);
    await this.#provePassword(actor, password);
    const { codes, codeHashes } = newRecoveryCodes();
    const use = (proof: FactorProof) => this.deps.store.replaceRecoveryCodes(actor, proof, codeHashes);
    if (!(await this.#redeem(actor.uid, factor, entered, use))) throw wrongCode();
    await this.#tell('renewed', actor, entered.address);
    return codes;
  }

  /** Notes a change and mails it: who knows the password may have made it without the owner. */
  async #tell(change: keyof typeof auditKinds, { uid }: Actor, address: string): Promise<void> {
    const { store, note, sender, clock } = this.deps;
    await note({ kind: auditKinds[change], uid, address });
    const account = await store.findAccount(uid);
    if (account) await notify(this.deps, secondFactorMail(sender, account.email, change, clock()));
  }

  async #getFactor(actor: Actor): Promise<SecondFactor> {
    const factor = await this.deps.store.findSecondFactor(actor.uid);
    if (!factor?.confirmed) throw new AppError('conflict', 'There is no second factor that is on.');
    return factor;
  }

  async #provePassword({ uid, sessionId }: Actor, password: string): Promise<Account> {
    const account = await this.deps.store.findAccount(uid);
    if (!account) throw new AppError('unauthenticated', 'This account does not exist any more.');
    await provePassword(this.deps.passwordGuesses, { account, sessionId }, password);
    return account;
  }

  /**
   * Tries a code; `use` does what it proves, or says that it proves nothing. False when it is wrong.
   * @throws AppError `rate_limited` after too many wrong ones
   */
  async #redeem(
    uid: number,
    factor: SecondFactor,
    { code, address }: EnteredCode,
    use: (proof: FactorProof) => Promise<boolean>,
  ): Promise<boolean> {
    const { guesses, note, clock } = this.deps;
    await guesses.begin(String(uid));
    const proof = proofOf(code, factor.secret, clock());
    if (!proof || !(await use(proof))) return false;
    await guesses.succeed(String(uid));
    if (proof.kind === 'recovery') await note({ kind: 'recovery_code_used', uid, address });
    return true;
  }
}

export function wrongCode(): AppError {
  return new AppError('unauthenticated', 'The code of the second factor is wrong or was used already.');
}

/**
 * What an entered code amounts to; null for six digits that are wrong now. A clock may be one step off to either side,
 * and codes are compared in constant time. Blanks and hyphens are how codes are shown, not part of them.
 * @see RFC 6238, 5.2 and 6
 */
function proofOf(entered: string, secret: string, now: number): FactorProof | null {
  const code = entered.replace(/[\s-]/g, '').toUpperCase();
  if (!/^\d{6}$/.test(code)) return { kind: 'recovery', codeHash: hashSecret(code) };
  const found = verifySync({
    secret,
    token: code,
    epoch: Math.floor(now / 1000),
    epochTolerance: stepSeconds,
  });
  return found.valid && 'timeStep' in found ? { kind: 'step', secret, step: found.timeStep } : null;
}

/** SHA-256 is enough for them: no one guesses 73 bits. */
function newRecoveryCodes(): { codes: string[]; codeHashes: string[] } {
  const codes = Array.from({ length: recoveryCodeCount }, newRecoveryCode);
  return { codes, codeHashes: codes.map((code) => hashSecret(code.replaceAll('-', ''))) };
}
