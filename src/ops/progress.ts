// How far a long command is, on standard error: a bar on a terminal, now and then a plain line anywhere else.

/** Often enough for the eye. */
const drawEveryMs = 100;
/** Seldom enough for a log that somebody reads. */
const sayEveryMs = 5000;
const barWidth = 24;
const clearLine = '\r\u001b[K';

export interface ProgressOptions {
  /** How much there is to do; null when nobody knows. */
  readonly total: number | null;
  /** Says nothing at all, as every command does with `--json`. */
  readonly silent?: boolean;
  /** How an amount is written, with its unit where it has one; by default as a number. */
  readonly format?: (amount: number) => string;
}

export interface Progress extends Disposable {
  /** This much more is done. */
  advance(amount: number): void;
  /** Says how far it came and ends the line. More than once, and by disposal, is the same as once. */
  end(): void;
}

const numbers = new Intl.NumberFormat('en');

/**
 * Begins to tell of a piece of work. `what` is a word or two, like `messages`; it must not hold what others wrote.
 * Take it with `using`, so that what is said of a failure begins on a line of its own.
 */
export function startProgress(what: string, options: ProgressOptions): Progress {
  const { total, silent = false, format = (amount) => numbers.format(amount) } = options;
  const onTerminal = process.stderr.isTTY === true;
  const beganAt = performance.now();
  let done = 0;
  let ended = silent;
  let toldAt = onTerminal ? Number.NEGATIVE_INFINITY : beganAt; // what is done at once needs no line on the way

  const tell = (now: number): void => {
    toldAt = now;
    const seconds = Math.round((now - beganAt) / 1000);
    const amount = total === null ? format(done) : `${format(done)} of ${format(total)}`;
    const share = total ? Math.min(1, done / total) : null;
    const percent = share === null ? '' : `, ${Math.floor(share * 100)} %`;
    if (!onTerminal) process.stderr.write(`${what}: ${amount}${percent}, ${seconds} s\n`);
    else process.stderr.write(fitted(`${what} ${bar(share)}${amount}${percent}, ${seconds} s`));
  };
  const end = (): void => {
    if (ended) return;
    ended = true;
    tell(performance.now());
    if (onTerminal) process.stderr.write('\n');
  };
  if (onTerminal && !silent) tell(beganAt);
  return {
    advance(amount) {
      done += amount;
      const now = performance.now();
      if (!ended && now - toldAt >= (onTerminal ? drawEveryMs : sayEveryMs)) tell(now);
    },
    end,
    [Symbol.dispose]: end,
  };
}

function bar(share: number | null): string {
  if (share === null) return '';
  const full = Math.round(share * barWidth);
  return `[${'#'.repeat(full)}${'.'.repeat(barWidth - full)}] `;
}

/** In the place of the line before; one that wrapped could not be taken back. */
function fitted(line: string): string {
  return `${clearLine}${line.slice(0, Math.max(1, (process.stderr.columns || 80) - 1))}`;
}
