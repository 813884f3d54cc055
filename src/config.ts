// Configuration: the one table of environment variables, and the only place that reads the environment.
import { BlockList, isIP } from 'node:net';
import { resolve } from 'node:path';
import { z } from 'zod';

const port = z.coerce
  .number('expected a port number')
  .int('expected a port number')
  .min(0, 'expected 0 to 65535')
  .max(65535, 'expected 0 to 65535');

const bytes = z.coerce
  .number('expected a number of bytes')
  .int('expected a whole number of bytes')
  .min(0, 'expected 0 or more, a number of bytes');

/** Relative ones are meant from where the program is started. */
const path = z
  .string()
  .min(1)
  .transform((text) => resolve(text));

const wholeNumber = (unit: string, least: number, most: number) =>
  z.coerce
    .number(`expected a number of ${unit}`)
    .int(`expected a whole number of ${unit}`)
    .min(least, `expected ${least} to ${most} ${unit}`)
    .max(most, `expected ${least} to ${most} ${unit}`);

const encryptionKey = z.string().transform((text, context) => {
  const isBase64 = /^[A-Za-z0-9+/]{43}=$/.test(text);
  if (isBase64 || /^[0-9a-f]{64}$/i.test(text)) {
    return new Uint8Array(Buffer.from(text, isBase64 ? 'base64' : 'hex'));
  }
  context.addIssue('expected 32 bytes as 64 hex digits or base64');
  return z.NEVER;
});

const httpUrl = z
  .url({ protocol: /^https?$/, error: 'expected an http:// or https:// address' })
  .transform((url) => new URL(url));

const corsOrigins = z.string().transform((text, context) => {
  if (text.trim() === '*') return '*' as const;
  const origins: string[] = [];
  for (const part of splitList(text)) {
    const origin = URL.canParse(part) ? new URL(part).origin : 'null';
    if (origin === 'null') {
      context.addIssue(`expected "*" or a comma list of origins like https://chat.example.com`);
      return z.NEVER;
    }
    origins.push(origin);
  }
  return origins;
});

const smtpUrl = z.string().refine((text) => URL.canParse(text) && /^smtps?:$/.test(new URL(text).protocol), {
  error: 'expected smtp://user:pass@host:587 or smtps://user:pass@host',
});

const cronExpression = z.string().refine((text) => text === 'off' || nextRun(text), {
  error: 'expected a cron expression of five fields, a nickname like @hourly, or off',
});

const addressRanges = z.string().transform((text, context) => {
  const ranges = new BlockList();
  for (const part of splitList(text)) {
    if (!addRange(ranges, part)) {
      context.addIssue('expected a comma list of addresses or ranges like 10.0.0.0/8');
      return z.NEVER;
    }
  }
  return ranges;
});

const emailDomains = z.string().transform((text, context) => {
  const domains = splitList(text.toLowerCase());
  if (domains.length > 0 && domains.every((domain) => /^(?:[a-z0-9-]+\.)*[a-z0-9-]+$/.test(domain)))
    return domains;
  context.addIssue('expected a comma list of domains like example.com');
  return z.NEVER;
});

