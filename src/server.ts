// The composition root: the only file that knows every concrete part; starts the server and stops it.
import { join } from 'node:path';
import type { Server } from 'bun';
import { version } from '../package.json' with { type: 'json' };
import { createAudit } from './accounts/audit.ts';
import { OneTimeCodes } from './accounts/codes.ts';
import { OwnData } from './accounts/own-data.ts';
import { ProfileService } from './accounts/profile.ts';
import { PasswordRecovery } from './accounts/recovery.ts';
import { SecondFactors } from './accounts/second-factor.ts';
import { hashingFigures, newInstallationKey } from './accounts/secrets.ts';
import { AccountService } from './accounts/service.ts';
import { Sessions } from './accounts/sessions.ts';
import { createApp } from './app.ts';
import { ChatService } from './chats/service.ts';
import type { Config } from './config.ts';
import { isSocketPath } from './gateway/admission.ts';
import type { Connection } from './gateway/connection.ts';
import { Gateway } from './gateway/gateway.ts';
import { createEntrance } from './http/entrance.ts';
import { type SafetyHeaders, safetyHeaders } from './http/headers.ts';
import { type Bus, createBus } from './infra/bus.ts';
import { openDataFolder } from './infra/data-folder.ts';
import { createGuesses } from './infra/guesses.ts';
import { readOrMakeKey } from './infra/keyfile.ts';
import { createLimiter, type Limiter, wide } from './infra/limiter.ts';
import { createMailer } from './infra/mailer.ts';
import { createMetrics, type Metrics } from './infra/metrics.ts';
import { createTurns } from './infra/turns.ts';
import type { Log } from './log.ts';
import { MessageService } from './messages/service.ts';
import { createAdminGuard } from './ops/admin/key.ts';
import { AdminService } from './ops/admin/service.ts';
import { createBackupRunner, createDrillRunner, type RunnerNote } from './ops/backup/runner.ts';
import { finishRestore } from './ops/backup/swap.ts';
import { backupEnvironment, exposureOf } from './ops/backup/target.ts';
import { watchForeignWrites } from './ops/foreign-writes.ts';
import { backupPlanOf } from './ops/health/backup-checks.ts';
import { createHealth } from './ops/health/health.ts';
import { startHousekeeping } from './ops/housekeeping.ts';
import { addGauges } from './ops/metrics/gauges.ts';
import { watchAppends, watchEventLoop, watchLogins, watchStore } from './ops/metrics/watch.ts';
import { createOutageLog } from './ops/outage-log.ts';
import type { AdminStore } from './store/admin-store.ts';
import { isDiskFull } from './store/failures.ts';
import { acquireLock } from './store/lock.ts';
import { openStore } from './store/open.ts';
import type { OwnDataStore } from './store/own-data-store.ts';
import type { Note, Store, StoreEvent } from './store/store.ts';

/**
 * How long a connection may be idle, and a whole body may take to come: Bun counts no byte of it as a sign of life, so
 * that a client which drips one is cut off. Heads have 12 s. Longer than a mail host may take to answer a sign-up.
 */
const requestSeconds = 15;
/** How many requests are begun in one turn of the event loop; a crowd of them may not hold up messages. */
const requestsPerTurn = 4;
/** How long requests in flight may still take when the server stops; it must be back before its clients try again. */
const graceMs = 500;
/** How long a start waits for a former server of the data folder that is just stopping. */
const lockPatienceMs = 2000;

export interface ServerOptions {
  readonly config: Config;
  readonly log: Log;
  /** The program's own command line without arguments; backups run as a child of it. */
  readonly command: readonly string[];
  /** ms since the epoch; tests inject theirs. */
  readonly clock?: () => number;
  /** ms that pass evenly while the clock may be set; tests inject theirs. */
  readonly elapsed?: () => number;
}

export interface RunningServer {
  readonly url: URL;
  /** For commands and tests that act on the data directly. */
  readonly store: Store & AdminStore;
  /** Does at once what is else done every ten minutes. */
  keepHouse(): Promise<void>;
  /** Commits what is held, closes every socket with a close frame, releases the port and the files. */
  stop(): Promise<void>;
}

/**
 * Starts everything on `config.PORT`.
 * @throws Error when the port is taken, the data folder cannot be written, is full or has a server already, or the
 *   database is of a newer version
 */
export function startServer(options: ServerOptions): Promise<RunningServer> {
  return start(options).catch((error: unknown) => {
    throw isDiskFull(error) ? noRoom(options.config.DATA_DIR, error) : error;
  });
}

