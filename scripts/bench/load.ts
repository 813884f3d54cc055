// The load, in a process of its own: members of one group, some of whom send; prints what it saw as one line of JSON.
import { Positions } from './positions.ts';
import { cpuSecondsOf } from './proc.ts';
import { percentile } from './table.ts';
import { dialects, positionIn, readUsers, type TargetName } from './targets.ts';
import { type Connection, connect } from './wire.ts';

export interface LoadPlan {
  readonly target: TargetName;
  readonly url: string;
  /** File of `populate.ts`, for targets with accounts. */
  readonly users: string | null;
  readonly serverPid: number;
  readonly members: number;
  readonly senders: number;
  /** Messages each sender keeps unacknowledged; with a pace it is not used. */
  readonly inFlight: number;
  /** Messages a second of all senders together; null for as fast as acknowledged. */
  readonly pace: number | null;
  readonly warmUpMs: number;
  readonly measureMs: number;
  /** Measuring ends earlier when this many were acknowledged in it. */
  readonly messages?: number;
}

export interface LoadResult {
  /** Acknowledged in all of the run. */
  readonly acked: number;
  readonly acksPerSecond: number;
  readonly deliveriesPerSecond: number;
  readonly ackP50Ms: number;
  readonly ackP99Ms: number;
  readonly deliveryP50Ms: number;
  readonly deliveryP99Ms: number;
  /** Acknowledgements and deliveries, in all of the run, that did not come; and that came more than once. */
  readonly lost: number;
  readonly duplicated: number;
  /** Among the receivers that are looked at closely; null where messages have no positions. */
  readonly disordered: number | null;
  /** Shares of one core that this load and the server used. */
  readonly loadCpu: number;
  readonly serverCpu: number;
}

/** What one member did and got. */
interface Member {
  readonly connection: Connection;
  /** When each unacknowledged message was sent: acknowledgements come in order. */
  readonly pending: number[];
  sent: number;
  acked: number;
  received: number;
  /** Of those looked at closely: the first two (senders), the last (none, if there are enough), and one in a hundred. */
  positions: Positions | null;
}

const settleMs = 30_000;
const quietMs = 1000;
const lastIdMark = Buffer.from('"LAST_MESSAGE_ID":');

const plan = JSON.parse(process.argv[2] ?? '{}') as LoadPlan;
const dialect = dialects[plan.target];
const users = readUsers(plan.users);
const members: Member[] = [];
const welcomes = new Map<number, (start: number) => void>();
const ackTimes: number[] = [];
const deliveryTimes: number[] = [];
let [sent, acked, delivered] = [0, 0, 0];
let measuring = false;
let sending = true;
let hasPositions = false;

await connectAll();
console.log(JSON.stringify(await measure()));
process.exit(0);

async function connectAll(): Promise<void> {
  const url = new URL(dialect.path, plan.url);
  for (let from = 0; from < plan.members; from += 200) {
    const indexes = Array.from({ length: Math.min(200, plan.members - from) }, (_, step) => from + step);
    await Promise.all(indexes.map((index) => join(url, index)));
  }
}

async function join(url: URL, index: number): Promise<void> {
  const connection = await connect(url, { index, onFrame });
  const welcomed = new Promise<number>((resolve) => welcomes.set(index, resolve));
  connection.send(dialect.hello(users[index]) ?? '');
  const start = await welcomed;
  const isClose = index < 2 || index === plan.members - 1 || index % 100 === 0;
  const positions = isClose ? new Positions(start) : null;
  members[index] = { connection, pending: [], sent: 0, acked: 0, received: 0, positions };
}

function onFrame({ index, send }: Connection, bytes: Uint8Array, from: number, to: number): void {
  const kind = dialect.kindOf(bytes, from);
  const member = members[index];
  if (kind === 'push' && member) {
    delivered += 1;
    member.received += 1;
    // Reading every frame would cost more than the server does.
    if (member.positions) inspect(member.positions, frameAt(bytes, from, to), 'others');
  } else if (kind === 'ack' && member) onAck(member, bytes, from, to);
  else if (kind === 'welcome') {
    const frame = frameAt(bytes, from, to);
    const at = frame.indexOf(lastIdMark);
    welcomes.get(index)?.(at < 0 ? 0 : Number.parseInt(frame.toString('latin1', at + lastIdMark.length), 10));
  } else if (kind === 'ping' && dialect.pong) send(dialect.pong);
}

function frameAt(bytes: Uint8Array, from: number, to: number): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from);
}

