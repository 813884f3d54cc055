// Schedules of backups and drills when the clock is set: tried with `faketime`, Bun's own waits for a clock that was set
// back by a day until that day is over, so it must be begun anew.
import { afterEach, beforeEach, expect, type Mock, spyOn, test } from 'bun:test';
import { startSchedule } from '../../src/ops/backup/schedule.ts';

const dayMs = 24 * 60 * 60 * 1000;

let cron: Mock<typeof Bun.cron>;
let now: number;
let end: () => void;

beforeEach(() => {
  cron = spyOn(Bun, 'cron');
  now = Date.now();
  const neverDue = { expression: '0 0 1 1 *', run: async () => undefined };
  end = startSchedule({ ...neverDue, clock: () => now, lookMs: 1 });
});
afterEach(() => {
  end();
  cron.mockRestore();
});

/** Sets the clock and waits until it was looked at; returns how often a schedule was begun. */
async function setClock(ms: number): Promise<number> {
  now += ms;
  await Bun.sleep(20);
  return cron.mock.calls.length;
}

test('a clock that is set back begins the schedule anew, once, and ends the former', async () => {
  expect(await setClock(1000)).toBe(1);
  const former = spyOn(cron.mock.results[0]?.value as unknown as Bun.CronJob, 'stop');
  expect(await setClock(-dayMs)).toBe(2);
  expect(former).toHaveBeenCalledTimes(1);
  const latter = spyOn(cron.mock.results[1]?.value as unknown as Bun.CronJob, 'stop');
  expect(await setClock(1000)).toBe(2);
  end();
  expect(latter).toHaveBeenCalledTimes(1);
});

test('one that is set ahead does not: what was due is run, and it goes on from there', async () => {
  expect(await setClock(dayMs)).toBe(1);
  end();
  expect(await setClock(-dayMs)).toBe(1);
});
