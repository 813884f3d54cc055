// A mail host for tests: a real SMTP server on loopback that can misbehave, and the mails it took.
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { SMTPServer, type SMTPServerSession } from 'smtp-server';

export interface SmtpOptions {
  /** 0, the default, takes a free one. */
  port?: number;
  /** `none` does not offer STARTTLS, `required` refuses mails without it, `implicit` is TLS from the start. */
  tls?: 'none' | 'required' | 'implicit';
  /** Mails are only taken after a login with these. */
  login?: { user: string; password: string };
  /** SMTP code by which every recipient is turned away; may be set later on the returned object too. */
  refuse?: number | undefined;
  /** SMTP code sent instead of the greeting. */
  greeting?: number;
  /** Accepts connections and then never says a word (`mute`), or never comes to the end of a reply (`drip`). */
  stall?: 'mute' | 'drip';
}

export interface ReceivedMail {
  from: string;
  to: string[];
  /** As it came over the wire. */
  raw: string;
  subject: string;
  /** The plain text part, decoded, with `\n` line ends. */
  text: string;
  /** Whether the connection was encrypted. */
  secure: boolean;
  /** Who had logged in. */
  user: string | undefined;
}

export interface Smtp {
  /** For `SMTP_URL`, login included. */
  url: string;
  port: number;
  received: ReceivedMail[];
  /** Connections open now. */
  connections(): number;
  /** SMTP code for every recipient from now on; undefined takes mails again. */
  refuse: number | undefined;
  /** The mail to that address that came as the `count`th, waiting up to 3 s. */
  waitForMail(to: string, count?: number): Promise<ReceivedMail>;
  /** The 6-digit code of the newest mail to that address, waiting up to 3 s. */
  codeFor(to: string): Promise<string>;
  stop(): Promise<void>;
}

/** Starts a mail host; without options it takes every mail, with or without STARTTLS and login. */
export async function startSmtp(options: SmtpOptions = {}): Promise<Smtp> {
  const received: ReceivedMail[] = [];
  const smtp: Smtp = {
    url: '',
    port: 0,
    received,
    refuse: options.refuse,
    connections: () => sockets.size,
    waitForMail: (to, count = 1) => until(`mail ${count} to ${to}`, () => mailsTo(received, to)[count - 1]),
    codeFor: (to) =>
      until(
        `a code for ${to}`,
        () =>
          mailsTo(received, to)
            .at(-1)
            ?.text.match(/(?<!\d)\d{6}(?!\d)/)?.[0],
      ),
    stop: () => close(server, sockets),
  };
  const server = options.stall ? stallingServer(options.stall) : sessionServer(options, smtp);
  const sockets = await listen(server, options.port ?? 0);
  smtp.port = (server.address() as AddressInfo).port;
  smtp.url = urlOf(options, smtp.port);
  return smtp;
}

function urlOf({ tls, login }: SmtpOptions, port: number): string {
  const userInfo = login ? `${encodeURIComponent(login.user)}:${encodeURIComponent(login.password)}@` : '';
  return `${tls === 'implicit' ? 'smtps' : 'smtp'}://${userInfo}127.0.0.1:${port}`;
}

/** smtp-server holds its greeting back for 100 ms to catch clients that talk too soon: a long time for a test. */
class PromptServer extends SMTPServer {
  override connect(...args: Parameters<SMTPServer['connect']>): void {
    super.connect(...args);
    const connection = [...this.connections].at(-1);
    connection?.connectionReady();
    if (connection) connection.connectionReady = () => {};
  }
}

/** The listening socket of an smtp-server, which brings its own self-signed certificate. */
function sessionServer({ tls, login, greeting }: SmtpOptions, smtp: Smtp): Server {
  const server = new PromptServer({
    logger: false,
    disableReverseLookup: true,
    secure: tls === 'implicit',
    disabledCommands: tls === 'none' ? ['STARTTLS'] : [],
    allowInsecureAuth: true,
    authOptional: !login,
    onConnect: (_session, done) => done(greeting ? reply(greeting) : null),
    onAuth: ({ username, password }, _session, done) => {
      const right = !login || (username === login.user && password === login.password);
      done(right ? null : reply(535), right ? { user: username } : undefined);
    },
    onMailFrom: (_address, session, done) => done(tls === 'required' && !session.secure ? reply(530) : null),
    onRcptTo: (_address, _session, done) => done(smtp.refuse ? reply(smtp.refuse) : null),
    onData: (stream, session, done) => {
      const take = (raw: string) => smtp.received.push(parseMail(raw, session));
      text(stream)
        .then(take)
        .then(() => done(), done);
    },
  });
  // Clients that hang up in the middle of a handshake are part of the tests.
  server.on('error', () => {});
  return server.server;
}

