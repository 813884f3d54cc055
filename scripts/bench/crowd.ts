// A crowd of sockets in a process of its own: opened, held, back again after a break, checked position by position.
import { Positions } from './positions.ts';
import { percentile } from './table.ts';
import { dialects, groupId, positionIn, readUsers, type TargetName } from './targets.ts';
import { addressOf, type Connection, connect } from './wire.ts';

export interface CrowdPlan {
  readonly target: TargetName;
  readonly url: string;
  /** File of `populate.ts`, for targets with accounts: each socket is one of them, from number `first` on. */
  readonly users: string | null;
  readonly first: number;
  readonly sockets: number;
  /** How many addresses of this machine they come from. */
  readonly addresses: number;
}

export type CrowdCommand =
  /** Opens all; each is welcomed before it counts. */
  | { readonly do: 'open' }
  /** Brings those that were thrown off back, all at once. */
  | { readonly do: 'return' }
  /** Opens and closes `times` more, fifty at once. */
  | { readonly do: 'churn'; readonly times: number }
  /** Waits until each has everything up to a position, or nothing comes any more. */
  | { readonly do: 'settle'; readonly last: number };

export interface CrowdAnswer {
  /** Sockets that are open and welcomed now. */
  readonly live: number;
  /** When the last of this command was welcomed, ms since the epoch; and from the command on, ms. */
  readonly doneAt: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Connections that were refused or broken before their welcome, and tried again. */
  readonly retries: number;
  readonly lost: number;
  readonly duplicated: number;
  readonly disordered: number;
  /** Gaps that were told instead of sent. */
  readonly gaps: number;
  /** Position and text of what the first socket got. */
  readonly texts: readonly (readonly [number, string])[];
}

interface Seat {
  readonly index: number;
  connection: Connection | null;
  epoch: string | null;
  positions: Positions;
  welcome: (() => void) | null;
}

const tries = 100;
const retryMs = 100;
const quietMs = 3000;
const atOnce = 200;

const plan = JSON.parse(process.argv[2] ?? '{}') as CrowdPlan;
const dialect = dialects[plan.target];
const url = new URL(dialect.path, plan.url);
const users = readUsers(plan.users);
const seats = Array.from({ length: plan.sockets }, (_, step) => newSeat(plan.first + step));
const seatAt = new Map(seats.map((seat) => [seat.index, seat]));
const texts: [number, string][] = [];
let retries = 0;
let gaps = 0;
let frames = 0;
let churned = 0;

process.on('message', (command: CrowdCommand) => void carryOut(command));
process.on('disconnect', () => process.exit(0));

async function carryOut(command: CrowdCommand): Promise<void> {
  const begun = performance.now();
  const times: number[] = [];
  const enter = async (seat: Seat) => {
    await sit(seat);
    times.push(performance.now() - begun);
  };
  if (command.do === 'open') await inBatches(seats, atOnce, enter);
  else if (command.do === 'return') {
    await Promise.all(seats.filter(({ connection }) => connection === null).map(enter));
  } else if (command.do === 'churn') await churn(command.times);
  else await settle(command.last);
  const last = command.do === 'settle' ? command.last : null;
  process.send?.(report(times, begun, last));
}

function report(times: number[], begun: number, last: number | null): CrowdAnswer {
  const sum = (field: (seat: Seat) => number) => seats.reduce((total, seat) => total + field(seat), 0);
  return {
    live: sum(({ connection }) => (connection ? 1 : 0)),
    doneAt: performance.timeOrigin + begun + Math.max(0, ...times.slice(-1)),
    p50Ms: percentile(times, 0.5),
    p99Ms: percentile(times, 0.99),
    retries,
    lost: sum(({ positions }) => positions.lost(last ?? 0)),
    duplicated: sum(({ positions }) => positions.duplicated),
    disordered: sum(({ positions }) => positions.disordered),
    gaps,
    texts: last === null ? [] : texts,
  };
}

