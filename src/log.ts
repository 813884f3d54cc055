// Structured log: one JSON object a line, or a readable line on a terminal; what is secret never gets out.

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';
export type LogFormat = 'json' | 'pretty';
export type Fields = Record<string, unknown>;

export interface Log {
  debug(event: string, fields?: Fields): void;
  info(event: string, fields?: Fields): void;
  warn(event: string, fields?: Fields): void;
  error(event: string, fields?: Fields): void;
}

const levels: Record<LogLevel, number> = { debug: 10, info: 20, warn: 30, error: 40, silent: 99 };
const colors: Record<LogLevel, string> = { debug: '90', info: '36', warn: '33', error: '31', silent: '0' };

/** Field names whose values never reach a log, whatever their case. */
const secretNames =
  /^(cookie|token|password|new_?password|password_?hash|otp|entere?d_?otp|totp|code|recovery_?codes?|key|secret|authorization|admin_?key|smtp_?url|message_?text)$/i;
/** Secrets recognised by their shape, wherever they stand in a text. */
const secretShapes =
  /MESSANGER__\w+|MESS__TOK__\w+|otpauth:\/\/[^\s"]+|([?&]key=)[^&\s"]+|(\/\/)[^\s/@:]*:[^\s/@]*@/g;

function redact(value: unknown, depth = 0): unknown {
  if (typeof value === 'string') {
    return value.replace(secretShapes, (_all, key?: string, slashes?: string) =>
      key ? `${key}[redacted]` : slashes ? `${slashes}[redacted]@` : '[redacted]',
    );
  }
  if (value instanceof Error) return redact(value.stack ?? value.message, depth);
  if (typeof value !== 'object' || value === null) return value;
  if (depth > 4) return '[too deep]'; // neither passed on unlooked at, nor followed round a circle
  if (Array.isArray(value)) return value.map((item) => redact(item, depth + 1));
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [
      name,
      secretNames.test(name) ? '[redacted]' : redact(item, depth + 1),
    ]),
  );
}

interface LogOptions {
  level: LogLevel;
  format: LogFormat;
  write?: (line: string) => void;
}

/** A logger that drops what is below `level` and writes one redacted line per event, to standard error. */
export function createLog({
  level,
  format,
  write = (line) => void process.stderr.write(line),
}: LogOptions): Log {
  const emit = (eventLevel: LogLevel, event: string, fields: Fields = {}): void => {
    if (levels[eventLevel] < levels[level]) return;
    const safe = redact(fields) as Fields;
    const time = new Date().toISOString();
    write(
      format === 'json'
        ? `${JSON.stringify({ time, level: eventLevel, event: redact(event), ...safe })}\n`
        : prettyLine(time, eventLevel, String(redact(event)), safe),
    );
  };
  return {
    debug: (event, fields) => emit('debug', event, fields),
    info: (event, fields) => emit('info', event, fields),
    warn: (event, fields) => emit('warn', event, fields),
    error: (event, fields) => emit('error', event, fields),
  };
}

function prettyLine(time: string, level: LogLevel, event: string, fields: Fields): string {
  const details = Object.entries(fields).map(
    ([name, value]) =>
      `${name}=${printable(typeof value === 'string' ? value : String(JSON.stringify(value)))}`,
  );
  return `${time.slice(11, 19)} \x1b[${colors[level]}m${level.padEnd(5)}\x1b[0m ${[event, ...details].join(' ')}\n`;
}

/**
 * A text that a terminal only shows: what others chose may neither move its cursor nor look like a line of its own.
 * @see https://cheatsheetseries.owasp.org/cheatsheets/Logging_Cheat_Sheet.html#event-collection
 */
function printable(text: string): string {
  return text
    .replace(/\r?\n/g, '\n    ')
    .replace(/[^\P{Cc}\n\t]/gu, (control) => `\\x${control.charCodeAt(0).toString(16).padStart(2, '0')}`);
}
