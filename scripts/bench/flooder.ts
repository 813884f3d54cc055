// An attacker in a process of its own, of the lowest priority: it stands for machines elsewhere, which take no time from the server.
import { setPriority } from 'node:os';
import type { Socket } from 'bun';
import { percentile } from './table.ts';
import { dialects, readUsers } from './targets.ts';
import { addressOf, type Connection, connect } from './wire.ts';

export interface FloodPlan {
  /** `sockets`: they send as fast as they are let, and come back when they are thrown out; `logins`: all at once, once. */
  readonly kind: 'sockets' | 'logins';
  readonly url: string;
  readonly users: string;
  /** The first of the accounts that flood, and how many sockets or logins. */
  readonly first: number;
  readonly count: number;
  /** How long sockets flood. */
  readonly ms: number;
}

export interface FloodResult {
  /** Frames that were sent, or logins that were answered. */
  readonly count: number;
  /** Sockets that were thrown out, or logins that were refused with 429. */
  readonly refused: number;
  /** Until the last refusal came, of logins. */
  readonly refusedP99Ms: number;
}

const plan = JSON.parse(process.argv[2] ?? '{}') as FloodPlan;
const url = new URL(plan.url);
const patienceMs = 60_000;
/** A socket that was thrown out is back so soon. */
const comeBackMs = 1000;

async function floodBySockets(): Promise<FloodResult> {
  const users = readUsers(plan.users).slice(plan.first, plan.first + plan.count);
  const end = performance.now() + plan.ms;
  let [sent, closed] = [0, 0];
  const frames = Array<string>(20).fill(dialects.ours.send('0 flood'));
  const flood = async (index: number): Promise<void> => {
    while (performance.now() < end) {
      let isOpen = true;
      const onClose = () => {
        isOpen = false;
        closed += 1;
      };
      const options = {
        index,
        onFrame: () => undefined,
        onClose,
        localAddress: addressOf(index, plan.count),
      };
      const socket: Connection | null = await connect(new URL(dialects.ours.path, url), options).catch(
        () => null,
      );
      socket?.send(dialects.ours.hello(users[index]) ?? '');
      for (; socket && isOpen && performance.now() < end; sent += frames.length) {
        for (const frame of frames) socket.send(frame);
        await Bun.sleep(0);
      }
      socket?.close();
      await Bun.sleep(comeBackMs);
    }
  };
  await Promise.all(users.map((_, index) => flood(index)));
  return { count: sent, refused: closed, refusedP99Ms: Number.NaN };
}

async function floodByLogins(): Promise<FloodResult> {
  const begun = performance.now();
  const answers = await Promise.all(Array.from({ length: plan.count }, (_, index) => logIn(index)));
  const refused = answers.filter(({ status }) => status === 429);
  const times = refused.map(({ at }) => at - begun);
  return { count: answers.length, refused: refused.length, refusedP99Ms: percentile(times, 0.99) };
}

/** One login with a wrong password from an address of its own, on a connection of its own. */
async function logIn(index: number): Promise<{ status: number; at: number }> {
  const body = JSON.stringify({ EMAIL: `nobody-${index}@example.test`, PASSWORD: 'wrong password' });
  const request = `POST /login HTTP/1.1\r\nHost: ${url.host}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`;
  const answered = Promise.withResolvers<number>();
  const timer = setTimeout(() => answered.resolve(0), patienceMs);
  // Bun binds `localAddress` as Node does; its types do not have it.
  const binding: object = { localAddress: addressOf(index, plan.count) };
  const socket: Socket = await Bun.connect({
    ...binding,
    hostname: url.hostname,
    port: Number(url.port),
    socket: {
      open: (opened) => void opened.write(request),
      data: (_socket, bytes) => answered.resolve(Number(bytes.toString('latin1', 9, 12))),
      close: () => answered.resolve(0),
      error: () => answered.resolve(0),
    },
  });
  const status = await answered.promise;
  const at = performance.now();
  clearTimeout(timer);
  socket.end();
  return { status, at };
}

setPriority(19);
console.log(JSON.stringify(await (plan.kind === 'sockets' ? floodBySockets() : floodByLogins())));
