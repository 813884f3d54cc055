// From the contract's endpoint table to a Hono handler: reads the body, finds out who asks, checks the fields.
import type { Context, Hono } from 'hono';
import type { z } from 'zod';
import type { Actor, Credentials } from '../actor.ts';
import { AppError, withStatus } from '../errors.ts';
import type { Limiter, RuleName } from '../infra/limiter.ts';
import type { Endpoint, Kind } from '../protocol/endpoint.ts';
import { secret, uid } from '../protocol/fields.ts';
import { readJson } from '../protocol/json.ts';
import { spend } from './rate-limits.ts';

/** What the server passes along with each request. */
export interface Env {
  Bindings: {
    /** The client's address, see http/address.ts. */
    address: string;
    /** Keeps a request open for as long as its answer takes, or no longer so. */
    hold(isHeld: boolean): void;
    /** Tells this request from all others, in its answer and in the log. */
    requestId: string;
  };
  Variables: {
    readonly limiter: Limiter;
  };
}

/** Finds out whose live session the credentials are of; null when of none. */
export type Authenticate = (credentials: Credentials) => Promise<Actor | null>;

/** A request that passed the contract. */
export interface Asked<E extends Endpoint> {
  readonly fields: z.output<E['request']>;
  readonly actor: E['credentials'] extends 'session' | 'cookie' ? Actor : null;
  /** The cookie, where it was sent. */
  readonly cookie: string | undefined;
  /** The token, where it was sent. */
  readonly token: string | undefined;
  readonly address: string;
  readonly hold: Env['Bindings']['hold'];
  /** What the client calls itself, `''` when it does not; anything at all. */
  readonly userAgent: string;
  readonly param: (name: string) => string;
}

export type Answer<E extends Endpoint> = z.input<E['response']> & Record<string, unknown>;

/** An answer that is JSON already, for what is too large to be made anew for everyone who asks. */
export class ReadyJson {
  constructor(readonly text: string) {}
}

/** An answer that is JSON in pieces, for what is too large to be held at once; saved by browsers under `fileName`. */
export class StreamedJson {
  constructor(
    readonly pieces: AsyncIterable<string>,
    readonly fileName: string,
  ) {}
}

/** Adds an endpoint to the app. What the handler returns is the 200 answer; it throws AppError for the others. */
export function mount<E extends Endpoint>(
  app: Hono<Env>,
  endpoint: E,
  authenticate: Authenticate,
  handler: (asked: Asked<E>) => Promise<Answer<E> | ReadyJson | StreamedJson>,
): void {
  app.on(endpoint.method, endpoint.path, async (context) => {
    const body = endpoint.method === 'GET' ? {} : await readBody(context, endpoint);
    const credentials = endpoint.credentials === 'none' ? null : readCredentials(context, body, endpoint);
    const actor = credentials && (await authenticateOrThrow(credentials, endpoint, authenticate));
    const fields = readFields(body, endpoint);
    await countRequest(context, endpoint, actor);
    const answer = await handler({
      fields: fields as z.output<E['request']>,
      // `credentials` was null exactly when the endpoint asks for none, which is what the type of `actor` says.
      actor: actor as Asked<E>['actor'],
      cookie: credentials?.cookie,
      token: credentials?.token,
      address: context.env.address,
      hold: context.env.hold,
      userAgent: context.req.header('user-agent') ?? '',
      param: (name) => context.req.param(name) ?? '',
    });
    if (answer instanceof StreamedJson) return stream(context, answer);
    if (!(answer instanceof ReadyJson)) return context.json(answer);
    return context.body(answer.text, 200, { 'Content-Type': 'application/json' });
  });
}

const ruleOf: Record<Kind, RuleName> = {
  history: 'historyByAccount',
  read: 'readByAccount',
  write: 'writeByAccount',
  picture: 'pictureByAddress',
  sign_up: 'signUpByAddress',
  login: 'loginByAddress',
  forgot: 'forgotByAddress',
  reset: 'resetByAddress',
  undo: 'undoByAddress',
};

