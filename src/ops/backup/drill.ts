// The drill: restores the newest snapshot to a folder that nobody is served from, looks at it, and removes it.
import { Database } from 'bun:sqlite';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { acquireLock } from '../../store/lock.ts';
import { openStore } from '../../store/open.ts';
import { BackupError } from './error.ts';
import {
  type Made,
  makeInstallation,
  type RestoreOptions,
  type StoreSettings,
  toRestoreError,
} from './restore.ts';
import { type BackupState, noteBackupState } from './state.ts';
import type { BackupTarget } from './target.ts';

export interface DrillReport extends Omit<Made, 'staged'> {
  readonly durationMs: number;
}

/**
 * Does all that a restore does but the swap, and reads a page of history; may run beside the server.
 * @throws BackupError `running` when another drill is under way, `failed` when this could not be restored from
 */
export async function drill(
  target: BackupTarget,
  store: StoreSettings,
  options: RestoreOptions = {},
): Promise<DrillReport> {
  const startedAt = performance.now();
  try {
    const report = await drillOnce(target, store, options);
    const { commit, durationMs, messages } = report;
    note(target.dataDir, { ok: true, message: `${messages} messages can be restored`, durationMs, commit });
    return report;
  } catch (error) {
    const problem = toRestoreError(error, target.access, options.signal);
    if (problem.kind === 'failed' && !options.signal?.aborted) {
      const durationMs = Math.round(performance.now() - startedAt);
      note(target.dataDir, { ok: false, message: problem.message, durationMs, commit: null });
    }
    throw problem;
  }
}

type Drilled = NonNullable<BackupState['lastDrill']>;

/** For health and metrics. */
function note(dataDir: string, lastDrill: Omit<Drilled, 'atMs'>): void {
  try {
    noteBackupState(dataDir, { lastDrill: { ...lastDrill, atMs: Date.now() } });
  } catch {
    // A full disk: the caller tells what came of the drill, and health that the last one noted is old.
  }
}

async function drillOnce(
  target: BackupTarget,
  store: StoreSettings,
  options: RestoreOptions,
): Promise<DrillReport> {
  const startedAt = performance.now();
  const backups = join(target.dataDir, 'backup');
  mkdirSync(backups, { recursive: true, mode: 0o700 });
  using lock = acquireLock(join(backups, 'drill.lock'), 0);
  if (!lock) throw new BackupError('running', 'Another drill is running. Try again when it is done.');
  const folder = join(backups, 'drill');
  rmSync(folder, { recursive: true, force: true }); // a killed one's
  try {
    mkdirSync(folder, { mode: 0o700 });
    const newest = { target, moment: null, endSessions: false, store };
    const { staged, ...made } = await makeInstallation(folder, newest, options);
    await readHistory(join(staged, 'chat.db'), store);
    return { ...made, durationMs: Math.round(performance.now() - startedAt) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Opens the copy as the server does and reads what a member of a chat would see. @throws BackupError when that is nothing */
async function readHistory(path: string, settings: StoreSettings): Promise<void> {
  const uid = findReader(path);
  if (uid === null) return; // nobody has written yet
  const store = await openStore({ ...settings, path, emit: () => undefined });
  try {
    const chats = await store.listRecentMessages(uid, { perChat: 30, characters: 100_000 });
    if (chats.some(({ messages }) => messages.length > 0)) return;
    throw new BackupError('failed', 'The restored copy opens, but no history can be read from it.');
  } finally {
    await store.close();
  }
}

/**
 * Somebody who is in a chat with messages, the latest active. The chat is found first: asked for the member at once,
 * SQLite goes through every message for each (100 s for a million of them).
 */
function findReader(path: string): number | null {
  using database = new Database(path, { readonly: true });
  using query = database.prepare(`
    SELECT uid FROM members WHERE chat_id = (
      SELECT id FROM chats
      WHERE EXISTS (SELECT 1 FROM messages WHERE messages.chat_id = chats.id)
        AND EXISTS (SELECT 1 FROM members WHERE members.chat_id = chats.id)
      ORDER BY last_message_at DESC LIMIT 1)
    LIMIT 1`);
  const uid = query.values()[0]?.[0];
  return typeof uid === 'number' ? uid : null;
}
