// Which sockets are let in: allowed origins, a bounded number of them, the longest silent unannounced closed first.
import { AppError, closeCodes } from '../errors.ts';
import type { Socket } from './connection.ts';
import { socketLimits } from './limits.ts';

/**
 * A page of another site must not open a socket with what this browser knows. Native clients send no Origin; pages that
 * this server serves itself have its own host as theirs.
 */
export function isAllowedOrigin(
  origin: string | null,
  host: string | null,
  allowed: '*' | readonly string[],
): boolean {
  if (origin === null || allowed === '*') return true;
  if (!URL.canParse(origin)) return false;
  const url = new URL(origin);
  return allowed.includes(url.origin) || url.host === host?.toLowerCase();
}

export class Admission {
  readonly #open = new Map<string, number>();
  readonly #unannouncedAt = new Map<string, number>();
  /** In the order of their last frames: the first has been silent longest. */
  readonly #unannounced = new Set<Socket>();

  constructor(
    private readonly width: number,
    private readonly clock: () => number,
  ) {}

  /** @throws AppError `rate_limited` when this address, or the whole server, has as many sockets as it may */
  check(address: string): void {
    const { perAddress, unannouncedPerAddress } = socketLimits;
    if ((this.#open.get(address) ?? 0) >= perAddress * this.width) throw full('from this address');
    if ((this.#unannouncedAt.get(address) ?? 0) >= unannouncedPerAddress * this.width) {
      const waiting = [...this.#unannounced].find((socket) => socket.data.address === address);
      this.#crowdOut(waiting, 'from this address');
    }
    if (this.#unannounced.size >= socketLimits.unannounced) {
      this.#crowdOut(this.#unannounced.values().next().value, 'in all');
    }
  }

  opened(socket: Socket): void {
    count(this.#open, socket.data.address, 1);
    this.#unannounced.add(socket);
    count(this.#unannouncedAt, socket.data.address, 1);
  }

  /** Notes that a socket was heard of: one that is unannounced is then the last to be crowded out. */
  heard(socket: Socket): void {
    socket.data.lastHeardAt = this.clock();
    if (this.#unannounced.delete(socket)) this.#unannounced.add(socket);
  }

  announced(socket: Socket): void {
    if (this.#unannounced.delete(socket)) count(this.#unannouncedAt, socket.data.address, -1);
  }

  closed(socket: Socket): void {
    this.announced(socket);
    count(this.#open, socket.data.address, -1);
  }

  unannounced(): Socket[] {
    return [...this.#unannounced];
  }

  #crowdOut(longestSilent: Socket | undefined, where: string): void {
    if (!longestSilent || this.clock() - longestSilent.data.lastHeardAt < socketLimits.silentMs)
      throw full(where);
    this.announced(longestSilent);
    longestSilent.close(closeCodes.crowdedOut, 'Crowded out by newer connections.');
  }
}

function count(counts: Map<string, number>, key: string, step: 1 | -1): void {
  const sum = (counts.get(key) ?? 0) + step;
  if (sum > 0) counts.set(key, sum);
  else counts.delete(key);
}

function full(where: string): AppError {
  return new AppError('rate_limited', `Too many connections ${where}. Try again later.`, {
    retryAfterMs: 30_000,
  });
}