/** Counted once it is known who asks, so that nobody can use up what is somebody else's. */
async function countRequest(context: Context<Env>, endpoint: Endpoint, actor: Actor | null): Promise<void> {
  const kind = endpoint.kind ?? (actor ? 'write' : null);
  if (!kind) return;
  const key = actor ? String(actor.uid) : context.env.address;
  await spend(context, context.get('limiter'), ruleOf[kind], key);
}

/** Each piece is made when the connection has room for it. */
function stream(context: Context<Env>, { pieces, fileName }: StreamedJson): Response {
  const iterator = pieces[Symbol.asyncIterator]();
  const encoder = new TextEncoder();
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await iterator.next();
      if (done) controller.close();
      else controller.enqueue(encoder.encode(value));
    },
    async cancel() {
      await iterator.return?.();
    },
  });
  return context.body(body, 200, {
    'Content-Type': 'application/json',
    'Content-Disposition': `attachment; filename="${fileName}"`,
  });
}

/** The body as an object; an empty one counts as `{}`. */
export async function readBody(
  context: Context<Env>,
  { refusals }: Endpoint,
): Promise<Record<string, unknown>> {
  const type = context.req.header('content-type');
  if (type !== undefined && !/^application\/(?:[\w.+-]+\+)?json\s*(?:;|$)/i.test(type)) {
    throw new AppError('unsupported_type', 'Send the body as application/json.');
  }
  const text = await context.req.text();
  if (text.trim() === '') return {};
  const body = readJson(text);
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw withStatus(refusals.unreadable, 'The body is not a JSON object.');
  }
  return body as Record<string, unknown>;
}

/** UID with COOKIE or TOKEN in the body, as the seed has them, or a bearer token. */
function readCredentials(
  context: Context<Env>,
  body: Record<string, unknown>,
  endpoint: Endpoint,
): Credentials {
  const account = body.UID === undefined || body.UID === null ? null : uid.safeParse(body.UID);
  const bearer = /^Bearer +(\S+)$/i.exec(context.req.header('authorization') ?? '')?.[1];
  const cookie = readSecret(body.COOKIE);
  const token = endpoint.credentials === 'cookie' ? undefined : readSecret(body.TOKEN);
  if (account === null && cookie === undefined && token === undefined && bearer)
    return { uid: null, token: bearer };
  if (account?.success) {
    if (cookie) return { uid: account.data, cookie };
    const access = token ?? bearer;
    if (access) return { uid: account.data, token: access };
  }
  throw withStatus(endpoint.refusals.missing, 'UID and COOKIE are needed.');
}

function readSecret(value: unknown): string | undefined {
  return secret.safeParse(value).data;
}

async function authenticateOrThrow(
  credentials: Credentials,
  { refusals }: Endpoint,
  authenticate: Authenticate,
): Promise<Actor> {
  const actor = await authenticate(credentials);
  if (!actor) throw withStatus(refusals.mismatch, 'UID and COOKIE do not match. Log in again.');
  if (!actor.verified && refusals.unverified !== null) {
    throw withStatus(refusals.unverified, 'Verify the account first.');
  }
  // An unverified account's token opens nothing, not even what its cookie does.
  if (!actor.verified && !credentials.cookie) {
    throw withStatus(refusals.mismatch, 'Verify the account first, with UID and COOKIE.');
  }
  return actor;
}

/** What an endpoint asks for, held to its schema. @throws AppError with the endpoint's status and the field's name */
export function readFields(body: Record<string, unknown>, { request, refusals }: Endpoint): unknown {
  const result = request.safeParse(body);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const name = String(issue?.path[0] ?? 'The request');
  const problem = body[name] === undefined && issue?.path.length === 1 ? 'is missing' : issue?.message;
  throw withStatus(refusals.invalid, `${name} ${problem ?? 'is not valid'}.`);
}
