// Shows that each attack can succeed: it is run against a copy of the program without the one guard that stops it.
import { expect, test } from 'bun:test';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createGate } from '../../src/infra/limiter.ts';
import { type Edit, guards } from './guards.ts';

const root = join(import.meta.dir, '../..');
const attacks = Object.entries(guards).flatMap(([file, byTitle]) =>
  Object.entries(byTitle).flatMap(([title, edits]) =>
    typeof edits === 'string' ? [] : { file, title, edits },
  ),
);

/** As many at once as there are cores: every attack starts servers of its own. */
const queue = createGate(availableParallelism(), attacks.length);

/** A copy of the program with these edits. @throws Error when a guard is not where it was */
function copyWithout(edits: readonly Edit[]): string {
  const folder = mkdtempSync(join(tmpdir(), 'chat-unguarded-'));
  for (const name of ['src', 'test', 'package.json', 'tsconfig.json', 'bunfig.toml'])
    cpSync(join(root, name), join(folder, name), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  for (const [file, guard, without] of edits) {
    const path = join(folder, 'src', file);
    const [before, after, ...more] = readFileSync(path, 'utf8').split(guard);
    if (before === undefined || after === undefined || more.length > 0)
      throw new Error(`${file} does not have this once: ${guard}`);
    writeFileSync(path, before + without + after);
  }
  return folder;
}

/** What the tests say of one attack in a folder. */
async function attack(folder: string, file: string, title: string): Promise<string> {
  const pattern = `^${title.replace(/[^\w ]/g, '\\$&')}$`;
  const child = Bun.spawn(
    [process.execPath, 'test', `test/attacks/${file}.test.ts`, '-t', pattern, '--timeout', '20000'],
    { cwd: folder, stdout: 'pipe', stderr: 'pipe' },
  );
  const [out, complaints] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return out + complaints;
}

test('every attack has its guard, and every file its place in the proof', async () => {
  const files = [...new Bun.Glob('*.test.ts').scanSync(import.meta.dir)].map((name) => name.slice(0, -8));
  expect(files.filter((file) => file !== 'proof').toSorted()).toEqual(Object.keys(guards).toSorted());
  for (const [file, byTitle] of Object.entries(guards)) {
    const text = readFileSync(join(import.meta.dir, `${file}.test.ts`), 'utf8');
    const titles = [...text.matchAll(/^test\(\s*(?:'(.*)'|"(.*)"),/gm)].map(
      (match) => match[1] ?? match[2] ?? '',
    );
    expect(titles.toSorted()).toEqual(Object.keys(byTitle).toSorted());
  }
});

test.concurrent.each(attacks)(
  'without its guard this succeeds: $title',
  async ({ file, title, edits }) => {
    const folder = copyWithout(edits);
    try {
      const said = await queue.pass(() => attack(folder, file, title));
      expect(said).toContain(`(fail) ${title}`);
      expect(said).toMatch(/\n 1 fail\n/);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
  10 * 60_000,
);
