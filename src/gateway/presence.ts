// Who is connected: which sockets count as one device, which of them gets the pushes, and what it is subscribed to.
import type { Actor } from '../actor.ts';
import type { Socket } from './connection.ts';

export function chatTopic(groupId: string): string {
  return `chat:${groupId}`;
}

export function userTopic(uid: number): string {
  return `user:${uid}`;
}

/** Sockets of one login and client id count as one: only the one that announced last, the holder, gets pushes. */
export interface Device {
  readonly sessionId: number;
  /** In the order of their announces; the last is the holder. */
  readonly sockets: Socket[];
}

interface Account {
  /** Groups the account is in, kept true by the store's events. */
  groupIds: Set<string>;
  readonly devices: Map<string, Device>;
}

export class Presence {
  readonly #accounts = new Map<number, Account>();

  /** Makes the socket its device's holder; what it was before, as this or another account, ends in the same turn. */
  attach(socket: Socket, actor: Actor, groupIds: readonly string[]): void {
    this.detach(socket);
    const account = this.#accounts.get(actor.uid) ?? { groupIds: new Set(), devices: new Map() };
    this.#accounts.set(actor.uid, account);
    account.groupIds = new Set(groupIds);
    const key = deviceKey(actor, socket);
    const device = account.devices.get(key) ?? { sessionId: actor.sessionId, sockets: [] };
    account.devices.set(key, device);
    const former = device.sockets.at(-1);
    if (former) unsubscribe(former, actor.uid, account);
    device.sockets.push(socket);
    socket.data.actor = actor;
    subscribe(socket, actor.uid, account);
  }

  /** Ends what the socket is announced as; the last other announced one of its device receives again. */
  detach(socket: Socket): void {
    const { actor } = socket.data;
    const account = actor && this.#accounts.get(actor.uid);
    const device = actor && account?.devices.get(deviceKey(actor, socket));
    socket.data.actor = null;
    if (!actor || !account || !device) return;
    const wasHolder = device.sockets.at(-1) === socket;
    device.sockets.splice(device.sockets.indexOf(socket), 1);
    unsubscribe(socket, actor.uid, account);
    const heir = device.sockets.at(-1);
    if (heir && wasHolder) subscribe(heir, actor.uid, account);
    if (heir) return;
    account.devices.delete(deviceKey(actor, socket));
    if (account.devices.size === 0) this.#accounts.delete(actor.uid);
  }

  /** The device a socket belongs to, or null before it is announced. */
  deviceOf(socket: Socket): Device | null {
    const { actor } = socket.data;
    return (actor && this.#accounts.get(actor.uid)?.devices.get(deviceKey(actor, socket))) ?? null;
  }

  join(uid: number, groupId: string): void {
    this.#accounts.get(uid)?.groupIds.add(groupId);
    for (const holder of this.#holders(uid)) holder.subscribe(chatTopic(groupId));
  }

  leave(uid: number, groupId: string): void {
    this.#accounts.get(uid)?.groupIds.delete(groupId);
    for (const holder of this.#holders(uid)) holder.unsubscribe(chatTopic(groupId));
  }

  /** All sockets announced as this account, oldest announce first within each device. */
  socketsOf(uid: number): Socket[] {
    const devices = this.#accounts.get(uid)?.devices.values() ?? [];
    return [...devices].flatMap(({ sockets }) => sockets);
  }

  /** Every announced socket. */
  all(): Socket[] {
    return [...this.#accounts.keys()].flatMap((uid) => this.socketsOf(uid));
  }

  #holders(uid: number): Socket[] {
    const devices = this.#accounts.get(uid)?.devices.values() ?? [];
    return [...devices].flatMap(({ sockets }) => sockets.slice(-1));
  }
}

function deviceKey({ sessionId }: Actor, socket: Socket): string {
  return `${sessionId} ${socket.data.clientId}`;
}

function subscribe(socket: Socket, uid: number, { groupIds }: Account): void {
  socket.subscribe(userTopic(uid));
  for (const groupId of groupIds) socket.subscribe(chatTopic(groupId));
}

/** On a socket that is closed already there is nothing to end: Bun has done it. */
function unsubscribe(socket: Socket, uid: number, { groupIds }: Account): void {
  if (socket.readyState !== WebSocket.OPEN) return;
  socket.unsubscribe(userTopic(uid));
  for (const groupId of groupIds) socket.unsubscribe(chatTopic(groupId));
}
