// The people, chats and devices of the model, who is in which group when, and what must hold when all is quiet.
import { directChatId } from '../../../src/protocol/entities.ts';
import { Line } from '../line.ts';
import { chatName, LogFile, type Row } from '../log-file.ts';
import { credentials, join, makeGroup, type Person } from '../people.ts';
import { ServerProcess } from '../process.ts';
import { defaultGroup } from '../socket.ts';
import { ClientDevice } from './client-device.ts';
import { type Device, isSettled } from './device.ts';
import { FrameDevice } from './frame-device.ts';

interface Group {
  readonly id: string;
  readonly owner: Person;
  readonly members: Set<number>;
  /** By person who is out: the end of the log when the removal was answered. */
  readonly outSince: Map<number, number>;
}

const quietMs = 30_000;

export class World {
  readonly problems: string[] = [];
  /** Who was ever out of which group: for them a refusal is in order. */
  readonly #everOut = new Set<string>();

  private constructor(
    readonly server: ServerProcess,
    readonly file: LogFile,
    readonly people: readonly Person[],
    readonly groups: readonly Group[],
    readonly devices: readonly Device[],
  ) {
    for (const { id, outSince } of groups)
      for (const uid of outSince.keys()) this.#everOut.add(`${uid} ${id}`);
  }

  static async create(): Promise<World> {
    const { server, made } = await ServerProcess.prepared(async (inside) => {
      const [alice, bob, carol, dave] = await Promise.all([
        join(inside, 'Alice'),
        join(inside, 'Bob'),
        join(inside, 'Carol'),
        join(inside, 'Dave'),
      ]);
      const team = { id: await makeGroup(inside, alice, [bob, carol, dave]), owner: alice };
      const club = { id: await makeGroup(inside, bob, [alice, carol]), owner: bob };
      return { alice, bob, carol, dave, team, club };
    });
    const { alice, bob, carol, dave, team, club } = made;
    const groups = [
      { ...team, members: membersOf(alice, bob, carol, dave), outSince: new Map() },
      { ...club, members: membersOf(bob, alice, carol), outSince: new Map([[dave.uid, 0]]) },
    ];
    const line = () => Line.open(server.port);
    const devices: Device[] = [
      new ClientDevice(alice, await line(), 'phone'),
      new ClientDevice(alice, await line(), 'desk'),
      new FrameDevice(alice, await line(), 'web'),
      new ClientDevice(bob, await line(), 'phone'),
      new FrameDevice(bob, await line(), 'web'),
      new ClientDevice(carol, await line(), 'phone'),
      new FrameDevice(carol, await line(), 'web'),
      new FrameDevice(dave, await line(), 'web'),
    ];
    return new World(server, new LogFile(server.dataDir), [alice, bob, carol, dave], groups, devices);
  }

  async remove(): Promise<void> {
    for (const device of this.devices) device.close();
    await this.server.remove();
  }

  /** Every chat that a person may try to write to, as he spells it. */
  chatsOf({ uid }: Person): string[] {
    const others = this.people.filter((other) => other.uid !== uid);
    return [
      defaultGroup,
      ...this.groups.map(({ id }) => id),
      ...others.map((other) => directChatId(uid, other.uid)),
    ];
  }

  /** Puts somebody into a group who is out of it. */
  async add(group: Group, person: Person): Promise<void> {
    this.checkOutsider(group, person);
    await this.#change('/add_member', group.owner, group, { MEMBER_UID: person.uid });
    group.members.add(person.uid);
    group.outSince.delete(person.uid);
  }

  /** Takes somebody out, by the owner's hand or his own. */
  async takeOut(group: Group, person: Person, byHimself: boolean): Promise<void> {
    this.#everOut.add(`${person.uid} ${group.id}`);
    if (byHimself) await this.#change('/leave_group', person, group, {});
    else await this.#change('/remove_member', group.owner, group, { MEMBER_UID: person.uid });
    group.members.delete(person.uid);
    group.outSince.set(person.uid, this.file.end(group.id));
  }

  /** One who is out has got nothing that came after he was. */
  checkOutsider(group: Group, person: Person): void {
    const end = group.outSince.get(person.uid) ?? 0;
    for (const { follower } of this.devicesOf(person)) {
      const newest = follower.newest(group.id);
      if (newest > end) this.problems.push(`${follower.name} got ${newest} of ${group.id}, out since ${end}`);
    }
  }

  devicesOf({ uid }: Person): Device[] {
    return this.devices.filter(({ person }) => person.uid === uid);
  }

