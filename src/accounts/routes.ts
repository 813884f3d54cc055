// The HTTP endpoints of accounts: from the wire's fields to the services, and back.
import type { Hono } from 'hono';
import { AppError } from '../errors.ts';
import { type Authenticate, type Env, mount, ReadyJson } from '../http/endpoint.ts';
import { peopleOnWire, readUid } from '../protocol/entities.ts';
import { endpoints, exactMessages } from '../protocol/http.ts';
import type { Account } from '../store/store.ts';
import type { ProfileService } from './profile.ts';
import type { SecondFactors } from './second-factor.ts';
import { mountSecondFactors } from './second-factor-routes.ts';
import type { AccountService } from './service.ts';
import type { Sessions } from './sessions.ts';

interface Services {
  readonly accounts: AccountService;
  readonly profiles: ProfileService;
  readonly secondFactors: SecondFactors;
  readonly sessions: Sessions;
}

export function mountAccounts(app: Hono<Env>, authenticate: Authenticate, services: Services): void {
  mountLogin(app, authenticate, services);
  mountProfiles(app, authenticate, services);
  mountSecondFactors(app, authenticate, services.secondFactors);
}

function mountLogin(app: Hono<Env>, authenticate: Authenticate, { accounts, sessions }: Services): void {
  mount(app, endpoints.signUp, authenticate, async ({ fields, address, userAgent }) => {
    const { uid, cookie, token } = await accounts.signUp(
      {
        firstName: fields.FIRST_NAME,
        lastName: fields.LAST_NAME,
        email: fields.EMAIL,
        phone: fields.PHONE_NO,
        dob: fields.DOB,
        password: fields.PASSWORD,
        invitation: fields.INVITATION ?? '',
      },
      { address, userAgent },
    );
    return {
      message: 'Account made. Enter the code that was mailed.',
      UID: uid,
      COOKIE: cookie,
      TOKEN: token,
    };
  });

  mount(app, endpoints.verifyAccount, authenticate, async ({ fields, actor, cookie, token, address }) => {
    await accounts.verify(actor, fields.CODE, address);
    return { message: 'Account verified', TOKEN: cookie ? sessions.tokenOf(cookie) : (token ?? '') };
  });

  mount(app, endpoints.login, authenticate, async ({ fields, address, userAgent }) => {
    const { EMAIL: email, PASSWORD: password, TOTP, CODE, UID, COOKIE } = fields;
    const shown = UID && COOKIE ? { uid: UID, cookie: COOKIE } : null;
    const login = { email, password, code: TOTP ?? CODE, shown };
    const { uid, cookie, token } = await accounts.login(login, { address, userAgent });
    return { message: 'Logged in', COOKIE: cookie, UID: uid, TOKEN: token };
  });

  mount(app, endpoints.getToken, authenticate, async ({ actor, cookie, token }) => {
    if (!actor.verified) {
      // The client in use overwrites its own credentials with what this answer carries.
      throw new AppError('forbidden', exactMessages.tokenUnverified, {
        body: { UID: actor.uid, COOKIE: cookie },
      });
    }
    return { message: 'OK', TOKEN: cookie ? await sessions.refreshToken(actor, cookie) : (token ?? '') };
  });

  mount(app, endpoints.resendCode, authenticate, async ({ fields, actor }) => {
    if (fields.MODE === 'EMAIL_CHANGE') await accounts.sendEmailChangeCode(actor, fields.EMAIL ?? '');
    else await accounts.resendCode(actor);
    return { message: exactMessages.codeSent };
  });
}

function mountProfiles(app: Hono<Env>, authenticate: Authenticate, services: Services): void {
  const { profiles, secondFactors } = services;
  const settings = async (account: Account, cookie: string | undefined) => ({
    ...settingsOf(account, cookie),
    SECOND_FACTOR: await secondFactors.isOn(account.uid),
  });

  mount(app, endpoints.readSettings, authenticate, async ({ actor, cookie }) => ({
    message: 'OK',
    credentials: await settings(await profiles.getAccount(actor), cookie),
  }));

  mount(app, endpoints.changeSettings, authenticate, async ({ fields, actor, cookie, address }) => ({
    message: 'Settings saved',
    credentials: await settings(await profiles.change(actor, fields, address), cookie),
  }));

  mount(app, endpoints.undoEmailChange, authenticate, async ({ fields, address }) => {
    await profiles.undoEmailChange(fields.EMAIL, fields.OTP, address);
    return {
      message:
        'The address is yours again, everybody was logged out, and the password is void. Set a new one by /forgot_password.',
    };
  });

  mount(app, endpoints.profilePicture, authenticate, async ({ param }) => {
    const uid = readUid(param('uid'));
    return { message: 'OK', PROFILE_PIC: uid === null ? '' : await profiles.findPicture(uid) };
  });

  mount(app, endpoints.listPeople, authenticate, async ({ fields, actor }) => {
    const { QUERY, AFTER, LIMIT } = fields;
    const people =
      QUERY || AFTER || LIMIT
        ? await profiles.listPeople(actor, {
            prefix: QUERY ?? '',
            after: AFTER ?? 0,
            limit: LIMIT ?? null,
          })
        : await profiles.listAllPeople();
    const list = peopleOnWire(people, await profiles.listHiddenFrom(actor));
    if (list === '{}') throw new AppError('not_found', 'Nobody was found.');
    return new ReadyJson(list);
  });
}

function settingsOf(account: Account, cookie: string | undefined) {
  return {
    FIRST_NAME: account.firstName,
    LAST_NAME: account.lastName,
    EMAIL: account.email,
    DOB: account.dob,
    PHONE: account.phone,
    PROFILE_PIC: account.picture,
    ...(cookie === undefined ? {} : { COOKIE: cookie }),
  };
}
