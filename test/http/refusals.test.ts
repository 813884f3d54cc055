// What every endpoint answers to a request without, or with foreign, credentials, or with a body it cannot read: the
// statuses of the contract's table, written out once more.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import type { Endpoint } from '../../src/protocol/endpoint.ts';
import { endpoints } from '../../src/protocol/http.ts';
import { adminKey, asAdmin, bearer } from '../support/admin.ts';
import { call, credentials, join, makeGroup, type Person, signUp } from '../support/people.ts';
import { TestServer } from '../support/server.ts';
import { defaultGroup } from '../support/socket.ts';

type Name = keyof typeof endpoints;

interface Row {
  readonly name: Name;
  /** No UID or COOKIE, or one of the wrong type. */
  readonly missing: number;
  /** They belong together in no live session. */
  readonly foreign: number;
  /** The account has not entered its code; null: it is let in. */
  readonly unverified: number | null;
  /** The body is no JSON object. */
  readonly unreadable: number;
}

const rows: Row[] = [
  { name: 'verifyAccount', missing: 403, foreign: 403, unverified: null, unreadable: 403 },
  { name: 'getToken', missing: 422, foreign: 401, unverified: null, unreadable: 422 },
  { name: 'resendCode', missing: 401, foreign: 401, unverified: null, unreadable: 401 },
  { name: 'readSettings', missing: 401, foreign: 400, unverified: 401, unreadable: 400 },
  { name: 'changeSettings', missing: 401, foreign: 401, unverified: 401, unreadable: 400 },
  { name: 'enrollTotp', missing: 401, foreign: 401, unverified: 401, unreadable: 400 },
  { name: 'confirmTotp', missing: 401, foreign: 401, unverified: 401, unreadable: 400 },
  { name: 'disableTotp', missing: 401, foreign: 401, unverified: 401, unreadable: 400 },
  { name: 'newRecoveryCodes', missing: 401, foreign: 401, unverified: 401, unreadable: 400 },
  { name: 'listPeople', missing: 401, foreign: 401, unverified: 401, unreadable: 401 },
  { name: 'listChats', missing: 403, foreign: 403, unverified: 403, unreadable: 403 },
  { name: 'oldMessages', missing: 400, foreign: 403, unverified: 403, unreadable: 400 },
  { name: 'createGroup', missing: 401, foreign: 401, unverified: 401, unreadable: 400 },
  { name: 'addMember', missing: 401, foreign: 401, unverified: 401, unreadable: 400 },
  { name: 'removeMember', missing: 401, foreign: 401, unverified: 401, unreadable: 400 },
  { name: 'leaveGroup', missing: 401, foreign: 401, unverified: 401, unreadable: 400 },
  { name: 'setRole', missing: 401, foreign: 401, unverified: 401, unreadable: 400 },
  { name: 'setRetention', missing: 401, foreign: 401, unverified: 401, unreadable: 400 },
  { name: 'listMembers', missing: 401, foreign: 401, unverified: 401, unreadable: 400 },
  { name: 'removeMessage', missing: 401, foreign: 401, unverified: 401, unreadable: 400 },
  { name: 'blockUser', missing: 401, foreign: 401, unverified: 401, unreadable: 400 },
  { name: 'unblockUser', missing: 401, foreign: 401, unverified: 401, unreadable: 400 },
  { name: 'listBlocked', missing: 401, foreign: 401, unverified: 401, unreadable: 400 },
  { name: 'listSessions', missing: 401, foreign: 401, unverified: 401, unreadable: 400 },
  { name: 'logOut', missing: 401, foreign: 401, unverified: 401, unreadable: 400 },
  { name: 'logOutAll', missing: 401, foreign: 401, unverified: 401, unreadable: 400 },
  { name: 'deleteAccount', missing: 401, foreign: 401, unverified: 401, unreadable: 400 },
  { name: 'exportData', missing: 401, foreign: 401, unverified: 401, unreadable: 400 },
];
/** Those that ask for no credentials, with the status of a body they cannot read. */
const open: [Name, number][] = [
  ['signUp', 400],
  ['login', 401],
  ['undoEmailChange', 400],
  ['forgotPassword', 400],
  ['resetPassword', 400],
];
/** Those that would end the session of everybody after them: who is served by one asks as somebody new each time. */
const spending: readonly Name[] = ['logOutAll'];
const all: [Name, number][] = [
  ...open,
  ...rows.map(({ name, unreadable }): [Name, number] => [name, unreadable]),
];

let server: TestServer;
let alice: Person;
let bob: Person;
let unverified: Person;
let fields: Record<string, unknown>;

