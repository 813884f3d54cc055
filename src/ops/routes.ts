// What whoever runs the server asks of it over HTTP: is it alive, back up now.
import type { Hono } from 'hono';
import { AppError } from '../errors.ts';
import type { Env } from '../http/endpoint.ts';
import { endpoints } from '../protocol/http.ts';
import { type AdminGuard, bearerOf } from './admin/key.ts';
import type { BackupReport } from './backup/backup.ts';
import { BackupError } from './backup/error.ts';
import type { BackupRunner } from './backup/runner.ts';

export interface OpsDeps {
  readonly guard: AdminGuard;
  readonly version: string;
  /** When the server started, by `elapsed`: ms that pass evenly, whatever the clock is set to. */
  readonly startedAt: number;
  readonly elapsed: () => number;
  /** Null when no BACKUP_REPO is set. */
  readonly backups: BackupRunner | null;
}

export function mountOps(app: Hono<Env>, { guard, version, startedAt, elapsed, backups }: OpsDeps): void {
  app.get(endpoints.uptime.path, (context) => {
    const seconds = Math.floor((elapsed() - startedAt) / 1000);
    return context.json({ message: 'Alive', VERSION: version, UPTIME_SECONDS: seconds });
  });

  app.get(endpoints.backUp.path, async (context) => {
    // A browser sends the key in the address; nothing else takes it from there.
    const key = bearerOf(context.req.header('authorization')) ?? context.req.query('key');
    await guard(key, context.env.address, endpoints.backUp.path);
    if (!backups) throw new AppError('unavailable', 'No backup repository is configured. Set BACKUP_REPO.');
    context.env.hold(true);
    const report = await backups
      .run()
      .catch((error: unknown) => {
        throw refusalOf(error);
      })
      .finally(() => context.env.hold(false));
    return context.json({ message: sentenceOf(report), ...onWire(report) });
  });
}

function refusalOf(error: unknown): unknown {
  if (!(error instanceof BackupError)) return error;
  return new AppError(error.kind === 'running' ? 'conflict' : 'unavailable', error.message);
}

function sentenceOf({ outcome, commit, bytes, durationMs, warnings }: BackupReport): string {
  const took = `${bytes} bytes, ${(durationMs / 1000).toFixed(1)} s`;
  const done =
    outcome === 'pushed'
      ? `Backed up: commit ${commit.slice(0, 12)}, ${took}.`
      : `Nothing has changed since commit ${commit.slice(0, 12)} (${took}).`;
  return [done, ...warnings].join(' ');
}

function onWire({ outcome, commit, bytes, durationMs }: BackupReport) {
  return { OUTCOME: outcome, COMMIT: commit, BYTES: bytes, DURATION_MS: Math.round(durationMs) };
}
