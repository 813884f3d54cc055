// Who may run the server over HTTP: whoever shows the admin key.

import { createHash, timingSafeEqual } from 'node:crypto';
import { AppError } from '../../errors.ts';
import type { Limiter } from '../../infra/limiter.ts';
import type { Note } from '../../store/store.ts';

interface KeyDeps {
  /** Each of them is right. */
  readonly keys: readonly string[];
  readonly limiter: Limiter;
  readonly audit: Note;
}

/** Lets a request pass or throws. `path` is what it asked for, without anything it sent along. */
export type AdminGuard = (shown: string | undefined, address: string, path: string) => Promise<void>;

/**
 * Tries are counted before they are looked at, so that one address has few; the right key sets the count back.
 * @throws AppError `unauthenticated` without a key, `forbidden` with a wrong one, `rate_limited` after too many of them
 */
export function createAdminGuard({ keys, limiter, audit }: KeyDeps): AdminGuard {
  const right = keys.map(digest);
  return async (shown, address, path) => {
    if (!shown)
      throw new AppError('unauthenticated', 'The admin key is needed: Authorization: Bearer <key>.');
    await limiter.consume('adminKeyByAddress', address);
    const hash = digest(shown);
    if (right.some((one) => timingSafeEqual(hash, one))) return limiter.reset('adminKeyByAddress', address);
    await audit({ kind: 'admin_denied', uid: null, actor: 'self', address, detail: path });
    throw new AppError('forbidden', 'The admin key is wrong.');
  };
}

/** The key of an `Authorization` header. */
export function bearerOf(header: string | undefined): string | undefined {
  return /^Bearer +(\S+)$/i.exec(header ?? '')?.[1];
}

/** Hashes have one length, which timingSafeEqual asks for, and their comparison tells nothing of the key. */
function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
