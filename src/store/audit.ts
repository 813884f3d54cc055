// The audit log in SQLite: appended to, read, and nothing else.
import { and, desc, eq, lt } from 'drizzle-orm';
import { audit } from './schema.ts';
import type { Driver } from './sqlite.ts';
import type { AuditEntry, AuditKind, AuditStore } from './store.ts';

export function createAuditStore(driver: Driver): AuditStore {
  return {
    appendAudit: (entry) =>
      driver.write(
        async (tx) => {
          await tx.insert(audit).values(entry);
        },
        undefined,
        { keepsVersion: true },
      ),

    listAudit: async ({ uid, before, limit }) => {
      const rows = await driver.reader
        .select()
        .from(audit)
        .where(
          and(
            uid === null ? undefined : eq(audit.uid, uid),
            before === null ? undefined : lt(audit.id, before),
          ),
        )
        .orderBy(desc(audit.id))
        .limit(limit);
      // The column holds only what appendAudit put there.
      return rows.map((row): AuditEntry & { id: number } => ({ ...row, kind: row.kind as AuditKind }));
    },
  };
}