async function start({
  clock = Date.now,
  elapsed = () => performance.now(),
  ...given
}: ServerOptions): Promise<RunningServer> {
  const { config, log } = given;
  const bus = createBus<StoreEvent>(log);
  const metrics = createMetrics();
  const headers = safetyHeaders(config.CORS_ORIGINS, config.HSTS_SECONDS);
  const setting = { ...given, clock, elapsed, headers, metrics };
  const { lock, store } = await openData(setting, bus);
  const parts = assemble(setting, store, bus);
  const { gateway, sessions, ownData, recovery, audit, mailer, backups, drills, health } = parts;
  const server = listen(setting, parts);
  gateway.use(server);
  const stopLoopWatch = watchEventLoop(metrics);
  const stopWatch = watchForeignWrites({ store, announced: () => gateway.announced(), emit: bus.emit, log });
  const housekeeping = startHousekeeping({
    store,
    expiry: () => sessions.expiry(),
    besides: [() => audit.noteLeftOut(), (goesOn) => ownData.clearLeftovers(goesOn)],
    retentionDays: config.RETENTION_DAYS ?? null,
    clock,
    elapsed,
    log,
  });

  return {
    url: server.url,
    store,
    keepHouse: () => housekeeping.run(),
    async stop() {
      health.stop();
      stopWatch();
      stopLoopWatch();
      backups?.stop();
      drills?.stop();
      const answered = server.stop();
      const handedOver = recovery.stop();
      await gateway.stop();
      await Promise.race([Promise.all([answered, handedOver]), Bun.sleep(graceMs)]);
      await server.stop(true);
      await housekeeping.stop();
      await mailer.stop();
      await audit.noteLeftOut();
      await store.close();
      lock[Symbol.dispose]();
    },
  };
}

/** What every part is made with. */
interface Setting extends Required<ServerOptions> {
  readonly headers: SafetyHeaders;
  readonly metrics: Metrics;
}

/** Takes the data folder for this server, finishes what a restore left of it, and opens the database. */
async function openData({ config, log, clock, elapsed, metrics }: Setting, bus: Bus<StoreEvent>) {
  openDataFolder(config.DATA_DIR, log);
  const lock = lockFolder(config.DATA_DIR);
  const finished = finishRestore(config.DATA_DIR);
  if (finished) log.warn('a restore that was interrupted is finished now', { before: finished.aside });
  const store = await openStore({
    path: join(config.DATA_DIR, 'chat.db'),
    defaultGroup: { groupId: config.DEFAULT_GROUP_ID, name: config.DEFAULT_GROUP_NAME },
    emit: bus.emit,
    clock,
    upgraded: (upgrade) => log.info('the database was upgraded', { ...upgrade }),
    watch: watchStore(metrics.counts, config.SLOW_QUERY_MS, log),
    failed: createOutageLog(log, elapsed),
  }).catch((error: unknown) => {
    lock[Symbol.dispose]();
    throw error;
  });
  return { lock, store };
}

/** Lets requests and sockets in. @throws Error when the port is taken */
function listen(
  { config, log, headers, metrics }: Setting,
  { app, gateway }: Pick<ReturnType<typeof assemble>, 'app' | 'gateway'>,
): Server<Connection> {
  const entrance = createEntrance<Connection>({
    app: (request, bindings) => app.fetch(request, bindings),
    sockets: { accepts: isSocketPath, upgrade: (...asked) => gateway.upgrade(...asked) },
    turn: createTurns(requestsPerTurn),
    idleSeconds: requestSeconds,
    trusted: config.TRUST_PROXY,
    headers,
    answered: metrics.counts.answered,
    log,
  });
  return Bun.serve({
    port: config.PORT,
    hostname: config.HOST,
    idleTimeout: requestSeconds,
    // Larger ones than Bun would refuse with an empty answer are refused by the app, before they are read.
    maxRequestBodySize: Number.MAX_SAFE_INTEGER,
    development: false,
    websocket: gateway.handler,
    ...entrance,
  });
}

/** Makes the parts and hands each what it uses. */
function assemble(setting: Setting, store: Store & AdminStore & OwnDataStore, bus: Bus<StoreEvent>) {
  const { config, log, clock, elapsed, headers, metrics } = setting;
  const { counts } = metrics;
  const { limited } = counts;
  const width = config.RATE_LIMITS ? 1 : wide;
  const limiter = createLimiter(width, limited);
  const audit = createAudit(store, clock, log);
  const note = watchLogins(audit.note, counts);
  const accountParts = assembleAccounts(setting, store, { limiter, width, note });
  const { sessions, ownData, recovery, mailer } = accountParts;
  const chats = new ChatService({
    store,
    note,
    limiter,
    retentionDays: config.RETENTION_DAYS ?? null,
    clock,
  });
  const messages = new MessageService(watchAppends(store, counts), note, clock);
  const { backups, drills } = startRunners(setting, note);
  const adminKey = config.ADMIN_KEY ?? readOrMakeKey(join(config.DATA_DIR, 'admin.key'), newInstallationKey);
  const guard = createAdminGuard({ keys: [adminKey], limiter, audit: note });
  const keys = config.METRICS_KEY ? [adminKey, config.METRICS_KEY] : [adminKey];
  const health = examineHealth(setting, store);
  const app = createApp({
    ...accountParts,
    chats,
    messages,
    health,
    metrics: { metrics, guard: createAdminGuard({ keys, limiter, audit: note }) },
    ops: { guard, version, startedAt: elapsed(), elapsed, backups },
    admin: { guard, service: new AdminService({ store, audit: note, clock }), store },
    limiter,
    width,
    limited,
    headers,
    corsOrigins: config.CORS_ORIGINS,
    log,
  });
  const gateway = new Gateway({
    authenticate: (credentials) => sessions.authenticate(credentials),
    listChats: (actor) => chats.list(actor),
    messages,
    markRead: (actor, chatId, seq) => chats.markRead(actor, chatId, seq),
    epoch: store.epoch,
    bus,
    limiter,
    width,
    origins: { allowed: config.CORS_ORIGINS, publicHostname: config.PUBLIC_URL?.hostname ?? null },
    counts,
    clock,
    log,
  });
  addGauges(metrics, {
    dataDir: config.DATA_DIR,
    version,
    clock,
    sockets: () => gateway.figures(),
    messagesWaiting: () => messages.unsettled,
    hashing: hashingFigures,
  });
  return { app, gateway, sessions, ownData, recovery, audit, mailer, backups, drills, health };
}