function newSeat(index: number): Seat {
  return { index, connection: null, epoch: null, positions: new Positions(), welcome: null };
}

/** Connects a seat and waits for its welcome; again and again while that fails. */
async function sit(seat: Seat): Promise<void> {
  for (let tried = 0; tried < tries; tried += 1) {
    if (await welcomed(seat).catch(() => false)) return;
    retries += 1;
    await Bun.sleep(retryMs);
  }
  throw new Error(`socket ${seat.index} is not let in`);
}

async function welcomed(seat: Seat): Promise<boolean> {
  const { index, epoch, positions } = seat;
  const done = Promise.withResolvers<boolean>();
  const onClose = () => {
    seat.connection = null;
    done.resolve(false);
  };
  seat.welcome = () => done.resolve(true);
  const localAddress = addressOf(index, plan.addresses);
  const connection = await connect(url, { index, onFrame, onClose, localAddress });
  seat.connection = connection;
  const standing = epoch === null ? undefined : { epoch, cursor: positions.cursor };
  connection.send(dialect.hello(users[index % Math.max(1, users.length)], standing) ?? '');
  return done.promise;
}

async function inBatches<T>(all: readonly T[], size: number, work: (one: T) => Promise<void>): Promise<void> {
  for (let from = 0; from < all.length; from += size) {
    await Promise.all(all.slice(from, from + size).map(work));
  }
}

async function churn(times: number): Promise<void> {
  const visitors = Array.from({ length: times }, (_, step) =>
    newSeat(plan.first + plan.sockets + churned + step),
  );
  churned += times;
  await inBatches(visitors, 50, async (visitor) => {
    seatAt.set(visitor.index, visitor);
    await sit(visitor);
    visitor.connection?.close();
    seatAt.delete(visitor.index);
  });
}

function onFrame({ index, send }: Connection, bytes: Uint8Array, from: number, to: number): void {
  const kind = dialect.kindOf(bytes, from);
  if (kind === 'ping') send(dialect.pong ?? '');
  const seat = seatAt.get(index);
  if (!seat || kind === 'ping') return;
  const frame = Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from);
  if (kind === 'welcome') onWelcome(seat, frame);
  else if (kind === 'push') onPush(seat, frame);
  else onOther(seat, frame);
}

function onPush(seat: Seat, frame: Buffer): void {
  frames += 1;
  const position = positionIn(frame);
  if (position === null) return;
  seat.positions.take(position);
  if (seat !== seats[0]) return;
  const at = frame.indexOf(dialect.textMark) + dialect.textMark.length;
  texts.push([position, frame.toString('latin1', at, frame.indexOf('"', at))]);
}

function onOther(seat: Seat, frame: Buffer): void {
  if (frame.indexOf('"GAP":true') < 0) return;
  gaps += 1;
  const { data } = JSON.parse(frame.toString()) as { data: { TO: number } };
  seat.positions.skipTo(data.TO);
}

/** Only this server's welcome says anything: whether one is let in, the epoch, and where the log stands. */
function onWelcome(seat: Seat, frame: Buffer): void {
  if (plan.target === 'ours') {
    const { data } = JSON.parse(frame.toString()) as {
      data: { status_code: number; EPOCH: string; chats: Record<string, { LAST_MESSAGE_ID: number }> };
    };
    if (data.status_code !== 200) {
      seat.connection?.close();
      return;
    }
    if (seat.epoch !== data.EPOCH) seat.positions = new Positions(data.chats[groupId]?.LAST_MESSAGE_ID);
    seat.epoch = data.EPOCH;
  }
  seat.welcome?.();
}

async function settle(last: number): Promise<void> {
  let [quietSince, before] = [performance.now(), -1];
  while (performance.now() - quietSince < quietMs) {
    if (seats.every(({ positions }) => positions.lost(last) === 0)) break;
    if (frames !== before) [quietSince, before] = [performance.now(), frames];
    await Bun.sleep(50);
  }
  await Bun.sleep(200); // for what comes twice
}
