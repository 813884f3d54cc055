// Reading and changing one's settings: profile, e-mail address by code, password; and undoing a stolen address.
import type { z } from 'zod';
import type { Actor } from '../actor.ts';
import { AppError } from '../errors.ts';
import { type accountEndpoints, settingsRules } from '../protocol/http-accounts.ts';
import type { Person } from '../store/chat-store.ts';
import type { Account, NewCode, SettingsChange } from '../store/store.ts';
import { codeOwner } from './codes.ts';
import { emailChangedMail, notify, passwordChangedMail } from './mails.ts';
import { findPasswordFlaw, type PasswordOwner, provePassword } from './passwords.ts';
import { assertAllowedAddress } from './registration.ts';
import { hashCode, hashPassword, hashSecret, newPassword, newUndoCode } from './secrets.ts';
import { type AccountDeps, emailTaken } from './service.ts';

const undoLifetimeMs = 7 * 24 * 60 * 60 * 1000;

export type SentSettings = z.output<typeof accountEndpoints.changeSettings.request>;
type RuledField = keyof typeof settingsRules;

export class ProfileService {
  constructor(private readonly deps: AccountDeps) {}

  /** @throws AppError `unauthenticated` when the account is gone */
  async getAccount(actor: Actor): Promise<Account> {
    const account = await this.deps.store.findAccount(actor.uid);
    if (!account) throw new AppError('unauthenticated', 'This account does not exist any more.');
    return account;
  }

  /** The picture's address, or `''` for an account without one, and for one that nobody can find. */
  async findPicture(uid: number): Promise<string> {
    const account = await this.deps.store.findAccount(uid);
    return account?.verified && !account.banned ? account.picture : '';
  }

  /** Everybody, the actor too; the very same array as long as nothing changed. */
  listAllPeople(): Promise<readonly Person[]> {
    return this.deps.store.listAllPeople();
  }

  /** Whom the actor's list of people must not have: himself, and whoever has blocked whom. */
  listHiddenFrom(actor: Actor): Promise<number[]> {
    return this.deps.store.listHiddenFrom(actor.uid);
  }

  /** Verified accounts but those hidden from the asker, by ascending number; may be empty. */
  listPeople(actor: Actor, page: { prefix: string; after: number; limit: number | null }): Promise<Person[]> {
    return this.deps.store.listPeople(actor.uid, page);
  }

  /**
   * Changes what differs from what is stored, all or nothing.
   * @throws AppError `conflict` empty request or address taken; `invalid` a bad value; `unauthenticated` wrong PASSWORD
   *   or OTP; `forbidden` a new address without a code asked for, or NEW_PASSWORD without PASSWORD
   */
  async change(actor: Actor, sent: SentSettings, address: string): Promise<Account> {
    const account = await this.getAccount(actor);
    const { OTP: code = '', PASSWORD: password = '', NEW_PASSWORD: newPassword = '' } = sent;
    if (isEmpty(sent)) throw new AppError('conflict', 'Nothing to change was sent.');
    const changed = changedFields(sent, account);
    const { sessionId } = actor;
    if (password) await provePassword(this.deps.passwordGuesses, { account, sessionId }, password);
    if (newPassword) await checkNewPassword(password, newPassword, [account, withChanges(account, changed)]);

    const now = this.deps.clock();
    const { EMAIL: newEmail, ...fields } = changed;
    if (newEmail) assertAllowedAddress(this.deps.registration, newEmail);
    const { change: email, undoCode } = newEmail
      ? await this.#emailChange(account, newEmail, code, now)
      : { change: undefined, undoCode: '' };
    const outcome = await this.deps.store.changeSettings(actor.uid, {
      fields: {
        ...columnsOf(fields),
        ...(newPassword ? { passwordHash: await hashPassword(newPassword) } : {}),
      },
      ...(email ? { email } : {}),
      sessionId,
      endsOtherSessions: newPassword !== '',
      now,
    });
    if (outcome === 'session_ended') throw new AppError('unauthenticated', 'This session has ended.');
    if (outcome === 'email_taken') throw emailTaken();
    if (outcome === 'no_code') throw new AppError('forbidden', 'Ask for a code for the new address first.');
    if (outcome === 'wrong_code') throw new AppError('unauthenticated', 'OTP is wrong or no longer good.');
    const { sender, note } = this.deps;
    const { uid } = actor;
    if (email) {
      await note({ kind: 'email_changed', uid, address });
      await notify(this.deps, emailChangedMail(sender, account.email, undoCode, email.undo.expiresAt));
    }
    if (newPassword) {
      await note({ kind: 'password_changed', uid, address, detail: 'all other sessions ended' });
      await notify(this.deps, passwordChangedMail(sender, account.email, now));
    }
    return this.getAccount(actor);
  }

