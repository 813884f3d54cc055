// How a crowd is let in: a few in each turn of the event loop, in the order they came.
import { expect, test } from 'bun:test';
import { createTurns } from '../../src/infra/turns.ts';

const nextTurn = () => new Promise<void>((go) => setImmediate(go));

test('of a crowd a few enter in each turn, in order, and nobody waits when there is none', async () => {
  const enter = createTurns(3);
  const entered: number[] = [];
  for (let one = 0; one < 8; one += 1) void enter().then(() => entered.push(one));
  await Promise.resolve();
  expect(entered).toEqual([0, 1, 2]);
  const perTurn: number[] = [];
  while (entered.length < 8) {
    const before = entered.length;
    await nextTurn();
    perTurn.push(entered.length - before);
  }
  expect(entered).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  expect(Math.max(...perTurn)).toBeLessThanOrEqual(3);
  await nextTurn();
  await nextTurn();
  let isIn = false;
  void enter().then(() => {
    isIn = true;
  });
  await Promise.resolve();
  expect(isIn).toBe(true);
});
