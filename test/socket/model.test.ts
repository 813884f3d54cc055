// A random program of sends, retries, joins, leaves, broken lines, slow readers, restarts and kills, held to the promises.
import { expect, test } from 'bun:test';
import type { Device } from '../support/model/device.ts';
import { World } from '../support/model/world.ts';
import { Random, setting } from '../support/random.ts';

const seed = setting('MODEL_SEED', Date.now() % 1_000_000_000);
const steps = setting('MODEL_STEPS', 400);

/**
 * How often each happens. A flood is more than a slow reader's share of memory, and only for long runs by hand; a reunion
 * waits for all to be back.
 */
const weights = {
  say: 55,
  burst: 8,
  retry: 8,
  add: 5,
  remove: 3,
  leave: 2,
  reset: 2,
  end: 2,
  hangUp: 2,
  freeze: 2,
  thaw: 4,
  rest: 6,
  reunion: 1.5,
  flood: 0.8,
  restart: 0.5,
  kill: 0.7,
} as const;

/** `h:` and 32,000 digits: large on the wire and in the file, and unique by what it begins with. */
function large(text: string): string {
  return `h:${Buffer.from(`${text} ${'😀'.repeat(3900)}`).toString('hex')}`;
}

class Program {
  readonly #frozen = new Set<Device>();
  #texts = 0;

  constructor(
    private readonly world: World,
    private readonly random: Random,
  ) {}

  async step(): Promise<void> {
    const { world, random } = this;
    const device = random.pick(world.devices);
    const group = random.pick(world.groups);
    const others = world.people.filter(({ uid }) => uid !== group.owner.uid);
    const person = random.pick(others);
    const isIn = group.members.has(person.uid);
    const moves: Record<keyof typeof weights, () => void | Promise<void>> = {
      say: () => this.#say(device, 1),
      burst: () => this.#say(device, random.between(5, 40)),
      retry: () => this.#retry(device),
      add: () => (isIn ? undefined : world.add(group, person)),
      remove: () => (isIn ? world.takeOut(group, person, false) : undefined),
      leave: () => (isIn ? world.takeOut(group, person, true) : undefined),
      reset: () => device.line.cut('reset'),
      end: () => device.line.cut('end'),
      hangUp: () => device.hangUp(),
      freeze: () => this.#freeze(device),
      thaw: () => this.thaw(random.pick([...this.#frozen, device])),
      rest: () => Bun.sleep(random.between(1, 20)),
      reunion: () => this.#reunion(),
      flood: () => this.#say(device, 250, large),
      restart: () => this.#restart('SIGTERM'),
      kill: () => this.#restart('SIGKILL'),
    };
    await moves[random.weighted(weights)]();
    if (random.next() < 0.3) await Bun.sleep(random.between(0, 2));
  }

  thaw(device: Device): void {
    this.#frozen.delete(device);
    device.line.thaw();
  }

  #say(device: Device, count: number, spelled = (text: string) => text): void {
    const groupId = this.random.pick(this.world.chatsOf(device.person));
    for (let left = count; left > 0; left -= 1) {
      this.#texts += 1;
      device.send(groupId, spelled(`message ${this.#texts}`), groupId.length > 20);
    }
  }

  #retry(device: Device): void {
    if (device.sendings.length > 0) device.retry(this.random.pick(device.sendings.slice(-50)));
  }

  /** At most some of them at once, so that there is always somebody to tell. */
  #freeze(device: Device): void {
    if (this.#frozen.size >= 3) return;
    this.#frozen.add(device);
    device.line.freeze();
  }

  async #restart(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    await this.world.server.end(signal);
    await Bun.sleep(this.random.between(0, 30));
    await this.world.server.start();
  }

  async #reunion(): Promise<void> {
    const awake = this.world.devices.filter((device) => !this.#frozen.has(device));
    for (const deadline = Date.now() + 5000; Date.now() < deadline; await Bun.sleep(10))
      if (awake.every(({ ready }) => ready)) return;
  }
}

test(
  `whatever happens in ${steps} steps, every log is the database's, without a hole and without a repetition`,
  async () => {
    const world = await World.create();
    try {
      const program = new Program(world, new Random(seed));
      for (let step = 0; step < steps; step += 1) await program.step();
      for (const device of world.devices) program.thaw(device);
      await world.comeToRest();
      expect({ seed, findings: world.findings().slice(0, 20) }).toEqual({ seed, findings: [] });
      const received = world.devices.map(({ follower }) => follower.log.length);
      expect(Math.min(...received)).toBeGreaterThan(0);
    } finally {
      await world.remove();
    }
  },
  60_000 + steps * 100,
);
