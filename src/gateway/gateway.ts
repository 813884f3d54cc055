// Realtime: lets sockets in, takes their frames in order, and answers each with one reply.
import type { Server, WebSocketHandler } from 'bun';
import type { Actor, Credentials } from '../actor.ts';
import { AppError, closeCodes, tooFast } from '../errors.ts';
import type { Bus } from '../infra/bus.ts';
import type { Limiter } from '../infra/limiter.ts';
import type { GatewayCounts } from '../infra/metrics.ts';
import { createTurns } from '../infra/turns.ts';
import type { Log } from '../log.ts';
import type { MessageService } from '../messages/service.ts';
import { type ChatView, chatIdFor, chatsOnWire, messageFields } from '../protocol/entities.ts';
import {
  type AnnounceRequest,
  clientEvents,
  type MarkRequest,
  type ResumeRequest,
  type SendRequest,
} from '../protocol/socket.ts';
import type { StoreEvent } from '../store/store.ts';
import { Admission, isAllowedOrigin, type OriginRules, readClientId } from './admission.ts';
import { CatchUp, endsOfText, endsToText, type Positions, readCursors } from './catchup.ts';
import { commands, type Handlers, isClientEvent, isSend, notAnnounced, type Reply } from './commands.ts';
import { type Connection, newConnection, type Socket } from './connection.ts';
import { Fanout } from './fanout.ts';
import { figuresOf, type GatewayFigures } from './figures.ts';
import {
  acknowledgement,
  invalidFields,
  type Question,
  readQuestion,
  refusalOf,
  unreadable,
} from './frames.ts';
import { backlogLimit, floodUpgrades, frameTurns, goodbyeMs, socketLimits, strikeLimit } from './limits.ts';
import { deviceOf, Presence } from './presence.ts';
import { Rates } from './rates.ts';
import { push, Replies } from './replies.ts';

export interface GatewayDeps {
  readonly authenticate: (credentials: Credentials) => Promise<Actor | null>;
  readonly listChats: (actor: Actor) => Promise<ChatView[]>;
  readonly messages: MessageService;
  readonly markRead: (actor: Actor, chatId: string, seq: number) => Promise<number>;
  readonly epoch: string;
  readonly bus: Bus<StoreEvent>;
  readonly limiter: Limiter;
  /** Rates and sockets per address may be this many times what gateway/rates.ts and limits.ts say. */
  readonly width: number;
  readonly origins: OriginRules;
  readonly counts: GatewayCounts;
  readonly clock: () => number;
  readonly log: Log;
}

/** Made once: a flood is refused without making anything for each frame. */
const tooManyFrames = tooFast(1000);

export class Gateway implements Handlers {
  readonly #presence = new Presence();
  readonly #replies = new Replies();
  readonly #fanout: Fanout;
  readonly #admission: Admission;
  readonly #catchUp: CatchUp;
  readonly #rates: Rates;
  readonly #frameTurn = createTurns(frameTurns.sockets);
  /** When the first frames of this turn of the event loop were run; null until then. */
  #turnBegunAt: number | null = null;
  #sharedEnds = '';
  #stopping = false;

  constructor(private readonly deps: GatewayDeps) {
    const { delivered, limited } = deps.counts;
    this.#fanout = new Fanout(this.#presence, this.#replies, delivered);
    this.#admission = new Admission(deps.width, deps.clock, limited);
    this.#catchUp = new CatchUp(deps.messages);
    this.#rates = new Rates(deps.clock, deps.width, limited);
    deps.bus.subscribe((event) => {
      this.#catchUp.told();
      this.#fanout.storeEvent(event);
    });
  }

  /** What Bun.serve is given. The message handler is synchronous: frames keep the order they came in. */
  readonly handler: WebSocketHandler<Connection> = {
    idleTimeout: socketLimits.idleSeconds,
    maxPayloadLength: socketLimits.frameBytes,
    backpressureLimit: socketLimits.dropBytes,
    closeOnBackpressureLimit: true,
    perMessageDeflate: false,
    open: (socket) => this.#admission.opened(socket),
    message: (socket, frame) => this.#receive(socket, frame),
    ping: (socket) => void this.#isFlooding(socket), // Bun answers it; a flood of them is one all the same
    close: (socket) => {
      this.#presence.detach(socket);
      this.#admission.closed(socket);
    },
    error: (error, socket) => {
      this.deps.log.error('a socket handler failed', { error });
      socket.close(1011, 'Something went wrong here.');
    },
  };