  /** Waits until every message is settled and every device has everything; says who did not come to rest. */
  async comeToRest(): Promise<void> {
    const deadline = Date.now() + quietMs;
    for (;;) {
      const restless = this.#restless();
      if (restless.length === 0) break;
      if (Date.now() > deadline) {
        this.problems.push(...restless);
        break;
      }
      await Bun.sleep(20);
    }
    await Bun.sleep(100); // whatever comes twice has come
  }

  /** Everything that does not hold of the end. */
  findings(): string[] {
    for (const group of this.groups) {
      for (const person of this.people) if (group.outSince.has(person.uid)) this.checkOutsider(group, person);
    }
    const rows = new Map(this.file.rows().map((row) => [`${row.chat} ${row.seq}`, row]));
    const followers = this.devices.flatMap(({ follower }) => follower.problems);
    return [
      ...this.problems,
      ...this.file.problems(),
      ...followers,
      ...this.#wrongMessages(rows),
      ...this.#leftOut(rows),
      ...this.#wrongSendings([...rows.values()]),
    ];
  }

  #restless(): string[] {
    return this.devices.flatMap((device) => {
      const { follower, person, sendings } = device;
      const waiting = sendings.filter((sending) => !isSettled(sending)).length;
      const behind = this.chatsOf(person).flatMap((id) => {
        const isOut = this.groups.some((group) => group.id === id && !group.members.has(person.uid));
        const [has, end] = [follower.cursors.get(id), this.file.end(id)];
        if (isOut) return has === undefined ? [] : [`is not told that it is out of ${id}`];
        return (has ?? 0) === end ? [] : [`has ${has} of ${end} of ${id}`];
      });
      if (!device.ready) behind.push('is not connected');
      if (waiting > 0) behind.push(`waits for ${waiting} replies`);
      return behind.map((what) => `${follower.name} ${what}`);
    });
  }

  #wrongMessages(rows: ReadonlyMap<string, Row>): string[] {
    return this.devices.flatMap(({ follower }) =>
      follower.log.flatMap(({ groupId, id, senderUid, text }) => {
        const row = rows.get(`${chatName(groupId)} ${id}`);
        const isRight = row?.body === text && row.senderUid === senderUid;
        return isRight ? [] : [`${follower.name} got ${text} at ${id} of ${groupId}, where is ${row?.body}`];
      }),
    );
  }

  /** What was not pushed to a device though another one had sent it. */
  #leftOut(rows: ReadonlyMap<string, Row>): string[] {
    return this.devices.flatMap(({ follower, sendings, overtaken }) => {
      const own = new Set(sendings.map(({ text }) => text));
      return overtaken.flatMap(({ groupId, id }) =>
        own.has(rows.get(`${chatName(groupId)} ${id}`)?.body ?? '')
          ? []
          : [`${follower.name} was not pushed ${id} of ${groupId} before what follows it`],
      );
    });
  }

  #wrongSendings(rows: readonly Row[]): string[] {
    const byText = Map.groupBy(rows, ({ body }) => body);
    const sendings = this.devices.flatMap((device) => device.sendings);
    const found = sendings.flatMap(({ uid, groupId, text, acknowledged, refused }) => {
      const places = byText.get(text) ?? [];
      byText.delete(text);
      const [row] = places;
      const isKept =
        places.length === 1 &&
        row?.senderUid === uid &&
        row.chat === chatName(groupId) &&
        acknowledged.every((id) => id === row.seq);
      if (acknowledged.length > 0 && !isKept)
        return [`${text} was acknowledged at ${acknowledged} and is at ${places.map(({ seq }) => seq)}`];
      if (places.length > 1) return [`${text} is there ${places.length} times`];
      const isInOrder = refused === null || (refused === 403 && this.#everOut.has(`${uid} ${groupId}`));
      return isInOrder ? [] : [`${text} to ${groupId} was refused with ${refused}`];
    });
    return [...found, ...[...byText.keys()].map((text) => `${text} was sent by nobody`)];
  }

  async #change(path: string, actor: Person, { id }: Group, fields: Record<string, unknown>): Promise<void> {
    const { message } = await this.server.post(path, { ...credentials(actor), GROUP_ID: id, ...fields });
    if (!/^(?:Member added|Member removed|You left the group)$/.test(message))
      throw new Error(`${path}: ${message}`);
  }
}

function membersOf(...people: Person[]): Set<number> {
  return new Set(people.map(({ uid }) => uid));
}
