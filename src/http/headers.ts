// The header fields that tell browsers what not to do with an answer.

export type SafetyHeaders = Readonly<Record<string, string>>;

/**
 * What every answer carries, refusals too. They are JSON and never a page, so nothing in them may load, run or be framed.
 * `Strict-Transport-Security` comes only when asked for: there are clients that speak plain HTTP to this port.
 * @see https://cheatsheetseries.owasp.org/cheatsheets/REST_Security_Cheat_Sheet.html#security-headers
 */
export function safetyHeaders(corsOrigins: '*' | readonly string[], hstsSeconds: number): SafetyHeaders {
  return {
    'Cache-Control': 'no-store',
    'Content-Security-Policy': "default-src 'none'; base-uri 'none'; frame-ancestors 'none'",
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'no-referrer',
    'Permissions-Policy': 'camera=(), geolocation=(), microphone=()',
    // Pages that may call us are answered by CORS; this keeps all others from embedding what they may not read.
    'Cross-Origin-Resource-Policy': corsOrigins === '*' ? 'cross-origin' : 'same-origin',
    ...(hstsSeconds > 0 ? { 'Strict-Transport-Security': `max-age=${hstsSeconds}` } : {}),
  };
}
