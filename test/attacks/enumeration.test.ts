// Attack: finding out who has an account, by what is answered and by how long it takes.
import { expect, test } from 'bun:test';
import { join } from '../support/people.ts';
import { type TestServer, withServer } from '../support/server.ts';

async function timeOfLogin(server: TestServer, EMAIL: string): Promise<number> {
  const begun = performance.now();
  await server.post('/login', { EMAIL, PASSWORD: 'not the password' });
  return performance.now() - begun;
}

test('a login with an unknown address is answered as one with a wrong password', () =>
  withServer(async (server) => {
    const { email } = await join(server, 'Alice');
    const answers = [];
    for (const EMAIL of [email, 'nobody@example.test'])
      answers.push(await server.post('/login', { EMAIL, PASSWORD: 'not the password' }));
    const [known, unknown] = answers.map(({ status, body }) => ({ status, body }));
    expect(unknown).toEqual(known);
  }));

test('a login with an unknown address is answered sooner than one with a wrong password', () =>
  withServer(async (server) => {
    const { email } = await join(server, 'Alice');
    const times: { known: number; unknown: number }[] = [];
    for (let round = 0; round < 7; round += 1) {
      const known = await timeOfLogin(server, email);
      times.push({ known, unknown: await timeOfLogin(server, 'nobody@example.test') });
    }
    const ratios = times.map(({ known, unknown }) => unknown / known).toSorted((one, other) => one - other);
    // Hashing takes ten times as long as all else together.
    expect(ratios[3]).toBeGreaterThan(0.5);
  }));

test('asking for a new password tells whether an address has an account', () =>
  withServer(async (server) => {
    const { email } = await join(server, 'Alice');
    const [known, unknown] = await Promise.all(
      [email, 'nobody@example.test'].map((EMAIL) => server.post('/forgot_password', { EMAIL })),
    );
    expect({ ...unknown, headers: null }).toEqual({ ...known, headers: null } as typeof unknown & {
      headers: null;
    });
  }));
