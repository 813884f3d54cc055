// What every HTTP request passes before its endpoint: headers, CORS, size, rate; and what every error is answered with.
import type { Context, ErrorHandler, MiddlewareHandler, NotFoundHandler } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { cors } from 'hono/cors';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { AppError } from '../errors.ts';
import type { Limiter } from '../infra/limiter.ts';
import type { Log } from '../log.ts';
import type { Endpoint } from '../protocol/endpoint.ts';
import { limits } from '../protocol/entities.ts';
import type { Env } from './endpoint.ts';

/** CORS without credentials mode: no cookie authenticates anything here. */
export function allowOrigins(origins: '*' | readonly string[]): MiddlewareHandler {
  return cors({
    origin: origins === '*' ? '*' : [...origins],
    allowMethods: ['GET', 'POST', 'PATCH'],
    allowHeaders: ['Content-Type', 'Authorization'],
    exposeHeaders: ['Retry-After'],
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

export function limitRequests(limiter: Limiter): MiddlewareHandler<Env> {
  return async (context, next) => {
    await limiter.consume('requestByAddress', context.env.address);
    await next();
  };
}

export const plainHeaders: MiddlewareHandler = async (context, next) => {
  context.header('X-Content-Type-Options', 'nosniff');
  context.header('Cache-Control', 'no-store');
  await next();
};

/** 405 with `Allow` for a path that has other methods, else 404. */
export function notFound(endpoints: readonly Endpoint[], log: Log): NotFoundHandler {
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

export function answerErrors(log: Log): ErrorHandler {
  return (error, context) => respond(context, error, log);
}

/** The answer to a request that never reaches the app: a socket that was not let in. */
export function refuse(error: unknown, log: Log): Response {
  const { body, status, headers } = refusalOf(error, log);
  return Response.json(body, { status, headers });
}

function respond(context: Context, error: unknown, log: Log): Response {
  const { body, status, headers } = refusalOf(error, log);
  return context.json(body, status as ContentfulStatusCode, headers);
}

/** What an error looks like from outside. What is not meant for the person at the other end is logged and hidden. */
function refusalOf(error: unknown, log: Log) {
  const known =
    error instanceof AppError ? error : new AppError('internal', 'Something went wrong here. It was logged.');
  if (known.status >= 500) log.error('request failed', { error });
  const { retryAfterMs, body } = known.details;
  const headers: Record<string, string> = known.code === 'upgrade_required' ? { Upgrade: 'websocket' } : {};
  if (retryAfterMs !== undefined)
    headers['Retry-After'] = String(Math.max(1, Math.ceil(retryAfterMs / 1000)));
  return { status: known.status, body: { message: known.message, ...body }, headers };
}
