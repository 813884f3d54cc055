// Entry: reads the command line, runs the command it names, handles signals.
import { version } from '../package.json' with { type: 'json' };
import { type Config, ConfigError, loadConfig } from './config.ts';
import { createLog } from './log.ts';
import { backupCommand } from './ops/backup/command.ts';
import { restoreCommand } from './ops/backup/restore-command.ts';
import { type Asked, type CommandTable, commandHelp, readLine, UsageError } from './ops/command-line.ts';
import { doctorCommand } from './ops/doctor/doctor.ts';
import { importCommand } from './ops/import/command.ts';
import { statusCommand } from './ops/status/status.ts';
import { userCommands } from './ops/user-command.ts';
import { startServer } from './server.ts';

/** Exit statuses: all well, it went wrong, the command line or the configuration is wrong. */
const exit = { ok: 0, failed: 1, usage: 2 } as const;

/** By when a stop has to be over; the client in use tries to connect again once, after 3 s. */
const stopDeadlineMs = 1400;

const commands: CommandTable<Config> = {
  serve: { usage: 'serve', meaning: 'run the server (also with no command)', run: serve },
  backup: {
    usage: 'backup [--json]',
    meaning: 'snapshot the database and push it to BACKUP_REPO',
    options: { json: 'flag' },
    run: ({ flags }, config) => backupCommand(config, flags.has('json')),
  },
  restore: restoreCommand,
  doctor: doctorCommand,
  status: statusCommand,
  ...userCommands,
  import: importCommand,
};

function helpText(line: readonly string[] = []): string {
  return [
    `chat-backend ${version}: a chat backend in one file, with one file of data.`,
    '',
    'Usage: chat-backend [command]',
    '',
    commandHelp(commands, line),
    '  --help                 this text; after a command, the help on that',
    '  --version              the version',
    '',
    'An ACCOUNT is an e-mail address or a number. With --json a command prints one line of JSON.',
    'It is configured by environment variables; the README has the table.',
    '',
  ].join('\n');
}

async function main(args: readonly string[]): Promise<number | null> {
  const [first] = args;
  const asksHelp = args.findIndex((word) => word === '--help' || word === '-h');
  if (first === 'help') return print(helpText());
  if (asksHelp >= 0) return print(helpText(args.slice(0, asksHelp)));
  if (first === '--version' || first === '-v') return print(`${version}\n`);
  try {
    const { command, asked } = readLine(commands, args.length > 0 ? args : ['serve']);
    return await command.run(asked, loadConfig());
  } catch (error) {
    return complain(error, args);
  }
}

/** Says on standard error what went wrong; returns the exit status. */
function complain(error: unknown, args: readonly string[]): number {
  const words = error instanceof Error ? error.message : String(error);
  const text =
    error instanceof UsageError
      ? `${words}\n\n${helpText(args)}`
      : `${error instanceof ConfigError ? 'The configuration is not valid:\n' : ''}${words}\n`;
  process.stderr.write(text);
  return error instanceof UsageError || error instanceof ConfigError ? exit.usage : exit.failed;
}

function print(text: string): number {
  process.stdout.write(text);
  return exit.ok;
}

async function serve(_asked: Asked, config: Config): Promise<null> {
  process.stderr.on('error', () => undefined); // a line that a full disk has no room for must not end the server
  const log = createLog({ level: config.LOG_LEVEL, format: config.LOG_FORMAT });
  if (!config.RATE_LIMITS) log.warn('RATE_LIMITS is off: anybody may try as fast as they like');
  const server = await startServer({ config, log, command: ownCommand() });

  let stopping = false;
  const stop = (signal: string): void => {
    if (stopping) return;
    stopping = true;
    log.info('stopping', { signal });
    setTimeout(() => process.exit(exit.ok), stopDeadlineMs);
    server.stop().then(
      () => process.exit(exit.ok),
      (error: unknown) => {
        log.error('the stop failed', { error });
        process.exit(exit.failed);
      },
    );
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  process.on('unhandledRejection', (error) =>
    log.error('a promise was rejected and nobody looked', { error }),
  );
  // Said only now: whoever waits for this line may stop the program the moment it comes.
  log.info('listening', { url: server.url.href, data: config.DATA_DIR, version });
  return null;
}

/** How to run this program again: an executable by itself, a source file by the Bun that runs it. */
function ownCommand(): string[] {
  const compiled = /^(?:\/\$bunfs\/|[A-Z]:[\\/]~BUN)/.test(Bun.main);
  return compiled ? [process.execPath] : [process.execPath, Bun.main];
}

process.umask(0o077); // what is made from here on is for this user's eyes only
const status = await main(process.argv.slice(2));
if (status !== null) process.exit(status);
