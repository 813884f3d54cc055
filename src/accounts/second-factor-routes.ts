// The HTTP endpoints of the second factor: from the wire's fields to its service, and back.
import type { Hono } from 'hono';
import { type Authenticate, type Env, mount } from '../http/endpoint.ts';
import { endpoints } from '../protocol/http.ts';
import type { SecondFactors } from './second-factor.ts';

export function mountSecondFactors(app: Hono<Env>, authenticate: Authenticate, factors: SecondFactors): void {
  mount(app, endpoints.enrollTotp, authenticate, async ({ fields, actor }) => {
    const { secret, uri } = await factors.enroll(actor, fields.PASSWORD);
    return {
      message: 'Scan the URI with an authenticator, then confirm with a code of it.',
      SECRET: secret,
      URI: uri,
    };
  });

  mount(app, endpoints.confirmTotp, authenticate, async ({ fields, actor, address }) => ({
    message: 'Second factor on. Keep the recovery codes, they are not shown again.',
    RECOVERY_CODES: await factors.confirm(actor, { code: fields.CODE, address }),
  }));

  mount(app, endpoints.disableTotp, authenticate, async ({ fields, actor, address }) => {
    await factors.disable(actor, fields.PASSWORD, { code: fields.CODE, address });
    return { message: 'Second factor off' };
  });

  mount(app, endpoints.newRecoveryCodes, authenticate, async ({ fields, actor, address }) => ({
    message: 'New recovery codes. The former ones are void.',
    RECOVERY_CODES: await factors.renewRecoveryCodes(actor, fields.PASSWORD, { code: fields.CODE, address }),
  }));
}
