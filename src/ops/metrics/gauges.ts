// The figures that are looked up when somebody asks for metrics: sockets, queues, files, backups, the process.
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Metrics } from '../../infra/metrics.ts';
import { isFailing, readBackupState } from '../backup/state.ts';
import { freeBytes } from '../health/checks.ts';

export interface GaugeSources {
  readonly dataDir: string;
  readonly version: string;
  readonly clock: () => number;
  /** As the gateway's. */
  readonly sockets: () => {
    readonly announced: number;
    readonly unannounced: number;
    readonly accounts: number;
    readonly bufferedBytes: number;
    readonly catchUpsWaiting: number;
  };
  readonly messagesWaiting: () => number;
  readonly hashing: () => { readonly waiting: number; readonly refused: number };
}

export function addGauges(metrics: Metrics, sources: GaugeSources): void {
  addSockets(metrics, sources);
  addQueues(metrics, sources);
  addFiles(metrics, sources.dataDir);
  addBackups(metrics, sources);
  addProcess(metrics, sources.version);
}

function addSockets(metrics: Metrics, { sockets }: GaugeSources): void {
  const meanings = {
    chat_sockets_open: 'Open WebSocket connections.',
    chat_sockets_announced: 'Those of them that are announced as an account.',
    chat_accounts_online: 'Accounts with an announced connection.',
    chat_sockets_buffered_bytes: 'What all connections together have still to take.',
    chat_catch_up_queue: 'Announces and resumes that wait for their turn.',
  };
  metrics.addGauges(meanings, () => {
    const { announced, unannounced, accounts, bufferedBytes, catchUpsWaiting } = sockets();
    return {
      chat_sockets_open: announced + unannounced,
      chat_sockets_announced: announced,
      chat_accounts_online: accounts,
      chat_sockets_buffered_bytes: bufferedBytes,
      chat_catch_up_queue: catchUpsWaiting,
    };
  });
}

function addQueues(metrics: Metrics, { dataDir, messagesWaiting, hashing }: GaugeSources): void {
  const meanings = {
    chat_committer_queue: 'Messages that are not on disk yet.',
    chat_hashing_queue: 'Passwords and codes that wait to be hashed.',
    chat_outbox_queue: 'Mails that wait for the mail host.',
  };
  metrics.addGauges(meanings, async () => ({
    chat_committer_queue: messagesWaiting(),
    chat_hashing_queue: hashing().waiting,
    chat_outbox_queue: await countMails(join(dataDir, 'outbox', 'queue')),
  }));
  const refused = 'Passwords and codes refused because too many waited to be hashed.';
  metrics.addCounters({ chat_hashing_refused_total: refused }, () => {
    return { chat_hashing_refused_total: hashing().refused };
  });
}

function addFiles(metrics: Metrics, dataDir: string): void {
  const meanings = {
    chat_database_bytes: 'Size of the database file.',
    chat_wal_bytes: 'Size of its write-ahead log.',
    chat_disk_free_bytes: 'What is left on the disk of DATA_DIR.',
  };
  metrics.addGauges(meanings, async () => ({
    chat_database_bytes: await sizeOf(join(dataDir, 'chat.db')),
    chat_wal_bytes: await sizeOf(join(dataDir, 'chat.db-wal')),
    chat_disk_free_bytes: await freeBytes(dataDir).catch(() => null),
  }));
}

function addBackups(metrics: Metrics, { dataDir, clock }: GaugeSources): void {
  const meanings = {
    chat_backup_age_seconds: 'Since the last backup that succeeded.',
    chat_backup_bytes: 'Size of its snapshot.',
    chat_backup_duration_seconds: 'How long it took.',
    chat_backup_failing: '1 while the last backup is one that failed.',
    chat_backup_remote_bytes: 'What the backup repository takes at the remote.',
    chat_drill_age_seconds: 'Since the last restore drill.',
    chat_drill_failing: '1 while the last drill is one that failed.',
  };
  metrics.addGauges(meanings, () => {
    const state = readBackupState(dataDir);
    const { lastSuccess: success, lastDrill: drill, remoteBytes } = state;
    return {
      chat_backup_age_seconds: success && (clock() - success.atMs) / 1000,
      chat_backup_bytes: success?.bytes ?? null,
      chat_backup_duration_seconds: success && success.durationMs / 1000,
      chat_backup_failing: Number(isFailing(state)),
      chat_backup_remote_bytes: remoteBytes,
      chat_drill_age_seconds: drill && (clock() - drill.atMs) / 1000,
      chat_drill_failing: Number(drill?.ok === false),
    };
  });
}

/** Named as every Prometheus client names them; those of prom-client are of Node and partly nonsense on Bun (tried). */
function addProcess(metrics: Metrics, version: string): void {
  const startedAt = Math.round(Date.now() / 1000 - process.uptime());
  const meanings = {
    process_start_time_seconds: 'When the process began, since the epoch.',
    process_resident_memory_bytes: 'Memory of the process.',
    process_open_fds: 'Open files and connections.',
  };
  metrics.addGauges(meanings, async () => ({
    process_start_time_seconds: startedAt,
    process_resident_memory_bytes: process.memoryUsage.rss(),
    process_open_fds: await countOpenFiles(),
  }));
  metrics.addCounters({ process_cpu_seconds_total: 'Processor time, of the user and the system.' }, () => {
    const { user, system } = process.cpuUsage();
    return { process_cpu_seconds_total: (user + system) / 1e6 };
  });
  metrics.addInfo('chat_build_info', 'What runs here.', {
    version,
    bun: Bun.version,
    platform: `${process.platform}-${process.arch}`,
  });
}

function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    ({ size }) => size,
    () => 0, // there is no such file: nothing is in it
  );
}

function countMails(folder: string): Promise<number> {
  return readdir(folder).then(
    (names) => names.filter((name) => name.endsWith('.json')).length,
    () => 0, // made with the first mail that waits
  );
}

/** Null where the system does not tell. */
function countOpenFiles(): Promise<number | null> {
  return readdir('/proc/self/fd').then(
    ({ length }) => length,
    () => null,
  );
}
