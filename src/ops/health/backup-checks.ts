// What the state of backups and drills says: too old, failed, or grown too large; all warnings, since people are served.
import type { Config } from '../../config.ts';
import { type BackupState, isFailing } from '../backup/state.ts';
import { type Check, formatBytes, formatSpan, ok, warn } from './checks.ts';

/** What is expected of backups. */
export interface BackupPlan {
  /** Cron expressions, or `off` where a timer of the system is in charge. */
  readonly backups: string;
  readonly drills: string;
  /** Above which the repository is too large. */
  readonly maxBytes: number;
  /** From when on they could have been made, ms since the epoch: the start of the server. */
  readonly since: number;
}

export function backupPlanOf(config: Config, since: number): BackupPlan {
  const { BACKUP_SCHEDULE: backups, DRILL_SCHEDULE: drills, BACKUP_MAX_BYTES: maxBytes } = config;
  return { backups, drills, maxBytes, since };
}

/** How much later than planned one may be, for a machine that was off for a moment or a long push. */
const graceMs = 10 * 60 * 1000;
const dayMs = 24 * 60 * 60 * 1000;
/** As many runs as show the longest gap of any schedule people write, weekends included. */
const looksAhead = 12;

/** The checks by their names. @param now ms since the epoch */
export function checkBackups(state: BackupState, plan: BackupPlan, now: number): Record<string, Check> {
  return {
    BACKUP: checkLast(state, plan, now),
    REMOTE: checkRemote(state.remoteBytes, plan.maxBytes),
    DRILL: checkDrill(state.lastDrill, plan, now),
  };
}

/** The last backup may be two runs old: one may have failed for the network, and the next is under way. */
function checkLast(state: BackupState, { backups, since }: BackupPlan, now: number): Check {
  const { lastSuccess, lastFailure } = state;
  const last = lastSuccess ? `the last backup is ${formatSpan(now - lastSuccess.atMs)} old` : 'no backup yet';
  if (lastFailure && isFailing(state))
    return warn(`${last}; ${formatSpan(now - lastFailure.atMs)} ago one failed: ${lastFailure.message}`);
  if (lastSuccess && isAhead(lastSuccess.atMs, now)) return warn(`the last backup ${ahead}`);
  const dueAt = (lastSuccess?.atMs ?? since) + 2 * longestGapMs(backups, now) + graceMs;
  if (now < dueAt) return ok(lastSuccess ? `${last}, ${formatBytes(lastSuccess.bytes)}` : last);
  const remedy = backups === 'off' ? 'look at the timer that makes them' : 'look into the log';
  return warn(`${last}: ${remedy}`);
}

/** Of a clock that was ahead: how old it is nobody knows, and it would seem new until then. */
function isAhead(atMs: number, now: number): boolean {
  return atMs > now + graceMs;
}

const ahead = 'has a time that is yet to come: look at the clock, and make one';

function checkRemote(bytes: number | null, maxBytes: number): Check {
  if (bytes === null) return ok('its size is not known yet');
  const words = `the backup repository takes ${formatBytes(bytes)}`;
  if (bytes <= maxBytes) return ok(words);
  return warn(`${words}, more than BACKUP_MAX_BYTES: lower BACKUP_KEEP, or raise the limit`);
}

function checkDrill(last: BackupState['lastDrill'], { drills, since }: BackupPlan, now: number): Check {
  if (drills === 'off' && !last) return ok('no drills are planned');
  if (last && !last.ok)
    return warn(`the restore drill failed ${formatSpan(now - last.atMs)} ago: ${last.message}`);
  if (last && isAhead(last.atMs, now)) return warn(`the last restore drill ${ahead}`);
  const words = last
    ? `the last restore drill was ${formatSpan(now - last.atMs)} ago`
    : 'no restore drill yet';
  const dueAt = (last?.atMs ?? since) + 2 * longestGapMs(drills, now) + graceMs;
  return drills === 'off' || now < dueAt ? ok(words) : warn(`${words}: run restore --drill`);
}

/** The longest time between two of the next runs; a day where a timer of the system has its own schedule. */
function longestGapMs(schedule: string, now: number): number {
  if (schedule === 'off') return dayMs;
  let longest = 0;
  let at = now;
  for (let looks = 0; looks < looksAhead; looks += 1) {
    const next = Bun.cron.parse(schedule, at)?.getTime();
    if (next === undefined) break;
    if (looks > 0) longest = Math.max(longest, next - at);
    at = next;
  }
  return longest;
}
