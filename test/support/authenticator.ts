// The authenticator of a test person, with the clock of the test's server; and the people who have one.
import { generateSync } from 'otplib';
import { call, credentials, join, type Person, password } from './people.ts';
import type { TestServer } from './server.ts';

const stepMs = 30_000;

/** The code that an authenticator with this secret shows, `steps` time steps from now. */
export function codeOf(server: TestServer, secret: string, steps = 0): string {
  return generateSync({ secret, epoch: Math.floor(server.clock() / 1000) + steps * 30 });
}

/** Goes on to the beginning of the next time step, so that none ends while a test looks at it. */
export function nextStep(server: TestServer): void {
  server.advance(stepMs - (server.clock() % stepMs) + 1000);
}

/** A code that was never used and is good now. */
export function freshCode(server: TestServer, secret: string): string {
  nextStep(server);
  return codeOf(server, secret);
}

export interface Guarded extends Person {
  readonly secret: string;
  readonly recoveryCodes: readonly string[];
}

/** Enrolls and leaves the factor unconfirmed; returns the secret. */
export async function enroll(server: TestServer, person: Person): Promise<string> {
  const answer = await call(server, 'enrollTotp', { ...credentials(person), PASSWORD: password });
  if (answer.status !== 200) throw new Error(`enroll_totp: ${answer.status} ${answer.body.message}`);
  return answer.body.SECRET;
}

/** Signs somebody up and switches a second factor on. */
export async function joinGuarded(server: TestServer, firstName: string): Promise<Guarded> {
  const person = await join(server, firstName);
  const secret = await enroll(server, person);
  const CODE = freshCode(server, secret);
  const answer = await call(server, 'confirmTotp', { ...credentials(person), CODE });
  if (answer.status !== 200) throw new Error(`confirm_totp: ${answer.status} ${answer.body.message}`);
  return { ...person, secret, recoveryCodes: answer.body.RECOVERY_CODES };
}