function stallingServer(how: 'mute' | 'drip'): Server {
  return createServer((socket) => {
    socket.resume();
    if (how === 'mute') return;
    socket.write('220 mail.test ESMTP\r\n');
    const drip = setInterval(() => socket.write('250-and another thing\r\n'), 20);
    socket.on('close', () => clearInterval(drip));
  });
}

function reply(responseCode: number): Error {
  return Object.assign(new Error('says the mail host of the test'), { responseCode });
}

async function listen(server: Server, port: number): Promise<Set<Socket>> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {}).on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(port, '127.0.0.1', resolve);
  });
  return sockets;
}

async function close(server: Server, sockets: Set<Socket>): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  for (const socket of sockets) socket.destroy();
  await closed;
}

function mailsTo(received: ReceivedMail[], to: string): ReceivedMail[] {
  return received.filter((mail) => mail.to.some((address) => address.toLowerCase() === to.toLowerCase()));
}

/** Asks again and again until there is an answer; after 3 s it throws. */
async function until<T>(what: string, ask: () => T | undefined): Promise<T> {
  const end = Date.now() + 3000;
  for (;;) {
    const answer = ask();
    if (answer !== undefined) return answer;
    if (Date.now() > end) throw new Error(`${what} did not come within 3 s`);
    await Bun.sleep(5);
  }
}

function parseMail(raw: string, { envelope, secure, user }: SMTPServerSession): ReceivedMail {
  return {
    from: envelope.mailFrom ? envelope.mailFrom.address : '',
    to: envelope.rcptTo.map(({ address }) => address),
    raw,
    subject: decodeWords(header(raw, 'Subject')),
    text: plainText(raw),
    secure,
    user: typeof user === 'string' ? user : undefined,
  };
}

/** The value of a header field, unfolded; `''` when there is none. */
function header(part: string, name: string): string {
  const head = part.slice(0, part.indexOf('\r\n\r\n')).replace(/\r\n(?=[ \t])/g, '');
  return new RegExp(`^${name}: *(.*)$`, 'im').exec(head)?.[1]?.trimEnd() ?? '';
}

/** RFC 2047: words like `=?UTF-8?Q?Gr=C3=BC=C3=9Fe?=`; the blank between two of them is not part of the text. */
function decodeWords(value: string): string {
  return value
    .replace(/\?=\s+=\?/g, '?==?')
    .replace(/=\?utf-8\?([qb])\?([^?]*)\?=/gi, (_all, kind: string, encoded: string) =>
      decode(
        /b/i.test(kind) ? 'base64' : 'quoted-printable',
        encoded.replaceAll('_', /q/i.test(kind) ? ' ' : '_'),
      ),
    );
}

/** The first text/plain part of a mail, however deep it lies in multiparts. */
function plainText(part: string): string {
  const type = header(part, 'Content-Type');
  const body = part.slice(part.indexOf('\r\n\r\n') + 4);
  const boundary = /^multipart\/.*boundary="?([^";]+)"?/i.exec(type)?.[1];
  if (boundary) {
    const parts = body.split(`--${boundary}`).slice(1, -1);
    return parts.map((inner) => plainText(inner.replace(/^\r\n/, ''))).find((found) => found !== '') ?? '';
  }
  if (type && !type.startsWith('text/plain')) return '';
  return decode(header(part, 'Content-Transfer-Encoding'), body).replaceAll('\r\n', '\n').trimEnd();
}

function decode(encoding: string, content: string): string {
  if (/^base64$/i.test(encoding)) return Buffer.from(content, 'base64').toString();
  if (!/^quoted-printable$/i.test(encoding)) return content;
  const bytes = content
    .replace(/=\r\n/g, '')
    .replace(/=([0-9A-F]{2})/gi, (_all, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(bytes, 'latin1').toString();
}