  /**
   * Gives an account back the address it had, and ends all its sessions. Its password is gone: whoever had taken it may
   * know or have set that, so that a mail to the address has to set another.
   * @throws AppError `unauthenticated` for a wrong, used or expired code
   */
  async undoEmailChange(email: string, code: string, address: string): Promise<void> {
    const tried = { codeHash: hashSecret(code.toUpperCase()), now: this.deps.clock() };
    const uid = await this.deps.store.undoEmailChange(email, tried, await hashPassword(newPassword()));
    if (uid === null) throw new AppError('unauthenticated', 'The code is wrong or no longer good.');
    const detail = 'all sessions ended, password voided';
    await this.deps.note({ kind: 'email_change_undone', uid, address, detail });
  }

  async #emailChange(account: Account, address: string, code: string, now: number) {
    const undoCode = newUndoCode();
    const undo: NewCode = {
      uid: account.uid,
      purpose: 'email_undo',
      target: account.email.toLowerCase(),
      codeHash: hashSecret(undoCode),
      createdAt: now,
      expiresAt: now + undoLifetimeMs,
    };
    const whose = codeOwner(account.uid, 'email_change');
    if (code !== '') await this.deps.codeGuesses.begin(whose);
    const codeHash = code === '' ? null : await hashCode(code, whose);
    return { change: { address, proof: { codeHash, now }, undo }, undoCode };
  }
}

/** A new password must suit who one was and who the same request makes one. */
async function checkNewPassword(password: string, newPassword: string, owners: readonly PasswordOwner[]) {
  if (password === '') throw new AppError('forbidden', 'NEW_PASSWORD needs the current PASSWORD.');
  for (const owner of owners) {
    const flaw = await findPasswordFlaw(newPassword, owner);
    if (flaw) throw new AppError('invalid', `NEW_PASSWORD ${flaw}.`);
  }
}

function withChanges(account: Account, changed: Partial<Record<RuledField, string>>): PasswordOwner {
  const { FIRST_NAME: firstName, LAST_NAME: lastName, EMAIL: email } = changed;
  return {
    firstName: firstName ?? account.firstName,
    lastName: lastName ?? account.lastName,
    email: email ?? account.email,
  };
}

function isEmpty(sent: SentSettings): boolean {
  const { OTP, PASSWORD, NEW_PASSWORD, ...fields } = sent;
  return !OTP && !PASSWORD && !NEW_PASSWORD && Object.values(fields).every((value) => value === undefined);
}

/**
 * The fields that differ from what is stored, held to the rules. Unchanged ones are not: the client always sends all,
 * and an imported account may have a name that the rules refuse.
 */
function changedFields(sent: SentSettings, account: Account): Partial<Record<RuledField, string>> {
  const stored: Record<RuledField, string> = {
    FIRST_NAME: account.firstName,
    LAST_NAME: account.lastName,
    EMAIL: account.email,
    PHONE: account.phone,
    DOB: account.dob ?? '',
    PROFILE_PIC: account.picture,
    NEW_PASSWORD: '',
  };
  const changed: Partial<Record<RuledField, string>> = {};
  for (const name of Object.keys(settingsRules) as RuledField[]) {
    // Blanks are part of a password, and one of nothing else is not none.
    const value = name === 'NEW_PASSWORD' ? sent[name] : sent[name]?.trim();
    if (value === undefined || isSame(name, value, stored[name])) continue;
    const ruled = settingsRules[name].safeParse(value);
    if (!ruled.success)
      throw new AppError('invalid', `${name} ${ruled.error.issues[0]?.message ?? 'is not valid'}.`);
    changed[name] = ruled.data;
  }
  return changed;
}

function isSame(name: RuledField, sent: string, stored: string): boolean {
  return name === 'EMAIL' ? sent.toLowerCase() === stored.toLowerCase() : sent === stored;
}

function columnsOf(changed: Partial<Record<RuledField, string>>): SettingsChange['fields'] {
  const { FIRST_NAME, LAST_NAME, PHONE, DOB, PROFILE_PIC } = changed;
  return {
    ...(FIRST_NAME === undefined ? {} : { firstName: FIRST_NAME }),
    ...(LAST_NAME === undefined ? {} : { lastName: LAST_NAME }),
    ...(PHONE === undefined ? {} : { phone: PHONE }),
    ...(DOB === undefined ? {} : { dob: DOB || null }),
    ...(PROFILE_PIC === undefined ? {} : { picture: PROFILE_PIC }),
  };
}
