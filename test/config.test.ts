// The configuration: defaults, what is refused and in which words, and the table in the README.
import { describe, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { configTable } from '../scripts/config-table.ts';
import { ConfigError, loadConfig, variables } from '../src/config.ts';

/** The lines about what is wrong with this environment; none when it is fine. */
function problemsOf(env: Record<string, string>): readonly string[] {
  try {
    loadConfig(env);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
}

/** For each variable values that are refused, and what the refusal says is expected. */
const bad: Record<string, { values: string[]; expected: string }> = {
  PORT: { values: ['http', '80.5', '-1', '65536'], expected: 'expected' },
  PUBLIC_URL: { values: ['chat.example.com', 'ftp://a.test', 'https://'], expected: 'https://' },
  CORS_ORIGINS: {
    values: ['chat.example.com', 'https://a.test,nonsense'],
    expected: 'https://chat.example.com',
  },
  SMTP_URL: { values: ['http://mail.test', 'mail.test'], expected: 'smtp://user:pass@host:587' },
  MAIL_FROM: { values: ['chat', 'a@b\r\nBcc: c@d', 'Chat <chat>'], expected: 'chat@example.com' },
  ADMIN_KEY: { values: ['short'], expected: 'at least 16 characters' },
  METRICS_KEY: { values: ['short'], expected: 'at least 16 characters' },
  BACKUP_REPO: { values: ['--upload-pack=evil'], expected: 'git repository' },
  BACKUP_BRANCH: { values: ['-x', 'a..b', 'a b', 'a/'], expected: 'branch name' },
  BACKUP_SCHEDULE: { values: ['often', '61 * * * *', '* * * *'], expected: '@hourly' },
  TRUST_PROXY: { values: ['proxy.test', '10.0.0.0/33', '10.0.0.0/8/8', '::1/129'], expected: '10.0.0.0/8' },
  DEFAULT_GROUP_ID: { values: ['0123', 'abc', '1234567890123456'], expected: 'digits' },
  DEFAULT_GROUP_NAME: { values: ['x'.repeat(101)], expected: '1 to 100 characters' },
  RATE_LIMITS: { values: ['yes', 'ON'], expected: 'on or off' },
  SLOW_QUERY_MS: { values: ['slow', '-1', '0.5'], expected: 'ms' },
  DISK_LOW_BYTES: { values: ['1 GB', '-1'], expected: 'number of bytes' },
  LOG_LEVEL: { values: ['verbose'], expected: 'debug, info, warn, error or silent' },
  LOG_FORMAT: { values: ['xml'], expected: 'json or pretty' },
};

describe('what is set', () => {
  test('An empty environment gives the documented defaults.', () => {
    expect(loadConfig({})).toMatchObject({
      PORT: 22148,
      HOST: '0.0.0.0',
      DATA_DIR: resolve('data'),
      CORS_ORIGINS: '*',
      BACKUP_BRANCH: 'main',
      BACKUP_SCHEDULE: '@hourly',
      DEFAULT_GROUP_ID: '1000000000000',
      DEFAULT_GROUP_NAME: 'ACODE CHAT',
      RATE_LIMITS: true,
      LOG_LEVEL: 'info',
    });
    for (const name of [
      'PUBLIC_URL',
      'SMTP_URL',
      'MAIL_FROM',
      'ADMIN_KEY',
      'BACKUP_REPO',
      'TRUST_PROXY',
    ] as const) {
      expect(loadConfig({})[name]).toBeUndefined();
    }
  });

  test('An empty or blank value counts as unset.', () => {
    const blank = Object.fromEntries(
      Object.keys(variables).map((name, index) => [name, index % 2 ? '' : '  ']),
    );
    expect(loadConfig(blank)).toEqual(loadConfig({}));
  });

  test('Blanks around a value are no part of it.', () => {
    expect(loadConfig({ PORT: ' 8080 ', HOST: ' ::1\n' })).toMatchObject({ PORT: 8080, HOST: '::1' });
  });

  test('A relative data folder is meant from where the program was started.', () => {
    expect(loadConfig({ DATA_DIR: '../elsewhere' }).DATA_DIR).toBe(resolve('..', 'elsewhere'));
  });

  test('Without CORS_ORIGINS the origin of PUBLIC_URL may call, and no other.', () => {
    expect(loadConfig({ PUBLIC_URL: 'https://chat.example.com/app/' }).CORS_ORIGINS).toEqual([
      'https://chat.example.com',
    ]);
  });

  test('CORS_ORIGINS is a list of origins, each without its path, and goes before PUBLIC_URL.', () => {
    const PUBLIC_URL = 'https://chat.example.com';
    const origins = (CORS_ORIGINS: string) => loadConfig({ PUBLIC_URL, CORS_ORIGINS }).CORS_ORIGINS;
    expect(origins('https://a.test/x, http://b.test:8080')).toEqual(['https://a.test', 'http://b.test:8080']);
    expect(origins('*')).toBe('*');
  });

  test('TRUST_PROXY takes addresses and ranges of both families.', () => {
    const ranges = loadConfig({ TRUST_PROXY: '10.0.0.0/8, 192.0.2.7,2001:db8::/32, ::1' }).TRUST_PROXY;
    for (const address of ['10.255.0.1', '192.0.2.7']) expect(ranges?.check(address)).toBe(true);
    for (const address of ['11.0.0.1', '192.0.2.8']) expect(ranges?.check(address)).toBe(false);
    for (const address of ['2001:db8:1::1', '::1']) expect(ranges?.check(address, 'ipv6')).toBe(true);
    expect(ranges?.check('2001:db9::1', 'ipv6')).toBe(false);
  });

  test('RATE_LIMITS off and BACKUP_SCHEDULE off are understood.', () => {
    expect(loadConfig({ RATE_LIMITS: 'off', BACKUP_SCHEDULE: 'off' })).toMatchObject({
      RATE_LIMITS: false,
      BACKUP_SCHEDULE: 'off',
    });
  });
});

describe('what is refused', () => {
  for (const [name, { values, expected }] of Object.entries(bad)) {
    test(`A bad ${name} is named, with what is expected.`, () => {
      for (const value of values) {
        const [problem, ...others] = problemsOf({ [name]: value });
        expect(problem, value).toStartWith(`${name}: `);
        expect(problem).toInclude(expected);
        expect(others).toEqual([]);
      }
    });
  }

  test('A value that is no secret is repeated, so that it can be found.', () => {
    expect(problemsOf({ PORT: 'eighty' })).toEqual(['PORT: "eighty" is not valid, expected a port number']);
  });

  test('Several bad values give one line each, in one error.', () => {
    const env = { PORT: 'x', RATE_LIMITS: 'maybe', TRUST_PROXY: 'nobody', LOG_LEVEL: 'loud' };
    const problems = problemsOf(env);
    expect(problems.map((line) => line.split(':')[0])).toEqual([
      'PORT',
      'TRUST_PROXY',
      'RATE_LIMITS',
      'LOG_LEVEL',
    ]);
    for (const line of problems) expect(line).not.toInclude('\n');
    expect(() => loadConfig(env)).toThrow(problems.join('\n'));
  });

  test('A secret is never repeated, however wrong it is.', () => {
    const env = { SMTP_URL: 'http://me:hunter2@mail.test', ADMIN_KEY: 'hunter2', BACKUP_REPO: '-hunter2' };
    const problems = problemsOf(env);
    expect(problems).toHaveLength(3);
    expect(problems.join('\n')).not.toInclude('hunter2');
  });
});

describe('the README', () => {
  const readme = join(import.meta.dir, '../README.md');

  test('The generated table has a row for every variable.', () => {
    const rows = configTable().split('\n').slice(2);
    expect(rows).toHaveLength(Object.keys(variables).length);
    expect(rows[0]).toBe('| `PORT` | `22148` | port to listen on; 0 takes a free one |');
    expect(rows.find((row) => row.includes('`ADMIN_KEY`'))).toInclude('| none |');
    for (const row of rows) expect(row).toMatch(/^\| `[A-Z_]+` \| (?:none|`[^`|]+`) \| [^|]+ \|$/);
  });

  test('Its configuration table is the one that scripts/config-table.ts prints.', () => {
    const [, section] =
      /<!-- config -->\s*([\s\S]*?)\s*<!-- \/config -->/.exec(readFileSync(readme, 'utf8')) ?? [];
    expect(section).toBe(configTable());
  });
});
