// What the audit log is told of accounts; nothing that happened is undone because it could not be noted.
import type { Log } from '../log.ts';
import type { AuditStore, Note } from '../store/store.ts';

export function createNote(store: AuditStore, clock: () => number, log: Log): Note {
  return async (what) => {
    try {
      await store.appendAudit({ at: clock(), actor: 'self', address: '', detail: '', ...what });
    } catch (error) {
      log.error('the audit log could not be written', { kind: what.kind, error });
    }
  };
}

/**
 * An address as it may be noted when a stranger typed it: its first letters, since what is typed into that field may
 * just as well be somebody's password.
 */
export function maskEmail(typed: string): string {
  const [name = '', domain] = typed.split('@');
  const mask = (text: string) => `${[...text][0] ?? ''}***`;
  return domain === undefined ? mask(name) : `${mask(name)}@${mask(domain)}`;
}
