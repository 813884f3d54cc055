// The endpoints for whoever runs the server.
import { z } from 'zod';
import { type Endpoint, message, nothing, plainRefusals } from './endpoint.ts';

export const opsEndpoints = {
  uptime: {
    method: 'GET',
    path: '/uptime',
    credentials: 'none',
    request: nothing,
    response: z.object({ message, VERSION: z.string(), UPTIME_SECONDS: z.number().int().min(0) }),
    statuses: [200],
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