/** What the answers to `/healthz` and `/readyz` are looked up by. */
function examineHealth({ config, clock }: Setting, store: Store & AdminStore) {
  return createHealth({
    dataDir: config.DATA_DIR,
    lowDiskBytes: config.DISK_LOW_BYTES,
    probe: () => store.probe(),
    backups: config.BACKUP_REPO ? backupPlanOf(config, clock()) : null,
    clock,
  });
}

/** What accounts are made of: sign-up, login, sessions, profile, second factor, deletion. */
function assembleAccounts(
  { config, log, clock, metrics }: Setting,
  store: Store & OwnDataStore,
  { limiter, width, note }: { limiter: Limiter; width: number; note: Note },
) {
  const inData = (name: string) => join(config.DATA_DIR, name);
  const guesses = (name: string, wider = width) => createGuesses(name, wider, metrics.counts.limited);
  const serverSecret = readOrMakeKey(inData('server.secret'), newInstallationKey);
  const sessions = new Sessions({ store, serverSecret, note, clock, log });
  const mailer = createMailer({
    smtpUrl: config.SMTP_URL,
    from: config.MAIL_FROM ?? defaultSender(config.SMTP_URL),
    outbox: inData('outbox'),
    log,
    clock,
  });
  const sender = { serviceName: config.DEFAULT_GROUP_NAME };
  const common = { store, mailer, sender, note, clock, log, passwordGuesses: guesses('password') };
  // Not widened with the limits: nobody needs more wrong codes, whatever is tried out with the limits off.
  const secondFactors = new SecondFactors({ ...common, guesses: guesses('secondFactor', 1) });
  const deps = {
    ...common,
    sessions,
    codes: new OneTimeCodes({ store, mailer, sender, clock, limitCodes: config.RATE_LIMITS }),
    secondFactors,
    limiter,
    loginGuesses: guesses('login'),
    // As many as two codes have tries: people take an older mail's code for the newest.
    codeGuesses: guesses('code', 2 * width),
    registration: { mode: config.REGISTRATION, allowedDomains: config.ALLOWED_EMAIL_DOMAINS ?? null },
  };
  return {
    accounts: new AccountService(deps),
    profiles: new ProfileService(deps),
    secondFactors,
    ownData: new OwnData(deps),
    sessions,
    recovery: new PasswordRecovery({ ...deps, resetGuesses: guesses('reset') }),
    mailer,
  };
}

/** Starts the schedules of backups and drills; null where there is no repository. */
function startRunners({ config, command, clock, log }: Setting, note: Note) {
  const exposure = exposureOf(config);
  if (exposure) log.warn('backups are not safe', { reason: exposure });
  if (!config.BACKUP_REPO) return { backups: null, drills: null };
  const children = {
    command,
    env: backupEnvironment(config),
    dataDir: config.DATA_DIR,
    log,
    clock,
    note: (kind: RunnerNote, detail: string) => void note({ kind, uid: null, actor: 'server', detail }),
  };
  return {
    backups: createBackupRunner({ ...children, schedule: config.BACKUP_SCHEDULE }),
    drills: createDrillRunner({ ...children, schedule: config.DRILL_SCHEDULE }),
  };
}

function noRoom(dataDir: string, cause: unknown): Error {
  return new Error(`The disk of ${dataDir} is full: the server cannot start. Make room and start again.`, {
    cause,
  });
}

/** @throws Error when another server runs on the folder: each would write what the other does not know of */
function lockFolder(dataDir: string): Disposable {
  const lock = acquireLock(join(dataDir, 'server.lock'), lockPatienceMs);
  if (lock) return lock;
  throw new Error(`Another server runs on ${dataDir}. Stop it, or set DATA_DIR to another folder.`);
}

/** The mail account's own address where it is one, because hosts refuse others; else one nobody answers. */
function defaultSender(smtpUrl: string | undefined): string {
  const user = smtpUrl ? decodeURIComponent(new URL(smtpUrl).username) : '';
  return user.includes('@') ? user : 'chat@localhost';
}
