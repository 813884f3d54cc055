// How `status` looks on a terminal: lines of at most 80 columns.
import { formatBytes, formatSpan } from '../health/checks.ts';
import type { Figures, Quantiles } from './figures.ts';

export const columns = 80;
const nameWidth = 12;
const cellWidth = 22;
/** How many of the limits that were hit are named. */
const limitsShown = 3;

const count = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const small = new Intl.NumberFormat('en', { maximumSignificantDigits: 2 });
/** Few digits for what is small, none after the point for what is not. */
const number = (value: number) => (value < 10 ? small : count).format(value);
const perSecond = (value: number) => `${number(value)}/s`;
const ms = (value: number | null) => (value === null ? '-' : `${number(value)} ms`);
const age = (spanMs: number | null) => (spanMs === null ? 'none' : `${formatSpan(spanMs)} ago`);

/** @param url where the server was asked */
export function drawStatus(figures: Figures, url: string): string[] {
  const { version, uptimeMs, concerns } = figures;
  const title = `chat-backend ${version}, up ${formatSpan(uptimeMs)}`;
  return [
    `${title}${url.padStart(columns - title.length)}`,
    '-'.repeat(columns),
    ...rows(figures).map(([name, ...cells]) => row(name, cells)),
    '-'.repeat(columns),
    ...(concerns.length === 0 ? ['all is well'] : concerns.flatMap(drawConcern)),
  ].map((line) => line.slice(0, columns));
}

function rows(figures: Figures): [name: string, ...cells: string[]][] {
  const { sockets, messages, process, storage, queues, backup, logins } = figures;
  const { diskFreeBytes } = storage;
  return [
    [
      'people',
      `${number(sockets.accounts)} online`,
      `${number(sockets.announced)} sockets`,
      `${number(sockets.open - sockets.announced)} unannounced`,
    ],
    [
      'messages',
      `${perSecond(messages.sendsPerSecond)} sent`,
      `${perSecond(messages.deliveriesPerSecond)} delivered`,
      `${perSecond(messages.refusedPerSecond)} refused`,
    ],
    ['acknowledged', ...quantiles(figures.acknowledgement), `${number(messages.waiting)} waiting`],
    ['committed', ...quantiles(figures.commit), `${formatBytes(queues.bufferedBytes)} buffered`],
    ['event loop', ...quantiles(figures.eventLoopDelay), `${number(process.cpuShare * 100)} % of a core`],
    [
      'requests',
      perSecond(figures.requestsPerSecond),
      `${number(logins.ok)} logged in`,
      `${number(logins.failed)} could not`,
    ],
    [
      'memory',
      formatBytes(process.memoryBytes),
      `${number(queues.hashing)} wait for hashing`,
      `${number(queues.outbox)} mails wait`,
    ],
    [
      'database',
      formatBytes(storage.databaseBytes),
      `log ${formatBytes(storage.walBytes)}`,
      diskFreeBytes === null ? '' : `${formatBytes(diskFreeBytes)} disk free`,
    ],
    [
      'backup',
      `${age(backup.ageMs)}${backup.failing ? ', failing' : ''}`,
      backup.bytes === null ? '' : formatBytes(backup.bytes),
      `drill ${age(backup.drillAgeMs)}${backup.drillFailing ? ', failed' : ''}`,
    ],
    ['limits hit', limits(figures.limitsHit)],
  ];
}

function quantiles({ p50Ms, p99Ms }: Quantiles): string[] {
  return [`p50 ${ms(p50Ms)}`, `p99 ${ms(p99Ms)}`];
}

function limits(hit: Figures['limitsHit']): string {
  const all = Object.entries(hit);
  if (all.length === 0) return 'none';
  const shown = all.slice(0, limitsShown).map(([rule, times]) => `${rule} ${number(times)}`);
  return [...shown, ...(all.length > limitsShown ? ['...'] : [])].join(', ');
}

function row(name: string, cells: readonly string[]): string {
  return `${name.padEnd(nameWidth)}  ${cells.map((cell) => cell.padEnd(cellWidth)).join('')}`.trimEnd();
}

/** What somebody must look after, in whole words and as many lines as they take. */
function drawConcern({ name, state, detail }: Figures['concerns'][number]): string[] {
  const lines = [`${state.toUpperCase()} ${name}:`];
  for (const word of detail.replace(/\p{Cc}/gu, ' ').split(' ')) {
    const line = `${lines.at(-1)} ${word}`;
    if (line.length <= columns) lines[lines.length - 1] = line;
    else lines.push(`  ${word}`);
  }
  return lines;
}
