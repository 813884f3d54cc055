// Whether the server may be sent people: the checks behind /readyz, looked at once a second at most.
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
}

const freshMs = 1000;

export function createHealth({ dataDir, lowDiskBytes, probe }: HealthDeps): Health {
  let isStopping = false;
  let lookedAt = Number.NEGATIVE_INFINITY;
  let looked: Promise<Checks> = Promise.resolve({});

  const lookNow = async (): Promise<Checks> => {
    const [database, disk] = await Promise.all([
      settled(checkDatabase(probe)),
      settled(checkDisk(dataDir, lowDiskBytes)),
    ]);
    return { DATABASE: database, DISK: disk };
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
