// Executables for other platforms: each has its own Argon2 inside, a build without it fails, and the sums are right.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { version } from '../../package.json' with { type: 'json' };
import { assertHolds, compile } from '../../scripts/build/compile.ts';
import { installPackages, type Packages, runtimeIn } from '../../scripts/build/packages.ts';
import { hostTarget, type Target, targets } from '../../scripts/build/targets.ts';

const root = join(import.meta.dir, '../..');
const folder = mkdtempSync(join(tmpdir(), 'chat-build-test-'));
/** Linux on the processor that this machine does not have. */
const foreign = targets.find(({ os, cpu }) => os === 'linux' && cpu !== process.arch) as Target;
let packages: Packages;

async function build(...args: string[]) {
  const child = Bun.spawn([process.execPath, 'run', join(root, 'scripts/build.ts'), ...args], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { status: child.exitCode, stdout, stderr };
}

const addonOf = async ({ addon }: Target) => {
  const at = join(packages.folder, addon);
  return join(at, (await Bun.file(join(at, 'package.json')).json()).main);
};

beforeAll(async () => {
  packages = await installPackages([foreign, hostTarget()]);
}, 120_000);

afterAll(() => {
  packages?.[Symbol.dispose]();
  rmSync(folder, { recursive: true, force: true });
});

describe('a build for other platforms', () => {
  test('Its executable is named after version and platform, has that Argon2 inside and no other, and its hash is written down.', async () => {
    const out = join(folder, 'out');
    const { status, stdout, stderr } = await build('--target', foreign.name, out);
    expect(status, stderr).toBe(0);
    const name = `chat-backend-${version}-${foreign.name}`;
    expect(stdout).toMatch(new RegExp(`^${name}: \\d+ MB, (?:ran: |not run here: )`));
    expect(readdirSync(out).sort()).toEqual(['SHA256SUMS', name]);

    await assertHolds(join(out, name), await addonOf(foreign));
    expect(assertHolds(join(out, name), await addonOf(hostTarget()))).rejects.toThrow('inside');
    const hash = new Bun.CryptoHasher('sha256').update(await Bun.file(join(out, name)).bytes()).digest('hex');
    expect(await Bun.file(join(out, 'SHA256SUMS')).text()).toBe(`${hash}  ${name}\n`);
  }, 120_000);

  test('Bun leaves an addon out without a word when its package is missing, which is found in the executable.', async () => {
    const outfile = join(folder, 'silent');
    const built = await Bun.build({
      entrypoints: [join(root, 'src/accounts/secrets.ts')],
      compile: { outfile, target: foreign.compile, executablePath: process.execPath },
    });
    expect(built.success).toBe(true);
    expect(assertHolds(outfile, await addonOf(foreign))).rejects.toThrow(
      `silent does not have ${await addonOf(foreign)} inside`,
    );
  }, 60_000);

  test('A missing package of the platform stops the build, and is named.', async () => {
    const outfile = join(folder, 'none');
    for (const name of [foreign.addon, foreign.runtime]) {
      rmSync(join(packages.folder, name), { recursive: true });
      const runtime = runtimeIn(packages.folder, foreign);
      const refusal = compile(foreign, { packages: packages.folder, runtime, outfile });
      expect(refusal).rejects.toThrow(new RegExp(`${name}.* is missing`));
      await refusal.catch(() => null);
      packages[Symbol.dispose]();
      packages = await installPackages([foreign]);
    }
    expect(readdirSync(folder)).not.toContain('none');
  }, 120_000);

  test('A platform that does not exist is refused with the names of those that do.', async () => {
    const { status, stderr } = await build('--target', 'beos-x64');
    expect(status).toBe(2);
    for (const { name } of targets) expect(stderr).toInclude(name);
  });
});
