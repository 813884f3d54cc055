// The growing delay of who guesses: how many pass, how long the others wait, what makes it end.
import { afterEach, beforeEach, expect, jest, test } from 'bun:test';
import { AppError } from '../../src/errors.ts';
import { createGuesses, type Guesses } from '../../src/infra/guesses.ts';

const minuteMs = 60_000;
let guesses: Guesses;

beforeEach(() => {
  jest.useFakeTimers();
  guesses = createGuesses('test');
});
afterEach(() => jest.useRealTimers());

/** 0 when a try passes, else the whole minutes to wait. */
async function waitOf(key = 'alice'): Promise<number> {
  try {
    await guesses.begin(key);
    return 0;
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== 'rate_limited') throw error;
    return (error.details.retryAfterMs ?? 0) / minuteMs;
  }
}

async function tryTimes(times: number): Promise<void> {
  for (let index = 0; index < times; index += 1) expect(await waitOf()).toBe(0);
}

test('five pass, then one after each delay: a minute, two, four, and at most an hour', async () => {
  await tryTimes(5);
  for (const minutes of [1, 2, 4, 8, 16, 32, 60, 60, 60]) {
    expect(await waitOf()).toBe(minutes);
    jest.advanceTimersByTime(minutes * minuteMs - 1);
    expect(await waitOf()).toBeWithin(0.00001, 0.0001);
    jest.advanceTimersByTime(1);
    expect(await waitOf()).toBe(0);
  }
});

test('trying again while it is delayed makes the delay no longer', async () => {
  await tryTimes(5);
  for (let tries = 0; tries < 20; tries += 1) expect(await waitOf()).toBe(1);
  jest.advanceTimersByTime(minuteMs);
  expect(await waitOf()).toBe(0);
  expect(await waitOf()).toBe(2);
});

test('many at once are no way around it: five pass, later one', async () => {
  const pass = async () =>
    (await Promise.all(Array.from({ length: 50 }, () => waitOf()))).filter((m) => m === 0);
  expect(await pass()).toHaveLength(5);
  jest.advanceTimersByTime(minuteMs);
  expect(await pass()).toHaveLength(1);
});

test('a right one forgets all before it, and nobody else is held up', async () => {
  await tryTimes(4);
  await guesses.succeed('alice');
  await tryTimes(5);
  expect(await waitOf()).toBe(1);
  expect(await waitOf('bob')).toBe(0);
  await guesses.succeed('alice');
  await tryTimes(5);
  expect(await waitOf()).toBe(1);
});

test('four hours without a try are as if there had been none; four tries in them are no way around', async () => {
  await tryTimes(5);
  jest.advanceTimersByTime(minuteMs);
  await tryTimes(1);
  jest.advanceTimersByTime(4 * 60 * minuteMs);
  await tryTimes(4);
  jest.advanceTimersByTime(3 * 60 * minuteMs);
  await tryTimes(1);
  expect(await waitOf()).toBe(1);
});
