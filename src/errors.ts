// The errors this program raises on purpose, their HTTP statuses, and the codes its sockets close with.

/** Why a request could not be served; `statusOf` maps each to one HTTP status (RFC 9110, RFC 6585). */
export type ErrorCode =
  | 'invalid'
  | 'unauthenticated'
  | 'forbidden'
  | 'not_found'
  | 'method_not_allowed'
  | 'conflict'
  | 'too_large'
  | 'uri_too_long'
  | 'unsupported_type'
  | 'unprocessable'
  | 'upgrade_required'
  | 'rate_limited'
  | 'headers_too_large'
  | 'internal'
  | 'unavailable';

export const statusOf = {
  invalid: 400,
  unauthenticated: 401,
  forbidden: 403,
  not_found: 404,
  method_not_allowed: 405,
  conflict: 409,
  too_large: 413,
  uri_too_long: 414,
  unsupported_type: 415,
  unprocessable: 422,
  upgrade_required: 426,
  rate_limited: 429,
  headers_too_large: 431,
  internal: 500,
  unavailable: 503,
} as const satisfies Record<ErrorCode, number>;

export type ErrorStatus = (typeof statusOf)[ErrorCode];

/** Where a key stands with one of the rate limits. */
export interface Standing {
  readonly rule: string;
  /** What the key may use in a window. */
  readonly quota: number;
  readonly windowSeconds: number;
  readonly remaining: number;
  /** ms until there is more. */
  readonly resetMs: number;
}

interface ErrorDetails {
  /** Sent as `Retry-After`, rounded up to whole seconds. */
  retryAfterMs?: number;
  /** The limit that was met, told in the `RateLimit` field. */
  standing?: Standing;
  /** Merged into the JSON answer beside `message`. */
  body?: Record<string, unknown>;
}

/** An error whose message is meant for the person at the other end. Everything else is `internal` and hidden. */
export class AppError extends Error {
  readonly status: ErrorStatus;

  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly details: ErrorDetails = {},
  ) {
    super(message);
    this.name = 'AppError';
    this.status = statusOf[code];
  }
}

/** A refusal for going too fast; `retryAfterMs` until it may be tried again. */
export function tooFast(retryAfterMs: number, standing?: Standing): AppError {
  const seconds = Math.max(1, Math.ceil(retryAfterMs / 1000));
  return new AppError('rate_limited', `Too many requests. Try again in ${seconds} s.`, {
    retryAfterMs,
    ...(standing ? { standing } : {}),
  });
}

/**
 * WebSocket close codes (RFC 6455, 4000-4999 are the application's own).
 * 4000-4499: reconnect. 4500-4999: stop, reconnecting will not help.
 */
export const closeCodes = {
  restart: 4000,
  tooSlow: 4001,
  crowdedOut: 4002,
  sessionEnded: 4501,
  flooding: 4503,
} as const;

const codeOf = new Map(Object.entries(statusOf).map(([code, status]) => [status, code as ErrorCode]));

/** An error by its status, for contracts that are written in statuses. */
export function withStatus(status: ErrorStatus, message: string): AppError {
  return new AppError(codeOf.get(status) ?? 'internal', message);
}
