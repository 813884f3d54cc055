// The HTTP contract: every endpoint with its request, its answer and the statuses it may refuse with.
import { z } from 'zod';
import { limits } from './entities.ts';
import * as field from './fields.ts';

/** Texts the client in use compares letter for letter. */
export const exactMessages = {
  loginUnverified: 'Access Denaid ! Verification pending',
  tokenUnverified: 'Verification pending',
  emailTaken: 'Email already Associated with another Account',
  codeSent: 'OTP sent sucessfully',
} as const;

export type Method = 'GET' | 'POST' | 'PATCH';

/** What a request gets that fails before its rules are looked at; `null` where that cannot happen. */
interface Refusals {
  /** The body is not a JSON object. */
  readonly unreadable: 400 | 401 | 403 | 422;
  /** No UID with COOKIE or TOKEN, or of the wrong type. */
  readonly missing: 400 | 401 | 403 | 422;
  /** The credentials match no live session. */
  readonly mismatch: 400 | 401 | 403;
  /** The account has not entered its first code; `null` lets it in. */
  readonly unverified: 400 | 401 | 403 | null;
  /** A field is missing or has a bad value. */
  readonly invalid: 400 | 401 | 403 | 422;
}

export interface Endpoint {
  readonly method: Method;
  readonly path: string;
  /** `session`: UID with COOKIE or TOKEN, or Bearer; `cookie`: UID with COOKIE, or Bearer; `key`: the admin key. */
  readonly credentials: 'none' | 'session' | 'cookie' | 'key';
  readonly request: z.ZodType;
  /** The 200 answer. */
  readonly response: z.ZodType;
  /** Every status the endpoint answers with by its own rules (besides 413, 415 and 429, which any may). */
  readonly statuses: readonly number[];
  readonly refusals: Refusals;
}

const answered = (status: Refusals['missing'] & Refusals['mismatch']) => ({
  unreadable: status,
  missing: status,
  mismatch: status,
  unverified: status,
  invalid: status,
});

/** Our own additions tell a bad body (400) from bad credentials (401). */
const plainRefusals = {
  unreadable: 400,
  missing: 401,
  mismatch: 401,
  unverified: 401,
  invalid: 400,
} as const;

const message = z.string();
const uid = z.number().int().positive();
const chatEntry = z.object({
  NAME: z.string(),
  PROFILE_PIC: z.string(),
  CREATION_DATE: z.iso.datetime({ precision: 3 }),
  KIND: z.enum(['group', 'direct']),
  LAST_MESSAGE_ID: z.number().int(),
  LAST_MESSAGE: z.string(),
  LAST_MESSAGE_TIME: z.iso.datetime({ precision: 3 }).nullable(),
  READ_MESSAGE_ID: z.number().int(),
});
export const chatList = z.record(z.string(), chatEntry);
const oldMessage = z.object({
  SENDER_ID: uid,
  SENDER_NAME: z.string(),
  MESSAGE: z.string(),
  PROFILE_PIC: z.string(),
  TIME_STAMP: z.iso.datetime({ precision: 3 }),
});
const settings = z.object({
  message,
  credentials: z.object({
    FIRST_NAME: z.string(),
    LAST_NAME: z.string(),
    EMAIL: z.string(),
    DOB: z.string().nullable(),
    PHONE: z.string(),
    PROFILE_PIC: z.string(),
    COOKIE: z.string().optional(),
  }),
});

/** The client in use spells it ENTERD_OTP; the first of the three spellings counts. */
const enteredCode = z.preprocess(
  (body) => {
    const { ENTERD_OTP, ENTERED_OTP, OTP } = body as Record<string, unknown>;
    return { CODE: ENTERD_OTP ?? ENTERED_OTP ?? OTP };
  },
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

const groupMember = z.object({ GROUP_ID: field.chatId, MEMBER_UID: field.uid });
const nothing = z.object({});

export const endpoints = {
  signUp: {
    method: 'POST',
    path: '/sign_up',
    credentials: 'none',
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
    request: z.object({ EMAIL: z.string().trim().min(1).max(1024), PASSWORD: field.triedPassword }),
    response: z.object({ message, COOKIE: z.string(), UID: uid, TOKEN: z.string() }),
    statuses: [200, 401, 403, 429],
    refusals: answered(401),
  },
  getToken: {
    method: 'POST',
    path: '/get_token',
    credentials: 'cookie',
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
    request: z.object({ EMAIL: field.email, OTP: field.typedCode }),
    response: z.object({ message }),
    statuses: [200, 400, 401],
    refusals: plainRefusals,
  },
  profilePicture: {
    method: 'GET',
    path: '/get_profile_pic_link/:uid',
    credentials: 'none',
    request: nothing,
    response: z.object({ message, PROFILE_PIC: z.string() }),
    statuses: [200],
    refusals: plainRefusals,
  },
  listPeople: {
    method: 'POST',
    path: '/get_all_users',
    credentials: 'session',
    request: z.object({
      QUERY: z.string().trim().normalize('NFC').max(limits.nameCodePoints).nullish(),
      LIMIT: field.pageSize(limits.peoplePageMax).nullish(),
      AFTER: z.union([z.literal(0), field.uid], 'is not an account number').nullish(),
    }),
    response: z.record(z.string().regex(/^\d+$/), z.object({ NAME: z.string(), PROFILE_PIC: z.string() })),
    statuses: [200, 401, 404],
    refusals: answered(401),
  },
  listChats: {
    method: 'POST',
    path: '/get_all_chats',
    credentials: 'session',
    request: nothing,
    response: z.object({ message, chats: chatList }),
    statuses: [200, 403, 404],
    refusals: answered(403),
  },
  oldMessages: {
    method: 'POST',
    path: '/get_old_messages',
    credentials: 'session',
    request: z.object({
      GROUP_ID: field.chatId.nullish(),
      BEFORE: field.position.nullish(),
      AFTER: field.position.nullish(),
      LIMIT: field.pageSize(limits.historyPageMax).nullish(),
    }),
    response: z.object({
      message,
      groups_messages: z.record(z.string(), z.record(z.string().regex(/^\d+$/), oldMessage)),
    }),
    statuses: [200, 400, 403],
    refusals: { unreadable: 400, missing: 400, mismatch: 403, unverified: 403, invalid: 400 },
  },
  createGroup: {
    method: 'POST',
    path: '/create_group',
    credentials: 'session',
    request: z.object({
      NAME: field.groupName,
      PROFILE_PIC: field.picture.nullish(),
      MEMBERS: z
        .array(field.uid, 'is not a list of account numbers')
        .max(limits.groupMembersAtOnce, `has more than ${limits.groupMembersAtOnce} people`)
        .nullish(),
    }),
    response: z.object({ message, GROUP_ID: z.string() }),
    statuses: [200, 400, 401, 404],
    refusals: plainRefusals,
  },
  addMember: {
    method: 'POST',
    path: '/add_member',
    credentials: 'session',
    request: groupMember,
    response: z.object({ message }),
    statuses: [200, 400, 401, 403, 404, 409],
    refusals: plainRefusals,
  },
  removeMember: {
    method: 'POST',
    path: '/remove_member',
    credentials: 'session',
    request: groupMember,
    response: z.object({ message }),
    statuses: [200, 400, 401, 403, 404, 409],
    refusals: plainRefusals,
  },
  leaveGroup: {
    method: 'POST',
    path: '/leave_group',
    credentials: 'session',
    request: z.object({ GROUP_ID: field.chatId }),
    response: z.object({ message }),
    statuses: [200, 400, 401, 403, 404],
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
