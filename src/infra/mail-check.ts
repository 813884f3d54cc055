// Whether a mail host would take our mails: connects, speaks TLS and logs in as sending does, and sends nothing.
import { createTransport, type NodemailerError } from 'nodemailer';
import { smtpOptions } from './mailer.ts';

const problems: Readonly<Record<string, string>> = {
  EAUTH: 'it refuses the login: check user and password in SMTP_URL',
  ETLS: 'TLS does not come about: check the scheme and port of SMTP_URL, or its certificate',
  EDNS: 'its name is not known: check the host in SMTP_URL',
};

/** What is wrong, in words that hold nothing of the URL; null when nothing is. */
export async function findMailProblem(smtpUrl: string, timeoutMs = 10_000): Promise<string | null> {
  const transport = createTransport(smtpOptions(smtpUrl, timeoutMs));
  try {
    await transport.verify();
    return null;
  } catch (error) {
    const { code = '', originalCode = '', responseCode } = error as NodemailerError;
    const reason = [originalCode || code, responseCode].filter(Boolean).join(' ');
    const words = problems[code] ?? 'it cannot be reached: check host and port in SMTP_URL, and the firewall';
    return `${words} (${reason})`;
  } finally {
    transport.close();
  }
}