beforeAll(async () => {
  server = await TestServer.start();
  alice = await join(server, 'Alice');
  bob = await join(server, 'Bob');
  unverified = await signUp(server, 'Unverified');
  const group = await makeGroup(server, alice, [bob]);
  fields = {
    NAME: 'Group',
    GROUP_ID: group,
    MEMBER_UID: bob.uid,
    ROLE: 'admin',
    RETENTION_DAYS: 3,
    BLOCKED_UID: bob.uid,
    MESSAGE_ID: 1,
    PHONE: '12345678',
    ENTERD_OTP: 'x',
    CODE: 'x',
  };
});
afterAll(() => server.stop());

/** Who asks where the request may be served. */
async function askerOf(name: Name): Promise<Person> {
  if (!spending.includes(name)) return alice;
  leavers += 1;
  return join(server, `Leaver${'x'.repeat(leavers)}`);
}
let leavers = 0;

describe.each(rows.map((row): [Name, Row] => [row.name, row]))('%s', (name, row) => {
  const statusOf = async (body: unknown, headers?: Record<string, string>) =>
    (await call(server, name, body, headers)).status;

  test(`credentials that are missing or no credentials at all are ${row.missing}`, async () => {
    const { UID, COOKIE } = credentials(alice);
    const bad = [{}, { UID }, { COOKIE }, { UID: 'x', COOKIE }, { UID: 0, COOKIE }, { UID: -UID, COOKIE }];
    const worse = [
      { UID: { $gt: 0 }, COOKIE },
      { UID, COOKIE: { $ne: '' } },
      { UID, COOKIE: '' },
      { UID: true, COOKIE },
    ];
    for (const sent of [...bad, ...worse, { UID: 1e30, COOKIE }, { UID, COOKIE: 'x'.repeat(5000) }])
      expect([sent, await statusOf({ ...fields, ...sent })]).toEqual([sent, row.missing]);
    expect(await statusOf(fields, { authorization: 'Basic eDp5' })).toBe(row.missing);
  });

  test(`credentials that do not belong together are ${row.foreign}`, async () => {
    const sent = [
      { UID: bob.uid, COOKIE: alice.cookie },
      { UID: 123_456_789, COOKIE: alice.cookie },
      { UID: alice.uid, COOKIE: alice.token },
      { UID: alice.uid, COOKIE: alice.cookie.toLowerCase() },
    ];
    for (const wrong of sent) expect(await statusOf({ ...fields, ...wrong })).toBe(row.foreign);
    expect(await statusOf(fields, { authorization: `Bearer ${alice.cookie}` })).toBe(row.foreign);
    const mixed = { ...fields, UID: bob.uid };
    expect(await statusOf(mixed, { authorization: `Bearer ${alice.token}` })).toBe(row.foreign);
  });

  if (row.unverified !== null)
    test(`an account still to be verified gets ${row.unverified}`, async () => {
      expect(await statusOf({ ...fields, ...credentials(unverified) })).toBe(row.unverified ?? 0);
      const byToken = { UID: unverified.uid, TOKEN: unverified.token };
      expect(await statusOf({ ...fields, ...byToken })).toBe(row.unverified ?? 0);
    });

  test('a Bearer token is taken in place of UID and COOKIE, alone and beside the UID', async () => {
    const bearer = ({ token }: Person) => ({ authorization: `bearer ${token}` });
    // What this endpoint answers when the credentials are good.
    const good = await statusOf({ ...wrongFields, ...credentials(await askerOf(name)) });
    expect(await statusOf(wrongFields, bearer(await askerOf(name)))).toBe(good);
    const asker = await askerOf(name);
    expect(await statusOf({ ...wrongFields, UID: String(asker.uid) }, bearer(asker))).toBe(good);
  });
});

/** Fields that change nothing, so that an endpoint may be asked again with the same outcome. */
const wrongFields = {
  GROUP_ID: defaultGroup,
  MEMBER_UID: 123_456_789,
  ROLE: 'admin',
  RETENTION_DAYS: 3,
  BLOCKED_UID: 123_456_789,
  MESSAGE_ID: 1,
  NAME: 'Again',
  PHONE: '12345678',
  OTP: 'x',
  SESSION_ID: 999_999_999,
};

