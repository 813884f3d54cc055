// How much a socket, an account and an address may ask of the gateway.
import { limits } from '../protocol/entities.ts';

/** How many frames of one socket may wait, for an announce to be looked up or for their turn. */
export const backlogLimit = 1000;
/**
 * Once the frames of a turn have taken so long, a socket waits after so many of its frames until others' are read; of the
 * waiting ones so many go on in each turn.
 */
export const frameTurns = { ms: 2, frames: 4, sockets: 32 } as const;
/** How many frames in a row may be refused for their number before the socket is closed. */
export const strikeLimit = 50;
/** As how many upgrades of its address a flood counts, whose sender would else be back at once. */
export const floodUpgrades = 20;
/** How long close frames have to arrive, and what is on its way to be read, before connections are torn down. */
export const goodbyeMs = 250;

export const catchUpLimits = {
  /** Announces and resumes looked up at once, and in one turn. */
  atOnce: 4,
  /** Longest replay; a chat with more gets a marked gap. */
  messagesPerChat: 1000,
  /** What one turn reads and pushes for one socket, then it is the next one's. */
  bytesPerTurn: 128 * 1024,
  /** A replay waits while more than this is still to be taken by its reader, up to tries x wait. */
  bufferedBytes: 256 * 1024,
  drainWaitMs: 20,
  drainTries: 500,
} as const;

export const socketLimits = {
  perAddress: 500,
  perAccount: 50,
  unannouncedPerAddress: 100,
  unannounced: 10_000,
  /** No unannounced socket is closed for being one before this: the client in use waits so through its login. */
  silentMs: 30 * 60 * 1000,
  frameBytes: limits.frameBytes,
  /** A reader for whom more than this waits is closed; it resumes when it is back. */
  backpressureBytes: 1024 * 1024,
  /** How much may be published, in UTF-16 units, until it is looked for slow readers again. */
  publishedBetweenLooks: 512 * 1024,
  /**
   * Over this Bun drops frames and lets later ones follow, so it must never be met: what may wait, 3 bytes for each unit
   * published between two looks, and the 32 frames per socket that Bun gathers before it writes.
   */
  dropBytes: 5 * 1024 * 1024,
  idleSeconds: 120,
} as const;
