// What whoever runs the server asks of it over HTTP: is it alive, back up now.
import { createHash, timingSafeEqual } from 'node:crypto';
import type { Context, Hono } from 'hono';
import { AppError } from '../errors.ts';
import type { Env } from '../http/endpoint.ts';
import { endpoints } from '../protocol/http.ts';
import { BackupError, type BackupReport } from './backup/backup.ts';
import type { BackupRunner } from './backup/runner.ts';

export interface OpsDeps {
  readonly adminKey: string;
  readonly version: string;
  readonly startedAt: number;
  readonly clock: () => number;
  /** Null when no BACKUP_REPO is set. */
  readonly backups: BackupRunner | null;
}

export function mountOps(app: Hono<Env>, { adminKey, version, startedAt, clock, backups }: OpsDeps): void {
  app.get(endpoints.uptime.path, (context) => {
    const seconds = Math.floor((clock() - startedAt) / 1000);
    return context.json({ message: 'Alive', VERSION: version, UPTIME_SECONDS: seconds });
  });

  app.get(endpoints.backUp.path, async (context) => {
    assertAdmin(context, adminKey);
    if (!backups) throw new AppError('unavailable', 'No backup repository is configured. Set BACKUP_REPO.');
    const report = await backups.run().catch((error: unknown) => {
      throw refusalOf(error);
    });
    return context.json({ message: sentenceOf(report), ...onWire(report) });
  });
}

/** @throws AppError `unauthenticated` without a key, `forbidden` with a wrong one */
function assertAdmin(context: Context, adminKey: string): void {
  const bearer = /^Bearer +(\S+)$/i.exec(context.req.header('authorization') ?? '')?.[1];
  const key = bearer ?? context.req.query('key');
  if (!key) throw new AppError('unauthenticated', 'The admin key is needed: Authorization: Bearer <key>.');
  // Hashes have one length, which timingSafeEqual asks for, and their comparison tells nothing of the key.
  const digest = (text: string) => createHash('sha256').update(text).digest();
  if (!timingSafeEqual(digest(key), digest(adminKey)))
    throw new AppError('forbidden', 'The admin key is wrong.');
}

function refusalOf(error: unknown): unknown {
  if (!(error instanceof BackupError)) return error;
  return new AppError(error.kind === 'running' ? 'conflict' : 'unavailable', error.message);
}

function sentenceOf({ outcome, commit, bytes, durationMs }: BackupReport): string {
  const took = `${bytes} bytes, ${(durationMs / 1000).toFixed(1)} s`;
  return outcome === 'pushed'
    ? `Backed up: commit ${commit.slice(0, 12)}, ${took}.`
    : `Nothing has changed since commit ${commit.slice(0, 12)} (${took}).`;
}

function onWire({ outcome, commit, bytes, durationMs }: BackupReport) {
  return { OUTCOME: outcome, COMMIT: commit, BYTES: bytes, DURATION_MS: Math.round(durationMs) };
}
