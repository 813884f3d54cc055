// The endpoints of sign-up, login, settings and people.
import { z } from 'zod';
import { answered, type Endpoint, message, nothing, plainRefusals, uid } from './endpoint.ts';
import { limits } from './entities.ts';
import * as field from './fields.ts';

const settings = z.object({
  message,
  credentials: z.object({
    FIRST_NAME: z.string(),
    LAST_NAME: z.string(),
    EMAIL: z.string(),
    DOB: z.string().nullable(),
    PHONE: z.string(),
    PROFILE_PIC: z.string(),
    SECOND_FACTOR: z.boolean(),
    COOKIE: z.string().optional(),
  }),
});

const enteredCode = z.preprocess(
  (body) => ({ CODE: field.sentCode(body) }),
  z.object({ CODE: field.typedCode }),
);

/** Texts of any sensible size: unchanged values come back as they are, and only changed ones are held to the rules. */
const sentText = z
  .union([z.string(), z.number().transform(String)], 'is not a string')
  .pipe(z.string().max(4096, 'is too long'))
  .nullish()
  .transform((text) => text ?? undefined);

/** The rules that a changed settings field must meet. `''` is none for those that may be cleared. */
export const settingsRules = {
  FIRST_NAME: field.personName,
  LAST_NAME: field.personName,
  EMAIL: field.email,
  PHONE: field.phone,
  DOB: z.union([z.literal(''), field.dateOfBirth], 'is not a real past date like 1990-12-31'),
  PROFILE_PIC: field.picture,
  NEW_PASSWORD: field.password,
} as const;

export const accountEndpoints = {
  signUp: {
    method: 'POST',
    path: '/sign_up',
    credentials: 'none',
    kind: 'sign_up',
    request: z.object({
      FIRST_NAME: field.personName,
      LAST_NAME: field.personName,
      EMAIL: field.email,
      PHONE_NO: field.phone,
      PASSWORD: field.password,
      DOB: z
        .union([z.literal(''), field.dateOfBirth], 'is not a real past date like 1990-12-31')
        .nullish()
        .transform((date) => date || null),
      INVITATION: z.string('is not a string').trim().max(64, 'is too long').nullish(),
      IP_INFO: z.record(z.string(), z.unknown(), 'is not an object').nullish(),
    }),
    response: z.object({ message, UID: uid, COOKIE: z.string(), TOKEN: z.string() }),
    statuses: [200, 400, 409, 429],
    refusals: answered(400),
  },
  verifyAccount: {
    method: 'POST',
    path: '/account_verification',
    credentials: 'cookie',
    request: enteredCode,
    response: z.object({ message, TOKEN: z.string() }),
    statuses: [200, 401, 403],
    refusals: { unreadable: 403, missing: 403, mismatch: 403, unverified: null, invalid: 401 },
  },
  login: {
    method: 'POST',
    path: '/login',
    credentials: 'none',
    kind: 'login',
    request: z.object({
      EMAIL: z.string().trim().min(1).max(1024),
      PASSWORD: field.triedPassword,
      TOTP: field.optionalCode,
      CODE: field.optionalCode,
      // A session the asker has already may spare him a delay; what is none is no fault.
      UID: field.uid.nullish().catch(null),
      COOKIE: field.secret.nullish().catch(null),
    }),
    response: z.object({ message, COOKIE: z.string(), UID: uid, TOKEN: z.string() }),
    statuses: [200, 401, 403, 429],
    refusals: answered(401),
  },
  getToken: {
    method: 'POST',
    path: '/get_token',
    credentials: 'cookie',
    kind: 'read',
    request: nothing,
    response: z.object({ message, TOKEN: z.string() }),
    statuses: [200, 401, 403, 422],
    refusals: { unreadable: 422, missing: 422, mismatch: 401, unverified: null, invalid: 422 },
  },
  resendCode: {
    method: 'POST',
    path: '/resend_otp',
    credentials: 'cookie',
    request: z.object({
      MODE: z.preprocess(
        (mode) =>
          typeof mode === 'string' && mode !== '' ? mode.toUpperCase() : (mode ?? 'DEFAULT') || 'DEFAULT',
        z.enum(['DEFAULT', 'EMAIL_CHANGE'], 'must be DEFAULT or EMAIL_CHANGE'),
      ),
      EMAIL: z.union([z.literal(''), field.email], 'is not a valid address').nullish(),
    }),
    response: z.object({ message }),
    statuses: [200, 400, 401, 409, 429],
    refusals: { unreadable: 401, missing: 401, mismatch: 401, unverified: null, invalid: 400 },
  },
  readSettings: {
    method: 'POST',
    path: '/get_settings_data',
    credentials: 'session',
    kind: 'read',
    request: nothing,
    response: settings,
    statuses: [200, 400, 401],
    refusals: { unreadable: 400, missing: 401, mismatch: 400, unverified: 401, invalid: 400 },
  },
  changeSettings: {
    method: 'PATCH',
    path: '/get_settings_data',
    credentials: 'session',
    request: z.object({
      FIRST_NAME: sentText,
      LAST_NAME: sentText,
      EMAIL: sentText,
      OTP: sentText,
      PHONE: sentText,
      DOB: sentText,
      PROFILE_PIC: sentText,
      PASSWORD: sentText,
      NEW_PASSWORD: sentText,
    }),
    response: settings,
    statuses: [200, 400, 401, 403, 409],
    refusals: { unreadable: 400, missing: 401, mismatch: 401, unverified: 401, invalid: 400 },
  },
  undoEmailChange: {
    method: 'POST',
    path: '/undo_email_change',
    credentials: 'none',
    kind: 'undo',
    request: z.object({ EMAIL: field.email, OTP: field.typedCode }),
    response: z.object({ message }),
    statuses: [200, 400, 401],
    refusals: plainRefusals,
  },
  profilePicture: {
    method: 'GET',
    path: '/get_profile_pic_link/:uid',
    credentials: 'none',
    kind: 'picture',
    request: nothing,
    response: z.object({ message, PROFILE_PIC: z.string() }),
    statuses: [200],
    refusals: plainRefusals,
  },
  listPeople: {
    method: 'POST',
    path: '/get_all_users',
    credentials: 'session',
    kind: 'read',
    request: z.object({
      QUERY: z.string().trim().normalize('NFC').max(limits.nameCodePoints).nullish(),
      LIMIT: field.pageSize(limits.peoplePageMax).nullish(),
      AFTER: z.union([z.literal(0), field.uid], 'is not an account number').nullish(),
    }),
    response: z.record(z.string().regex(/^\d+$/), z.object({ NAME: z.string(), PROFILE_PIC: z.string() })),
    statuses: [200, 401, 404],
    refusals: answered(401),
  },
} as const satisfies Record<string, Endpoint>;
