// How mails reach the mail host, or wait for it: the mailer against a real SMTP server and real folders.
import { afterEach, describe, expect, test } from 'bun:test';
import { mkdir, mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  createMailer,
  type Mail,
  type Mailer,
  type MailerOptions,
  smtpOptions,
} from '../../src/infra/mailer.ts';
import type { Fields, Log } from '../../src/log.ts';
import { type Smtp, type SmtpOptions, startSmtp } from '../support/smtp.ts';

const bob = 'bob@example.org';
const cleanups: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function smtpHost(options: SmtpOptions = {}): Promise<Smtp> {
  const host = await startSmtp(options);
  cleanups.push(host.stop);
  return host;
}

/** A port on which nobody listens. */
async function deadPort(): Promise<number> {
  const host = await startSmtp();
  await host.stop();
  return host.port;
}

async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'mail-test-'));
  cleanups.push(() => rm(folder, { recursive: true }));
  return join(folder, 'data', 'outbox');
}

/** A log that hides nothing, so that what must not be in it is seen. */
function recorder(): { log: Log; lines: string[] } {
  const lines: string[] = [];
  const record = (level: string) => (event: string, fields?: Fields) =>
    void lines.push(
      `${level} ${event} ${JSON.stringify(fields, (_key, value) => (value instanceof Error ? String(value) : value))}`,
    );
  return {
    lines,
    log: { debug: record('debug'), info: record('info'), warn: record('warn'), error: record('error') },
  };
}

interface Desk {
  mailer: Mailer;
  outbox: string;
  lines: string[];
  queued(): Promise<string[]>;
}

async function desk(smtpUrl: string | undefined, options: Partial<MailerOptions> = {}): Promise<Desk> {
  const outbox = options.outbox ?? (await newFolder());
  const { log, lines } = recorder();
  const mailer = createMailer({
    smtpUrl,
    from: 'Chat <chat@example.com>',
    log,
    timeoutMs: 2000,
    retryMs: 20,
    ...options,
    outbox,
  });
  cleanups.push(() => mailer.stop());
  return { mailer, outbox, lines, queued: () => namesIn(join(outbox, 'queue')) };
}

function namesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch(() => []);
}

function mail(changes: Partial<Mail> = {}): Mail {
  return {
    to: bob,
    subject: '271828 is your code',
    text: 'Grüße!\n\nYour code: 314159\n',
    html: '<p>Grüße! Your code: <b>314159</b></p>',
    expiresAt: Date.now() + 60_000,
    ...changes,
  };
}

async function eventually(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 3000; !(await holds()); await Bun.sleep(5)) {
    if (Date.now() > end) throw new Error(`did not come true within 3 s: ${holds}`);
  }
}

describe('handing over', () => {
  test('a mail reaches the mail host with its text and its HTML', async () => {
    const host = await smtpHost({ tls: 'none' });
    const { mailer, outbox } = await desk(host.url);
    expect(await mailer.send(mail())).toEqual({ kind: 'sent' });
    const received = await host.waitForMail(bob);
    expect(received).toMatchObject({ from: 'chat@example.com', to: [bob], secure: false });
    expect(received).toMatchObject({ subject: '271828 is your code', text: 'Grüße!\n\nYour code: 314159' });
    expect(received.raw).toContain('Content-Type: text/html');
    expect(received.raw).toContain('From: Chat <chat@example.com>');
    expect(await host.codeFor('BOB@example.org')).toBe('314159');
    expect(await namesIn(outbox)).toEqual([]);
  });

  test('STARTTLS is used where it is offered, also without being required', async () => {
    const host = await smtpHost();
    const { mailer } = await desk(host.url);
    await mailer.send(mail());
    expect((await host.waitForMail(bob)).secure).toBe(true);
  });

  test('a host that requires STARTTLS gets it', async () => {
    const host = await smtpHost({ tls: 'required' });
    const { mailer } = await desk(host.url);
    expect(await mailer.send(mail())).toEqual({ kind: 'sent' });
    expect((await host.waitForMail(bob)).secure).toBe(true);
  });

  test('smtps:// speaks TLS from the first byte', async () => {
    const host = await smtpHost({ tls: 'implicit' });
    expect(host.url).toStartWith('smtps://');
    const { mailer } = await desk(host.url);
    expect(await mailer.send(mail())).toEqual({ kind: 'sent' });
    expect((await host.waitForMail(bob)).secure).toBe(true);
  });

  test('user and password of the URL are percent-decoded and used to log in', async () => {
    const login = { user: 'chat@example.com', password: 'p:a/s s@w%rd' };
    for (const tls of ['required', 'implicit'] as const) {
      const host = await smtpHost({ tls, login });
      const { mailer } = await desk(host.url);
      expect(await mailer.send(mail())).toEqual({ kind: 'sent' });
      expect((await host.waitForMail(bob)).user).toBe('chat@example.com');
    }
  });

  test('many mails at once all arrive', async () => {
    const host = await smtpHost();
    const { mailer } = await desk(host.url);
    const people = Array.from({ length: 20 }, (_, n) => `person${n}@example.org`);
    const outcomes = await Promise.all(people.map((to) => mailer.send(mail({ to }))));
    expect(outcomes.every(({ kind }) => kind === 'sent')).toBe(true);
    expect(host.received.flatMap(({ to }) => to).sort()).toEqual(people.sort());
  });
});

