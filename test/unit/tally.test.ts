// The histogram of the hot path: where values are counted, and what is told of them.
import { expect, test } from 'bun:test';
import { Tally } from '../../src/infra/tally.ts';

test('Each value counts at its bound and every higher one, also when it is just the bound.', () => {
  const tally = new Tally([1, 2, 5]);
  for (const value of [0, 1, 1.5, 2, 5, 5.1, 1000]) tally.observe(value);
  expect(tally.lines()).toEqual([
    { bound: 1, count: 2 },
    { bound: 2, count: 4 },
    { bound: 5, count: 5 },
    { bound: '+Inf', count: 7 },
  ]);
  expect(tally.count).toBe(7);
  expect(tally.sum).toBeCloseTo(1014.6, 6);
});

test('Without values all are 0.', () => {
  expect(new Tally([1]).lines()).toEqual([
    { bound: 1, count: 0 },
    { bound: '+Inf', count: 0 },
  ]);
});
