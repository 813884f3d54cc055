// The way in: what every HTTP request passes before the app or the gateway, and what is noted of its answer.
import type { BlockList } from 'node:net';
import type { Server } from 'bun';
import { AppError } from '../errors.ts';
import { canonicalAddress, networkOf } from '../infra/network.ts';
import type { Log } from '../log.ts';
import { clientAddress } from './address.ts';
import type { Env } from './endpoint.ts';
import type { SafetyHeaders } from './headers.ts';
import { assertHeadFits, refuse } from './middleware.ts';
import { createRequestLog } from './requests.ts';

export interface EntranceDeps<Socket> {
  /** Answers whatever is no socket. */
  readonly app: (request: Request, bindings: Env['Bindings']) => Response | Promise<Response>;
  readonly sockets: {
    accepts(path: string): boolean;
    /** Undefined when the request became a socket. @throws AppError */
    upgrade(request: Request, server: Server<Socket>, network: string): Promise<undefined>;
  };
  /** Waits until it is the request's turn. */
  readonly turn: () => Promise<void>;
  /** How long a connection may be idle. */
  readonly idleSeconds: number;
  readonly trusted: BlockList | undefined;
  readonly headers: SafetyHeaders;
  /** Counts an answer and how long it took. */
  readonly answered: (status: number, ms: number) => void;
  readonly log: Log;
}

/** What Bun.serve is given. */
export function createEntrance<Socket>(deps: EntranceDeps<Socket>) {
  const { app, sockets, turn, idleSeconds, trusted, headers: safety, answered, log } = deps;
  const logRequest = createRequestLog({ trusted, log, answered });
  return {
    fetch(request: Request, server: Server<Socket>): Promise<Response | undefined> {
      const peer = canonicalAddress(server.requestIP(request)?.address ?? 'unknown');
      // The address is made of the Host header, which may be missing (HTTP/1.0) or nonsense.
      const path = URL.parse(request.url)?.pathname ?? null;
      return logRequest(request, { peer, path: path ?? '' }, async (requestId) => {
        try {
          await turn();
          if (path === null) throw new AppError('invalid', 'The Host header is missing or not valid.');
          const address = clientAddress(peer, request.headers.get('x-forwarded-for'), trusted);
          const hold = (isHeld: boolean) => server.timeout(request, isHeld ? 0 : idleSeconds);
          if (!sockets.accepts(path)) return await app(request, { address, hold, requestId });
          assertHeadFits(request);
          return await sockets.upgrade(request, server, networkOf(address));
        } catch (error) {
          return refuse(error, { log, safety, requestId });
        }
      });
    },
    error: (error: unknown) => refuse(error, { log, safety, requestId: crypto.randomUUID() }),
  };
}
