// A small file system of its own for a test, which it can fill and make room on again.
import { mkdtempSync, rmdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Where it is mounted, or null where this user may not mount. */
function mount(bytes: number): string | null {
  const folder = mkdtempSync(join(tmpdir(), 'chat-small-disk-'));
  const options = `size=${bytes},mode=700`;
  const { success } = Bun.spawnSync(['mount', '-t', 'tmpfs', '-o', options, 'tmpfs', folder]);
  if (success) return folder;
  rmdirSync(folder);
  return null;
}

export class SmallDisk implements Disposable {
  private constructor(readonly folder: string) {}

  /** Null where nothing can be mounted: only root may, on Linux. */
  static make(bytes: number): SmallDisk | null {
    const folder = process.platform === 'linux' ? mount(bytes) : null;
    return folder === null ? null : new SmallDisk(folder);
  }

  get freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.folder);
    return bavail * bsize;
  }

  /** Leaves so many bytes free. */
  fill(leftBytes: number): void {
    this.makeRoom();
    writeFileSync(this.#ballast, Buffer.alloc(Math.max(0, this.freeBytes - leftBytes)));
  }

  makeRoom(): void {
    rmSync(this.#ballast, { force: true });
  }

  /** Whoever still has a file open on it keeps its room until he ends. */
  [Symbol.dispose](): void {
    Bun.spawnSync(['umount', '--lazy', this.folder]);
    rmdirSync(this.folder);
  }

  get #ballast(): string {
    return join(this.folder, 'ballast');
  }
}
