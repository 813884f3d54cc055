// How requests are counted, and the header fields that say where a client stands.
import type { Context } from 'hono';
import type { Standing } from '../errors.ts';
import type { Limiter, RuleName } from '../infra/limiter.ts';

/**
 * Uses one point, and says in the answer how many are left.
 * @throws AppError `rate_limited`
 */
export async function spend(context: Context, limiter: Limiter, rule: RuleName, key: string): Promise<void> {
  const fields = rateLimitFields(await limiter.consume(rule, key));
  for (const [name, value] of Object.entries(fields)) context.header(name, value, { append: true });
}

/** @see https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/ */
export function rateLimitFields(standing: Standing): Record<string, string> {
  const { rule, quota, windowSeconds, remaining, resetMs } = standing;
  return {
    'RateLimit-Policy': `"${rule}";q=${quota};w=${windowSeconds}`,
    RateLimit: `"${rule}";r=${remaining};t=${Math.ceil(resetMs / 1000)}`,
  };
}
