// The people of the tests: alice, bob, carol the outsider; signed up and verified over the wire.
import type { TestServer } from './server.ts';

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
  if (answer.status !== 200) throw new Error(`sign-up of ${firstName}: ${answer.status} ${answer.body.message}`);
  const { UID: uid, COOKIE: cookie, TOKEN: token } = answer.body;
  return { uid, cookie, token, email: body.EMAIL, password, name: `${firstName} Tester` };
}

/** Signs somebody up and verifies the account. */
export async function join(server: TestServer, firstName: string): Promise<Person> {
  const person = await signUp(server, firstName);
  const entered = { UID: person.uid, COOKIE: person.cookie, ENTERD_OTP: server.codeFor(person.email) };
  const answer = await server.post('/account_verification', entered);
  if (answer.status !== 200) throw new Error(`verification of ${firstName}: ${answer.status} ${answer.body.message}`);
  return person;
}

/** UID and COOKIE, as most endpoints want them. */
export function credentials({ uid, cookie }: Person) {
  return { UID: uid, COOKIE: cookie };
}

/** Makes a group of the owner and these people; returns its id. */
export async function makeGroup(server: TestServer, owner: Person, others: readonly Person[]): Promise<string> {
  const members = others.map(({ uid }) => uid);
  const answer = await server.post('/create_group', { ...credentials(owner), NAME: 'Team', MEMBERS: members });
  if (answer.status !== 200) throw new Error(`create_group: ${answer.status} ${answer.body.message}`);
  return answer.body.GROUP_ID;
}
