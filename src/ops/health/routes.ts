// The HTTP endpoints that tell supervisors and proxies how the server is.
import type { Hono } from 'hono';
import type { Env } from '../../http/endpoint.ts';
import { endpoints } from '../../protocol/http.ts';
import { type AdminGuard, bearerOf } from '../admin/key.ts';
import type { Checks, Health } from './health.ts';

interface HealthRoutesDeps {
  readonly health: Health;
  readonly guard: AdminGuard;
}

/** Strangers are told of each check whether it is up; why, how much and how old only whoever shows the admin key. */
export function mountHealth(app: Hono<Env>, { health, guard }: HealthRoutesDeps): void {
  app.get(endpoints.healthz.path, (context) => context.json({ message: 'Alive' }));

  app.get(endpoints.readyz.path, async (context) => {
    const key = bearerOf(context.req.header('authorization'));
    if (key !== undefined) await guard(key, context.env.address, endpoints.readyz.path);
    const checks = await health.look();
    const failed = Object.keys(checks).filter((name) => checks[name]?.state === 'fail');
    const message = failed.length === 0 ? 'Ready' : `Not ready: ${failed.join(', ')}`;
    const details = key === undefined ? {} : { details: mapChecks(checks, onWire) };
    const isUp = mapChecks(checks, ({ state }) => (state === 'fail' ? 'down' : 'up'));
    return context.json({ message, checks: isUp, ...details }, failed.length === 0 ? 200 : 503);
  });
}

function mapChecks<T>(checks: Checks, map: (check: Checks[string]) => T): Record<string, T> {
  return Object.fromEntries(Object.entries(checks).map(([name, check]) => [name, map(check)]));
}

function onWire({ state, detail }: Checks[string]) {
  return { STATE: state, DETAIL: detail };
}