describe('what the host says', () => {
  test('a 5xx to the recipient is a refusal with the reply, and nothing is queued', async () => {
    const host = await smtpHost({ refuse: 550 });
    const { mailer, queued, lines } = await desk(host.url);
    const outcome = await mailer.send(mail());
    expect(outcome).toEqual({ kind: 'refused', reply: expect.stringContaining('550') });
    expect(await queued()).toEqual([]);
    expect(lines.join()).not.toContain(bob);
  });

  test('a 4xx is a deferral, and nothing is queued', async () => {
    const host = await smtpHost({ refuse: 451 });
    const { mailer, queued } = await desk(host.url);
    expect(await mailer.send(mail())).toEqual({ kind: 'deferred', retryAfterMs: 60_000 });
    expect(await queued()).toEqual([]);
  });

  test('a greeting of 421 is a deferral, one of 554 our trouble: queued, and loud in the log', async () => {
    const busy = await smtpHost({ greeting: 421 });
    expect((await (await desk(busy.url)).mailer.send(mail())).kind).toBe('deferred');
    const closed = await smtpHost({ greeting: 554 });
    const { mailer, queued, lines } = await desk(closed.url, { retryMs: 60_000 });
    expect(await mailer.send(mail())).toEqual({ kind: 'queued' });
    expect(await queued()).toHaveLength(1);
    expect(lines.filter((line) => line.startsWith('error'))).toHaveLength(1);
  });

  test('a wrong password queues the mail, is loud, and neither it nor the mail gets into the log', async () => {
    const host = await smtpHost({ login: { user: 'postmaster', password: 'right-horse' } });
    const { mailer, queued, lines } = await desk(host.url.replace('right-horse', 'wrong-horse'), {
      retryMs: 60_000,
    });
    expect(await mailer.send(mail())).toEqual({ kind: 'queued' });
    expect(await queued()).toHaveLength(1);
    expect(host.received).toEqual([]);
    expect(lines.filter((line) => line.startsWith('error'))).toEqual([expect.stringContaining('EAUTH')]);
    expect(lines.join()).toContain('example.org');
    for (const secret of ['postmaster', 'wrong-horse', 'smtp://', bob, '271828', '314159']) {
      expect(lines.join()).not.toContain(secret);
    }
  });

  test('a host that takes the connection and never gives an answer queues the mail in time and is hung up on', async () => {
    for (const [stall, scheme] of [
      ['mute', 'smtp'],
      ['mute', 'smtps'],
      ['drip', 'smtp'],
    ] as const) {
      const host = await smtpHost({ stall });
      const { mailer, queued } = await desk(host.url.replace('smtp', scheme), {
        timeoutMs: 150,
        retryMs: 60_000,
      });
      const start = performance.now();
      const outcome = mailer.send(mail());
      await eventually(() => host.connections() === 1);
      expect(await outcome).toEqual({ kind: 'queued' });
      expect(performance.now() - start).toBeLessThan(600);
      expect(await queued()).toHaveLength(1);
      await eventually(() => host.connections() === 0);
    }
  });
});

