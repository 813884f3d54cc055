// What `status` shows of a server: its figures now, and what it did between two samples of its metrics.
import { labelOf, quantileOf, rateOf, type Sample } from './samples.ts';

/** A check of /readyz that is not well. */
export interface Concern {
  readonly name: string;
  readonly state: 'warn' | 'fail';
  readonly detail: string;
}

/** Times in ms, sizes in bytes, rates a second; null what there is none of. */
export interface Figures {
  readonly version: string;
  readonly uptimeMs: number;
  readonly sockets: { readonly open: number; readonly announced: number; readonly accounts: number };
  readonly messages: {
    readonly sendsPerSecond: number;
    readonly deliveriesPerSecond: number;
    readonly refusedPerSecond: number;
    readonly waiting: number;
  };
  readonly acknowledgement: Quantiles;
  readonly commit: Quantiles;
  readonly eventLoopDelay: Quantiles;
  readonly process: { readonly memoryBytes: number; readonly cpuShare: number };
  readonly requestsPerSecond: number;
  readonly logins: { readonly ok: number; readonly failed: number };
  /** Since the start, by rule, the most first. */
  readonly limitsHit: Readonly<Record<string, number>>;
  readonly storage: {
    readonly databaseBytes: number;
    readonly walBytes: number;
    readonly diskFreeBytes: number | null;
  };
  readonly queues: { readonly hashing: number; readonly outbox: number; readonly bufferedBytes: number };
  readonly backup: {
    readonly ageMs: number | null;
    readonly bytes: number | null;
    readonly failing: boolean;
    readonly drillAgeMs: number | null;
    readonly drillFailing: boolean;
  };
  readonly concerns: readonly Concern[];
}

export interface Quantiles {
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
}

/** @param now ms since the epoch */
export function figuresOf(
  between: readonly [Sample, Sample],
  concerns: readonly Concern[],
  now: number,
): Figures {
  const { values } = between[1];
  const value = (name: string) => values.get(name) ?? 0;
  const scaled = (name: string, factor: number) => {
    const found = values.get(name);
    return found === undefined ? null : found * factor;
  };
  return {
    version: labelOf(values, 'chat_build_info', 'version'),
    uptimeMs: Math.max(0, now - value('process_start_time_seconds') * 1000),
    sockets: {
      open: value('chat_sockets_open'),
      announced: value('chat_sockets_announced'),
      accounts: value('chat_accounts_online'),
    },
    messages: {
      sendsPerSecond: rateOf(between, 'chat_sends_accepted_total'),
      deliveriesPerSecond: rateOf(between, 'chat_deliveries_total'),
      refusedPerSecond: rateOf(between, 'chat_sends_refused_total'),
      waiting: value('chat_committer_queue'),
    },
    acknowledgement: quantilesOf(between, 'chat_acknowledgement_seconds'),
    commit: quantilesOf(between, 'chat_commit_seconds'),
    eventLoopDelay: quantilesOf(between, 'chat_event_loop_delay_seconds'),
    process: {
      memoryBytes: value('process_resident_memory_bytes'),
      cpuShare: rateOf(between, 'process_cpu_seconds_total'),
    },
    requestsPerSecond: rateOf(between, 'chat_http_request_seconds_count'),
    logins: {
      ok: value('chat_logins_total{result="ok"}'),
      failed: value('chat_logins_total{result="failed"}'),
    },
    limitsHit: limitsOf(between[1]),
    storage: {
      databaseBytes: value('chat_database_bytes'),
      walBytes: value('chat_wal_bytes'),
      diskFreeBytes: values.get('chat_disk_free_bytes') ?? null,
    },
    queues: {
      hashing: value('chat_hashing_queue'),
      outbox: value('chat_outbox_queue'),
      bufferedBytes: value('chat_sockets_buffered_bytes'),
    },
    backup: {
      ageMs: scaled('chat_backup_age_seconds', 1000),
      bytes: scaled('chat_backup_bytes', 1),
      failing: value('chat_backup_failing') > 0,
      drillAgeMs: scaled('chat_drill_age_seconds', 1000),
      drillFailing: value('chat_drill_failing') > 0,
    },
    concerns,
  };
}

function quantilesOf(between: readonly [Sample, Sample], name: string): Quantiles {
  const ms = (share: number) => {
    const seconds = quantileOf(between, name, share);
    return seconds === null ? null : seconds * 1000;
  };
  return { p50Ms: ms(0.5), p99Ms: ms(0.99) };
}

function limitsOf({ values }: Sample): Record<string, number> {
  const hits = [...values].flatMap(([series, count]) => {
    const rule = /^chat_limits_hit_total\{rule="([^"]*)"\}$/.exec(series)?.[1];
    return rule === undefined ? [] : [[rule, count] as const];
  });
  return Object.fromEntries(hits.sort(([, one], [, other]) => other - one));
}
