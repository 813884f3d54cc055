// The HTTP endpoint that Prometheus asks.
import type { Hono } from 'hono';
import type { Env } from '../../http/endpoint.ts';
import type { Metrics } from '../../infra/metrics.ts';
import { endpoints } from '../../protocol/http.ts';
import { type AdminGuard, bearerOf } from '../admin/key.ts';

export interface MetricsRoutesDeps {
  readonly metrics: Metrics;
  /** Lets METRICS_KEY pass too. */
  readonly guard: AdminGuard;
}

/**
 * Behind a key also from this machine: where a reverse proxy runs on it, everybody comes from this machine.
 * @see https://prometheus.io/docs/instrumenting/exposition_formats/
 */
export function mountMetrics(app: Hono<Env>, { metrics, guard }: MetricsRoutesDeps): void {
  const { path } = endpoints.metrics;
  app.get(path, async (context) => {
    await guard(bearerOf(context.req.header('authorization')), context.env.address, path);
    const { text, contentType } = await metrics.text();
    return context.body(text, 200, { 'Content-Type': contentType });
  });
}
