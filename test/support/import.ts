// Runs the import of the old server's databases for a test, and reads what it left behind.
import { Database } from 'bun:sqlite';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { OldServer } from './old-server.ts';
import { entry, TestServer } from './server.ts';

/** A place with the old server's folder and the new one's data folder, which is removed in the end. */
export class Move implements Disposable {
  readonly root = mkdtempSync(join(tmpdir(), 'chat-import-'));
  readonly oldFolder = join(this.root, 'old');
  readonly dataDir = join(this.root, 'data');

  constructor() {
    mkdirSync(this.oldFolder);
  }

  /** Writes the old databases, or opens a folder of others. */
  write(fill: (old: OldServer) => void, listsName?: string): void {
    using old = new OldServer(this.oldFolder, listsName);
    fill(old);
  }

  start(...flags: string[]) {
    return Bun.spawn([process.execPath, 'run', entry, 'import', this.oldFolder, ...flags], {
      env: { PATH: process.env.PATH ?? '', DATA_DIR: this.dataDir, LOG_LEVEL: 'error', ...this.env },
      stdin: 'ignore',
      stdout: 'pipe',
      stderr: 'pipe',
    });
  }

  /** Environment variables besides DATA_DIR. */
  env: Record<string, string> = {};

  async run(...flags: string[]) {
    const child = this.start(...flags);
    const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    return { status: child.exitCode, stdout, stderr };
  }

  /** Imports with --json: all that it says. */
  async facts(...flags: string[]) {
    const { status, stdout, stderr } = await this.run('--json', ...flags);
    if (status !== 0 || stderr !== '') throw new Error(`the import failed: ${stdout}${stderr}`);
    return JSON.parse(stdout);
  }

  /** The same in short: what was taken, mended and refused, kinds that never happened left out. */
  async import(...flags: string[]) {
    const { TAKEN, TAKEN_BEFORE, MENDED, REFUSED, NEW_NUMBERS } = await this.facts(...flags);
    const counts = (tally: Record<string, { COUNT: number }>) =>
      Object.fromEntries(Object.entries(tally).map(([kind, { COUNT }]) => [kind, COUNT]));
    const some = (kinds: Record<string, number>) =>
      Object.fromEntries(Object.entries(kinds).filter(([, count]) => count > 0));
    const [taken, before] = [some(TAKEN), some(TAKEN_BEFORE)];
    const numbers: Record<string, number> = NEW_NUMBERS;
    return { taken, before, mended: counts(MENDED), refused: counts(REFUSED), numbers };
  }

  /** Rows of the new database. */
  rows(sql: string): unknown[][] {
    using db = new Database(join(this.dataDir, 'chat.db'), { readonly: true });
    using statement = db.prepare(sql);
    return statement.values();
  }

  /** A server on what was imported. */
  serve(): Promise<TestServer> {
    return TestServer.start({ env: { DATA_DIR: this.dataDir } });
  }

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}