describe('a body that can not be read', () => {
  test.each(all)('%s answers %d to what is no JSON object', async (name, status) => {
    const bodies = [
      '{',
      'null',
      '[]',
      '"text"',
      '7',
      'true',
      '{"UID":1,}',
      '\u0000',
      '[{"UID":1}]',
      '{"a":'.repeat(2000),
    ];
    for (const body of bodies) {
      const answer = await call(server, name, body, { authorization: `Bearer ${alice.token}` });
      expect([body.slice(0, 20), answer.status]).toEqual([body.slice(0, 20), status]);
    }
  });

  test.each(all)('%s answers 415 to what is not declared as JSON', async (name) => {
    for (const type of [
      'text/plain',
      'application/x-www-form-urlencoded',
      'multipart/form-data; boundary=x',
      'application/jsonp',
      'nonsense',
    ]) {
      const answer = await call(server, name, JSON.stringify(credentials(alice)), { 'content-type': type });
      expect([type, answer.status]).toEqual([type, 415]);
    }
  });

  test.each(all)('%s answers 413 to a body that is too large', async (name) => {
    const answer = await call(server, name, { ...credentials(alice), FILLER: 'x'.repeat(65_536) });
    expect(answer.status).toBe(413);
  });

  test.each(all)('%s answers an empty object and an empty body alike', async (name) => {
    const [none, empty] = [await call(server, name, ''), await call(server, name, {})];
    expect(none.status).toBe(empty.status);
    expect(none.body).toEqual(empty.body);
  });

  test.each(all)('%s answers fields of every wrong type with a 4xx of its contract', async (name) => {
    const names = [
      'UID',
      'COOKIE',
      'TOKEN',
      'EMAIL',
      'PASSWORD',
      'NEW_PASSWORD',
      'OTP',
      'TOTP',
      'CODE',
      'MODE',
      'FIRST_NAME',
      'LAST_NAME',
      'PHONE',
      'PHONE_NO',
      'DOB',
      'PROFILE_PIC',
      'NAME',
      'MEMBERS',
      'MEMBER_UID',
      'ROLE',
      'RETENTION_DAYS',
      'BLOCKED_UID',
      'MESSAGE_ID',
      'SESSION_ID',
      'GROUP_ID',
      'BEFORE',
      'AFTER',
      'LIMIT',
      'QUERY',
    ];
    for (const value of [{}, [], true, 1e308, -1, { toString: 1 }, ['x'], [null], '\ud800', '\u0000']) {
      const sent = Object.fromEntries(names.map((field) => [field, value]));
      const { status } = await call(server, name, { ...sent, ...credentials(await askerOf(name)) });
      // A request that is left with nothing it knows may be served; it must not break anything.
      expect(status).toBeLessThan(500);
      const { status: alone } = await call(server, name, sent);
      expect(alone).toBeWithin(400, 500);
    }
    const dangerous = `{"__proto__":{"UID":${alice.uid},"COOKIE":"${alice.cookie}"},"constructor":1}`;
    expect((await call(server, name, dangerous)).status).toBeWithin(400, 500);
  });
});

describe('behind the admin key', () => {
  const isBehind = ({ method, credentials: by }: Endpoint) => method === 'POST' && by === 'key';
  const behind = (Object.keys(endpoints) as Name[]).filter((name) => isBehind(endpoints[name]));
  const nobody = { MEMBER_UID: 123_456_789, USES: 1, DAYS: 1, GROUP_ID: '7777777777777', MESSAGE_ID: 1 };

  test.each(behind)(
    '%s is 401 without it and 403 with another, before the body is looked at',
    async (name) => {
      for (const body of [nobody, {}, '{', { ...nobody, ...credentials(alice) }]) {
        expect((await call(server, name, body)).status).toBe(401);
        expect((await call(server, name, body, { authorization: 'Basic eDp5' })).status).toBe(401);
        for (const wrong of ['x', alice.token, alice.cookie, `${adminKey(server)}x`])
          expect((await call(server, name, body, bearer(wrong))).status).toBe(403);
      }
      // An address is kept by proxies and browsers: only the backup endpoint takes the key from there.
      const inAddress = await server.post(`${endpoints[name].path}?key=${adminKey(server)}`, nobody);
      expect(inAddress.status).toBe(401);
      expect([200, 404]).toContain((await asAdmin(server, name, nobody)).status);
    },
  );

  test.each(behind)('%s is 400, 413 or 415 with it to a body that can not be read', async (name) => {
    for (const body of ['{', 'null', '[]', '"text"', '7', '{"a":'.repeat(2000)])
      expect([body.slice(0, 9), (await asAdmin(server, name, body)).status]).toEqual([body.slice(0, 9), 400]);
    expect((await asAdmin(server, name, { ...nobody, FILLER: 'x'.repeat(65_536) })).status).toBe(413);
    const asText = { ...bearer(adminKey(server)), 'content-type': 'text/plain' };
    expect((await call(server, name, JSON.stringify(nobody), asText)).status).toBe(415);
  });

  test.each(behind)('%s answers fields of every wrong type with a status of its contract', async (name) => {
    const fields = ['MEMBER_UID', 'REASON', 'USES', 'DAYS', 'QUERY', 'AFTER', 'BEFORE', 'LIMIT'];
    for (const value of [{}, [], true, 1e308, -1, { toString: 1 }, ['x'], [null], '\ud800', '\u0000']) {
      const sent = Object.fromEntries(fields.map((field) => [field, value]));
      expect((await asAdmin(server, name, sent)).status).toBeLessThan(500);
    }
  });
});
