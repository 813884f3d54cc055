// The people of the tests: alice, bob, carol the outsider; signed up and verified over the wire.
import type { Endpoint } from '../../src/protocol/endpoint.ts';
import { endpoints } from '../../src/protocol/http.ts';
import type { Answer, TestServer } from './server.ts';

export interface Person {
  readonly uid: number;
  readonly cookie: string;
  readonly token: string;
  readonly email: string;
  readonly password: string;
  readonly name: string;
}

/** What every test person's password is. */
export const password = 'correct horse 42';

/** The body of a sign-up, which a test may change. */
export function signUpBody(firstName: string, changes: Record<string, unknown> = {}) {
  return {
    FIRST_NAME: firstName,
    LAST_NAME: 'Tester',
    EMAIL: `${firstName.toLowerCase()}@example.test`,
    PHONE_NO: '',
    PASSWORD: password,
    ...changes,
  };
}

/** Signs somebody up and leaves the code unentered. */
export async function signUp(server: TestServer, firstName: string): Promise<Person> {
  const body = signUpBody(firstName);
  const answer = await server.post('/sign_up', body);
  if (answer.status !== 200)
    throw new Error(`sign-up of ${firstName}: ${answer.status} ${answer.body.message}`);
  const { UID: uid, COOKIE: cookie, TOKEN: token } = answer.body;
  return { uid, cookie, token, email: body.EMAIL, password, name: `${firstName} Tester` };
}

/** Signs somebody up and verifies the account. */
export async function join(server: TestServer, firstName: string): Promise<Person> {
  const person = await signUp(server, firstName);
  const entered = { UID: person.uid, COOKIE: person.cookie, ENTERD_OTP: server.codeFor(person.email) };
  const answer = await server.post('/account_verification', entered);
  if (answer.status !== 200)
    throw new Error(`verification of ${firstName}: ${answer.status} ${answer.body.message}`);
  return person;
}

/** UID and COOKIE, as most endpoints want them. */
export function credentials({ uid, cookie }: Person) {
  return { UID: uid, COOKIE: cookie };
}

/** Makes a group of the owner and these people; returns its id. */
export async function makeGroup(
  server: TestServer,
  owner: Person,
  others: readonly Person[],
): Promise<string> {
  const members = others.map(({ uid }) => uid);
  const answer = await server.post('/create_group', {
    ...credentials(owner),
    NAME: 'Team',
    MEMBERS: members,
  });
  if (answer.status !== 200) throw new Error(`create_group: ${answer.status} ${answer.body.message}`);
  return answer.body.GROUP_ID;
}

/** Statuses that any endpoint may answer with, besides its own. */
const commonStatuses = [413, 414, 415, 429, 431];

/** Calls an endpoint and throws when the answer is none that the contract has. A string body is sent as it is. */
export async function call(
  server: TestServer,
  name: keyof typeof endpoints,
  body: unknown = {},
  headers: Record<string, string> = {},
): Promise<Answer> {
  const endpoint: Endpoint = endpoints[name];
  const sent = endpoint.method === 'GET' ? undefined : body;
  return checked(name, await server.request(endpoint.method, endpoint.path, sent, headers));
}

/** The answer, held to the contract of its endpoint. */
export function checked(name: keyof typeof endpoints, answer: Answer): Answer {
  const { statuses, response }: Endpoint = endpoints[name];
  const { status, headers, body } = answer;
  if (status === 200) response.parse(body);
  else if (typeof body.message !== 'string' || body.message === '') throw new Error(`${name}: no message`);
  if (![...statuses, ...commonStatuses].includes(status)) {
    throw new Error(`${name}: status ${status} is not in its contract: ${body.message}`);
  }
  if (status === 429 && !/^[1-9]\d*$/.test(headers.get('retry-after') ?? '')) {
    throw new Error(`${name}: 429 without Retry-After`);
  }
  return answer;
}

/** The `count`th mail to this address, for those that go out after the answer. @throws after 3 s without it */
export async function mailAt(server: TestServer, email: string, count: number): Promise<string> {
  for (const deadline = Date.now() + 3000; Date.now() < deadline; await Bun.sleep(2)) {
    const mail = server.mailsTo(email)[count - 1];
    if (mail) return mail;
  }
  throw new Error(`mail ${count} to ${email} did not come`);
}
