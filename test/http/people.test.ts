// The list of people, and their pictures.
import { Database } from 'bun:sqlite';
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { join as joinPath } from 'node:path';
import { endpoints } from '../../src/protocol/http.ts';
import { call, checked, credentials, join, type Person, signUp, signUpBody } from '../support/people.ts';
import { TestServer, withServer } from '../support/server.ts';

let server: TestServer;
let alice: Person;
let bob: Person;
let elodie: Person;
let unverified: Person;
const picture = 'https://example.test/bob.png';

beforeAll(async () => {
  server = await TestServer.start();
  alice = await join(server, 'Alice');
  bob = await join(server, 'Bob');
  elodie = await join(server, 'Elodie');
  unverified = await signUp(server, 'Ursula');
  const changed = await call(server, 'changeSettings', { ...credentials(bob), PROFILE_PIC: picture });
  const renamed = await call(server, 'changeSettings', {
    ...credentials(elodie),
    FIRST_NAME: 'Élodie',
    LAST_NAME: 'Ødegård',
  });
  expect([changed.status, renamed.status]).toEqual([200, 200]);
});
afterAll(() => server.stop());

/** Who is found, by account number. */
async function found(fields: Record<string, unknown> = {}): Promise<string[]> {
  const answer = await call(server, 'listPeople', { UID: alice.uid, TOKEN: alice.token, ...fields });
  return answer.status === 404 ? [] : Object.keys(answer.body);
}

function numbers(...people: Person[]): string[] {
  return people
    .map(({ uid }) => uid)
    .sort((one, other) => one - other)
    .map(String);
}

describe('the list of people', () => {
  test('it is a plain object of everybody verified but the asker, without a wrapper', async () => {
    const answer = await call(server, 'listPeople', { UID: alice.uid, TOKEN: alice.token });
    expect(answer.status).toBe(200);
    expect(answer.body).toEqual({
      [bob.uid]: { NAME: 'Bob Tester', PROFILE_PIC: picture },
      [elodie.uid]: { NAME: 'Élodie Ødegård', PROFILE_PIC: '' },
    });
  });

  test('an account appears in it as soon as it is verified, and not before', async () => {
    expect(await found({ QUERY: 'Ursula' })).toEqual([]);
    const code = server.codeFor(unverified.email);
    await call(server, 'verifyAccount', { ...credentials(unverified), ENTERD_OTP: code });
    expect(await found({ QUERY: 'Ursula' })).toEqual(numbers(unverified));
  });

  test('it is never older than a change: sign-up verified, name, picture, and what another process wrote', async () => {
    const namesSeen = async () => {
      const { body } = await call(server, 'listPeople', credentials(alice));
      return Object.values(body as Record<string, { NAME: string }>).map(({ NAME }) => NAME);
    };
    const dora = await signUp(server, 'Dora');
    expect(await namesSeen()).not.toContain('Dora Tester');
    const code = server.codeFor(dora.email);
    await call(server, 'verifyAccount', { ...credentials(dora), ENTERD_OTP: code });
    expect(await namesSeen()).toContain('Dora Tester');
    await call(server, 'changeSettings', { ...credentials(dora), FIRST_NAME: 'Dorothea' });
    expect(await namesSeen()).toContain('Dorothea Tester');
    expect(Object.keys((await call(server, 'listPeople', credentials(dora))).body)).not.toContain(
      `${dora.uid}`,
    );
    const foreign = new Database(joinPath(server.dataDir, 'chat.db'));
    foreign.run('DELETE FROM accounts WHERE uid = ?', [dora.uid]);
    foreign.close();
    expect(await namesSeen()).not.toContain('Dorothea Tester');
  });

  test('QUERY is a prefix of either name, whatever the case', async () => {
    for (const query of ['bob', 'BO', 'b', ' Bob '])
      expect(await found({ QUERY: query })).toEqual(numbers(bob));
    expect(await found({ QUERY: 'tESTe' })).toEqual(numbers(bob, unverified));
    expect(await found({ QUERY: 'ob' })).toEqual([]);
  });

  test('QUERY ignores case beyond ASCII too, and how an accent was typed', async () => {
    for (const query of ['élo', 'ÉLODIE', 'øde', 'ØDEGÅRD', 'É'.normalize('NFD')]) {
      expect(await found({ QUERY: query })).toEqual(numbers(elodie));
    }
  });

  test('signs that mean something to a database are only letters to look for', async () => {
    for (const query of ['%', '_', "'", 'b%', '"; DROP TABLE accounts', '\u0000', '\ud800', '*'])
      expect(await found({ QUERY: query })).toEqual([]);
  });

  test('LIMIT and AFTER walk through everybody by ascending number, nobody twice', async () => {
    const everybody = await found();
    expect(everybody).toEqual(
      everybody
        .map(Number)
        .sort((a, b) => a - b)
        .map(String),
    );
    const walked: string[] = [];
    for (let after = 0; ; after = Number(walked.at(-1))) {
      const page = await found({ LIMIT: 1, AFTER: after });
      expect(page.length).toBeLessThanOrEqual(1);
      if (page.length === 0) break;
      walked.push(...page);
    }
    expect(walked).toEqual(everybody);
  });

  test('a page beyond the last one, or a name nobody has, is 404', async () => {
    const beyond = { UID: alice.uid, TOKEN: alice.token, AFTER: 9_999_999_999 };
    expect((await call(server, 'listPeople', beyond)).status).toBe(404);
    const nobody = { UID: alice.uid, TOKEN: alice.token, QUERY: 'Zaphod' };
    expect((await call(server, 'listPeople', nobody)).status).toBe(404);
  });

  test('whoever is alone gets 404', async () => {
    await withServer(async (lonely) => {
      const only = await join(lonely, 'Only');
      await signUp(lonely, 'Unverified');
      const answer = await call(lonely, 'listPeople', { UID: only.uid, TOKEN: only.token });
      expect(answer.status).toBe(404);
    });
  });

  test('pages of a size or place that makes no sense are refused with the documented 401', async () => {
    for (const bad of [{ LIMIT: 0 }, { LIMIT: 1001 }, { LIMIT: 'x' }, { AFTER: -1 }, { QUERY: 7 }]) {
      const answer = await call(server, 'listPeople', { UID: alice.uid, TOKEN: alice.token, ...bad });
      expect(answer.status).toBe(401);
      expect(answer.body.message).toContain(Object.keys(bad)[0]);
    }
  });
});

