// What the contract says of one endpoint: the shape of each line in the endpoint table.
import { z } from 'zod';

export type Method = 'GET' | 'POST' | 'PATCH';

/** What a request counts as, beside being one of its address: of its account, or of its address where none asks. */
export type Kind =
  | 'history'
  | 'read'
  | 'write'
  | 'picture'
  | 'sign_up'
  | 'login'
  | 'forgot'
  | 'reset'
  | 'undo';

/** What a request gets that fails before its rules are looked at; `null` where that cannot happen. */
export interface Refusals {
  /** The body is not a JSON object. */
  readonly unreadable: 400 | 401 | 403 | 422;
  /** No UID with COOKIE or TOKEN, or of the wrong type. */
  readonly missing: 400 | 401 | 403 | 422;
  /** The credentials match no live session. */
  readonly mismatch: 400 | 401 | 403;
  /** The account has not entered its first code; `null` lets it in. */
  readonly unverified: 400 | 401 | 403 | null;
  /** A field is missing or has a bad value. */
  readonly invalid: 400 | 401 | 403 | 422;
}

export interface Endpoint {
  readonly method: Method;
  readonly path: string;
  /** `session`: UID with COOKIE or TOKEN, or Bearer; `cookie`: UID with COOKIE, or Bearer; `key`: the admin key. */
  readonly credentials: 'none' | 'session' | 'cookie' | 'key';
  /** `write` where nothing is said and an account asks. */
  readonly kind?: Kind;
  readonly request: z.ZodType;
  /** The 200 answer. */
  readonly response: z.ZodType;
  /** Every status the endpoint answers with by its own rules (besides 413, 414, 415, 429 and 431, which any may). */
  readonly statuses: readonly number[];
  readonly refusals: Refusals;
}

/** One status for whatever is wrong. */
export const answered = (status: Refusals['missing'] & Refusals['mismatch']) => ({
  unreadable: status,
  missing: status,
  mismatch: status,
  unverified: status,
  invalid: status,
});

/** Our own additions tell a bad body (400) from bad credentials (401). */
export const plainRefusals = {
  unreadable: 400,
  missing: 401,
  mismatch: 401,
  unverified: 401,
  invalid: 400,
} as const;

/** The text that every answer has. */
export const message = z.string();
/** An account number as it is answered. */
export const uid = z.number().int().positive();
/** ISO 8601 in UTC with milliseconds. */
export const time = z.iso.datetime({ precision: 3 });
export const nothing = z.object({});