describe('TLS', () => {
  test('away from this machine smtp:// requires STARTTLS and a good certificate', () => {
    for (const host of [
      'mail.example.com',
      '192.0.2.1',
      '[2001:db8::1]',
      '127.example.com',
      'localhost.example.com',
    ]) {
      expect(smtpOptions(`smtp://${host}:587`, 1000)).toMatchObject({
        secure: false,
        requireTLS: true,
        tls: { rejectUnauthorized: true },
      });
    }
    expect(smtpOptions('smtps://mail.example.com', 1000)).toMatchObject({
      secure: true,
      tls: { rejectUnauthorized: true },
    });
  });

  test('this machine, and a URL that says so, are exempt', () => {
    for (const host of ['localhost', 'LOCALHOST', '127.0.0.1', '127.8.8.8', '[::1]']) {
      expect(smtpOptions(`smtp://${host}`, 1000)).toMatchObject({
        requireTLS: false,
        tls: { rejectUnauthorized: false },
      });
    }
    const lax = 'smtp://mail.example.com?requireTLS=false&tls.rejectUnauthorized=false';
    expect(smtpOptions(lax, 1000)).toMatchObject({ requireTLS: false, tls: { rejectUnauthorized: false } });
  });

  test('the URL cannot make nodemailer print mails or open other doors', () => {
    const options = smtpOptions(
      'smtp://mail.example.com?debug=true&logger=true&ignoreTLS=true&proxy=http://x&pool=true',
      1000,
    );
    for (const name of ['debug', 'logger', 'ignoreTLS', 'proxy', 'pool'])
      expect(options).not.toHaveProperty(name);
  });

  test('where STARTTLS is required and not offered, neither login nor mail is sent', async () => {
    const host = await smtpHost({ tls: 'none', login: { user: 'a', password: 'b' } });
    const { mailer, lines } = await desk(`${host.url}?requireTLS=true`, { retryMs: 60_000 });
    expect(await mailer.send(mail())).toEqual({ kind: 'queued' });
    expect(lines).toEqual([expect.stringMatching(/^error .*ETLS/)]);
    expect(host.received).toEqual([]);
    // The same host without the requirement takes it.
    expect(await (await desk(host.url)).mailer.send(mail())).toEqual({ kind: 'sent' });
  });

  test('a certificate that cannot be verified stops the mail where certificates count', async () => {
    for (const tls of ['required', 'implicit'] as const) {
      const host = await smtpHost({ tls });
      const { mailer, lines } = await desk(`${host.url}?tls.rejectUnauthorized=true`, { retryMs: 60_000 });
      expect(await mailer.send(mail())).toEqual({ kind: 'queued' });
      expect(lines).toEqual([expect.stringMatching(/^error .*check SMTP_URL/)]);
      expect(host.received).toEqual([]);
    }
  });
});

describe('header injection', () => {
  test('a subject with line breaks stays one header', async () => {
    const host = await smtpHost();
    const { mailer } = await desk(host.url);
    await mailer.send(mail({ subject: 'Hello\r\nBcc: eve@example.net\n\nGotcha' }));
    const received = await host.waitForMail(bob);
    expect(received.to).toEqual([bob]);
    expect(received.subject).toBe('Hello Bcc: eve@example.net Gotcha');
    expect(received.raw).not.toMatch(/^(Bcc|Gotcha)/m);
  });

  test('an address that is more than one address is refused before any connection', async () => {
    const host = await smtpHost();
    const { mailer, queued } = await desk(host.url);
    const crooked = [
      'bob@example.org\r\nBcc: eve@example.net',
      'bob@example.org>\r\nRCPT TO:<eve@example.net',
      'bob@example.org,eve@example.net',
      'bob@example.org;eve@example.net',
      'Bob <bob@example.org>, eve@example.net',
      'eve@example.net <bob@example.org>',
      'bob@example.org\0',
      'bob',
      '',
    ];
    for (const to of crooked) expect((await mailer.send(mail({ to }))).kind).toBe('refused');
    expect(host.received).toEqual([]);
    expect(await queued()).toEqual([]);
    expect((await mailer.send(mail({ to: "o'bob+chat.1@example.org" }))).kind).toBe('sent');
  });
});

