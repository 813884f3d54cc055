// What the audit log is told of accounts; nothing that happened is undone because it could not be noted.
import type { Log } from '../log.ts';
import type { AuditKind, AuditStore, Note } from '../store/store.ts';

const hourMs = 60 * 60 * 1000;
/**
 * How many lines an hour, of everybody together, there may be of what people can do over and over again. Nothing is ever
 * taken out of the log: it must not be what fills the disk.
 */
const linesAnHour: Partial<Record<AuditKind, number>> = {
  admin_denied: 100,
  login_failed: 1000,
  login: 10_000,
  logout: 10_000,
  role_changed: 1000,
  message_removed: 1000,
};

export interface Audit {
  readonly note: Note;
  /** Notes how many lines of each kind were left out since it was last called. */
  noteLeftOut(): Promise<void>;
}

export function createAudit(store: AuditStore, clock: () => number, log: Log): Audit {
  const leftOut = new Map<AuditKind, number>();
  const hasRoom = createHourlyCount(clock);
  const append: Note = async (what) => {
    try {
      await store.appendAudit({ at: clock(), actor: 'self', address: '', detail: '', ...what });
    } catch (error) {
      log.error('the audit log could not be written', { kind: what.kind, error });
    }
  };
  return {
    async note(what) {
      const { kind, actor = 'self' } = what;
      if (actor !== 'self' || hasRoom(kind)) return append(what);
      leftOut.set(kind, (leftOut.get(kind) ?? 0) + 1);
    },

    async noteLeftOut() {
      const counts = [...leftOut];
      leftOut.clear();
      for (const [kind, count] of counts)
        await append({ kind, uid: null, actor: 'server', detail: `${count} more, left out as too many` });
    },
  };
}

/** Counts one of a kind, and says whether it is within what an hour may have. */
function createHourlyCount(clock: () => number): (kind: AuditKind) => boolean {
  const counts = new Map<AuditKind, number>();
  let countedHour = 0;
  return (kind) => {
    const hour = Math.floor(clock() / hourMs);
    if (hour !== countedHour) counts.clear();
    countedHour = hour;
    const count = (counts.get(kind) ?? 0) + 1;
    counts.set(kind, count);
    return count <= (linesAnHour[kind] ?? Number.POSITIVE_INFINITY);
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
