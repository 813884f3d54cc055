// The doctor on the server as it is reached, and on the mail host.
import { findMailProblem } from '../../infra/mail-check.ts';
import { type Check, fail, ok, warn } from '../health/checks.ts';
import { ownUrl } from '../own-server.ts';
import type { Examination, Looks } from './examination.ts';

const patienceMs = 5000;

export const networkLooks: Looks = {
  server: (seen) => (seen.serverRuns ? checkAnswer(seen) : checkPort(seen)),
  'reachable by people': (seen) => checkPublic(seen),
  mail: ({ config }) => checkMail(config.SMTP_URL),
};

async function checkAnswer({ config }: Examination): Promise<Check> {
  if (config.PORT === 0) return ok('runs on this folder, on a port of its own choice');
  const url = ownUrl(config);
  if (await isOurs(url)) return ok(`runs on this folder and answers at ${url}`);
  return fail(`runs on this folder and does not answer at ${url}: check HOST and PORT, or restart it`);
}

const portRemedies: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another program has it: end that, or set PORT',
  EACCES: 'this user may not have it: set PORT to one above 1023',
  EADDRNOTAVAIL: 'HOST is no address of this machine',
};

function checkPort({ config: { HOST, PORT } }: Examination): Check {
  if (PORT === 0) return ok('does not run; it takes a free port');
  try {
    Bun.listen({ hostname: HOST, port: PORT, socket: { data: () => undefined } }).stop(true);
    return ok(`does not run; port ${PORT} is free`);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
    const remedy = portRemedies[code] ?? `check HOST (${code})`;
    return fail(`does not run, and port ${PORT} cannot be had: ${remedy}`);
  }
}

/** From here, which may be another way than people take; null when there is nobody to answer. */
async function checkPublic({ config: { PUBLIC_URL }, serverRuns }: Examination): Promise<Check | null> {
  if (!PUBLIC_URL || !serverRuns) return null;
  if (await isOurs(PUBLIC_URL.origin)) return ok(`${PUBLIC_URL.origin} answers`);
  return warn(`${PUBLIC_URL.origin} does not answer from here: check DNS, the proxy and its certificate`);
}

/** Whether it is a server like this one. */
async function isOurs(origin: string): Promise<boolean> {
  try {
    const response = await fetch(`${origin}/healthz`, { signal: AbortSignal.timeout(patienceMs) });
    return response.ok && ((await response.json()) as { message?: unknown }).message === 'Alive';
  } catch {
    return false; // no answer, or none of ours
  }
}

async function checkMail(smtpUrl: string | undefined): Promise<Check> {
  if (!smtpUrl) return warn('no mail is sent, codes are files in the outbox: set SMTP_URL');
  const problem = await findMailProblem(smtpUrl);
  return problem === null ? ok('the mail host takes the login') : fail(`no mail can be sent, ${problem}`);
}
