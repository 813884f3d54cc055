// The fields that requests are made of, each checked in one place, each with the words its refusal is given in.
import { z } from 'zod';
import { limits, maxUid } from './entities.ts';

function codePoints(text: string): number {
  return [...text].length;
}

/** An account number; a digit string is accepted, a number comes out. */
export const uid = z
  .union(
    [
      z.number(),
      z
        .string()
        .regex(/^[1-9]\d{0,9}$/)
        .transform(Number),
    ],
    'is not an account number',
  )
  .refine((value) => Number.isInteger(value) && value > 0 && value <= maxUid, 'is not an account number');

/** The number of a session, as get_sessions tells it; a digit string is accepted, a number comes out. */
export const sessionId = z
  .union(
    [
      z.number(),
      z
        .string()
        .regex(/^\d{1,15}$/)
        .transform(Number),
    ],
    'is not a session number',
  )
  .refine((value) => Number.isSafeInteger(value) && value > 0, 'is not a session number');

/** A secret as a client may send it back; its form is not checked, only its hash is looked up. */
export const secret = z.string('is not a string').min(1, 'is missing').max(256, 'is too long');

/** A chat id: a digit string, or the same as a number. */
export const chatId = z.union(
  [z.string().regex(/^[1-9]\d{0,39}$/, 'is not a chat id'), z.number().int().positive()],
  'is not a chat id',
);

/** A position in a chat's log. */
export const position = z
  .union(
    [
      z.number(),
      z
        .string()
        .regex(/^\d{1,15}$/)
        .transform(Number),
    ],
    'is not a message number',
  )
  .refine((value) => Number.isSafeInteger(value) && value >= 0, 'is not a message number');

/** A whole number of a range, as one or as its digits. */
export function wholeNumber(least: number, largest: number) {
  return z
    .union(
      [
        z.number(),
        z
          .string()
          .regex(/^\d{1,6}$/)
          .transform(Number),
      ],
      'is not a number',
    )
    .refine(
      (value) => Number.isInteger(value) && value >= least && value <= largest,
      `must be a whole number from ${least} to ${largest}`,
    );
}

export function pageSize(largest: number) {
  return wholeNumber(1, largest);
}

/** After how many days messages are removed; 0 for never. */
export const retentionDays = wholeNumber(0, limits.retentionDays);

/**
 * Whether every character shows itself where it stands. Invisible ones (zero-width, fillers, variation selectors) make
 * one name out of many that look the same; control and bidi characters rearrange the text around a name on other
 * people's screens. Persian and Indic names are written without their joiners then; emoji keep theirs.
 * @see https://www.unicode.org/reports/tr36/ (Unicode Security Considerations)
 */
function isVisible(name: string): boolean {
  return (
    name.isWellFormed() && !/[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}\p{Default_Ignorable_Code_Point}]/u.test(name)
  );
}

/** What remains beside emoji, which are made of invisible parts among others. */
function withoutEmoji(text: string): string {
  return text.replace(/\p{RGI_Emoji}/gv, '');
}

export const personName = z
  .string('is not a string')
  .trim()
  .normalize('NFC')
  .min(1, 'is missing')
  .refine(
    (name) => codePoints(name) <= limits.nameCodePoints,
    `is longer than ${limits.nameCodePoints} characters`,
  )
  .regex(/^(?=.*\p{L})[\p{L}\p{M}' ’.-]*$/u, 'may only have letters, spaces, apostrophes, hyphens and dots')
  .refine(isVisible, 'has characters that cannot be shown')
  .refine((name) => name.toLowerCase() !== 'server', 'is a reserved name');

export const groupName = z
  .string('is not a string')
  .trim()
  .normalize('NFC')
  .min(1, 'is missing')
  .refine(
    (name) => codePoints(name) <= limits.groupNameCodePoints,
    `is longer than ${limits.groupNameCodePoints} characters`,
  )
  .refine((name) => isVisible(withoutEmoji(name)), 'has characters that cannot be shown');

/** A few words on one line; may be empty. */
export const note = z
  .string('is not a string')
  .trim()
  .refine(
    (text) => codePoints(text) <= limits.noteCodePoints,
    `is longer than ${limits.noteCodePoints} characters`,
  )
  .refine((text) => isVisible(withoutEmoji(text)), 'has characters that cannot be shown');

export const email = z
  .string('is not a string')
  .trim()
  .max(limits.emailLength, 'is not a valid address')
  .pipe(z.email('is not a valid address'));

export const password = z
  .string('is not a string')
  .refine(
    (text) => codePoints(text) >= limits.passwordMin,
    `must have at least ${limits.passwordMin} characters`,
  )
  .refine(
    (text) => codePoints(text) <= limits.passwordMax,
    `must have at most ${limits.passwordMax} characters`,
  )
  .refine((text) => text.isWellFormed(), 'has characters that cannot be typed');

/** A password as it is tried: anything a person may once have set, so only its size is bounded. */
export const triedPassword = z.string('is not a string').min(1, 'is missing').max(1024, 'is too long');

/** Digits with an optional leading `+`, or `''` for none. A number is taken as its digits. */
export const phone = z.union([z.string(), z.number().transform(String)], 'is not a phone number').pipe(
  z
    .string()
    .trim()
    .regex(/^(?:\+?\d{5,20})?$/, 'must be 5 to 20 digits, with a + before them if you like'),
);

/** A real past date, `YYYY-MM-DD`. */
export const dateOfBirth = z
  .string('is not a date')
  .trim()
  .regex(/^\d{4}-\d{2}-\d{2}$/, 'is not a date like 1990-12-31')
  .refine(isRealPastDate, 'is not a date in the past');

function isRealPastDate(text: string): boolean {
  const date = new Date(`${text}T00:00:00Z`);
  const real = !Number.isNaN(date.getTime()) && date.toISOString().startsWith(text);
  return real && date.getUTCFullYear() >= 1900 && date.getTime() < Date.now();
}

/** An http(s) address or `''`. The client in use puts it into CSS `url(...)`, so what could end that is refused. */
export const picture = z
  .string('is not a string')
  .trim()
  .max(limits.pictureLength, `is longer than ${limits.pictureLength} characters`)
  .refine(
    (text) => text === '' || isSafePicture(text),
    'must be an http or https address without quotes or blanks',
  );

function isSafePicture(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  if (/["'`()\\<>\s\u0000-\u001f\u007f]/.test(text) || !text.isWellFormed()) return false;
  return URL.canParse(text) && /^https?:\/\//i.test(text);
}

/** A one-time code as typed: compared as a string, so a number is taken as its digits. */
export const typedCode = z
  .union([z.string(), z.number().transform(String)], 'is not a code')
  .pipe(z.string().trim().max(64, 'is not a code'));

/** A one-time code that may be left out; null for none. */
export const optionalCode = typedCode.nullish().transform((code) => code || null);

/** The client in use spells it ENTERD_OTP; the first of the three spellings counts. */
export function sentCode(body: unknown): unknown {
  const { ENTERD_OTP, ENTERED_OTP, OTP } = body as Record<string, unknown>;
  return ENTERD_OTP ?? ENTERED_OTP ?? OTP;
}
