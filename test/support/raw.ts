// HTTP by hand, for requests that no well-behaved client sends.
import { connect } from 'node:net';

/** All that a connection needs to know of a server. */
interface Reachable {
  readonly url: string;
}

/** Sends these bytes and returns all that comes back until the server closes or has answered in full. */
export function exchange(server: Reachable, bytes: string | Uint8Array): Promise<string> {
  return new Promise((resolve) => {
    const { hostname, port } = new URL(server.url);
    let heard = '';
    const socket = connect(Number(port), hostname, () => socket.write(bytes));
    socket.setEncoding('utf8').on('data', (part) => {
      heard += part;
      const length = /content-length: (\d+)/i.exec(heard)?.[1];
      const end = heard.indexOf('\r\n\r\n');
      if (length && end >= 0 && Buffer.byteLength(heard) >= end + 4 + Number(length)) socket.end();
    });
    socket.on('close', () => resolve(heard)).on('error', () => resolve(heard)); // a reset is one way to be refused
  });
}

/** A request with these lines after the first, `Host` among them unless one is given. */
export function exchangeLines(
  server: Reachable,
  first: string,
  lines: readonly string[] = [],
  body = '',
): Promise<string> {
  const host = lines.some((line) => /^host:/i.test(line)) ? [] : [`Host: ${new URL(server.url).host}`];
  return exchange(server, `${[first, ...host, ...lines].join('\r\n')}\r\n\r\n${body}`);
}

/** The status of an answer, NaN of none. */
export function statusIn(answer: string): number {
  return Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1]);
}

/** The fields of an answer. */
export function headersIn(answer: string): Headers {
  const [head = ''] = answer.split('\r\n\r\n');
  const fields = head.split('\r\n').slice(1);
  return new Headers(
    fields.map((line): [string, string] => [line.split(':')[0] ?? '', line.replace(/^[^:]*:\s*/, '')]),
  );
}

/** The JSON of an answer. */
// biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape
export function bodyIn(answer: string): any {
  return JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4));
}
