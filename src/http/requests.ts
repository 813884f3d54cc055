// What is noted of each HTTP request: an id that its answer and the log carry, and a line of the access log.
import type { BlockList } from 'node:net';
import type { Log } from '../log.ts';
import { isTrusted } from './address.ts';

interface RequestLogDeps {
  /** Proxies whose `X-Request-Id` is taken over. */
  readonly trusted: BlockList | undefined;
  readonly log: Log;
  /** Counts an answer and how long it took. */
  readonly answered: (status: number, ms: number) => void;
}

/** What a proxy's id must look like to be taken over: nothing that could break out of a log or a header. */
const wellFormed = /^[\w.:+/=-]{1,128}$/;
const header = 'X-Request-Id';

/** Lets a request be answered under an id; undefined stays undefined, for a request that became a socket. */
export type RequestLog = (
  request: Request,
  from: { peer: string; path: string },
  answer: (requestId: string) => Promise<Response | undefined>,
) => Promise<Response | undefined>;

/** The log's line is at level debug and has the path alone: what else is in an address may be secret. */
export function createRequestLog({ trusted, log, answered }: RequestLogDeps): RequestLog {
  return async (request, { peer, path }, answer) => {
    const startedAt = performance.now();
    const claimed = request.headers.get(header) ?? '';
    const isTaken = trusted !== undefined && isTrusted(peer, trusted) && wellFormed.test(claimed);
    const requestId = isTaken ? claimed : crypto.randomUUID();
    const response = await answer(requestId);
    if (!response) return undefined;
    response.headers.set(header, requestId);
    const ms = performance.now() - startedAt;
    answered(response.status, ms);
    const { method } = request;
    log.debug('request', { requestId, method, path, status: response.status, ms: Math.round(ms * 10) / 10 });
    return response;
  };
}
