// What every HTTP request passes before its endpoint: headers, CORS, sizes; and what every error is answered with.
import type { Context, ErrorHandler, MiddlewareHandler, NotFoundHandler } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { cors } from 'hono/cors';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { AppError } from '../errors.ts';
import { InFlight, type Limiter } from '../infra/limiter.ts';
import type { CountLimit } from '../infra/metrics.ts';
import { networkOf } from '../infra/network.ts';
import type { Log } from '../log.ts';
import type { Endpoint } from '../protocol/endpoint.ts';
import { limits } from '../protocol/entities.ts';
import type { Env } from './endpoint.ts';
import type { SafetyHeaders } from './headers.ts';
import { rateLimitFields, spend } from './rate-limits.ts';

/** CORS without credentials mode: no cookie authenticates anything here. */
export function allowOrigins(origins: '*' | readonly string[]): MiddlewareHandler {
  return cors({
    origin: origins === '*' ? '*' : [...origins],
    allowMethods: ['GET', 'POST', 'PATCH'],
    allowHeaders: ['Content-Type', 'Authorization'],
    exposeHeaders: ['Retry-After', 'RateLimit', 'RateLimit-Policy', 'X-Request-Id'],
    maxAge: 86_400,
  });
}

/** @throws AppError `too_large` */
export const limitBody: MiddlewareHandler = bodyLimit({
  maxSize: limits.bodyBytes,
  onError: () => {
    throw new AppError('too_large', `The body is larger than ${limits.bodyBytes} bytes.`);
  },
});

/** Refuses compressed bodies, which could be a thousand times what they seem. @throws AppError `unsupported_type` */
export const refuseEncodings: MiddlewareHandler = async (context, next) => {
  const encoding = context.req.header('content-encoding') ?? 'identity';
  if (encoding.trim().toLowerCase() !== 'identity') {
    context.header('Accept-Encoding', 'identity');
    throw new AppError('unsupported_type', 'Send the body without Content-Encoding.');
  }
  await next();
};

export const limitHead: MiddlewareHandler = async (context, next) => {
  assertHeadFits(context.req.raw);
  await next();
};

/**
 * Holds path, query and header fields to what anything of ours needs; over 16 KiB Bun itself answers 431 with no body.
 * @throws AppError `uri_too_long`, `headers_too_large`
 */
export function assertHeadFits({ url, headers }: Request): void {
  if (url.length > limits.urlLength)
    throw new AppError('uri_too_long', `The address is longer than ${limits.urlLength} characters.`);
  let size = 0;
  for (const [name, value] of headers) size += name.length + value.length;
  if (size > limits.headerBytes)
    throw new AppError('headers_too_large', `The header is larger than ${limits.headerBytes} bytes.`);
}

/** Requests under way at once; each holds a connection, and may hold a body that does not come. */
const underWay = { perAddress: 200, inAll: 4000 } as const;

export function limitRequests(limiter: Limiter): MiddlewareHandler<Env> {
  return async (context, next) => {
    context.set('limiter', limiter);
    await spend(context, limiter, 'requestByAddress', context.env.address);
    await next();
  };
}

/** Every bound but that of all requests together is `width` times what it says. */
export function limitConcurrency(width: number, limited: CountLimit): MiddlewareHandler<Env> {
  const full = () => limited('requestsUnderWay');
  const requests = new InFlight(underWay.perAddress * width, underWay.inAll, full);
  return async (context, next) => {
    const leave = requests.enter(networkOf(context.env.address));
    try {
      await next();
    } finally {
      leave();
    }
  };
}

export function sendHeaders(headers: SafetyHeaders): MiddlewareHandler {
  const fields = Object.entries(headers);
  return async (context, next) => {
    for (const [name, value] of fields) context.header(name, value);
    await next();
  };
}

/** 405 with `Allow` for a path that has other methods, else 404. */
export function notFound(endpoints: readonly Endpoint[], log: Log): NotFoundHandler<Env> {
  const paths = [...new Set(endpoints.map(({ path }) => path))].map((path) => ({
    pattern: new RegExp(`^${path.replace(/:\w+/g, '[^/]+')}$`),
    methods: endpoints.filter((endpoint) => endpoint.path === path).map(({ method }) => method),
  }));
  return (context) => {
    const known = paths.find(({ pattern }) => pattern.test(context.req.path));
    if (!known) return respond(context, new AppError('not_found', 'There is nothing at this path.'), log);
    context.header('Allow', known.methods.join(', '));
    return respond(
      context,
      new AppError('method_not_allowed', `Use ${known.methods.join(' or ')} here.`),
      log,
    );
  };
}

export function answerErrors(log: Log): ErrorHandler<Env> {
  return (error, context) => respond(context, error, log);
}

/** The answer to a request that never reaches the app: a socket that was not let in. */
export function refuse(
  error: unknown,
  { log, safety, requestId }: { log: Log; safety: SafetyHeaders; requestId: string },
): Response {
  const { body, status, headers } = refusalOf(error, log, requestId);
  return Response.json(body, { status, headers: { ...safety, ...headers } });
}

function respond(context: Context<Env>, error: unknown, log: Log): Response {
  // A body that ends with its connection is the client's doing, and nobody is left to be answered.
  const cutOff = context.req.raw.signal.aborted && !(error instanceof AppError);
  const { body, status, headers } = refusalOf(
    cutOff ? new AppError('invalid', 'The body was cut off.') : error,
    log,
    context.env.requestId,
  );
  for (const [name, value] of Object.entries(headers)) context.header(name, value);
  return context.json(body, status as ContentfulStatusCode);
}

/** What is told of a mistake of ours: where to find it in the log, and nothing else. */
function defect(requestId: string): AppError {
  const body = { REQUEST_ID: requestId };
  return new AppError('internal', 'Something went wrong here. It was logged under REQUEST_ID.', { body });
}

/** What an error looks like from outside. What is not meant for the person at the other end is logged and hidden. */
function refusalOf(error: unknown, log: Log, requestId: string) {
  const known = error instanceof AppError ? error : defect(requestId);
  if (known.code === 'internal') log.error('request failed', { requestId, error });
  const { retryAfterMs, standing, body } = known.details;
  const headers: Record<string, string> = known.code === 'upgrade_required' ? { Upgrade: 'websocket' } : {};
  if (retryAfterMs !== undefined)
    headers['Retry-After'] = String(Math.max(1, Math.ceil(retryAfterMs / 1000)));
  if (standing) Object.assign(headers, rateLimitFields(standing));
  return { status: known.status, body: { message: known.message, ...body }, headers };
}
