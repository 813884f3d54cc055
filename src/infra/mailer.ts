// Mails with codes: each is handed to the mail host at once; one the host cannot be reached for waits in the outbox.
import { randomUUID } from 'node:crypto';
import { isIP } from 'node:net';
import {
  createTransport,
  type NodemailerError,
  type SendMailOptions,
  type SMTPTransportOptions,
} from 'nodemailer';
import MailComposer from 'nodemailer/lib/mail-composer';
import { parseConnectionUrl } from 'nodemailer/lib/shared';
import { AppError } from '../errors.ts';
import type { Log } from '../log.ts';
import { type Attempt, type Letter, Outbox, Redelivery } from './outbox.ts';

export interface Mail {
  to: string;
  subject: string;
  text: string;
  html: string;
  /** ms since the epoch after which it is not worth sending */
  expiresAt: number;
  /** Nobody waits to ask again: it is queued also when the host says to come back later. */
  isNotice?: boolean;
}

export type MailOutcome =
  /** The mail host took it, or it was written to the outbox folder because no SMTP_URL is set. */
  | { kind: 'sent' }
  /** No connection, no reply in time, TLS or login trouble: kept as a file and retried until `expiresAt`. */
  | { kind: 'queued' }
  /** The host refuses the address for good (5xx). `reply` is its one line; it may hold the address, so do not log it. */
  | { kind: 'refused'; reply: string }
  /** The host says to come back later (4xx). Nothing is kept. */
  | { kind: 'deferred'; retryAfterMs: number };

export interface Mailer {
  /**
   * Makes one attempt, which takes at most `timeoutMs`.
   * @throws AppError `unavailable` when the mail could neither be sent nor be kept
   */
  send(mail: Mail): Promise<MailOutcome>;
  /** Waits for nothing longer than a moment: attempts under way are then cut off and queued. Queued files stay. */
  stop(): Promise<void>;
}

export interface MailerOptions {
  /** Without it mails are only written to the outbox folder. */
  smtpUrl?: string | undefined;
  from: string;
  /** Folder, made if absent; queued mails lie in its subfolder `queue`. */
  outbox: string;
  log: Log;
  clock?: () => number;
  /** Bounds a whole attempt, from the DNS lookup to the last reply; 10 s unless given. */
  timeoutMs?: number;
  /** First delay before a queued mail is tried again, doubled up to 5 min; 15 s unless given. */
  retryMs?: number;
}

const deferredRetryMs = 60_000;
const stopGraceMs = 300;

/** Makes the mailer, which at once goes on with what an earlier process left queued. */
export function createMailer(options: MailerOptions): Mailer {
  const { smtpUrl, log, outbox: folder } = options;
  if (!smtpUrl)
    log.warn('NO MAIL IS SENT: SMTP_URL is not set, mails are only written to a folder', { folder });
  return new QueueingMailer(options);
}

class QueueingMailer implements Mailer {
  readonly #log: Log;
  readonly #from: string;
  readonly #timeoutMs: number;
  readonly #carry: Carrier;
  readonly #redelivery: Redelivery;
  readonly #sends = new Set<Promise<unknown>>();
  readonly #attempts = new Set<AbortController>();

  constructor(options: MailerOptions) {
    const { smtpUrl, from, log, clock = Date.now, timeoutMs = 10_000, retryMs = 15_000 } = options;
    this.#log = log;
    this.#from = from;
    this.#timeoutMs = timeoutMs;
    const outbox = new Outbox(options.outbox, log);
    this.#carry = smtpUrl ? smtpCarrier(smtpOptions(smtpUrl, timeoutMs)) : folderCarrier(outbox);
    const attempt: Attempt = (letter, leftMs) => this.#attempt(letter, Math.min(leftMs, timeoutMs));
    this.#redelivery = new Redelivery({ outbox, log, clock, retryMs, attempt });
  }

  send(mail: Mail): Promise<MailOutcome> {
    const sending = this.#send(mail).finally(() => this.#sends.delete(sending));
    this.#sends.add(sending);
    return sending;
  }

