// Secrets and their hashes: passwords, one-time codes, cookies, tokens. Nothing here keeps state.
import { createHash, createHmac, randomBytes, randomInt } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { hash, hashRaw, verify } from '@node-rs/argon2';
import { createGate } from '../infra/limiter.ts';

const alphanumerics = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
/** Without letters and digits that are taken for one another when copied by hand. */
const typeable = 'ABCDEFGHJKMNPQRSTVWXYZ23456789';

/** Argon2id, 19 MiB, 2 passes: https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html */
const argon2 = { memoryCost: 19_456, timeCost: 2, parallelism: 1 } as const;

/** Hashing is dear on purpose: one core is left to messages, who come at once wait, and when too many wait are refused. */
const hashing = createGate(Math.max(1, availableParallelism() - 1), 100);

/**
 * Asked before a try is counted: one that nobody gets to look at must neither delay its owner later nor be remembered.
 * @throws AppError `rate_limited` when too many wait to be hashed
 */
export function assertHashingHasRoom(): void {
  hashing.assertRoom();
}

/** How many passwords and codes wait to be hashed, and how many were refused because too many did. */
export function hashingFigures(): { readonly waiting: number; readonly refused: number } {
  return hashing;
}

/** @throws AppError `rate_limited` when too many wait to be hashed */
export function hashPassword(password: string): Promise<string> {
  return hashing.pass(() => hash(password, argon2));
}

/** Hashes many on all cores, in their order; for commands, beside which nobody waits. */
export async function hashPasswords(passwords: readonly string[]): Promise<string[]> {
  const onCore = createGate(availableParallelism(), passwords.length);
  return Promise.all(passwords.map((password) => onCore.pass(() => hash(password, argon2))));
}

/**
 * Checks a password; with no hash (nobody has that address) it takes as long and says no.
 * @throws AppError `rate_limited` when too many wait to be hashed
 */
export async function verifyPassword(passwordHash: string | null, password: string): Promise<boolean> {
  decoy ??= hashing.pass(() => hash(randomText(32), argon2));
  const against = passwordHash ?? (await decoy);
  const right = await hashing.pass(() => verify(against, password));
  return right && passwordHash !== null;
}
let decoy: Promise<string> | undefined;

/** The long-lived credential of one login. */
export function newCookie(): string {
  return `MESSANGER__${randomText(64)}`;
}

/** The access credential of the same login: derived, so that it need not be kept in clear to be told again. */
export function deriveToken(serverSecret: string, cookie: string): string {
  // 62 does not divide 256, which costs less than 0.2 bit of each letter's 5.9: irrelevant for 32 of them.
  const bytes = createHmac('sha512', serverSecret).update(cookie).digest().subarray(0, 32);
  return `MESS__TOK__${[...bytes].map((byte) => alphanumerics[byte % alphanumerics.length]).join('')}`;
}

/** SHA-256, for secrets with so much entropy that guessing them offline is hopeless. */
export function hashSecret(secret: string): string {
  return createHash('sha256').update(secret).digest('base64url');
}

/** A code to be handed on, good for days: 20 letters, 98 bits. */
export function newInvitation(): string {
  return randomText(20, typeable);
}

/** A password for somebody who will choose another: 20 letters, 98 bits. */
export function newPassword(): string {
  return randomText(20, typeable);
}

/** Six digits. */
export function newCode(): string {
  return String(randomInt(1_000_000)).padStart(6, '0');
}

/** A code that is good for days and so must withstand guessing by its length: 20 letters, 98 bits. */
export function newUndoCode(): string {
  return randomText(20, typeable);
}

/** A code that stands in for a lost authenticator: 15 letters, 73 bits, in groups that can be copied by hand. */
export function newRecoveryCode(): string {
  return randomText(15, typeable).replace(/.{5}(?=.)/g, '$&-');
}

/**
 * Argon2id of a six-digit code: a stolen backup does not give up a million possible codes before the code expires.
 * The salt depends on whose code it is and what for, so that one hash is compared with all live codes at once.
 */
export async function hashCode(code: string, whose: string): Promise<string> {
  const salt = createHash('sha256').update(whose).digest();
  const raw = await hashing.pass(() => hashRaw(code, { ...argon2, salt }));
  return raw.toString('base64url');
}

/**
 * A random account number of 9 or 10 digits that does not end in 1 and zeros: the client in use looks chats up by
 * substring, and a direct chat's id would contain the default group's.
 */
export function newUid(): number {
  const uid = randomInt(100_000_000, 10_000_000_000);
  return endsLikeDefaultGroup(uid) ? newUid() : uid;
}

/** Whether a uid matches `/10*$/`. */
export function endsLikeDefaultGroup(uid: number): boolean {
  return /10*$/.test(String(uid));
}

function randomText(length: number, alphabet = alphanumerics): string {
  const unbiased = 256 - (256 % alphabet.length);
  let text = '';
  while (text.length < length) {
    for (const byte of randomBytes(length)) {
      if (byte < unbiased && text.length < length) text += alphabet[byte % alphabet.length];
    }
  }
  return text;
}

/** A secret of the installation, 256 bits. */
export function newInstallationKey(): string {
  return randomBytes(32).toString('base64url');
}
