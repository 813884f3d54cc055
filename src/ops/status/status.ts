// The `status` command: asks the server of the data folder how it is, once or each second.
import { z } from 'zod';
import type { Config } from '../../config.ts';
import type { Asked, Command } from '../command-line.ts';
import { isServerRunning, ownAdminKey, ownUrl } from '../own-server.ts';
import { type Concern, type Figures, figuresOf } from './figures.ts';
import { readMetrics, type Sample } from './samples.ts';
import { drawStatus } from './screen.ts';

export const statusCommand: Command<Config> = {
  usage: 'status [--once] [--json]',
  meaning: 'show how the running server is, each second until q is pressed, or --once',
  options: { once: 'flag', json: 'flag' },
  run,
};

const everyMs = 1000;
/** Rates and quantiles are of so many seconds: shorter ones jump about. */
const window = 10;
const patienceMs = 5000;
const codes = {
  enter: '\u001b[?1049h\u001b[?25l',
  leave: '\u001b[?25h\u001b[?1049l',
  home: '\u001b[H',
  /** Clears it before it is written: after a full one the last column would be cleared. */
  line: '\u001b[K',
  rest: '\u001b[J',
};
const endKeys = ['q', 'Q', '\u0003', '\u001b'];

/** The server does not run or does not answer; the message says so and what to do. */
class NoAnswer extends Error {}

interface Source {
  readonly url: string;
  readonly key: string;
}

/** Exit status 0 when it could be shown, else 1. */
async function run({ flags }: Asked, config: Config): Promise<number> {
  const json = flags.has('json');
  try {
    const source = sourceOf(config);
    const onTerminal = process.stdout.isTTY && process.stdin.isTTY;
    if (json || flags.has('once') || !onTerminal) await showOnce(source, json);
    else await watch(source);
    return 0;
  } catch (error) {
    if (!(error instanceof NoAnswer)) throw error;
    if (json) process.stdout.write(`${JSON.stringify({ ok: false, message: error.message })}\n`);
    else process.stderr.write(`${error.message}\n`);
    return 1;
  }
}

/** The key goes to nobody but a server that holds this folder: without one, the port may be anybody's. */
function sourceOf(config: Config): Source {
  const { DATA_DIR, PORT } = config;
  if (!isServerRunning(DATA_DIR)) throw new NoAnswer(`No server runs on ${DATA_DIR}. Check DATA_DIR.`);
  if (PORT === 0) throw new NoAnswer('PORT is 0, so nobody knows where the server listens. Set it.');
  const key = ownAdminKey(config);
  if (key === null)
    throw new NoAnswer(`There is no admin key in ${DATA_DIR}. Set ADMIN_KEY as the server has it.`);
  return { url: ownUrl(config), key };
}

async function showOnce(source: Source, json: boolean): Promise<void> {
  const first = await takeSample(source);
  await Bun.sleep(everyMs);
  const figures = await look(source, [first, await takeSample(source)]);
  const text = json ? JSON.stringify({ ok: true, ...figures }) : drawStatus(figures, source.url).join('\n');
  process.stdout.write(`${text}\n`);
}

/** Draws on the terminal's other screen, so that what was on this one is there again afterwards. */
async function watch(source: Source): Promise<void> {
  const ended = untilKey();
  process.stdout.write(codes.enter);
  try {
    const samples = [await takeSample(source)];
    while (!(await Promise.race([ended.then(() => true), Bun.sleep(everyMs).then(() => false)]))) {
      const newest = await takeSample(source);
      samples.push(newest);
      if (samples.length > window + 1) samples.shift();
      draw(await look(source, [samples[0] ?? newest, newest]), source.url);
    }
  } finally {
    process.stdout.write(codes.leave);
    process.stdin.setRawMode(false);
    process.stdin.pause();
  }
}

function draw(figures: Figures, url: string): void {
  const lines = [...drawStatus(figures, url), '', 'q ends'];
  process.stdout.write(`${codes.home}${lines.map((line) => codes.line + line).join('\r\n')}${codes.rest}`);
}

/** Resolves when a key that ends was pressed. */
function untilKey(): Promise<void> {
  process.stdin.setRawMode(true);
  process.stdin.resume();
  return new Promise((resolve) => {
    process.stdin.on('data', (bytes) => {
      if (endKeys.includes(String(bytes))) resolve();
    });
  });
}

async function look(source: Source, between: readonly [Sample, Sample]): Promise<Figures> {
  return figuresOf(between, await readConcerns(source), Date.now());
}

async function takeSample(source: Source): Promise<Sample> {
  const response = await ask(source, '/metrics');
  const values = readMetrics(await response.text());
  return { at: performance.now(), values };
}

const readiness = z.object({
  details: z.record(z.string(), z.object({ STATE: z.enum(['ok', 'warn', 'fail']), DETAIL: z.string() })),
});

async function readConcerns(source: Source): Promise<Concern[]> {
  const { details } = readiness.parse(await (await ask(source, '/readyz')).json());
  return Object.entries(details).flatMap(([name, { STATE: state, DETAIL: detail }]) =>
    state === 'ok' ? [] : [{ name, state, detail }],
  );
}

async function ask({ url, key }: Source, path: string): Promise<Response> {
  const options = { headers: { authorization: `Bearer ${key}` }, signal: AbortSignal.timeout(patienceMs) };
  const response = await fetch(url + path, options).catch(() => null);
  if (response?.ok || (response?.status === 503 && path === '/readyz')) return response;
  const why = response === null ? 'does not answer' : `answers ${response.status}`;
  throw new NoAnswer(
    `The server ${why} at ${url}. Check that HOST, PORT and ADMIN_KEY are as the server has them.`,
  );
}