  /** Tells the gateway which server its topics live on. */
  use(server: Server<Connection>): void {
    this.#fanout.use(server);
  }

  /**
   * Answers a request for `/ws` or `/ws/{client_id}`: undefined when it became a socket.
   * @throws AppError `upgrade_required`, `forbidden` for a foreign origin, `rate_limited`, `not_found`
   */
  async upgrade(request: Request, server: Server<Connection>, network: string): Promise<undefined> {
    const clientId = readClientId(new URL(request.url).pathname);
    if (request.headers.get('upgrade')?.toLowerCase() !== 'websocket') {
      throw new AppError('upgrade_required', 'Connect to this path with a WebSocket.');
    }
    if (!isAllowedOrigin(request.headers, this.deps.origins)) {
      throw new AppError('forbidden', 'Pages of this origin may not connect.');
    }
    await this.deps.limiter.consume('upgradeByAddress', network);
    const origin = this.#admission.check(network);
    const data = newConnection(origin, clientId, this.deps.clock());
    if (!server.upgrade(request, { data }))
      throw new AppError('invalid', 'This is not a WebSocket handshake.');
    return undefined;
  }

  /**
   * Announces a socket as an account. What it missed is pushed first; its topics begin with the reply, in the same turn
   * as the list and the last of what it missed were read, so that nothing falls between and nothing comes twice.
   */
  async announce(socket: Socket, request: AnnounceRequest, reply: Reply): Promise<void> {
    const { UID: uid, TOKEN: token, EPOCH, CURSORS } = request;
    const { epoch } = this.deps;
    let cursors = readCursors(uid, EPOCH === epoch && CURSORS ? CURSORS : {});
    let isCounted = false;
    const count = () => {
      if (!isCounted) this.#rates.spend('announce', uid);
      isCounted = true;
    };
    let ends: Positions | null = null;
    const look = async () => {
      const looked = await this.#look({ uid, token }, { cursors, ends }, count);
      ends = looked.page.last ? null : looked.ends;
      return looked;
    };
    await this.#catchUp.untilDone(socket, look, ({ actor, chats, ends: stands, page }) => {
      if (socket.readyState !== WebSocket.OPEN) return true;
      // One that is announced already gets nothing live until it has what came before.
      if (!page.last) this.#presence.detach(socket);
      push(socket, page.frames);
      cursors = page.cursors;
      if (!page.last) return false;
      const groupIds = chats.flatMap(({ ref }) => (ref.kind === 'group' ? [ref.groupId] : []));
      this.#presence.attach(socket, actor, groupIds);
      this.#admission.announced(socket);
      this.#closeSurplus(actor.uid);
      socket.data.ends = CURSORS ? null : this.#share(endsToText(stands));
      const reset = EPOCH != null && EPOCH !== epoch ? { RESET: true } : {};
      reply({ message: 'OK', EPOCH: epoch, ...reset, chats: chatsOnWire(actor.uid, chats) });
      return true;
    });
  }

  /** The same text as the last, where it is: who returns in a crowd mostly finds the same. */
  #share(ends: string): string {
    if (ends !== this.#sharedEnds) this.#sharedEnds = ends;
    return this.#sharedEnds;
  }

  /**
   * Who asks, the chats, and what is missing of them; all as of one moment when nothing was told meanwhile. With `ends`,
   * where the chats stood at an earlier look, the list is not read again until all that was missing then was read: a
   * list for each page would cost more than the pages.
   */
  async #look(
    credentials: Credentials,
    { cursors, ends: earlier }: { cursors: Positions; ends: Positions | null },
    count: () => void,
  ) {
    const actor = await this.deps.authenticate(credentials);
    if (!actor?.verified) {
      throw new AppError('unauthenticated', 'UID and TOKEN do not match. Log in again.');
    }
    count(); // not before the token is known to be good: nobody may use up what is another's
    if (earlier) {
      const page = await this.#catchUp.nextPage(actor, cursors, earlier);
      if (!page.last) return { actor, chats: [], ends: earlier, page };
    }
    const chats = await this.deps.listChats(actor);
    const ends = new Map(chats.map(({ ref, lastSeq }) => [chatIdFor(actor.uid, ref), lastSeq]));
    const page = await this.#catchUp.nextPage(actor, cursors, ends);
    return { actor, chats, ends, page };
  }

  /** Hands a message to the log; its reply and its pushes go out when it is on disk. */
  send(socket: Socket, request: SendRequest, mayCreateChat: boolean, reply: Reply): void {
    const { actor } = socket.data;
    if (!actor) throw notAnnounced();
    if (request.SENDER_ID != null && request.SENDER_ID !== actor.uid) {
      throw new AppError('forbidden', 'SENDER_ID is not the account of this connection.');
    }
    const dueAt = this.#rates.spend('message', actor.uid);
    const { GROUP_ID: groupId, MESSAGE: text, CLIENT_MESSAGE_ID: clientMessageId = null } = request;
    const from = deviceOf(socket);
    const takenAt = performance.now();
    let fields = ''; // the JSON of the message, made once for the sender and everybody else
    this.deps.messages.send(
      actor,
      { chatId: String(groupId), text, mayCreateChat, clientMessageId, dueAt },
      {
        acknowledge: (result) => {
          if (result instanceof Error) return reply(result);
          fields = messageFields(result.message);
          reply(acknowledgement(groupId, fields, result.duplicate));
          this.deps.counts.acknowledged(performance.now() - takenAt);
        },
        publish: (sent) => {
          this.#catchUp.told();
          this.#fanout.message(sent, fields, from);
        },
      },
    );
  }

  /**
   * Pushes what an announced socket missed before it was announced, then replies; with `RESET` when its positions are of
   * another history. Live messages come in between, none of them twice: positions tell where they belong.
   */
  async resume(socket: Socket, { EPOCH, CURSORS }: ResumeRequest, reply: Reply): Promise<void> {
    const { actor, ends } = socket.data;
    const { epoch } = this.deps;
    if (!actor) throw notAnnounced();
    this.#rates.spend('resume', actor.uid);
    if (EPOCH !== epoch) return reply({ message: 'Load the chats anew.', EPOCH: epoch, RESET: true });
    socket.data.ends = null;
    const known = endsOfText(ends ?? '[]');
    let cursors = readCursors(actor.uid, CURSORS);
    const read = () => this.#catchUp.nextPage(actor, cursors, known);
    await this.#catchUp.untilDone(socket, read, (page) => {
      if (socket.data.actor?.sessionId !== actor.sessionId) return true;
      push(socket, page.frames);
      cursors = page.cursors;
      return page.last;
    });
    reply({ message: 'OK', EPOCH: epoch });
  }

  /** Moves a read mark and tells the account's other devices. */
  async markRead(
    socket: Socket,
    { GROUP_ID: groupId, MESSAGE_ID }: MarkRequest,
    reply: Reply,
  ): Promise<void> {
    const { actor } = socket.data;
    if (!actor) throw notAnnounced();
    this.#rates.spend('mark', actor.uid);
    const mark = await this.deps.markRead(actor, String(groupId), MESSAGE_ID);
    reply({ GROUP_ID: groupId, MESSAGE_ID: mark });
    this.#fanout.readMark(actor.uid, String(groupId), mark, deviceOf(socket));
  }

  figures(): GatewayFigures {
    return figuresOf({ presence: this.#presence, admission: this.#admission, catchUp: this.#catchUp });
  }

  /** Whom the sockets are announced as. */
  announced(): Actor[] {
    return this.#presence.all().flatMap(({ data }) => data.actor ?? []);
  }

  /** Takes no more frames, waits for what is being written, says goodbye to every socket. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.deps.messages.flush();
    this.#replies.flush();
    const sockets = [...this.#presence.all(), ...this.#admission.unannounced()];
    for (const socket of sockets) socket.close(closeCodes.restart, 'The server restarts. Connect again.');
    // A connection that is torn down while its peer still writes is reset, and the peer then loses the close frame that
    // makes the client in use come back.
    if (sockets.length > 0) await Bun.sleep(goodbyeMs);
  }

  #receive(socket: Socket, frame: string | Buffer): void {
    if (this.#stopping) return;
    this.#admission.heard(socket);
    if (this.#isFlooding(socket)) return;
    const { backlog } = socket.data;
    if (typeof frame !== 'string')
      this.#reply(socket, unreadable, new AppError('invalid', 'Send text frames.'));
    else if (backlog === null) this.#take(socket, frame);
    else if (backlog.length < backlogLimit) backlog.push(frame);
    else this.#endFlood(socket);
  }

  /** Counted before the frame is parsed: refusing must cost less than flooding. */
  #isFlooding(socket: Socket): boolean {
    const { actor, origin } = socket.data;
    if (this.#rates.take('frame', actor?.uid ?? origin.address) === 0) {
      socket.data.strikes = 0;
      return false;
    }
    socket.data.strikes += 1;
    if (socket.data.strikes > strikeLimit) this.#endFlood(socket);
    else this.#reply(socket, unreadable, tooManyFrames);
    return true;
  }

  #endFlood(socket: Socket): void {
    socket.close(closeCodes.flooding, 'Too many frames.');
    const { address } = socket.data.origin;
    this.deps.limiter.consume('upgradeByAddress', address, floodUpgrades).catch(() => undefined); // used up already
  }

  /** Runs one frame; when it has to wait for something, the socket's next frames queue up behind it. */
  #take(socket: Socket, frame: string): void {
    const pending = this.#run(socket, frame) ?? this.#pause(socket);
    if (!pending) return;
    socket.data.backlog = [];
    void pending.then(() => {
      const waiting = socket.data.backlog ?? [];
      socket.data.backlog = null;
      for (const [index, next] of waiting.entries()) {
        this.#take(socket, next);
        if (socket.data.backlog === null) continue;
        (socket.data.backlog as string[]).push(...waiting.slice(index + 1));
        return;
      }
    });
  }

  /** In a turn that has many frames, each socket waits after some of them. */
  #pause(socket: Socket): Promise<void> | undefined {
    socket.data.ran = (socket.data.ran + 1) % frameTurns.frames;
    return socket.data.ran === 0 && this.#isLongTurn() ? this.#frameTurn() : undefined;
  }

  #isLongTurn(): boolean {
    const now = performance.now();
    if (this.#turnBegunAt === null) setImmediate(() => (this.#turnBegunAt = null));
    this.#turnBegunAt ??= now;
    return now - this.#turnBegunAt > frameTurns.ms;
  }

  #run(socket: Socket, frame: string): Promise<void> | undefined {
    const question = readQuestion(frame);
    const reply: Reply = (outcome) => this.#reply(socket, question ?? unreadable, outcome);
    try {
      if (!question) throw new AppError('invalid', 'A frame is {"event": string, "data": object}.');
      if (!isClientEvent(question.event)) throw new AppError('invalid', 'There is no such event.');
      const command = commands[question.event];
      if (command.announced && !socket.data.actor) throw notAnnounced();
      const fields = clientEvents[question.event].safeParse(question.data);
      if (!fields.success) throw invalidFields(fields.error.issues[0], command.invalid);
      // The table pairs each event's schema with the command that takes what it returns.
      return command.run(this, socket, fields.data as never, reply)?.catch(reply);
    } catch (error) {
      reply(error instanceof Error ? error : new Error(String(error)));
      return undefined;
    }
  }

  /** Sends the one reply of a frame, under its event's name; what is no event of ours is answered as `error`. */
  #reply(socket: Socket, question: Question, outcome: Record<string, unknown> | string | Error): void {
    const event = isClientEvent(question.event) ? question.event : 'error';
    const id = question.id == null ? '' : `"id":${JSON.stringify(question.id)},`;
    const data = this.#replyData(question, outcome);
    this.#replies.add(socket, `{"event":"${event}",${id}"data":${data}}`);
  }

  #replyData(question: Question, outcome: Record<string, unknown> | string | Error): string {
    if (typeof outcome === 'string') return outcome;
    if (outcome instanceof Error) return JSON.stringify(this.#refusal(question, outcome));
    return JSON.stringify({ status_code: 200, ...outcome });
  }

  #refusal(question: Question, error: Error): Record<string, unknown> {
    const { counts, log, clock } = this.deps;
    const known = error instanceof AppError ? error : new AppError('internal', 'Something went wrong here.');
    if (known.code === 'internal') log.error('a frame could not be served', { frame: question.event, error });
    if (isSend(question.event)) counts.refused(known.code);
    return refusalOf(question, known, clock());
  }

  #closeSurplus(uid: number): void {
    const sockets = this.#presence.socketsOf(uid);
    for (const socket of sockets.slice(0, Math.max(0, sockets.length - socketLimits.perAccount))) {
      this.#presence.detach(socket);
      socket.close(closeCodes.crowdedOut, 'Crowded out by newer connections of this account.');
    }
  }
}
