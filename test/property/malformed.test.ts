// Malformed requests and frames of every kind against one server: no 5xx, no hang, nobody else's secret.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import type { Endpoint } from '../../src/protocol/endpoint.ts';
import { directChatId, limits } from '../../src/protocol/entities.ts';
import { endpoints } from '../../src/protocol/http.ts';
import { readJson } from '../../src/protocol/json.ts';
import { clientEvents, envelope, serverEvents } from '../../src/protocol/socket.ts';
import { adminKey, bearer } from '../support/admin.ts';
import { join, makeGroup, type Person, password, signUp } from '../support/people.ts';
import { TestServer } from '../support/server.ts';
import { defaultGroup, TestSocket } from '../support/socket.ts';

/** How many requests each endpoint and frames each event gets; more of them search longer. */
const runs = Number(process.env.FUZZ_RUNS) || 250;
const patienceMs = 5000;
/** Long searches are wanted now and then, and are slowed down by hashing. */
const testMs = 30_000 + runs * 1000;

const marker = 'the marker that only alice and bob may read';
const alicesPhone = '+4915199887766';

let server: TestServer;
let alice: Person;
let bob: Person;
/** Carol, the outsider, is who asks; dave has not verified his account. */
let carol: Person;
let dave: Person;
let team: string;
/** What no answer to an outsider may have in it. Bob's address is not among it: the outsider knows and sends it. */
let secrets: string[];

beforeAll(async () => {
  server = await TestServer.start();
  [alice, bob, carol] = [await join(server, 'Alice'), await join(server, 'Bob'), await join(server, 'Carol')];
  dave = await signUp(server, 'Dave');
  team = await makeGroup(server, alice, [bob]);
  const changed = { UID: alice.uid, COOKIE: alice.cookie, PHONE: alicesPhone };
  expect((await server.request('PATCH', '/get_settings_data', changed)).status).toBe(200);
  const socket = await TestSocket.announced(server, alice);
  for (const chat of [team, directChatId(alice.uid, bob.uid)]) {
    expect((await socket.say(marker, chat, 'send_message_new_chat')).data.status_code).toBe(200);
  }
  await socket.close();
  const { cookie, token } = bob;
  secrets = [alice.cookie, alice.token, alice.email, alicesPhone, cookie, token, marker, '$argon2'];
});

afterAll(() => server.stop());

/** Fields that a preprocessing step reads, so that the schema's own shape does not name them. */
const spelledOtherwise: Partial<Record<keyof typeof endpoints, readonly string[]>> = {
  verifyAccount: ['ENTERD_OTP', 'ENTERED_OTP', 'OTP'],
  resetPassword: ['EMAIL', 'OTP', 'NEW_PASSWORD'],
};
/** Served, they end the sessions of who asked, so that carol has to log in again to ask on. */
const endsSessions: readonly (keyof typeof endpoints)[] = ['logOut', 'logOutAll'];

function fieldsOf(name: keyof typeof endpoints): readonly string[] {
  const { request } = endpoints[name];
  const fields = spelledOtherwise[name] ?? ('shape' in request ? Object.keys(request.shape) : null);
  if (!fields) throw new Error(`say in spelledOtherwise which fields ${name} reads`);
  return fields;
}