describe('the picture link', () => {
  const pathTo = (uid: unknown) => endpoints.profilePicture.path.replace(':uid', String(uid));

  test('it is told to anybody', async () => {
    const answer = checked('profilePicture', await server.get(pathTo(bob.uid)));
    expect(answer).toMatchObject({ status: 200, body: { PROFILE_PIC: picture } });
  });

  test('it is empty for an account without one, an unknown and an unverified number', async () => {
    const newcomer = await signUp(server, 'Newcomer');
    for (const uid of [alice.uid, 123_456_789, newcomer.uid]) {
      const answer = checked('profilePicture', await server.get(pathTo(uid)));
      expect(answer).toMatchObject({ status: 200, body: { PROFILE_PIC: '' } });
    }
  });

  test('it is empty for anything that is no number', async () => {
    for (const nonsense of [
      'undefined',
      'null',
      '-1',
      '0',
      '1.5',
      '9'.repeat(60),
      'a%20b',
      '%ff',
      '%',
      "'",
    ]) {
      const answer = checked('profilePicture', await server.get(pathTo(nonsense)));
      expect(answer).toMatchObject({ status: 200, body: { PROFILE_PIC: '' } });
    }
  });

  test('a picture that was taken away is gone from it', async () => {
    const body = signUpBody('Dora');
    const dora = await join(server, body.FIRST_NAME);
    for (const link of ['http://example.test/dora.jpg?size=2', '']) {
      await call(server, 'changeSettings', { ...credentials(dora), PROFILE_PIC: link });
      expect((await server.get(pathTo(dora.uid))).body.PROFILE_PIC).toBe(link);
    }
  });
});