describe('the queue', () => {
  test('a mail for a host that is down waits as a private file and is delivered when the host comes up', async () => {
    const port = await deadPort();
    const { mailer, outbox, queued, lines } = await desk(`smtp://127.0.0.1:${port}`);
    expect(await mailer.send(mail())).toEqual({ kind: 'queued' });
    const [name = ''] = await queued();
    const file = join(outbox, 'queue', name);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect((await stat(outbox)).mode & 0o777).toBe(0o700);
    expect((await stat(join(outbox, 'queue'))).mode & 0o777).toBe(0o700);
    const kept = JSON.parse(await readFile(file, 'utf8'));
    const host = await smtpHost({ port });
    const received = await host.waitForMail(bob);
    expect(received.raw).toContain(`Message-ID: ${kept.messageId}`);
    expect(received.text).toContain('314159');
    await eventually(async () => (await queued()).length === 0);
    await Bun.sleep(100);
    expect(host.received).toHaveLength(1);
    expect(lines.join()).not.toContain('314159');
  });

  test('a kill -9 loses nothing: the next process delivers what the last one queued', async () => {
    const port = await deadPort();
    const outbox = await newFolder();
    const options = { smtpUrl: `smtp://127.0.0.1:${port}`, from: 'chat@example.com', outbox };
    const script = `
      import { createMailer } from '${join(import.meta.dir, '../../src/infra/mailer.ts')}';
      const log = { debug() {}, info() {}, warn() {}, error() {} };
      const mailer = createMailer({ ...${JSON.stringify(options)}, log });
      console.log((await mailer.send(${JSON.stringify(mail())})).kind);
      setInterval(() => {}, 1000);`;
    const child = Bun.spawn([process.execPath, '--eval', script], { stdout: 'pipe' });
    const { value } = await child.stdout.getReader().read();
    expect(new TextDecoder().decode(value)).toBe('queued\n');
    child.kill('SIGKILL');
    await child.exited;
    const host = await smtpHost({ port });
    const { queued } = await desk(host.url, { outbox });
    expect(await host.codeFor(bob)).toBe('314159');
    await eventually(async () => (await queued()).length === 0);
  });

  test('a mail whose code has expired is dropped unsent', async () => {
    let now = Date.now();
    const port = await deadPort();
    const { mailer, queued, lines } = await desk(`smtp://127.0.0.1:${port}`, { clock: () => now });
    await mailer.send(mail({ expiresAt: now + 60_000 }));
    await mailer.send(mail({ expiresAt: now + 120_000, to: 'carol@example.org' }));
    now += 60_000;
    const host = await smtpHost({ port });
    await host.waitForMail('carol@example.org');
    await eventually(async () => (await queued()).length === 0);
    expect(host.received.map(({ to }) => to)).toEqual([['carol@example.org']]);
    expect(lines.filter((line) => line.includes('expired'))).toHaveLength(1);
  });

  test('a queued mail that is deferred is tried again, one that is refused is given up', async () => {
    const port = await deadPort();
    const { mailer, queued } = await desk(`smtp://127.0.0.1:${port}`);
    await mailer.send(mail());
    const host = await smtpHost({ port, refuse: 451 });
    await Bun.sleep(200);
    expect(await queued()).toHaveLength(1);
    host.refuse = undefined;
    await host.waitForMail(bob);
    await eventually(async () => (await queued()).length === 0);

    await host.stop();
    await mailer.send(mail());
    expect(await queued()).toHaveLength(1);
    const strict = await smtpHost({ port, refuse: 550 });
    await eventually(async () => (await queued()).length === 0);
    expect(strict.received).toEqual([]);
  });

  test('a mail that gets through calls the queue, however long its next try is off', async () => {
    const port = await deadPort();
    const { mailer, queued } = await desk(`smtp://127.0.0.1:${port}`, { retryMs: 60_000 });
    await mailer.send(mail());
    const host = await smtpHost({ port });
    expect(await mailer.send(mail({ to: 'carol@example.org' }))).toEqual({ kind: 'sent' });
    await host.waitForMail(bob);
    await eventually(async () => (await queued()).length === 0);
  });

  test('a damaged file is set aside and does not keep the others from being sent', async () => {
    const port = await deadPort();
    const outbox = await newFolder();
    const queue = join(outbox, 'queue');
    await mkdir(queue, { recursive: true });
    await Bun.write(join(queue, '0000-a.json'), '{"to":"bob@exam');
    await Bun.write(join(queue, '0000-b.json'), '{"to":"bob@example.org","secret":271828}');
    await Bun.write(join(queue, '2020-01-01T00-00-00.000Z-000001-ab.json.tmp'), '{"to":"bob@exam');
    const { mailer, queued, lines } = await desk(`smtp://127.0.0.1:${port}`, { outbox });
    await mailer.send(mail());
    const host = await smtpHost({ port });
    await host.waitForMail(bob);
    await eventually(async () => (await queued()).length === 2);
    expect((await queued()).sort()).toEqual(['0000-a.json.bad', '0000-b.json.bad']);
    expect(lines.filter((line) => line.includes('damaged'))).toHaveLength(2);
    expect(lines.join()).not.toContain('271828');
  });

  test('stopping cuts an attempt off within a moment and keeps its mail', async () => {
    const host = await smtpHost({ stall: 'mute' });
    const { mailer, queued } = await desk(host.url, { timeoutMs: 10_000 });
    const outcome = mailer.send(mail());
    await eventually(() => host.connections() === 1);
    const start = performance.now();
    await mailer.stop();
    expect(performance.now() - start).toBeLessThan(1000);
    expect(await outcome).toEqual({ kind: 'queued' });
    expect(await queued()).toHaveLength(1);
  });

  test('a mail that can neither be sent nor kept is an error, not a silent loss', async () => {
    const outbox = await newFolder();
    await Bun.write(outbox, 'a file where the folder should be');
    const { mailer } = await desk(`smtp://127.0.0.1:${await deadPort()}`, { outbox });
    await expect(mailer.send(mail())).rejects.toThrow();
  });
});