/** Values a field could really have, the other people's public ones among them. */
function plausible(field: string): fc.Arbitrary<unknown> {
  const uids = [alice.uid, bob.uid, carol.uid, String(alice.uid)];
  const chats = [
    defaultGroup,
    team,
    directChatId(alice.uid, bob.uid),
    directChatId(bob.uid, alice.uid),
    directChatId(carol.uid, alice.uid),
    '7777777777777',
  ];
  const known: Record<string, unknown[]> = {
    GROUP_ID: [...chats, Number(defaultGroup)],
    MEMBER_UID: uids,
    BLOCKED_UID: uids,
    ROLE: ['owner', 'admin', 'member', 'Owner', ''],
    RETENTION_DAYS: [0, 1, '30', 3650, 3651, ''],
    MESSAGE_ID: [0, 1, 2, '1'],
    MEMBERS: [[alice.uid], [bob.uid, bob.uid], [123456789], []],
    SENDER_ID: uids,
    EMAIL: [bob.email, carol.email, 'new.address@example.test', 'A@B.CO', ''],
    PASSWORD: [password, 'another horse 42', ''],
    NEW_PASSWORD: [''],
    MODE: ['DEFAULT', 'EMAIL_CHANGE', 'default', ''],
    DOB: ['1990-12-31', '1990-02-31', '9999-01-01', ''],
    PHONE: ['+491234567', '', 1234567],
    PHONE_NO: ['+491234567', ''],
    PROFILE_PIC: ['https://pictures.example.test/a.png', 'javascript:alert(1)', ''],
    IP_INFO: [{ ip: '10.0.0.1' }, null],
    MESSAGE: ['h:68616c6c6f', 'h:zz', 'u:aGk', 'x:', 'hello', ''],
    CLIENT_MESSAGE_ID: ['one', 'two'],
    QUERY: ['', 'a', 'ali', 'TESTER'],
    MESSAGES: ['keep', 'remove', 'KEEP', null],
    TOTP: ['000000', '', 'ABCDE-FGHJK-MNPQR'],
    CODE: ['000000', '', 'ABCDE-FGHJK-MNPQR'],
  };
  const digits = fc.constantFrom('000000', '123456', 0, 1, 30, 100, '5');
  const values = known[field];
  if (field === 'EMAIL')
    return fc.oneof(
      fc.constantFrom(...(values ?? [])),
      fc.nat(1e6).map((n) => `p${n}@example.test`),
    );
  if (values) return fc.constantFrom(...values);
  return /NAME/.test(field) ? fc.constantFrom('Carol', 'Zoë', 'O’Neil', 'Server') : digits;
}

const oddText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.constantFrom(
    '\u0000',
    'a\u0000b',
    '\ud800',
    'x\udfff',
    '\u202egnp.exe',
    '__proto__',
    'constructor',
    "' OR 1=1 --",
    '%00%ff',
    '\r\nBcc: x@example.test',
    '0x10',
    '1e9',
    '-1',
    ' ',
    '🏴󠁧󠁢󠁥󠁮󠁧󠁿'.repeat(20),
  ),
  fc.integer({ min: 1, max: 12_000 }).map((length) => 'A'.repeat(length)),
);
const oddNumber = fc.oneof(
  fc.double(),
  fc.constantFrom(0, -0, -1, 0.5, 1e308, -1e308, 2 ** 53, 2 ** 63, 1e21, 5e-324, 10_000_000_000),
  fc.integer(),
);
const odd: fc.Arbitrary<unknown> = fc.oneof(
  oddText,
  oddNumber,
  fc.constantFrom(null, true, false, [], {}, [[]], [null], { toString: 1 }, { length: -1 }, { valueOf: 1 }),
  fc.array(fc.oneof(oddText, oddNumber), { maxLength: 4 }),
  fc.jsonValue({ maxDepth: 4 }),
);

/** Every field as it could be, or all but one, or a mixture with odd and absent ones. */
function bodyOf(fields: readonly string[]): fc.Arbitrary<Record<string, unknown>> {
  const each = (value: (field: string) => fc.Arbitrary<unknown>) =>
    Object.fromEntries(fields.map((field) => [field, value(field)]));
  const good = fc.record(each(plausible));
  const mixed = each((field) =>
    fc.oneof({ weight: 3, arbitrary: plausible(field) }, { weight: 2, arbitrary: odd }),
  );
  const spoilt = fc
    .tuple(good, fc.constantFrom(...fields, 'EXTRA'), odd)
    .map(([body, field, value]) => ({ ...body, [field]: value }));
  const sparse = fc.record(mixed, { requiredKeys: [] });
  return fc.oneof({ weight: 2, arbitrary: good }, { weight: 2, arbitrary: spoilt }, fc.record(mixed), sparse);
}

