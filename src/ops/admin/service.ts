// What whoever runs the server may do to accounts and invitations, over HTTP or by a command; each act is noted.
import { findPasswordFlaw } from '../../accounts/passwords.ts';
import { hashInvitation } from '../../accounts/registration.ts';
import { hashPassword, newInvitation, newPassword, newUid } from '../../accounts/secrets.ts';
import { AppError } from '../../errors.ts';
import { removalRefusals } from '../../messages/service.ts';
import { readChatId, viewerOf } from '../../protocol/entities.ts';
import { exactMessages } from '../../protocol/http.ts';
import type { AdminOutcome, AdminStore } from '../../store/admin-store.ts';
import type { Note, Store } from '../../store/store.ts';

const dayMs = 24 * 60 * 60 * 1000;
/** From whose side a group is named: it is the same from every side. */
const nobody = 0;

interface AdminDeps {
  readonly store: Store & AdminStore;
  readonly audit: Note;
  readonly clock: () => number;
}

/** Who acts: by the admin key from an address, or by a command on the machine itself. */
export interface ActingAdmin {
  readonly actor: 'admin' | 'command';
  readonly address: string;
}

export interface NewPerson {
  readonly firstName: string;
  readonly lastName: string;
  readonly email: string;
}

export class AdminService {
  constructor(private readonly deps: AdminDeps) {}

  /**
   * Makes a verified account; without a password one is made up. Registration modes and domains do not hold for it.
   * @returns its uid, and the password when it was made up
   * @throws AppError `conflict` when the address is taken, `invalid` for a bad password
   */
  async createAccount(
    person: NewPerson,
    password: string | null,
    by: ActingAdmin,
  ): Promise<{ uid: number; password: string | null }> {
    const flaw = password === null ? null : await findPasswordFlaw(password, person);
    if (flaw) throw new AppError('invalid', `PASSWORD ${flaw}.`);
    const made = password ?? newPassword();
    const passwordHash = await hashPassword(made);
    for (;;) {
      const uid = newUid();
      const account = { ...person, uid, phone: '', dob: null, picture: '', passwordHash };
      const outcome = await this.deps.store.createVerifiedAccount({
        ...account,
        createdAt: this.deps.clock(),
        expiresAt: null,
      });
      if (outcome === 'email_taken') throw new AppError('conflict', exactMessages.emailTaken);
      if (outcome === 'uid_taken') continue;
      await this.deps.audit({ kind: 'sign_up', uid, detail: 'verified at once', ...by });
      return { uid, password: password === null ? made : null };
    }
  }

  /** @throws AppError `not_found`; `conflict` when it is verified already */
  async verify(uid: number, by: ActingAdmin): Promise<void> {
    const outcome = await this.deps.store.verifyWithoutCode(uid, this.deps.clock());
    assertDone(outcome, 'This account is verified already.');
    await this.deps.audit({ kind: 'verified', uid, detail: '', ...by });
  }

  /** Bans an account; its sessions and sockets end at once. @throws AppError `not_found`; `conflict` */
  async ban(uid: number, reason: string, by: ActingAdmin): Promise<void> {
    assertDone(await this.deps.store.ban(uid, reason, this.deps.clock()), 'This account is banned already.');
    await this.deps.audit({ kind: 'banned', uid, detail: reason, ...by });
  }

  /** @throws AppError `not_found`; `conflict` when it is not banned */
  async unban(uid: number, by: ActingAdmin): Promise<void> {
    assertDone(await this.deps.store.unban(uid), 'This account is not banned.');
    await this.deps.audit({ kind: 'unbanned', uid, detail: '', ...by });
  }

  /** Logs an account out everywhere; returns how many sessions ended. @throws AppError `not_found` */
  async endSessions(uid: number, by: ActingAdmin): Promise<number> {
    const ended = await this.deps.store.endAllSessions(uid);
    if (ended === null) throw noAccount();
    await this.deps.audit({ kind: 'sessions_ended', uid, detail: `${ended} ended`, ...by });
    return ended;
  }

  /** Gives an account a made-up password and logs it out everywhere. @throws AppError `not_found` */
  async resetPassword(uid: number, by: ActingAdmin): Promise<{ password: string; ended: number }> {
    const password = newPassword();
    const ended = await this.deps.store.replacePassword(uid, await hashPassword(password));
    if (ended === null) throw noAccount();
    await this.deps.audit({ kind: 'password_reset', uid, detail: `${ended} sessions ended`, ...by });
    return { password, ended };
  }

  /**
   * Takes a second factor away, for who lost the authenticator and the recovery codes.
   * @throws AppError `conflict` when there is none
   */
  async dropSecondFactor(uid: number, by: ActingAdmin): Promise<void> {
    if (!(await this.deps.store.dropSecondFactor(uid))) {
      throw new AppError('conflict', 'This account has no second factor.');
    }
    await this.deps.audit({ kind: 'second_factor_off', uid, ...by });
  }

  /**
   * Takes the text of any message of any chat away; a direct chat may be named from either side.
   * @throws AppError `not_found` no such chat or message; `conflict` removed already
   */
  async removeMessage(chatId: string, seq: number, by: ActingAdmin): Promise<void> {
    const uid = viewerOf(chatId) ?? nobody;
    const ref = readChatId(chatId, uid);
    const removal = ref && { uid, ref, seq, byOperator: true, now: this.deps.clock() };
    const outcome = removal ? await this.deps.store.removeMessage(removal) : ({ kind: 'no_chat' } as const);
    if (outcome.kind !== 'removed') throw new AppError(...removalRefusals[outcome.kind]);
    const { senderUid } = outcome.message;
    const detail = `message ${seq} of chat ${chatId}`;
    await this.deps.audit({ kind: 'message_removed', uid: senderUid, detail, ...by });
  }

  /** Makes an invitation whose code is told here and never again; `expiresAt` in ms since the epoch. */
  async invite(uses: number, days: number, by: ActingAdmin): Promise<{ code: string; expiresAt: number }> {
    const code = newInvitation();
    const createdAt = this.deps.clock();
    const expiresAt = createdAt + days * dayMs;
    await this.deps.store.createInvitation({ codeHash: hashInvitation(code), uses, createdAt, expiresAt });
    const detail = `uses ${uses}, days ${days}`;
    await this.deps.audit({ kind: 'invitation_made', uid: null, detail, ...by });
    return { code, expiresAt };
  }
}

function assertDone(outcome: AdminOutcome, already: string): void {
  if (outcome === 'no_account') throw noAccount();
  if (outcome === 'already') throw new AppError('conflict', already);
}

function noAccount(): AppError {
  return new AppError('not_found', 'There is no such account.');
}