describe('without a mail host', () => {
  test('mails become readable files of the owner alone, in the order they were sent, and the log says so', async () => {
    const { mailer, outbox, lines } = await desk(undefined);
    expect(lines).toEqual([expect.stringMatching(/^warn NO MAIL IS SENT/)]);
    for (const n of [1, 2, 3]) {
      const text = `Grüße!\n\nYour code: 31415${n}\n`;
      expect(await mailer.send(mail({ text }))).toEqual({ kind: 'sent' });
    }
    const names = (await readdir(outbox)).sort();
    expect(names).toHaveLength(3);
    for (const [index, name] of names.entries()) {
      expect(name).toMatch(/^\d{4}-\d\d-\d\dT.*\.eml$/);
      expect((await stat(join(outbox, name))).mode & 0o777).toBe(0o600);
      const lettered = (await readFile(join(outbox, name), 'utf8')).split('\r\n');
      expect(lettered).toContain(`Your code: 31415${index + 1}`);
      expect(lettered).toContain('Subject: 271828 is your code');
      expect(lettered).toContain(`To: ${bob}`);
      expect(lettered.join()).not.toContain('base64');
    }
    expect((await stat(outbox)).mode & 0o777).toBe(0o700);
  });

  test('a text in another script is not base64 either', async () => {
    const { mailer, outbox } = await desk('');
    await mailer.send(
      mail({
        subject: 'Код 271828',
        text: 'Здравствуйте\nВаш код: 314159\n',
        html: '<p>Здравствуйте 314159</p>',
      }),
    );
    const [name = ''] = await readdir(outbox);
    const eml = await readFile(join(outbox, name), 'utf8');
    expect(eml).not.toContain('base64');
    expect(eml).toContain('314159');
  });
});