/** The asker's own credentials, whole, mangled, or mixed up with somebody else's number. */
function credentials(): fc.Arbitrary<Record<string, unknown>> {
  // Looked up when they are sent: carol's are others once she has logged in again.
  const own: (() => Record<string, unknown>)[] = [
    () => ({ UID: carol.uid, COOKIE: carol.cookie }),
    () => ({ UID: carol.uid, TOKEN: carol.token, COOKIE: carol.cookie }),
    () => ({ UID: String(carol.uid), TOKEN: carol.token }),
    () => ({ UID: dave.uid, COOKIE: dave.cookie }),
    () => ({ UID: dave.uid, TOKEN: dave.token }),
  ];
  const mixed = [
    { UID: alice.uid, COOKIE: carol.cookie },
    { UID: alice.uid, TOKEN: carol.token },
    { UID: bob.uid, COOKIE: carol.token, TOKEN: carol.cookie },
    { UID: alice.uid, COOKIE: carol.cookie, TOKEN: carol.token },
    { UID: alice.uid },
    {},
  ];
  return fc.oneof(
    { weight: 5, arbitrary: fc.constantFrom(...own).map((look) => look()) },
    { weight: 2, arbitrary: fc.constantFrom<Record<string, unknown>>(...mixed) },
    { weight: 1, arbitrary: fc.record({ UID: odd, COOKIE: odd, TOKEN: odd }, { requiredKeys: [] }) },
    { weight: 1, arbitrary: odd.map((COOKIE) => ({ UID: carol.uid, COOKIE })) },
    { weight: 1, arbitrary: odd.map((UID) => ({ UID, COOKIE: carol.cookie })) },
  );
}

/** Ways to spoil a JSON text; most of the time it is left as it is. */
const spoil: fc.Arbitrary<(json: string) => string> = fc.oneof(
  { weight: 12, arbitrary: fc.constant((json: string) => json) },
  fc.constantFrom<(json: string) => string>(
    (json) => json.slice(0, -1),
    (json) => `${json}${json}`,
    (json) => `[${json}]`,
    (json) => `\ufeff${json}`,
    (json) => JSON.stringify(json),
    (json) => json.replace(/^\{/, '{"__proto__":{"UID":1,"verified":true,"status":200},'),
    (json) => json.replace(/^\{/, '{"constructor":{"prototype":{"admin":true}},'),
    (json) => json.replace(/\}$/, `,"UID":${alice.uid},"UID":1e999}`),
    (json) => json.replace(/\}$/, ',"COOKIE":"a","COOKIE":["b"],"GROUP_ID":"1","GROUP_ID":{}}'),
    (json) => json.replace(/\}$/, `,"DEEP":${'['.repeat(9000)}${']'.repeat(9000)}}`),
    (json) => json.replace(/"UID":"?\d+"?/, '"UID":1e400'),
    () => '{"a":'.repeat(9000),
    () => '[',
    () => 'null',
    () => '"text"',
    () => '123456789012345678901234567890',
    () => '',
    () => 'UID=1&COOKIE=2',
    () => '<?xml version="1.0"?><UID>1</UID>',
    () => '\u0000\u0000',
  ),
);

/** Most of the time nothing. */
function seldom<T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> {
  return fc.oneof({ weight: 6, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary });
}

interface Sent {
  readonly text: string | Uint8Array<ArrayBuffer>;
  readonly headers: Record<string, string>;
}

function requestFor(name: keyof typeof endpoints): fc.Arbitrary<Sent> {
  const type = fc.oneof(
    { weight: 15, arbitrary: fc.constant('application/json') },
    fc.constantFrom(
      'application/json; charset=utf-16',
      'text/plain',
      'multipart/form-data',
      'application/jsonx',
      'application/x-www-form-urlencoded',
      '*/*',
      ';',
    ),
  );
  const bearers = ['Bearer x', `Bearer ${carol.token}`, 'Basic YTpi', 'Bearer', `Bearer ${'x'.repeat(3000)}`];
  const authorization = seldom(fc.constantFrom(...bearers));
  return fc
    .tuple(credentials(), bodyOf(fieldsOf(name)), spoil, type, authorization, fc.nat(40), fc.boolean())
    .map(([who, body, change, contentType, bearer, kind, fieldsFirst]) => {
      const json = change(JSON.stringify(fieldsFirst ? { ...body, ...who } : { ...who, ...body }));
      const text =
        kind === 0
          ? new Uint8Array([0x7b, 0xff, 0xfe, 0x00, 0x7d])
          : kind === 1
            ? `{"A":"${'x'.repeat(limits.bodyBytes + 10)}"}`
            : json;
      return {
        text,
        headers: { 'content-type': contentType, ...(bearer ? { authorization: bearer } : {}) },
      };
    });
}

