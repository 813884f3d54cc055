// The HTTP endpoints of sessions and of forgotten passwords.
import type { Hono } from 'hono';
import { type Authenticate, type Env, mount } from '../http/endpoint.ts';
import { wireTime } from '../protocol/entities.ts';
import { endpoints } from '../protocol/http.ts';
import type { PasswordRecovery } from './recovery.ts';
import type { Sessions } from './sessions.ts';

interface Services {
  readonly sessions: Sessions;
  readonly recovery: PasswordRecovery;
}

export function mountSessions(
  app: Hono<Env>,
  authenticate: Authenticate,
  { sessions, recovery }: Services,
): void {
  mount(app, endpoints.listSessions, authenticate, async ({ actor }) => ({
    message: 'OK',
    sessions: (await sessions.list(actor)).map(({ id, createdAt, lastUsedAt, device }) => ({
      SESSION_ID: id,
      CREATED_ON: wireTime(createdAt),
      LAST_USED_ON: wireTime(lastUsedAt),
      DEVICE: device,
      CURRENT: id === actor.sessionId,
    })),
  }));

  mount(app, endpoints.logOut, authenticate, async ({ fields, actor, address }) => {
    await sessions.logOut(actor, fields.SESSION_ID ?? null, address);
    return { message: 'Logged out' };
  });

  mount(app, endpoints.logOutAll, authenticate, async ({ actor, address }) => ({
    message: 'Logged out everywhere',
    ENDED: await sessions.logOutAll(actor, address),
  }));

  mount(app, endpoints.forgotPassword, authenticate, async ({ fields }) => {
    await recovery.forgot(fields.EMAIL);
    return { message: 'If this address has an account, a code is on its way to it.' };
  });

  mount(app, endpoints.resetPassword, authenticate, async ({ fields, address }) => {
    const { EMAIL: email, OTP: code, NEW_PASSWORD: newPassword } = fields;
    await recovery.reset({ email, code, newPassword }, address);
    return { message: 'The password is set and everybody was logged out. Log in with it.' };
  });
}
