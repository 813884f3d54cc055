// The log: one line per event, in both forms, and nothing secret in any of them.
import { describe, expect, test } from 'bun:test';
import { createLog, type Fields, type LogFormat, type LogLevel } from '../src/log.ts';

/** The lines that a log of this form and level writes while `use` has it. */
function linesOf(
  use: (log: ReturnType<typeof createLog>) => void,
  { level = 'debug', format = 'json' }: { level?: LogLevel; format?: LogFormat } = {},
): string[] {
  const lines: string[] = [];
  use(createLog({ level, format, write: (line) => void lines.push(line) }));
  return lines;
}

/** What an event with these fields looks like in the JSON form. */
function logged(fields: Fields): Fields {
  return JSON.parse(linesOf((log) => log.info('event', fields))[0] ?? '');
}

const cookie = `MESSANGER__${'a1'.repeat(32)}`;
const token = `MESS__TOK__${'b2'.repeat(16)}`;

describe('redaction', () => {
  const names = [
    'COOKIE',
    'cookie',
    'TOKEN',
    'Password',
    'NEW_PASSWORD',
    'password_hash',
    'passwordHash',
    'OTP',
    'ENTERD_OTP',
    'ENTERED_OTP',
    'code',
    'TOTP',
    'RECOVERY_CODES',
    'recoveryCode',
    'key',
    'secret',
    'Authorization',
    'ADMIN_KEY',
    'adminKey',
    'SMTP_URL',
    'smtpUrl',
    'message_text',
  ];
  for (const name of names) {
    test(`The value of a field called ${name} is not logged.`, () => {
      expect(logged({ [name]: 'hunter2', uid: 7 })).toMatchObject({ [name]: '[redacted]', uid: 7 });
      expect(linesOf((log) => log.warn('event', { [name]: { deep: ['hunter2'] } })).join()).not.toInclude(
        'hunter2',
      );
    });
  }

  test('Names that only contain such a word are logged.', () => {
    const fields = { keyboard: 'us', encoded: 'x', status_code: 404, tokens: 3 };
    expect(logged(fields)).toMatchObject(fields);
  });

  test('Secrets are known by their shape, wherever in a text they stand.', () => {
    const line = linesOf((log) =>
      log.error(`refused ${token}`, {
        note: `UID 5, ${cookie}!`,
        url: 'https://me:hunter2@git.test/x?key=abc&n=1',
        scanned: 'otpauth://totp/Chat:a%40b.test?secret=JBSWY3DPEHPK3PXP&issuer=Chat',
      }),
    ).join();
    for (const secret of [cookie, token, 'a1a1', 'b2b2', 'hunter2', 'abc', 'JBSWY3DPEHPK3PXP'])
      expect(line).not.toInclude(secret);
    expect(line).toInclude('UID 5, [redacted]!');
    expect(line).toInclude('git.test/x?key=[redacted]&n=1');
  });

  test('Secrets deep inside objects and lists are found.', () => {
    const fields = { request: { headers: [{ authorization: 'Bearer x' }, { seen: [`one ${cookie}`] }] } };
    expect(logged(fields)).toMatchObject({
      request: { headers: [{ authorization: '[redacted]' }, { seen: ['one [redacted]'] }] },
    });
  });

  test('What lies deeper than the log looks does not get out either.', () => {
    const deep = { a: { b: { c: { d: { e: { f: { password: 'hunter2', text: cookie } } } } } } };
    const line = linesOf((log) => log.info('event', deep)).join();
    expect(line).not.toInclude('hunter2');
    expect(line).not.toInclude(cookie);
  });

  test('An object that contains itself is logged, not fallen over.', () => {
    const circle: Fields = { uid: 7 };
    circle.self = circle;
    expect(linesOf((log) => log.info('event', { circle }))).toHaveLength(1);
  });

  test('An error is logged with its stack, without the secrets in its message.', () => {
    const { error } = logged({ error: new Error(`no session for ${cookie}`) });
    expect(error).toInclude('no session for [redacted]');
    expect(error).toInclude('log.test.ts');
    expect(error).not.toInclude(cookie);
  });
});

describe('lines', () => {
  test('The JSON form is one object a line with time, level, event and the fields.', () => {
    const [line = '', ...others] = linesOf((log) =>
      log.info('listening', { url: 'http://a.test/', port: 1 }),
    );
    expect(others).toEqual([]);
    expect(line.split('\n')).toEqual([expect.any(String), '']);
    const { time, ...rest } = JSON.parse(line);
    expect(rest).toEqual({ level: 'info', event: 'listening', url: 'http://a.test/', port: 1 });
    expect(new Date(time).toISOString()).toBe(time);
  });

  test('A line break in a value cannot make up a line of its own in the JSON form.', () => {
    const [line = ''] = linesOf((log) => log.info('event', { name: 'a\n{"level":"error"}' }));
    expect(line.trimEnd()).not.toInclude('\n');
  });

  test('The pretty form has the time of day, the level in colour, the event and the fields.', () => {
    const [line = ''] = linesOf((log) => log.warn('slow', { ms: 12, path: '/login', who: { uid: 7 } }), {
      format: 'pretty',
    });
    expect(line).toMatch(/^\d\d:\d\d:\d\d /);
    expect(line.slice(9)).toBe('\x1b[33mwarn \x1b[0m slow ms=12 path=/login who={"uid":7}\n');
  });

  test('The pretty form keeps secrets back as well.', () => {
    const [line = ''] = linesOf((log) => log.info(`for ${token}`, { cookie, error: new Error(cookie) }), {
      format: 'pretty',
    });
    expect(line).not.toInclude(cookie);
    expect(line).not.toInclude(token);
    expect(line).toInclude('cookie=[redacted]');
  });

  test('What others chose neither moves the cursor of a terminal nor looks like a line of its own.', () => {
    const [line = ''] = linesOf(
      (log) =>
        log.warn('refused', {
          device: 'a\x1b[2J\x9b31m\u0007\r\n12:00:00 info all is well\rb',
          list: ['\x9b'],
        }),
      { format: 'pretty' },
    );
    const shown = line.slice(line.indexOf('refused'));
    expect(shown).toBe(
      'refused device=a\\x1b[2J\\x9b31m\\x07\n    12:00:00 info all is well\\x0db list=["\\x9b"]\n',
    );
    const forged = logged({ device: 'a\n{"level":"error"}' });
    expect(forged).toMatchObject({ level: 'info', device: 'a\n{"level":"error"}' });
  });

  test('What is below the level is dropped, and silent drops everything.', () => {
    const all = (log: ReturnType<typeof createLog>) => {
      log.debug('one');
      log.info('two');
      log.warn('three');
      log.error('four');
    };
    expect(linesOf(all)).toHaveLength(4);
    expect(linesOf(all, { level: 'warn' })).toHaveLength(2);
    expect(linesOf(all, { level: 'silent' })).toEqual([]);
  });
});