async function answerTo(
  method: string,
  path: string,
  sent: Partial<Sent>,
  at = server,
): Promise<[number, unknown]> {
  const response = await fetch(at.url + path, {
    method,
    signal: AbortSignal.timeout(patienceMs),
    ...(sent.headers ? { headers: sent.headers } : {}),
    ...(sent.text === undefined ? {} : { body: sent.text }),
  });
  const text = await response.text();
  for (const secret of secrets) expect(text).not.toInclude(secret);
  return [response.status, JSON.parse(text)];
}

function expectDocumented({ statuses, response }: Endpoint, [status, body]: [number, unknown]): void {
  expect([...statuses, 413, 414, 415, 429, 431]).toContain(status);
  if (status === 200) expect(response.safeParse(body).error?.issues ?? []).toEqual([]);
  else expect(body).toEqual(expect.objectContaining({ message: expect.any(String) }));
}

async function loggedInAgain(person: Person): Promise<Person> {
  const { body } = await server.post('/login', { EMAIL: person.email, PASSWORD: password });
  return { ...person, cookie: body.COOKIE, token: body.TOKEN };
}

const names = Object.keys(endpoints) as (keyof typeof endpoints)[];

describe('HTTP', () => {
  for (const name of names.filter((one) => endpoints[one].method !== 'GET')) {
    const { method, path } = endpoints[name];
    test(
      `${method} ${path} answers whatever it gets with a documented status and nobody else's secret.`,
      async () => {
        const property = fc.asyncProperty(requestFor(name), async (sent) => {
          const answer = await answerTo(method, path, sent);
          expectDocumented(endpoints[name], answer);
          if (answer[0] === 200 && endsSessions.includes(name)) carol = await loggedInAgain(carol);
          if (answer[0] === 200 && name === 'deleteAccount') carol = await join(server, 'Carol');
        });
        await fc.assert(property, { numRuns: runs });
      },
      testMs,
    );
  }

  for (const name of names.filter((one) => endpoints[one].method === 'GET')) {
    const { path } = endpoints[name];
    test(
      `GET ${path} answers whatever it is asked with a documented status and nobody else's secret.`,
      async () => {
        const segment = fc
          .oneof(oddText, fc.constantFrom(String(alice.uid), '0', '-1', '1e9', '/', '?', '#'))
          .map((text) => encodeURIComponent(text.toWellFormed()).slice(0, 1800))
          .filter((text) => !/^(?:\.{1,2})?$/.test(text) && !/%[0-9A-F]?$/.test(text));
        const broken = fc.constantFrom('%ff', '%00', '%c0%af', '%', '%zz', '%2e%2e%2fsign_up');
        const where = fc.tuple(
          fc.oneof({ weight: 5, arbitrary: segment }, broken),
          fc.oneof(segment, broken),
        );
        const property = fc.asyncProperty(where, async ([part, query]) => {
          const asked = `${path.replace(':uid', part)}?key=${query}&${query}`;
          expectDocumented(endpoints[name], await answerTo('GET', asked, {}));
        });
        await fc.assert(property, { numRuns: runs });
      },
      testMs,
    );
  }
});

// Asked of a server of its own: it bans and logs out whomever it names.
describe('HTTP with the admin key', () => {
  let run: TestServer;
  let erin: Person;
  beforeAll(async () => {
    run = await TestServer.start();
    erin = await join(run, 'Erin');
  });
  afterAll(() => run.stop());

  const isBehind = ({ method, credentials: by }: Endpoint) => method === 'POST' && by === 'key';
  for (const name of names.filter((one) => isBehind(endpoints[one]))) {
    const { method, path } = endpoints[name];
    test(
      `${method} ${path} answers whatever it gets with a documented status.`,
      async () => {
        const property = fc.asyncProperty(requestFor(name), async ({ text, headers }) => {
          const here = typeof text === 'string' ? text.replaceAll(String(alice.uid), String(erin.uid)) : text;
          const sent = { text: here, headers: { ...headers, ...bearer(adminKey(run)) } };
          expectDocumented(endpoints[name], await answerTo(method, path, sent, run));
        });
        await fc.assert(property, { numRuns: runs });
      },
      testMs,
    );
  }
});

