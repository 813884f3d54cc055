// The load, in a process of its own: members of one group, some of whom send; prints what it saw as one line of JSON.
import { readFileSync } from 'node:fs';
import { type Dialect, dialects, type TargetName, type User } from './targets.ts';
import { type Connection, connect } from './wire.ts';

export interface LoadPlan {
  readonly target: TargetName;
  readonly url: string;
  /** File of `populate.ts`, for targets with accounts. */
  readonly users: string | null;
  readonly members: number;
  readonly senders: number;
  /** Messages each sender keeps unacknowledged; with a pace it is not used. */
  readonly inFlight: number;
  /** Messages a second of all senders together; null for as fast as acknowledged. */
  readonly pace: number | null;
  readonly warmUpMs: number;
  readonly measureMs: number;
}

export interface LoadResult {
  readonly acksPerSecond: number;
  readonly deliveriesPerSecond: number;
  readonly ackP50Ms: number;
  readonly ackP99Ms: number;
  readonly deliveryP50Ms: number;
  readonly deliveryP99Ms: number;
  /** Deliveries that should have come and did not, or came twice, in all of the run. */
  readonly lost: number;
  readonly disordered: number;
  /** Share of one core this load used. */
  readonly loadCpu: number;
}

const plan = JSON.parse(process.argv[2] ?? '{}') as LoadPlan;
const dialect: Dialect = dialects[plan.target];
const users = plan.users
  ? readFileSync(plan.users, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as User)
  : [];

let sent = 0;
let acked = 0;
let delivered = 0;
let disordered = 0;
let measuring = false;
let sending = true;
const ackTimes: number[] = [];
const deliveryTimes: number[] = [];
/** Per sender, when each unacknowledged message was sent: acknowledgements come in order. */
const pending: number[][] = [];
const welcomed: (() => void)[] = [];
const lastPosition = new Map<number, number>();
const positionMark = Buffer.from('"MESSAGE_ID":');
const timeMark = Buffer.from(plan.target === 'socketio' ? '["send","' : '"MESSAGE":"');

const connections = await connectAll();
const result = await measure();
console.log(JSON.stringify(result));
process.exit(0);

async function connectAll(): Promise<Connection[]> {
  const all: Connection[] = [];
  const url = new URL(dialect.path, plan.url);
  for (let from = 0; from < plan.members; from += 200) {
    const indexes = Array.from({ length: Math.min(200, plan.members - from) }, (_, step) => from + step);
    all.push(...(await Promise.all(indexes.map((index) => join(url, index)))));
  }
  return all;
}

async function join(url: URL, index: number): Promise<Connection> {
  const connection = await connect(url, { index, onFrame });
  const greeting = dialect.hello(users[index]);
  if (greeting !== null) {
    const answered = new Promise<void>((resolve) => {
      welcomed[index] = resolve;
    });
    connection.send(greeting);
    await answered;
  }
  return connection;
}

function onFrame(connection: Connection, bytes: Uint8Array, from: number, to: number): void {
  const kind = dialect.kindOf(bytes, from);
  if (kind === 'push') {
    delivered += 1;
    // One receiver in every hundred, and the first two, are looked at closely: all would cost more than the server.
    if (connection.index < 2 || connection.index % 100 === 0) inspect(connection, bytes, from, to);
  } else if (kind === 'ack') onAck(connection);
  else if (kind === 'welcome') welcomed[connection.index]?.();
  else if (kind === 'ping' && dialect.pong) connection.send(dialect.pong);
}

function inspect({ index }: Connection, bytes: Uint8Array, from: number, to: number): void {
  const frame = Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from);
  if (measuring) {
    const at = frame.indexOf(timeMark) + timeMark.length;
    deliveryTimes.push(performance.now() - Number.parseFloat(frame.toString('latin1', at, at + 16)));
  }
  const mark = frame.indexOf(positionMark);
  if (mark < 0 || index < plan.senders) return; // a sender has its own as acknowledgements, in between
  const position = Number.parseInt(frame.toString('latin1', mark + positionMark.length, mark + 30), 10);
  if (position !== (lastPosition.get(index) ?? position - 1) + 1) disordered += 1;
  lastPosition.set(index, position);
}

function onAck(connection: Connection): void {
  acked += 1;
  const at = pending[connection.index]?.shift();
  if (measuring && at !== undefined) ackTimes.push(performance.now() - at);
  if (plan.pace === null && sending) sendOne(connection);
}

function sendOne(connection: Connection): void {
  const now = performance.now();
  sent += 1;
  pending[connection.index]?.push(now);
  connection.send(dialect.send(`${now.toFixed(3).padStart(16, '0')} hello`));
}

async function measure(): Promise<LoadResult> {
  const senders = connections.slice(0, plan.senders);
  for (const { index } of senders) pending[index] = [];
  const pacer = plan.pace === null ? startAll(senders) : startPaced(senders, plan.pace);
  await Bun.sleep(plan.warmUpMs);
  measuring = true;
  const [cpu, begun, ackedBefore, deliveredBefore] = [
    process.cpuUsage(),
    performance.now(),
    acked,
    delivered,
  ];
  await Bun.sleep(plan.measureMs);
  measuring = false;
  const seconds = (performance.now() - begun) / 1000;
  const used = process.cpuUsage(cpu);
  const [acks, deliveries] = [acked - ackedBefore, delivered - deliveredBefore];
  sending = false;
  clearInterval(pacer);
  await settled();
  return {
    acksPerSecond: acks / seconds,
    deliveriesPerSecond: deliveries / seconds,
    ackP50Ms: percentile(ackTimes, 0.5),
    ackP99Ms: percentile(ackTimes, 0.99),
    deliveryP50Ms: percentile(deliveryTimes, 0.5),
    deliveryP99Ms: percentile(deliveryTimes, 0.99),
    lost: sent * (plan.members - 1) - delivered + (sent - acked),
    disordered,
    loadCpu: (used.user + used.system) / 1e6 / seconds,
  };
}

function startAll(senders: readonly Connection[]): undefined {
  for (const sender of senders) for (let count = 0; count < plan.inFlight; count += 1) sendOne(sender);
}

function startPaced(senders: readonly Connection[], perSecond: number): ReturnType<typeof setInterval> {
  const begun = performance.now();
  let count = 0;
  return setInterval(() => {
    const due = ((performance.now() - begun) / 1000) * perSecond;
    for (; count < due; count += 1) {
      const sender = senders[count % senders.length];
      if (sender) sendOne(sender);
    }
  }, 1);
}

/** Waits until everything that was sent has arrived everywhere, or nothing comes any more. */
async function settled(): Promise<void> {
  for (let quiet = 0, before = -1; quiet < 20; ) {
    if (acked === sent && delivered === sent * (plan.members - 1)) return;
    await Bun.sleep(50);
    quiet = delivered === before ? quiet + 1 : 0;
    before = delivered;
  }
}

function percentile(values: number[], share: number): number {
  values.sort((a, b) => a - b);
  return values[Math.min(values.length - 1, Math.floor(values.length * share))] ?? Number.NaN;
}
