// When to try again: exponentially later, at random, so that thousands thrown off together do not return together.

/** ms to wait before try number `tries` (from 0): anywhere up to 0.5 s, 1 s, 2 s, ... and at most 15 s. */
export function backoffMs(tries: number, random: () => number = Math.random): number {
  return random() * Math.min(15_000, 500 * 2 ** Math.min(tries, 10));
}