/** The event that the reply to a frame must carry: its own when it is an envelope of a known event, else `error`. */
function expectedEvent(frame: string | Uint8Array): string {
  if (typeof frame !== 'string') return 'error';
  const { success, data } = envelope.safeParse(readJson(frame));
  return success && Object.hasOwn(clientEvents, data.event) ? data.event : 'error';
}

function frameOf(event: keyof typeof clientEvents): fc.Arbitrary<string | Uint8Array<ArrayBuffer>> {
  const fields = Object.keys(clientEvents[event].shape);
  const extra = fc.record(
    {
      id: fc.oneof(fc.constantFrom<unknown>('one', 2, null), odd),
      event: fc.oneof(odd, fc.constant('sign_up')),
    },
    { requiredKeys: [] },
  );
  return fc
    .tuple(credentials(), bodyOf(fields), spoil, seldom(extra), seldom(odd), fc.nat(40))
    .map(([who, body, change, more, instead, kind]) => {
      const announces = fields.includes('TOKEN');
      const data = instead ?? (announces ? { ...body, ...who } : body);
      const json = change(JSON.stringify({ event, data, ...more }));
      return kind === 0 ? new TextEncoder().encode(json) : json;
    })
    .filter((frame) => Buffer.byteLength(frame) < limits.frameBytes);
}

/** Sends a frame and holds its reply to the contract. */
async function exchange(socket: TestSocket, frame: string | Uint8Array<ArrayBuffer>): Promise<void> {
  socket.raw.send(frame);
  const reply = await socket.next();
  const event = expectedEvent(frame);
  expect(reply.event).toBe(event);
  expect(reply.data.status_code).toBeLessThan(500);
  const schema = serverEvents[event as keyof typeof serverEvents];
  expect(schema.safeParse(reply.data).error?.issues ?? []).toEqual([]);
  const text = JSON.stringify(reply);
  for (const secret of secrets) expect(text).not.toInclude(secret);
}

describe('sockets', () => {
  for (const event of Object.keys(clientEvents) as (keyof typeof clientEvents)[]) {
    for (const who of ['announced', 'unannounced'] as const) {
      test(
        `An ${who} socket gets exactly one reply to each ${event}, whatever it carries, and stays open.`,
        async () => {
          const socket = await TestSocket.open(server);
          // The whole search goes through one socket: what one frame does to it must not harm the next.
          const property = fc.asyncProperty(frameOf(event), async (frame) => {
            if (who === 'announced') await socket.announce(carol);
            await exchange(socket, frame);
          });
          await fc.assert(property, { numRuns: runs });
          expect(await socket.rest()).toEqual([]);
          expect(socket.raw.readyState).toBe(WebSocket.OPEN);
          await socket.close();
        },
        testMs,
      );
    }
  }
});

describe('afterwards', () => {
  test('The server is alive and the people it was not about have what they had.', async () => {
    expect((await server.get('/uptime')).status).toBe(200);
    const asked = { UID: alice.uid, COOKIE: alice.cookie };
    const { credentials: settings } = (await server.post('/get_settings_data', asked)).body;
    expect(settings).toMatchObject({ FIRST_NAME: 'Alice', EMAIL: alice.email, PHONE: alicesPhone });
    const { groups_messages: history } = (await server.post('/get_old_messages', asked)).body;
    for (const chat of [team, directChatId(alice.uid, bob.uid)]) {
      expect(Object.values<{ MESSAGE: string }>(history[chat]).map(({ MESSAGE }) => MESSAGE)).toEqual([
        marker,
      ]);
    }
    const login = await server.post('/login', { EMAIL: alice.email, PASSWORD: password });
    expect(login.status).toBe(200);
  });

  test('The search would notice: the marker is there for those who may read it.', async () => {
    const answer = await server.post('/get_old_messages', {
      UID: bob.uid,
      COOKIE: bob.cookie,
      GROUP_ID: team,
    });
    expect(JSON.stringify(answer.body)).toInclude(marker);
  });
});
