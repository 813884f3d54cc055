// What the running server counts of itself, and how /metrics shows it.
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { ErrorCode } from '../errors.ts';
import { Tally } from './tally.ts';

/** A limit stopped somebody; `rule` is its name, one of a fixed few. */
export type CountLimit = (rule: string) => void;

/** What the gateway counts. */
export interface GatewayCounts {
  /** A message was acknowledged, so many ms after its frame was taken. */
  acknowledged(ms: number): void;
  /** A message was refused. */
  refused(reason: ErrorCode): void;
  /** A message went out to so many sockets. */
  delivered(sockets: number): void;
  readonly limited: CountLimit;
}

/** What is counted, there and elsewhere. */
export interface Counts extends GatewayCounts {
  /** An HTTP request was answered. */
  answered(status: number, ms: number): void;
  /** A transaction ended, well or not, so many ms after it began. */
  transaction(ms: number): void;
  /** So many messages were handed to the store at once. */
  batch(messages: number): void;
  /** A call of the store took too long. */
  slowQuery(): void;
  login(result: 'ok' | 'failed'): void;
}

/** Figures by their names, each with its meaning. */
type Meanings<Name extends string> = Readonly<Record<Name, string>>;
/** Looks figures up whenever somebody asks; null is left out. */
type Look<Name extends string> = () =>
  | Readonly<Record<Name, number | null>>
  | Promise<Readonly<Record<Name, number | null>>>;

export interface Metrics {
  readonly counts: Counts;
  addGauges<Name extends string>(meanings: Meanings<Name>, look: Look<Name>): void;
  /** Figures that only grow. */
  addCounters<Name extends string>(meanings: Meanings<Name>, look: Look<Name>): void;
  /** Adds a histogram of seconds. */
  addTally(name: string, meaning: string): Tally;
  /** Adds facts that stay as they are. */
  addInfo(name: string, meaning: string, facts: Readonly<Record<string, string>>): void;
  /** Everything in the text format of Prometheus, and the content type of that. */
  text(): Promise<{ text: string; contentType: string }>;
}

/** Seconds; from a commit on a fast disk to what people call hanging. */
const durations = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1];
const batchSizes = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];

/**
 * Nothing here has a label that people choose or that grows with them: no account, no address, no chat.
 * @see https://prometheus.io/docs/practices/naming/
 */
export function createMetrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const looks: (() => Promise<void>)[] = [];
  /** `prepare` makes a figure's metric and returns what shows a value of it. */
  const addFigures = <Name extends string>(
    meanings: Meanings<Name>,
    look: Look<Name>,
    prepare: (name: Name) => (value: number | null) => void,
  ) => {
    const shows = (Object.keys(meanings) as Name[]).map((name) => [name, prepare(name)] as const);
    looks.push(async () => {
      const figures = await look();
      for (const [name, show] of shows) show(figures[name]);
    });
  };
  return {
    counts: createCounts(registry),
    addGauges: (meanings, look) =>
      addFigures(meanings, look, (name) => {
        const gauge = new Gauge({ name, help: meanings[name], registers });
        return (value) => (value === null ? gauge.remove() : gauge.set(value));
      }),
    addCounters: (meanings, look) =>
      addFigures(meanings, look, (name) => {
        const counter = new Counter({ name, help: meanings[name], registers });
        return (value) => {
          counter.reset();
          counter.inc(value ?? 0);
        };
      }),
    addTally: (name, help) => addTally(registry, { name, help, bounds: durations }),
    addInfo: (name, help, facts) =>
      new Gauge({ name, help, labelNames: Object.keys(facts), registers }).set({ ...facts }, 1),
    async text() {
      await Promise.all(looks.map((look) => look()));
      return { text: await registry.metrics(), contentType: registry.contentType };
    },
  };
}

function createCounts(registry: Registry): Counts {
  return { ...countMessages(registry), ...countStore(registry), ...countRequests(registry) };
}

