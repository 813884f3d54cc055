// What became of backups and drills, as health tells of it, when the clock was set since.
import { expect, test } from 'bun:test';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isFailing, noteBackupState, readBackupState } from '../../src/ops/backup/state.ts';
import { checkBackups } from '../../src/ops/health/backup-checks.ts';

const dayMs = 24 * 60 * 60 * 1000;

test('a clock that was ahead hides no failure that came after it, and no backup that is missing', () => {
  const folder = mkdtempSync(join(tmpdir(), 'chat-schedule-'));
  let now = Date.now();
  const plan = { backups: '@hourly', drills: 'off', maxBytes: 1, since: now };
  const success = { commit: 'c', bytes: 1, durationMs: 1, outcome: 'pushed' } as const;
  const states = () => {
    const state = readBackupState(folder);
    return [isFailing(state), checkBackups(state, plan, now).BACKUP?.state];
  };
  const drilled = { ok: true, message: '', durationMs: 1, commit: null };
  noteBackupState(folder, { lastSuccess: { ...success, atMs: now } });
  expect(states()).toEqual([false, 'ok']);
  now -= dayMs;
  expect(states()).toEqual([false, 'warn']);
  noteBackupState(folder, { lastFailure: { atMs: now, message: 'no network' } });
  expect(states()).toEqual([true, 'warn']);
  now -= dayMs;
  noteBackupState(folder, { lastSuccess: { ...success, atMs: now } });
  expect(states()).toEqual([false, 'ok']);
  noteBackupState(folder, { lastDrill: { ...drilled, atMs: now + dayMs } });
  expect(checkBackups(readBackupState(folder), plan, now).DRILL?.state).toBe('warn');
  rmSync(folder, { recursive: true });
});