function inspect(positions: Positions, frame: Buffer, stream: 'own' | 'others'): void {
  if (measuring && stream === 'others') {
    const at = frame.indexOf(dialect.textMark) + dialect.textMark.length;
    deliveryTimes.push(performance.now() - Number.parseFloat(frame.toString('latin1', at, at + 16)));
  }
  const position = positionIn(frame);
  if (position === null) return;
  hasPositions = true;
  positions.take(position, stream);
}

function onAck(member: Member, bytes: Uint8Array, from: number, to: number): void {
  acked += 1;
  member.acked += 1;
  if (member.positions) inspect(member.positions, frameAt(bytes, from, to), 'own');
  const at = member.pending.shift();
  if (measuring && at !== undefined) ackTimes.push(performance.now() - at);
  if (plan.pace === null && sending) sendOne(member);
}

function sendOne(member: Member): void {
  const now = performance.now();
  sent += 1;
  member.sent += 1;
  member.pending.push(now);
  member.connection.send(dialect.send(`${now.toFixed(3).padStart(16, '0')} hello`));
}

async function measure(): Promise<LoadResult> {
  const pacer = startSending(members.slice(0, plan.senders));
  await Bun.sleep(plan.warmUpMs);
  measuring = true;
  const before = { at: performance.now(), acked, delivered, ...cpuSeconds() };
  const end = before.at + plan.measureMs;
  const enough = before.acked + (plan.messages ?? Number.POSITIVE_INFINITY);
  while (performance.now() < end && acked < enough) {
    await Bun.sleep(Math.max(1, Math.min(plan.messages ? 20 : 1000, end - performance.now())));
  }
  measuring = false;
  const seconds = (performance.now() - before.at) / 1000;
  const cpu = cpuSeconds();
  const [acks, deliveries] = [acked - before.acked, delivered - before.delivered];
  sending = false;
  clearInterval(pacer);
  await settled();
  return {
    acked,
    acksPerSecond: acks / seconds,
    deliveriesPerSecond: deliveries / seconds,
    ackP50Ms: percentile(ackTimes, 0.5),
    ackP99Ms: percentile(ackTimes, 0.99),
    deliveryP50Ms: percentile(deliveryTimes, 0.5),
    deliveryP99Ms: percentile(deliveryTimes, 0.99),
    ...faults(),
    loadCpu: (cpu.load - before.load) / seconds,
    serverCpu: (cpu.server - before.server) / seconds,
  };
}

function cpuSeconds(): { load: number; server: number } {
  const { user, system } = process.cpuUsage();
  return { load: (user + system) / 1e6, server: cpuSecondsOf(plan.serverPid) };
}

function startSending(senders: readonly Member[]): ReturnType<typeof setInterval> | undefined {
  if (plan.pace === null) {
    for (const sender of senders) for (let count = 0; count < plan.inFlight; count += 1) sendOne(sender);
    return undefined;
  }
  const perMs = plan.pace / 1000;
  const begun = performance.now();
  let count = 0;
  return setInterval(() => {
    for (; count < (performance.now() - begun) * perMs; count += 1) {
      const sender = senders[count % senders.length];
      if (sender) sendOne(sender);
    }
  }, 1);
}

/** Waits until everything that was sent has arrived everywhere, or nothing comes any more; and a little for doubles. */
async function settled(): Promise<void> {
  const end = performance.now() + settleMs;
  let [quietSince, before] = [performance.now(), -1];
  while (performance.now() < end && performance.now() - quietSince < quietMs) {
    if (acked === sent && delivered === sent * (plan.members - 1)) break;
    if (delivered !== before) [quietSince, before] = [performance.now(), delivered];
    await Bun.sleep(50);
  }
  await Bun.sleep(100);
}

/** Every member is counted by number; those with positions by what number cannot show, one lost and one doubled. */
function faults(): Pick<LoadResult, 'lost' | 'duplicated' | 'disordered'> {
  let [lost, duplicated, disordered] = [0, 0, 0];
  const highest = Math.max(...members.map(({ positions }) => positions?.cursor ?? 0));
  for (const { sent: own, acked: ownAcked, received, positions } of members) {
    const missing = sent - own - received + (own - ownAcked);
    lost += Math.max(0, missing, hasPositions ? (positions?.lost(highest) ?? 0) : 0);
    duplicated += Math.max(0, -missing, positions?.duplicated ?? 0);
    disordered += positions?.disordered ?? 0;
  }
  return { lost, duplicated, disordered: hasPositions ? disordered : null };
}
