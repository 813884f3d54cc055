// The mails that accounts get: what they say, as text and as HTML.
import type { Mail, Mailer } from '../infra/mailer.ts';
import type { Log } from '../log.ts';

/** How the mails name the service. */
export interface MailSender {
  readonly serviceName: string;
}

const dayMs = 24 * 60 * 60 * 1000;

/** The one-time code that proves an address; `expiresAt` in ms since the epoch. */
export function codeMail(sender: MailSender, to: string, code: string, expiresAt: number): Mail {
  return compose(to, `${code} is your ${sender.serviceName} code`, expiresAt, [
    'Your one-time code:',
    { code },
    'It is good for 10 minutes and for one use. If you did not ask for it, ignore this mail: without the code nothing happens.',
  ]);
}

/** The one-time code that sets a new password; nobody waits for whether it was taken. */
export function resetMail(sender: MailSender, to: string, code: string, expiresAt: number): Mail {
  return notice(to, `${code} resets your ${sender.serviceName} password`, expiresAt, [
    'Somebody, probably you, forgot the password of your account. This one-time code sets a new one:',
    { code },
    'It is good for 10 minutes and for one use. If you did not ask for it, ignore this mail and give the code to nobody: your password stays what it is.',
  ]);
}

/** Tells the old address that it was replaced, with the code that takes it back for 7 days. */
export function emailChangedMail(sender: MailSender, to: string, undoCode: string, undoUntil: number): Mail {
  return notice(to, `Your ${sender.serviceName} e-mail address was changed`, undoUntil, [
    'The e-mail address of your account was changed, from this one to another.',
    'If that was you, there is nothing to do. If it was not, this code takes the account back and logs everybody out of it:',
    { code: undoCode },
    'Send it within 7 days, as OTP, together with this address, as EMAIL, to /undo_email_change. The password is void then: set a new one by /forgot_password.',
  ]);
}

/** Tells the address that the password was replaced. */
export function passwordChangedMail(sender: MailSender, to: string, now: number): Mail {
  return notice(to, `Your ${sender.serviceName} password was changed`, now + dayMs, [
    'The password of your account was changed and all other devices were logged out.',
    'If that was not you, somebody knows your old password: write to whoever runs this service at once.',
  ]);
}

/** Tells the address that a code mailed to it set a new password. */
export function passwordResetMail(sender: MailSender, to: string, now: number): Mail {
  return notice(to, `Your ${sender.serviceName} password was reset`, now + dayMs, [
    'A new password was set for your account with the code that was mailed to this address. All devices were logged out.',
    'If that was not you, somebody reads your mail: secure your mailbox first, then reset the password again.',
  ]);
}

const factorChanges = {
  on: [
    'A second factor was switched on for your account: from now on a login needs a code of an authenticator app too.',
    'If that was not you, somebody knows your password: change it on a device that is still logged in, and write to whoever runs this service, who can take the factor away.',
  ],
  off: [
    'The second factor of your account was switched off: from now on the password alone logs in.',
    'If that was not you, somebody knows your password and had a code of yours: change the password, then switch the factor on again.',
  ],
  renewed: [
    'New recovery codes were made for your account. The former ones are void.',
    'If that was not you, somebody knows your password and had a code of yours: change the password, then make new codes.',
  ],
} as const;

/** Tells the address what became of the second factor. */
export function secondFactorMail(
  sender: MailSender,
  to: string,
  change: keyof typeof factorChanges,
  now: number,
): Mail {
  const subject = `The second factor of your ${sender.serviceName} account was changed`;
  return notice(to, subject, now + dayMs, factorChanges[change]);
}

/**
 * Hands a notice over, or keeps it, before the answer: an undo code must not be lost. But it is no condition of what it
 * tells of, the address may be gone: its failure is logged, not told.
 */
export async function notify({ mailer, log }: { mailer: Mailer; log: Log }, mail: Mail): Promise<void> {
  try {
    const { kind } = await mailer.send(mail);
    if (kind === 'refused') log.warn('the mail host refused a notice');
  } catch (error) {
    log.error('a notice could not be mailed', { error });
  }
}

/** Confirms that the account is no more. */
export function accountDeletedMail(
  sender: MailSender,
  to: string,
  messages: 'keep' | 'remove',
  now: number,
): Mail {
  return notice(to, `Your ${sender.serviceName} account was deleted`, now + dayMs, [
    'Your account was deleted as you asked, with your name, address, settings and sessions. It cannot be brought back.',
    messages === 'remove'
      ? 'The texts of your messages were removed.'
      : 'Your messages stay in their chats without your name.',
    'If that was not you, somebody knows your password: change it wherever else you use it.',
  ]);
}

type Paragraph = string | { readonly code: string };

function notice(...mail: Parameters<typeof compose>): Mail {
  return { ...compose(...mail), isNotice: true };
}

function compose(to: string, subject: string, expiresAt: number, paragraphs: readonly Paragraph[]): Mail {
  const text = paragraphs.map((part) => (typeof part === 'string' ? part : `    ${part.code}`)).join('\n\n');
  const html = paragraphs
    .map((part) =>
      typeof part === 'string'
        ? `<p>${escapeHtml(part)}</p>`
        : `<p style="font:600 28px/1.4 ui-monospace,monospace;letter-spacing:.12em">${escapeHtml(part.code)}</p>`,
    )
    .join('\n');
  const page = `<!doctype html><html lang="en"><body style="font:16px/1.5 system-ui,sans-serif;max-width:32em;margin:2em auto;padding:0 1em">\n${html}\n</body></html>`;
  return { to, subject, text: `${text}\n`, html: page, expiresAt };
}

function escapeHtml(text: string): string {
  const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
  return text.replace(/[&<>"]/g, (character) => entities[character] ?? '');
}
