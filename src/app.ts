// The HTTP app: the order of what every request passes, and the endpoints behind it.
import { Hono } from 'hono';
import type { OwnData } from './accounts/own-data.ts';
import { mountOwnData } from './accounts/own-data-routes.ts';
import type { ProfileService } from './accounts/profile.ts';
import type { PasswordRecovery } from './accounts/recovery.ts';
import { mountAccounts } from './accounts/routes.ts';
import type { SecondFactors } from './accounts/second-factor.ts';
import type { AccountService } from './accounts/service.ts';
import { mountSessions } from './accounts/session-routes.ts';
import type { Sessions } from './accounts/sessions.ts';
import { mountChats } from './chats/routes.ts';
import type { ChatService } from './chats/service.ts';
import type { Env } from './http/endpoint.ts';
import type { SafetyHeaders } from './http/headers.ts';
import {
  allowOrigins,
  answerErrors,
  limitBody,
  limitConcurrency,
  limitHead,
  limitRequests,
  notFound,
  refuseEncodings,
  sendHeaders,
} from './http/middleware.ts';
import type { Limiter } from './infra/limiter.ts';
import type { CountLimit } from './infra/metrics.ts';
import type { Log } from './log.ts';
import { mountMessages } from './messages/routes.ts';
import type { MessageService } from './messages/service.ts';
import { type AdminRoutesDeps, mountAdmin } from './ops/admin/routes.ts';
import type { Health } from './ops/health/health.ts';
import { mountHealth } from './ops/health/routes.ts';
import { type MetricsRoutesDeps, mountMetrics } from './ops/metrics/routes.ts';
import { mountOps, type OpsDeps } from './ops/routes.ts';
import { endpoints } from './protocol/http.ts';

export interface AppDeps {
  readonly accounts: AccountService;
  readonly profiles: ProfileService;
  readonly secondFactors: SecondFactors;
  readonly ownData: OwnData;
  readonly sessions: Sessions;
  readonly recovery: PasswordRecovery;
  readonly chats: ChatService;
  readonly messages: MessageService;
  readonly health: Health;
  readonly metrics: MetricsRoutesDeps;
  readonly ops: OpsDeps;
  readonly admin: AdminRoutesDeps;
  readonly limiter: Limiter;
  /** Requests under way at once may be this many times what http/middleware.ts says. */
  readonly width: number;
  readonly limited: CountLimit;
  readonly headers: SafetyHeaders;
  readonly corsOrigins: '*' | readonly string[];
  readonly log: Log;
}

export function createApp(deps: AppDeps): Hono<Env> {
  const app = new Hono<Env>();
  app.onError(answerErrors(deps.log));
  app.notFound(notFound(Object.values(endpoints), deps.log));
  app.use(sendHeaders(deps.headers), allowOrigins(deps.corsOrigins), limitHead);
  mountHealth(app, { health: deps.health, guard: deps.admin.guard }); // before the limits, which do not hold for it
  app.use(
    limitRequests(deps.limiter),
    limitConcurrency(deps.width, deps.limited),
    refuseEncodings,
    limitBody,
  );

  const authenticate = deps.sessions.authenticate.bind(deps.sessions);
  mountAccounts(app, authenticate, deps);
  mountSessions(app, authenticate, deps);
  mountOwnData(app, authenticate, deps.ownData);
  mountChats(app, authenticate, deps.chats);
  mountMessages(app, authenticate, deps.messages);
  mountOps(app, deps.ops);
  mountMetrics(app, deps.metrics);
  mountAdmin(app, deps.admin);
  return app;
}
