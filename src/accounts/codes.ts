// One-time codes by mail: made, kept within the limits of resending, handed to the mail host.
import { AppError, tooFast } from '../errors.ts';
import type { Mailer, MailOutcome } from '../infra/mailer.ts';
import type { AccountStore, CodeLimits, CodePurpose, NewCode } from '../store/store.ts';
import { codeMail, type MailSender, resetMail } from './mails.ts';
import { hashCode, newCode } from './secrets.ts';

const codeLifetimeMs = 10 * 60 * 1000;

/** The first and three resends pass at once, because people do press the button straight away. */
const codeLimits: CodeLimits = { atOnce: 4, spacingMs: 60_000, perHour: 10 };

interface CodeDeps {
  readonly store: AccountStore;
  readonly mailer: Mailer;
  readonly sender: MailSender;
  readonly clock: () => number;
  /** False lifts the limits of resending, never those of trying. */
  readonly limitCodes: boolean;
}

/** A new code, and what the store keeps of it. */
export interface MadeCode {
  readonly code: string;
  readonly row: NewCode;
}

export class OneTimeCodes {
  constructor(private readonly deps: CodeDeps) {}

  async make(uid: number, purpose: CodePurpose, target: string): Promise<MadeCode> {
    const code = newCode();
    const codeHash = await hashCode(code, codeOwner(uid, purpose));
    const createdAt = this.deps.clock();
    const expiresAt = createdAt + codeLifetimeMs;
    return { code, row: { uid, purpose, target: target.toLowerCase(), codeHash, createdAt, expiresAt } };
  }

  /**
   * Makes a code and mails it.
   * @throws AppError `rate_limited`; `invalid` when the mail host refuses the address; `unauthenticated` when the account
   *   is gone
   */
  async send(uid: number, purpose: CodePurpose, target: string): Promise<void> {
    const made = await this.make(uid, purpose, target);
    const issued = await this.deps.store.issueCode(made.row, this.deps.limitCodes ? codeLimits : null);
    if (!issued) throw new AppError('unauthenticated', 'This account does not exist any more.');
    if (issued.waitMs > 0) throw tooFast(issued.waitMs);
    await this.mail(made, target, () => this.deps.store.withdrawCode(made.row));
  }

  /**
   * Hands a code to the mail host; `undo` takes back what was stored for it when it is not sent.
   * @throws AppError `rate_limited`; `invalid` when the host refuses the address; `unavailable` when the mail cannot be
   *   kept
   */
  async mail({ code, row }: MadeCode, to: string, undo: () => Promise<void>): Promise<void> {
    const mail = codeMail(this.deps.sender, to, code, row.expiresAt);
    const outcome = await this.deps.mailer.send(mail).catch(async (error: unknown) => {
      await undo();
      throw error;
    });
    if (outcome.kind === 'sent' || outcome.kind === 'queued') return;
    await undo();
    throw refusalOf(outcome);
  }

  /** Keeps a code for a new password and mails it, when nobody waits any more for whether that succeeds. */
  async mailReset({ code, row }: MadeCode, to: string): Promise<void> {
    if (!(await this.deps.store.issueCode(row, null))) return;
    const outcome = await this.deps.mailer.send(resetMail(this.deps.sender, to, code, row.expiresAt));
    if (outcome.kind === 'refused') await this.deps.store.withdrawCode(row);
  }
}

function refusalOf(outcome: Extract<MailOutcome, { kind: 'refused' | 'deferred' }>): AppError {
  if (outcome.kind === 'refused')
    return new AppError('invalid', 'EMAIL: the mail host refuses this address.');
  const { retryAfterMs } = outcome;
  return new AppError('rate_limited', 'The mail host asks to try again later.', { retryAfterMs });
}

/** Whose code it is and what for: the salt of its hash. */
export function codeOwner(uid: number, purpose: CodePurpose): string {
  return `${uid}:${purpose}`;
}
