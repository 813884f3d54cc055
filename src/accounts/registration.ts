// Who may make an account here: everybody, nobody or the invited; and with addresses of which domains.
import { AppError } from '../errors.ts';
import type { AccountStore } from '../store/store.ts';
import { hashSecret } from './secrets.ts';

export interface Registration {
  readonly mode: 'open' | 'closed' | 'invite';
  /** In lower case; null for every domain. */
  readonly allowedDomains: readonly string[] | null;
}

/** The hash under which an invitation is kept; it is typed in any case. */
export function hashInvitation(code: string): string {
  return hashSecret(code.trim().toUpperCase());
}

/** @throws AppError `invalid` for an address that people here may not have */
export function assertAllowedAddress({ allowedDomains }: Registration, email: string): void {
  const domain = email.slice(email.lastIndexOf('@') + 1).toLowerCase();
  if (allowedDomains && !allowedDomains.includes(domain))
    throw new AppError('invalid', 'EMAIL is not of a domain that is allowed here.');
}

/**
 * Whether somebody may sign up, asked before anything else is looked up: who may not learns nothing about addresses.
 * @returns the hash of the invitation that the account uses up, null where none is needed
 * @throws AppError `invalid`
 */
export async function assertMayRegister(
  { mode }: Registration,
  invitation: string,
  now: number,
  store: Pick<AccountStore, 'isInvitationGood'>,
): Promise<string | null> {
  if (mode === 'open') return null;
  if (mode === 'closed') throw new AppError('invalid', 'Nobody can sign up here: registration is closed.');
  if (invitation === '')
    throw new AppError('invalid', 'INVITATION is missing: one signs up here by invitation.');
  const codeHash = hashInvitation(invitation);
  if (!(await store.isInvitationGood(codeHash, now))) throw notInvited();
  return codeHash;
}

export function notInvited(): AppError {
  return new AppError('invalid', 'INVITATION is not valid, used up or expired.');
}
