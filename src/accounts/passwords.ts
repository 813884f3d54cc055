// Which passwords are refused, those an attacker tries first; and how the holder of a session proves to know his own.
import { AppError } from '../errors.ts';
import type { Guesses } from '../infra/guesses.ts';
import type { Account } from '../store/store.ts';
import { verifyPassword } from './secrets.ts';

/** Whom a password must not be made of. */
export interface PasswordOwner {
  readonly email: string;
  readonly firstName: string;
  readonly lastName: string;
}

/**
 * Asks for the password once more: a stolen session must not be enough for what would outlast it. Guesses are delayed by
 * session, so that who guesses with a stolen one does not lock the owner out of his others.
 * @throws AppError `unauthenticated` when it is wrong; `rate_limited`
 */
export async function provePassword(
  guesses: Guesses,
  { account, sessionId }: { account: Account; sessionId: number },
  password: string,
): Promise<void> {
  const key = String(sessionId);
  await guesses.begin(key);
  if (!(await verifyPassword(account.passwordHash, password))) {
    throw new AppError('unauthenticated', 'PASSWORD is wrong.');
  }
  await guesses.succeed(key);
}

/**
 * Why this person should not have this password, or null when nothing speaks against it. There are no composition rules
 * (NIST SP 800-63B, 3.1.1.2).
 */
export async function findPasswordFlaw(password: string, owner: PasswordOwner): Promise<string | null> {
  const lower = password.toLowerCase();
  const { email, firstName, lastName } = owner;
  const own = [
    email,
    email.slice(0, email.lastIndexOf('@')),
    firstName,
    lastName,
    `${firstName} ${lastName}`,
  ];
  if (own.some((text) => text.toLowerCase() === lower)) return 'must not be your name or e-mail address';
  return (await commonPasswords()).has(lower) ? 'is one of the most common ones, choose another' : null;
}

let common: Promise<ReadonlySet<string>> | undefined;

/** The list is unpacked when it is first needed, not when the server starts. */
function commonPasswords(): Promise<ReadonlySet<string>> {
  common ??= import('@zxcvbn-ts/language-common').then(
    ({ dictionary }) => new Set(dictionary['passwords-common'].map((word) => word.toLowerCase())),
  );
  return common;
}