/** Every variable: what it must look like, its default as text (README's table is tested against this) and what it means. */
export const variables = {
  PORT: { schema: port, default: '22148', meaning: 'port to listen on; 0 takes a free one' },
  HOST: { schema: z.string().min(1), default: '0.0.0.0', meaning: 'address to listen on' },
  DATA_DIR: {
    schema: path,
    default: './data',
    meaning: 'folder of the database `chat.db`, the server secret, the admin key and the mail outbox',
  },
  PUBLIC_URL: {
    schema: httpUrl,
    default: undefined,
    meaning: 'the address people type; allowed WebSocket origin and CORS default',
  },
  CORS_ORIGINS: {
    schema: corsOrigins,
    default: undefined,
    meaning:
      "origins whose pages may call, a comma list or `*`; unset: `PUBLIC_URL`'s origin, or `*` without one",
  },
  SMTP_URL: {
    schema: smtpUrl,
    default: undefined,
    meaning:
      'mail host, `smtp://user:pass@host:587` or `smtps://`; unset: mails are files in `DATA_DIR/outbox`',
  },
  MAIL_FROM: {
    schema: z
      .string()
      .regex(
        /^(?:[^<>@\r\n]*<[^\s<>@]+@[^\s<>@]+>|[^\s<>@]+@[^\s<>@]+)$/,
        'expected chat@example.com or Chat <chat@example.com>',
      ),
    default: undefined,
    meaning: 'sender of mails; unset: the user of `SMTP_URL`, else `chat@localhost`',
  },
  ADMIN_KEY: {
    schema: z.string().min(16, 'expected at least 16 characters'),
    default: undefined,
    meaning:
      'opens the backup and admin endpoints; unset: made at first start and kept in `DATA_DIR/admin.key`',
  },
  METRICS_KEY: {
    schema: z.string().min(16, 'expected at least 16 characters'),
    default: undefined,
    meaning: 'opens `/metrics` and nothing else, for Prometheus; unset: only the admin key does',
  },
  BACKUP_REPO: {
    schema: z.string().regex(/^[^-]/, 'expected a path, ssh or https address of a git repository'),
    default: undefined,
    meaning: 'git repository that snapshots are pushed to (path, ssh or https); unset: no backups',
  },
  BACKUP_BRANCH: {
    schema: z
      .string()
      .regex(/^(?!.*(?:\.\.|\/\/|@\{))[A-Za-z0-9_][A-Za-z0-9_./-]*(?<![./])$/, 'expected a branch name'),
    default: 'main',
    meaning: 'branch of the backup repository',
  },
  BACKUP_KEEP: {
    schema: wholeNumber('snapshots', 1, 10_000),
    default: '48',
    meaning: 'how many snapshots the branch keeps; older ones are taken out',
  },
  BACKUP_MAX_BYTES: {
    schema: wholeNumber('bytes', 1, Number.MAX_SAFE_INTEGER),
    default: '1073741824',
    meaning: 'size of the backup repository above which log and health warn',
  },
  BACKUP_KEY: {
    schema: encryptionKey,
    default: undefined,
    meaning:
      'key that snapshots are encrypted with, 32 bytes as 64 hex digits or base64 (`openssl rand -hex 32`); unset: they are readable',
  },
  BACKUP_TOKEN: {
    schema: z.string().regex(/^[^\r\n]+$/, 'expected one line'),
    default: undefined,
    meaning: 'token or password for an https `BACKUP_REPO`',
  },
  BACKUP_TOKEN_FILE: {
    schema: path,
    default: undefined,
    meaning: 'file that holds the token, instead of `BACKUP_TOKEN`; read at each backup',
  },
  BACKUP_SSH_KEY: {
    schema: path,
    default: undefined,
    meaning: 'private key for an ssh `BACKUP_REPO`; unset: those that ssh finds by itself',
  },
  BACKUP_SCHEDULE: {
    schema: cronExpression,
    default: '@hourly',
    meaning: 'when to back up, a cron expression; `off` when a system timer runs `scripts/backup.ts`',
  },
  DRILL_SCHEDULE: {
    schema: cronExpression,
    default: '@weekly',
    meaning: 'when to try whether the newest snapshot can be restored, a cron expression or `off`',
  },
  TRUST_PROXY: {
    schema: addressRanges,
    default: undefined,
    meaning: 'addresses or ranges of reverse proxies whose `X-Forwarded-For` is believed',
  },
  DEFAULT_GROUP_ID: {
    schema: z.string().regex(/^[1-9]\d{0,14}$/, 'expected 1 to 15 digits, not beginning with 0'),
    default: '1000000000000',
    meaning: 'id of the group everyone is in',
  },
  DEFAULT_GROUP_NAME: {
    schema: z.string().trim().min(1).max(100, 'expected 1 to 100 characters'),
    default: 'ACODE CHAT',
    meaning: 'name of the group everyone is in',
  },
  REGISTRATION: {
    schema: z.enum(['open', 'closed', 'invite'], 'expected open, closed or invite'),
    default: 'open',
    meaning: 'who may sign up: everybody (`open`), nobody (`closed`), or who has an invitation (`invite`)',
  },
  ALLOWED_EMAIL_DOMAINS: {
    schema: emailDomains,
    default: undefined,
    meaning:
      'domains that addresses of new accounts and changed addresses must be of, a comma list; unset: all',
  },
  HSTS_SECONDS: {
    schema: z.coerce
      .number('expected a number of seconds')
      .int('expected a whole number of seconds')
      .min(0, 'expected 0 or more seconds'),
    default: '0',
    meaning:
      'how long browsers shall insist on https (`Strict-Transport-Security`); 0 says nothing, and clients may speak plain HTTP',
  },
  RETENTION_DAYS: {
    schema: z.coerce
      .number('expected a number of days')
      .int('expected a whole number of days')
      .min(1, 'expected 1 to 3650 days')
      .max(3650, 'expected 1 to 3650 days'),
    default: undefined,
    meaning: 'days after which messages are removed, groups may say fewer; unset: they stay for ever',
  },
  RATE_LIMITS: {
    schema: z.enum(['on', 'off'], 'expected on or off').transform((value) => value === 'on'),
    default: 'on',
    meaning:
      '`off` makes request, resend, message and per-address socket limits too wide to be met, for trials only',
  },
  SLOW_QUERY_MS: {
    schema: z.coerce
      .number('expected a number of ms')
      .int('expected a whole number of ms')
      .min(0, 'expected 0 or more ms'),
    default: '100',
    meaning: 'calls of the store that take so many ms are logged as slow; 0 logs none',
  },
  DISK_LOW_BYTES: {
    schema: bytes,
    default: '536870912',
    meaning: 'free bytes on the disk of `DATA_DIR` under which `/readyz` and `doctor` warn',
  },
  LOG_LEVEL: {
    schema: z.enum(
      ['debug', 'info', 'warn', 'error', 'silent'],
      'expected debug, info, warn, error or silent',
    ),
    default: 'info',
    meaning: 'least severe level that is logged',
  },
  LOG_FORMAT: {
    schema: z.enum(['json', 'pretty'], 'expected json or pretty'),
    default: undefined,
    meaning: '`json` or `pretty`; unset: pretty on a terminal, else json',
  },
} as const;

type Variables = typeof variables;
type Parsed = {
  [Name in keyof Variables]: Variables[Name]['default'] extends string
    ? z.output<Variables[Name]['schema']>
    : z.output<Variables[Name]['schema']> | undefined;
};

export type Config = Readonly<Omit<Parsed, 'CORS_ORIGINS' | 'LOG_FORMAT'>> & {
  readonly CORS_ORIGINS: '*' | readonly string[];
  readonly LOG_FORMAT: 'json' | 'pretty';
};

/** Values that stop the start: one line per bad variable, none of which repeats a secret. */
export class ConfigError extends Error {
  constructor(readonly problems: readonly string[]) {
    super(problems.join('\n'));
    this.name = 'ConfigError';
  }
}

const secretVariables = new Set<string>([
  'SMTP_URL',
  'ADMIN_KEY',
  'METRICS_KEY',
  'BACKUP_REPO',
  'BACKUP_KEY',
  'BACKUP_TOKEN',
]);

/**
 * Reads the configuration from environment variables; an empty value counts as unset.
 * @throws ConfigError with one line per bad key: its name, what it is, what is expected
 */
export function loadConfig(env: Record<string, string | undefined> = process.env): Config {
  const problems: string[] = [];
  const values: Record<string, unknown> = {};
  for (const [name, variable] of Object.entries(variables)) {
    const text = env[name]?.trim() || variable.default;
    if (text === undefined) continue;
    const result = variable.schema.safeParse(text);
    if (result.success) values[name] = result.data;
    else {
      const shown = secretVariables.has(name) ? 'its value' : JSON.stringify(text);
      problems.push(
        `${name}: ${shown} is not valid, ${result.error.issues[0]?.message ?? 'it is malformed'}`,
      );
    }
  }
  if (problems.length > 0) throw new ConfigError(problems);
  // Every variable that has a default was set by the loop above, which is what Parsed says.
  const parsed = values as Parsed;
  return {
    ...parsed,
    CORS_ORIGINS: parsed.CORS_ORIGINS ?? (parsed.PUBLIC_URL ? [parsed.PUBLIC_URL.origin] : '*'),
    LOG_FORMAT: parsed.LOG_FORMAT ?? (process.stderr.isTTY ? 'pretty' : 'json'),
  };
}

function splitList(text: string): string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter(Boolean);
}

function nextRun(expression: string): boolean {
  try {
    return Bun.cron.parse(expression) !== null;
  } catch {
    return false; // Bun says by an exception that the expression is malformed
  }
}

function addRange(ranges: BlockList, text: string): boolean {
  const [address = '', bits, ...rest] = text.split('/');
  const version = isIP(address);
  if (version === 0 || rest.length > 0) return false;
  const family = version === 4 ? 'ipv4' : 'ipv6';
  const longest = version === 4 ? 32 : 128;
  if (bits === undefined) ranges.addAddress(address, family);
  else if (/^\d+$/.test(bits) && Number(bits) <= longest) ranges.addSubnet(address, Number(bits), family);
  else return false;
  return true;
}