  async stop(): Promise<void> {
    const over = Promise.allSettled([this.#redelivery.stop(), ...this.#sends]);
    await Promise.race([over, new Promise((resolve) => setTimeout(resolve, stopGraceMs).unref())]);
    for (const attempt of this.#attempts) attempt.abort();
    await over;
  }

  async #send({ to, subject, text, html, expiresAt, isNotice = false }: Mail): Promise<MailOutcome> {
    if (!isOneAddress(to)) return { kind: 'refused', reply: 'the address is malformed' };
    const letter = { to, subject, text, html, expiresAt, messageId: newMessageId(this.#from) };
    const outcome = await this.#attempt(letter, this.#timeoutMs);
    const isKept = outcome.kind === 'queued' || (outcome.kind === 'deferred' && isNotice);
    if (isKept) await this.#keep(letter);
    if (outcome.kind === 'sent') this.#redelivery.hostAnswered();
    return outcome;
  }

  async #keep(letter: Letter): Promise<void> {
    try {
      await this.#redelivery.keep(letter);
    } catch (error) {
      this.#log.error('a mail could not be kept', { error });
      const words = 'The mail could not be kept, the disk may be full. Try again later.';
      throw new AppError('unavailable', words, { retryAfterMs: deferredRetryMs });
    }
  }

  async #attempt(letter: Letter, withinMs: number): Promise<MailOutcome> {
    const attempt = new AbortController();
    const deadline = setTimeout(() => attempt.abort(), withinMs);
    this.#attempts.add(attempt);
    try {
      await this.#carry(compose(letter, this.#from), attempt.signal);
      return { kind: 'sent' };
    } catch (error) {
      const { outcome, level, event } = judge(error);
      const domain = letter.to.slice(letter.to.lastIndexOf('@') + 1);
      this.#log[level](event, { domain, outcome: outcome.kind, ...factsOf(error) });
      return outcome;
    } finally {
      clearTimeout(deadline);
      this.#attempts.delete(attempt);
    }
  }
}

/** Hands a message over, or rejects with nodemailer's error. */
type Carrier = (message: SendMailOptions, signal: AbortSignal) => Promise<void>;

/** A connection per mail: mails are too rare for a pool to find one still open. */
function smtpCarrier(options: SMTPTransportOptions): Carrier {
  const transport = createTransport(options);
  return async (message, signal) => void (await transport.sendMail({ ...message, signal }));
}

function folderCarrier(outbox: Outbox): Carrier {
  return async (message) => outbox.write(await new MailComposer(message).compile().build());
}

/**
 * What nodemailer is told for an `SMTP_URL`. Unless the host is this machine, `smtp://` must be upgraded to TLS
 * (so a host that offers none, or somebody in between who hides the offer, sees no login and no mail) and the
 * certificate must be good; the URL's `requireTLS` and `tls.rejectUnauthorized` overrule that. Nothing else of its
 * query is heeded: nodemailer's `debug`, for one, would print mails.
 * @see RFC 3207 (STARTTLS), RFC 8314 (implicit TLS)
 */
export function smtpOptions(smtpUrl: string, timeoutMs: number): SMTPTransportOptions {
  const { secure = false, host = 'localhost', port, auth, tls, requireTLS } = parseConnectionUrl(smtpUrl);
  const remote = !isLoopback(host);
  return {
    host,
    port,
    secure,
    requireTLS: !secure && flag(requireTLS, remote),
    tls: { rejectUnauthorized: flag(tls?.rejectUnauthorized, remote) },
    ...(auth ? { auth } : {}),
    connectionTimeout: timeoutMs,
    greetingTimeout: timeoutMs,
    socketTimeout: timeoutMs,
    dnsTimeout: timeoutMs,
    socketCloseTimeout: 500,
  };
}

function flag(value: unknown, otherwise: boolean): boolean {
  return typeof value === 'boolean' ? value : otherwise;
}

function isLoopback(host: string): boolean {
  return (
    host.toLowerCase() === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
  );
}

function compose(letter: Letter, from: string): SendMailOptions {
  return {
    from,
    // An object, not a text: a text would be parsed as a list of recipients.
    to: { name: '', address: letter.to },
    subject: letter.subject.replace(/\s+/g, ' '),
    text: letter.text,
    html: letter.html,
    messageId: letter.messageId,
    // RFC 3834: keeps out-of-office replies away.
    headers: { 'Auto-Submitted': 'auto-generated' },
    textEncoding: 'Q',
    newline: 'windows',
    xMailer: false,
    disableFileAccess: true,
    disableUrlAccess: true,
  };
}

/** No line breaks, brackets or commas: they would begin a header, an SMTP command or another recipient. */
function isOneAddress(address: string): boolean {
  return /^[^\s\p{Cc}<>()[\]\\,;:@"]+@[^\s\p{Cc}<>()[\]\\,;:@"]+$/u.test(address);
}

function newMessageId(from: string): string {
  return `<${randomUUID()}@${/@([^\s<>@]+)>?$/.exec(from)?.[1] ?? 'localhost'}>`;
}

/** Replies that speak of the session, not of the address: wrong order, TLS or login wanted (RFC 4954, RFC 3207). */
const sessionReplies = new Set([503, 530, 534, 535, 538]);
const networkErrors = new Set(['ECONNECTION', 'ETIMEDOUT', 'ESOCKET', 'EDNS', 'EABORT']);

interface Verdict {
  outcome: MailOutcome;
  level: 'warn' | 'error';
  event: string;
}

/** Whose trouble a failed attempt is: the address's, the host's for now, the network's, or our configuration's. */
function judge(error: unknown): Verdict {
  const {
    code = '',
    command = '',
    responseCode = 0,
    response = '',
    originalCode = '',
  } = error as NodemailerError;
  const aboutMail = ['MAIL FROM', 'RCPT TO', 'DATA'].includes(command);
  if (responseCode >= 500 && aboutMail && !sessionReplies.has(responseCode)) {
    const reply = response.replace(/[\s\p{Cc}]+/gu, ' ').slice(0, 300);
    return { outcome: { kind: 'refused', reply }, level: 'warn', event: 'the mail host refused a mail' };
  }
  if (responseCode >= 400 && responseCode < 500) {
    const outcome = { kind: 'deferred', retryAfterMs: deferredRetryMs } as const;
    return { outcome, level: 'warn', event: 'the mail host put a mail off' };
  }
  const outcome = { kind: 'queued' } as const;
  if (networkErrors.has(code) && responseCode === 0 && !/CERT|SSL|TLS|VERIFY/.test(originalCode)) {
    return { outcome, level: 'warn', event: 'the mail host cannot be reached, a mail waits' };
  }
  return {
    outcome,
    level: 'error',
    event: 'MAIL CANNOT BE SENT, a mail waits: check SMTP_URL and MAIL_FROM',
  };
}

/** What may be logged of a failure. Not its message and reply: they hold the address, and could hold more. */
function factsOf(error: unknown): Record<string, unknown> {
  const { code, originalCode, command, responseCode } = error as NodemailerError;
  return { reason: code, cause: originalCode, step: command, replyCode: responseCode };
}
