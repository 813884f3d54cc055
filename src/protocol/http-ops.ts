// The endpoints for whoever runs the server.
import { z } from 'zod';
import { type Endpoint, message, nothing, plainRefusals } from './endpoint.ts';

export const opsEndpoints = {
  /** This and the next are answered also to whom every request limit stops: a flood is no server that is down. */
  healthz: {
    method: 'GET',
    path: '/healthz',
    credentials: 'none',
    request: nothing,
    response: z.object({ message }),
    statuses: [200],
    refusals: plainRefusals,
  },
  readyz: {
    method: 'GET',
    path: '/readyz',
    credentials: 'none',
    request: nothing,
    /** `details` only with the admin key. */
    response: z.object({
      message,
      checks: z.record(z.string(), z.enum(['up', 'down'])),
      details: z
        .record(z.string(), z.object({ STATE: z.enum(['ok', 'warn', 'fail']), DETAIL: z.string() }))
        .optional(),
    }),
    statuses: [200, 403, 503],
    refusals: plainRefusals,
  },
  uptime: {
    method: 'GET',
    path: '/uptime',
    credentials: 'none',
    request: nothing,
    response: z.object({ message, VERSION: z.string(), UPTIME_SECONDS: z.number().int().min(0) }),
    statuses: [200],
    refusals: plainRefusals,
  },
  metrics: {
    method: 'GET',
    path: '/metrics',
    credentials: 'key',
    request: nothing,
    /** Not JSON but the text that Prometheus reads. */
    response: z.string(),
    statuses: [200, 401, 403],
    refusals: plainRefusals,
  },
  backUp: {
    method: 'GET',
    path: '/quick_quick_save_data_to_database_repository',
    credentials: 'key',
    request: nothing,
    response: z.object({
      message,
      OUTCOME: z.enum(['pushed', 'unchanged']),
      COMMIT: z.string(),
      BYTES: z.number().int(),
      DURATION_MS: z.number(),
    }),
    statuses: [200, 401, 403, 409, 503],
    refusals: plainRefusals,
  },
} as const satisfies Record<string, Endpoint>;
