// How people and thieves move an account from address to address, and into it: by the mails that the server sends.
import { call, credentials, mailAt, type Person } from './people.ts';
import type { Answer, TestServer } from './server.ts';

/** Changes the address with a session alone; returns the code that undoes it, from the mail to the old address. */
export async function moveTo(server: TestServer, person: Person, email: string): Promise<string> {
  const mails = server.mailsTo(person.email).length;
  await call(server, 'resendCode', { ...credentials(person), MODE: 'EMAIL_CHANGE', EMAIL: email });
  const change = { ...credentials(person), EMAIL: email, OTP: server.codeFor(email) };
  const { status, body } = await call(server, 'changeSettings', change);
  if (status !== 200) throw new Error(`change of address: ${status} ${body.message}`);
  const code = /^ {4}([A-Z0-9]{20})\r?$/m.exec(await mailAt(server, person.email, mails + 1))?.[1];
  if (!code) throw new Error(`no undo code was mailed to ${person.email}`);
  return code;
}

export function undoMove(server: TestServer, email: string, code: string): Promise<Answer> {
  return call(server, 'undoEmailChange', { EMAIL: email, OTP: code });
}

/** Sets a password by a code that is mailed to the address. */
export async function resetPassword(server: TestServer, email: string, secret: string): Promise<Answer> {
  const mails = server.mailsTo(email).length;
  await call(server, 'forgotPassword', { EMAIL: email });
  await mailAt(server, email, mails + 1);
  return call(server, 'resetPassword', { EMAIL: email, OTP: server.codeFor(email), NEW_PASSWORD: secret });
}

export async function loginStatus(server: TestServer, email: string, secret: string): Promise<number> {
  return (await call(server, 'login', { EMAIL: email, PASSWORD: secret })).status;
}

/** A login, as a session of its own. */
export async function logIn(server: TestServer, email: string, secret: string): Promise<Person> {
  const { status, body } = await call(server, 'login', { EMAIL: email, PASSWORD: secret });
  if (status !== 200) throw new Error(`login: ${status} ${body.message}`);
  return { uid: body.UID, cookie: body.COOKIE, token: body.TOKEN, email, password: secret, name: '' };
}
