// Who is connected: which sockets count as one device, which of them gets the pushes, and what it is subscribed to.
import type { Actor } from '../actor.ts';
import type { Socket } from './connection.ts';

export function chatTopic(groupId: string): string {
  return `chat:${groupId}`;
}

/** Sockets of one login and client id count as one: only the one that announced last, the holder, gets pushes. */
export interface Device {
  readonly uid: number;
  readonly sessionId: number;
  readonly clientId: string;
}

interface Account {
  /** Groups the account is in, kept true by the store's events. */
  groupIds: readonly string[];
  /** In the order of their announces. */
  readonly sockets: Socket[];
}

export class Presence {
  readonly #accounts = new Map<number, Account>();
  /** The groups of who came last: most people are in the same ones, and then share one list. */
  #sharedGroups: readonly string[] = [];

  /** Makes the socket its device's holder; what it was before, as this or another account, ends in the same turn. */
  attach(socket: Socket, actor: Actor, groupIds: readonly string[]): void {
    this.detach(socket);
    const account = this.#accounts.get(actor.uid) ?? { groupIds, sockets: [] };
    this.#accounts.set(actor.uid, account);
    account.groupIds = this.#share(groupIds);
    socket.data.actor = actor;
    const former = this.holderOf(deviceOf(socket));
    if (former) unsubscribe(former, account);
    account.sockets.push(socket);
    subscribe(socket, account);
  }

  /** Ends what the socket is announced as; the last other announced one of its device receives again. */
  detach(socket: Socket): void {
    const { actor } = socket.data;
    const account = actor && this.#accounts.get(actor.uid);
    const device = deviceOf(socket);
    if (!actor || !account || !device) return;
    const wasHolder = this.holderOf(device) === socket;
    socket.data.actor = null;
    account.sockets.splice(account.sockets.indexOf(socket), 1);
    unsubscribe(socket, account);
    const heir = this.holderOf(device);
    if (heir && wasHolder) subscribe(heir, account);
    if (account.sockets.length === 0) this.#accounts.delete(actor.uid);
  }

  /** The socket of a device that gets its pushes, if one is connected. */
  holderOf(device: Device | null): Socket | undefined {
    if (!device) return undefined;
    return this.#accounts.get(device.uid)?.sockets.findLast((socket) => isOf(device, socket));
  }

  join(uid: number, groupId: string): void {
    const account = this.#accounts.get(uid);
    if (!account || account.groupIds.includes(groupId)) return;
    account.groupIds = [...account.groupIds, groupId];
    for (const holder of this.holders(uid)) holder.subscribe(chatTopic(groupId));
  }

  leave(uid: number, groupId: string): void {
    const account = this.#accounts.get(uid);
    if (!account) return;
    account.groupIds = account.groupIds.filter((id) => id !== groupId);
    for (const holder of this.holders(uid)) holder.unsubscribe(chatTopic(groupId));
  }

  /** All sockets announced as this account, oldest announce first. */
  socketsOf(uid: number): readonly Socket[] {
    return [...(this.#accounts.get(uid)?.sockets ?? [])];
  }

  /** How many accounts have an announced socket. */
  get accountCount(): number {
    return this.#accounts.size;
  }

  /** Every announced socket. */
  all(): Socket[] {
    return [...this.#accounts.values()].flatMap(({ sockets }) => sockets);
  }

  /** The sockets that get what is this account's, one per device. */
  holders(uid: number): Socket[] {
    return this.socketsOf(uid).filter((socket) => this.holderOf(deviceOf(socket)) === socket);
  }

  #share(groupIds: readonly string[]): readonly string[] {
    const shared = this.#sharedGroups;
    const same = shared.length === groupIds.length && shared.every((id, index) => id === groupIds[index]);
    if (!same) this.#sharedGroups = groupIds;
    return this.#sharedGroups;
  }
}

/** The device a socket belongs to, or null before it is announced. */
export function deviceOf({ data: { actor, clientId } }: Socket): Device | null {
  return actor && { uid: actor.uid, sessionId: actor.sessionId, clientId };
}

function isOf({ sessionId, clientId }: Device, { data }: Socket): boolean {
  return data.actor?.sessionId === sessionId && data.clientId === clientId;
}

function subscribe(socket: Socket, { groupIds }: Account): void {
  for (const groupId of groupIds) socket.subscribe(chatTopic(groupId));
}

/** On a socket that is closed already there is nothing to end: Bun has done it. */
function unsubscribe(socket: Socket, { groupIds }: Account): void {
  if (socket.readyState !== WebSocket.OPEN) return;
  for (const groupId of groupIds) socket.unsubscribe(chatTopic(groupId));
}
