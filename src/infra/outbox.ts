// The outbox folder: mails written out to be read, and mails that wait as files until the mail host takes them.
import { randomBytes } from 'node:crypto';
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { Log } from '../log.ts';

const letterFile = z.object({
  to: z.string(),
  subject: z.string(),
  text: z.string(),
  html: z.string(),
  expiresAt: z.number(),
  messageId: z.string(),
});

/** A mail as it is kept. Its Message-ID is the same at every attempt, so that a copy sent twice can be told. */
export type Letter = z.infer<typeof letterFile>;

type Waiting = { name: string; letter: Letter };

/** A temporary file this old belongs to a process that died while writing it. */
const abandonedAfterMs = 60_000;
const longestDelayMs = 5 * 60_000;

/** The files of one outbox folder. Several processes may use the same one: a file that vanished is no error. */
export class Outbox {
  readonly #queue: string;
  #written = 0;

  constructor(
    private readonly folder: string,
    private readonly log: Log,
  ) {
    this.#queue = join(folder, 'queue');
  }

  /** Writes a whole message (RFC 5322) as an `.eml` file; the names sort by time. */
  async write(message: Buffer): Promise<void> {
    await writeDurably(this.folder, `${this.#nextName()}.eml`, message);
  }

  /** Keeps a letter until it is removed; it is on the disk when this resolves. */
  async add(letter: Letter): Promise<void> {
    await writeDurably(this.#queue, `${this.#nextName()}.json`, JSON.stringify(letter));
  }

  /** Every letter that waits, oldest first. A damaged file is logged and set aside as `.bad`. */
  async list(): Promise<Waiting[]> {
    const waiting: Waiting[] = [];
    for (const name of (await namesIn(this.#queue)).sort()) {
      if (name.endsWith('.tmp')) await this.#removeAbandoned(name);
      const letter = name.endsWith('.json') ? await this.#read(name) : null;
      if (letter) waiting.push({ name, letter });
    }
    return waiting;
  }

  async remove(name: string): Promise<void> {
    await rm(join(this.#queue, name), { force: true });
  }

  #nextName(): string {
    // The count keeps the order within a millisecond, the random part keeps processes apart.
    return `${timeOfName(Date.now())}-${String(++this.#written).padStart(6, '0')}-${randomBytes(4).toString('hex')}`;
  }

  async #read(name: string): Promise<Letter | null> {
    const path = join(this.#queue, name);
    try {
      return letterFile.parse(JSON.parse(await readFile(path, 'utf8')));
    } catch (error) {
      if (isMissing(error)) return null;
      // What exactly is wrong with its content is not logged: the words would quote the mail.
      const damaged = error instanceof SyntaxError || error instanceof z.ZodError;
      if (damaged) await rename(path, `${path}.bad`);
      const facts = damaged ? { file: `${name}.bad` } : { file: name, error };
      this.log.error(damaged ? 'a damaged queued mail was set aside' : 'a queued mail cannot be read', facts);
      return null;
    }
  }

  /** A process killed while writing leaves a part of a mail in clear that nobody would ever look for. */
  async #removeAbandoned(name: string): Promise<void> {
    if (name > timeOfName(Date.now() - abandonedAfterMs)) return;
    await this.remove(name);
    this.log.warn('a half-written queued mail was removed', { file: name });
  }
}

type Outcome = { kind: 'sent' | 'queued' | 'refused' | 'deferred' };

/** Hands over one letter, which has `leftMs` before it expires; never rejects. */
export type Attempt = (letter: Letter, leftMs: number) => Promise<Outcome>;

interface RedeliveryOptions {
  outbox: Outbox;
  log: Log;
  clock: () => number;
  /** First delay before another pass over the queue; doubled while the mail host takes nothing. */
  retryMs: number;
  attempt: Attempt;
}

/** Tries the letters of an outbox again, one at a time, until they are sent, refused or expired. */
export class Redelivery {
  /** Attempts by file name. The least tried go first, so that one hopeless mail does not hold up the rest. */
  readonly #tries = new Map<string, number>();
  #delayMs: number;
  #timer: NodeJS.Timeout | undefined;
  #pass: Promise<void> | undefined;
  #hostDown = false;
  #stopped = false;

  /** Begins at once, with what an earlier process left. */
  constructor(private readonly options: RedeliveryOptions) {
    this.#delayMs = options.retryMs;
    this.#schedule(0);
  }

  /** Takes over a letter that the mail host could not be reached for. */
  async keep(letter: Letter): Promise<void> {
    await this.options.outbox.add(letter);
    this.#hostDown = true;
    if (!this.#timer) this.#schedule(this.#delayMs);
  }

  /** The mail host took another mail: if it was down, people are waiting for what is queued. */
  hostAnswered(): void {
    if (!this.#hostDown) return;
    this.#hostDown = false;
    this.#delayMs = this.options.retryMs;
    this.#schedule(0);
  }

  /** Begins nothing more; resolves when the attempt under way is over. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#pass;
  }

  #schedule(delayMs: number): void {
    clearTimeout(this.#timer);
    if (this.#stopped) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (this.#pass) this.#schedule(this.options.retryMs);
      else this.#pass = this.#workOff();
    }, delayMs).unref();
  }

  async #workOff(): Promise<void> {
    let left = 1; // after a failure to list them they are looked for again
    try {
      left = await this.#tryEach(await this.options.outbox.list());
    } catch (error) {
      this.options.log.error('the mail queue cannot be worked on', { error });
    }
    this.#pass = undefined;
    if (left > 0 && !this.#timer) this.#schedule(this.#delayMs);
    this.#delayMs = left > 0 ? Math.min(this.#delayMs * 2, longestDelayMs) : this.options.retryMs;
  }

  /** @returns how many are left for another pass */
  async #tryEach(waiting: Waiting[]): Promise<number> {
    const tries = (item: Waiting) => this.#tries.get(item.name) ?? 0;
    let left = waiting.length;
    let unreachable = false;
    for (const item of waiting.sort((a, b) => tries(a) - tries(b))) {
      const outcome = await this.#tryAgain(item, unreachable || this.#stopped);
      if (outcome === 'queued') unreachable = true;
      if (outcome === 'gone') left--;
    }
    return left;
  }

  /** One letter's turn; `expiryOnly` spares a host that is down the rest of the queue. */
  async #tryAgain(item: Waiting, expiryOnly: boolean): Promise<'gone' | 'queued' | 'deferred' | 'skipped'> {
    const leftMs = item.letter.expiresAt - this.options.clock();
    if (leftMs <= 0) {
      this.options.log.warn('a queued mail has expired and was dropped unsent', { file: item.name });
      await this.#drop(item.name);
      return 'gone';
    }
    if (expiryOnly) return 'skipped';
    const { kind } = await this.options.attempt(item.letter, leftMs);
    if (kind === 'sent' || kind === 'refused') {
      this.options.log.info('a queued mail is done with', { file: item.name, outcome: kind });
      await this.#drop(item.name);
      this.#delayMs = this.options.retryMs;
      return 'gone';
    }
    this.#tries.set(item.name, (this.#tries.get(item.name) ?? 0) + 1);
    if (kind === 'queued') this.#hostDown = true;
    return kind;
  }

  async #drop(name: string): Promise<void> {
    this.#tries.delete(name);
    await this.options.outbox.remove(name);
  }
}

/** What file names begin with: text order is then the order of time. */
function timeOfName(epochMs: number): string {
  return new Date(epochMs).toISOString().replaceAll(':', '-');
}

/** Writes a new file so that a kill or a power cut leaves either all of it under its name, or nothing. */
async function writeDurably(folder: string, name: string, content: string | Buffer): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const draft = join(folder, `${name}.tmp`);
  try {
    await openAndSync(draft, 'wx', (file) => file.writeFile(content));
    await rename(draft, join(folder, name));
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
  // A rename survives a power cut once its folder is synced too, which Windows does not allow.
  if (process.platform !== 'win32') await openAndSync(folder, 'r', async () => {});
}

async function openAndSync(
  path: string,
  flags: string,
  use: (file: FileHandle) => Promise<void>,
): Promise<void> {
  const file = await open(path, flags, 0o600);
  try {
    await use(file);
    await file.sync();
  } finally {
    await file.close();
  }
}

function namesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch((error: unknown) => {
    if (isMissing(error)) return [];
    throw error;
  });
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