function countMessages(registry: Registry): Omit<GatewayCounts, 'limited'> {
  const took = addTally(registry, {
    name: 'chat_acknowledgement_seconds',
    help: 'From taking a message to acknowledging it.',
    bounds: durations,
  });
  const refused = addCounter(registry, {
    name: 'chat_sends_refused_total',
    help: 'Messages refused, by the reason.',
    label: 'reason',
  });
  let delivered = 0; // summed up here, where it costs nothing
  const addSum = (name: string, help: string, read: () => number) =>
    new Counter({
      name,
      help,
      registers: [registry],
      collect() {
        this.reset();
        this.inc(read());
      },
    });
  addSum('chat_sends_accepted_total', 'Messages acknowledged.', () => took.count);
  addSum('chat_deliveries_total', 'Messages pushed to sockets, once for each.', () => delivered);
  return {
    acknowledged: (ms) => took.observe(ms / 1000),
    refused: (reason) => refused.inc({ reason }),
    delivered: (sockets) => {
      delivered += sockets;
    },
  };
}

function countStore(registry: Registry): Pick<Counts, 'transaction' | 'batch' | 'slowQuery'> {
  const transactions = addTally(registry, {
    name: 'chat_commit_seconds',
    help: 'Write transactions, from BEGIN to the end of COMMIT.',
    bounds: durations,
  });
  const batches = addTally(registry, {
    name: 'chat_batch_messages',
    help: 'Messages handed to one transaction.',
    bounds: batchSizes,
  });
  const slow = new Counter({
    name: 'chat_slow_queries_total',
    help: 'Calls of the store that took SLOW_QUERY_MS or more.',
    registers: [registry],
  });
  return {
    transaction: (ms) => transactions.observe(ms / 1000),
    batch: (messages) => batches.observe(messages),
    slowQuery: () => slow.inc(),
  };
}

function countRequests(registry: Registry): Pick<Counts, 'answered' | 'limited' | 'login'> {
  const requests = new Histogram({
    name: 'chat_http_request_seconds',
    help: 'HTTP requests, by the class of their status.',
    labelNames: ['status'],
    buckets: durations,
    registers: [registry],
  });
  const limits = addCounter(registry, {
    name: 'chat_limits_hit_total',
    help: 'Refusals by a limit, by its name.',
    label: 'rule',
  });
  const logins = addCounter(registry, {
    name: 'chat_logins_total',
    help: 'Logins, by their outcome.',
    label: 'result',
  });
  for (const result of ['ok', 'failed']) logins.inc({ result }, 0);
  return {
    answered: (status, ms) => requests.observe({ status: `${Math.floor(status / 100)}xx` }, ms / 1000),
    limited: (rule) => limits.inc({ rule }),
    login: (result) => logins.inc({ result }),
  };
}

interface CounterOptions {
  readonly name: string;
  readonly help: string;
  readonly label: string;
}

function addCounter(registry: Registry, { name, help, label }: CounterOptions): Counter {
  return new Counter({ name, help, labelNames: [label], registers: [registry] });
}

interface TallyOptions {
  readonly name: string;
  readonly help: string;
  readonly bounds: readonly number[];
}

function addTally(registry: Registry, { name, help, bounds }: TallyOptions): Tally {
  const tally = new Tally(bounds);
  const get = async () => {
    const buckets = tally.lines().map(({ bound, count }) => {
      return { metricName: `${name}_bucket`, labels: { le: bound }, value: count };
    });
    const sum = { metricName: `${name}_sum`, labels: {}, value: tally.sum };
    const count = { metricName: `${name}_count`, labels: {}, value: tally.count };
    return { name, help, type: 'histogram', aggregator: 'sum', values: [...buckets, sum, count] };
  };
  // Of a metric a registry uses the name and what `get` resolves to, but its type asks for a whole Histogram.
  registry.registerMetric({ name, get } as unknown as Histogram);
  return tally;
}
