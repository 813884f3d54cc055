// Which sockets are let in: allowed origins, a bounded number of them, the longest silent unannounced closed first.
import { isIP } from 'node:net';
import { AppError, closeCodes } from '../errors.ts';
import type { CountLimit } from '../infra/metrics.ts';
import { limits } from '../protocol/entities.ts';
import type { Origin, Socket } from './connection.ts';
import { socketLimits } from './limits.ts';

/** Whether a path is one that sockets connect to. */
export function isSocketPath(path: string): boolean {
  return path === '/ws' || path.startsWith('/ws/');
}

/** The client id of a socket's path, '' for none. @throws AppError `not_found` */
export function readClientId(path: string): string {
  const [, clientId = ''] = /^\/ws(?:\/([^/]*))?$/.exec(path) ?? [];
  if (!/^\/ws(?:\/[^/]*)?$/.test(path) || clientId.length > limits.clientIdLength) {
    throw new AppError('not_found', 'Sockets connect to /ws or /ws/{client_id}.');
  }
  return clientId;
}

/** Which pages may open sockets. */
export interface OriginRules {
  readonly allowed: '*' | readonly string[];
  /** Of PUBLIC_URL; null when that is not set. */
  readonly publicHostname: string | null;
}

/**
 * A page of another site must not open a socket with what this browser knows. Native clients send no Origin; pages that
 * this server serves itself have its own host as theirs.
 * @see https://owasp.org/www-community/attacks/csrf, RFC 6455 10.2
 */
export function isAllowedOrigin(headers: Headers, { allowed, publicHostname }: OriginRules): boolean {
  const origin = headers.get('origin');
  if (origin === null || allowed === '*') return true;
  const url = URL.parse(origin);
  if (!url) return false;
  if (allowed.includes(url.origin)) return true;
  return url.host === headers.get('host')?.toLowerCase() && isOwnHostname(url.hostname, publicHostname);
}

/**
 * Whether a Host may be this server's own. A page can make a name of its own resolve to our address (DNS rebinding), and
 * is then of the same host as the server it reaches: where the public name is known, no other name is believed.
 * Addresses and localhost cannot be made to point here.
 */
function isOwnHostname(hostname: string, publicHostname: string | null): boolean {
  if (publicHostname === null || hostname === publicHostname || hostname === 'localhost') return true;
  return isIP(hostname.replace(/^\[|\]$/g, '')) !== 0;
}

export class Admission {
  readonly #origins = new Map<string, Origin>();
  /** In the order of their last frames: the first has been silent longest. */
  readonly #unannounced = new Set<Socket>();

  constructor(
    private readonly width: number,
    private readonly clock: () => number,
    private readonly limited: CountLimit,
  ) {}

  /**
   * Where a socket that may be let in comes from.
   * @throws AppError `rate_limited` when this address, or the whole server, has as many sockets as it may
   */
  check(address: string): Origin {
    const { perAddress, unannouncedPerAddress } = socketLimits;
    const origin = this.#origins.get(address) ?? { address, open: 0, unannounced: 0 };
    if (origin.open >= perAddress * this.width) throw this.#full('from this address');
    if (origin.unannounced >= unannouncedPerAddress * this.width) {
      const waiting = [...this.#unannounced].find(({ data }) => data.origin === origin);
      this.#crowdOut(waiting, 'from this address');
    }
    if (this.#unannounced.size >= socketLimits.unannounced) {
      this.#crowdOut(this.#unannounced.values().next().value, 'in all');
    }
    return origin;
  }

  opened(socket: Socket): void {
    const { address } = socket.data.origin;
    // Two that came in at once from a new address were each given a new one.
    const origin = this.#origins.get(address) ?? socket.data.origin;
    this.#origins.set(address, origin);
    socket.data.origin = origin;
    origin.open += 1;
    origin.unannounced += 1;
    this.#unannounced.add(socket);
  }

  /** Notes that a socket was heard of: one that is unannounced is then the last to be crowded out. */
  heard(socket: Socket): void {
    socket.data.lastHeardAt = this.clock();
    if (this.#unannounced.delete(socket)) this.#unannounced.add(socket);
  }

  announced(socket: Socket): void {
    if (this.#unannounced.delete(socket)) socket.data.origin.unannounced -= 1;
  }

  closed(socket: Socket): void {
    const { origin } = socket.data;
    this.announced(socket);
    origin.open -= 1;
    if (origin.open === 0) this.#origins.delete(origin.address);
  }

  unannounced(): Socket[] {
    return [...this.#unannounced];
  }

  #crowdOut(longestSilent: Socket | undefined, where: string): void {
    const now = this.clock();
    // A clock that was set back lets nobody seem to have been heard of in the future, and so never to be silent.
    if (longestSilent && longestSilent.data.lastHeardAt > now) longestSilent.data.lastHeardAt = now;
    if (!longestSilent || now - longestSilent.data.lastHeardAt < socketLimits.silentMs)
      throw this.#full(where);
    this.announced(longestSilent);
    longestSilent.close(closeCodes.crowdedOut, 'Crowded out by newer connections.');
  }

  #full(where: string): AppError {
    this.limited('sockets');
    return new AppError('rate_limited', `Too many connections ${where}. Try again later.`, {
      retryAfterMs: 30_000,
    });
  }
}
