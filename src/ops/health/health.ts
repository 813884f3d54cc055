// Whether the server may be sent people: the checks behind /readyz, looked at once a second at most.
import { readBackupState } from '../backup/state.ts';
import { type BackupPlan, checkBackups } from './backup-checks.ts';
import type { Check } from './checks.ts';
import { checkDatabase, checkDisk, fail, ok, settled } from './checks.ts';

export type Checks = Readonly<Record<string, Check>>;

export interface Health {
  /** Every check by its name. Whoever asks within a second of another gets the same. */
  look(): Promise<Checks>;
  /** From now on the server is stopping. */
  stop(): void;
}

export interface HealthDeps {
  readonly dataDir: string;
  /** Free bytes under which there is a warning. */
  readonly lowDiskBytes: number;
  /** Tries whether the database can be written. */
  readonly probe: () => Promise<void>;
  /** Null when no backups are made. */
  readonly backups: BackupPlan | null;
  readonly clock: () => number;
}

const freshMs = 1000;

export function createHealth({ dataDir, lowDiskBytes, probe, backups, clock }: HealthDeps): Health {
  let isStopping = false;
  let lookedAt = Number.NEGATIVE_INFINITY;
  let looked: Promise<Checks> = Promise.resolve({});

  const lookNow = async (): Promise<Checks> => {
    const [database, disk] = await Promise.all([
      settled(checkDatabase(probe)),
      settled(checkDisk(dataDir, lowDiskBytes)),
    ]);
    const made = backups && checkBackups(readBackupState(dataDir), backups, clock());
    return { DATABASE: database, DISK: disk, ...made };
  };
  return {
    async look() {
      if (performance.now() - lookedAt > freshMs) {
        lookedAt = performance.now();
        looked = lookNow();
      }
      const server = isStopping ? fail('is stopping') : ok('serves');
      return { SERVER: server, ...(await looked) };
    },
    stop: () => {
      isStopping = true;
    },
  };
}
