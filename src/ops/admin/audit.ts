// Noting in the audit log what was done already: a note that cannot be written is logged and undoes nothing.
import type { Log } from '../../log.ts';
import type { AuditEntry, AuditStore } from '../../store/store.ts';

/** Notes something as of now; never rejects. */
export type Audit = (entry: Omit<AuditEntry, 'at'>) => Promise<void>;

export function createAudit(store: AuditStore, clock: () => number, log: Log): Audit {
  return async (entry) => {
    try {
      await store.appendAudit({ at: clock(), ...entry });
    } catch (error) {
      log.error('the audit log could not be written', { kind: entry.kind, uid: entry.uid, error });
    }
  };
}
