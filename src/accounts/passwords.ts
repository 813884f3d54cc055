// Which passwords are refused: those an attacker tries first. No composition rules (NIST SP 800-63B, 3.1.1.2).

/** Whom a password must not be made of. */
export interface PasswordOwner {
  readonly email: string;
  readonly firstName: string;
  readonly lastName: string;
}

/** Why this person should not have this password, or null when nothing speaks against it. */
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
