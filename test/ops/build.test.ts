// Executables for other platforms: each has its own Argon2 inside, a build without it fails, and the sums are right.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { version } from '../../package.json' with { type: 'json' };
import { assertHolds, compile } from '../../scripts/build/compile.ts';
import { installPackages, type Packages, runtimeIn } from '../../scripts/build/packages.ts';
import { smoke } from '../../scripts/build/smoke.ts';
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

const sha256 = async (path: string) =>
  new Bun.CryptoHasher('sha256').update(await Bun.file(path).bytes()).digest('hex');

beforeAll(async () => {
  packages = await installPackages([foreign, hostTarget()]);
}, 120_000);

afterAll(() => {
  packages?.[Symbol.dispose]();
  rmSync(folder, { recursive: true, force: true });
});

describe('a build for other platforms', () => {
  test('Each is named after version and platform, has its Argon2 inside and no other, ran if it can here, and its hash is written down.', async () => {
    const out = join(folder, 'out');
    const chosen = [foreign, hostTarget()];
    const { status, stdout, stderr } = await build(...chosen.flatMap(({ name }) => ['--target', name]), out);
    expect(status, stderr).toBe(0);
    const names = chosen.map(({ name }) => `chat-backend-${version}-${name}`);
    const [others, own] = stdout.split('\n');
    expect(others).toMatch(new RegExp(`^${names[0]}: \\d+ MB, (?:ran: |not run here: )`));
    expect(own).toMatch(new RegExp(`^${names[1]}: \\d+ MB, ran: signed up, stopped$`));
    expect(readdirSync(out).sort()).toEqual(['SHA256SUMS', ...names].sort());

    const executable = join(out, names[0] ?? '');
    await assertHolds(executable, await addonOf(foreign));
    await expect(assertHolds(executable, await addonOf(hostTarget()))).rejects.toThrow('inside');
    const sums = await Promise.all(names.map(async (name) => `${await sha256(join(out, name))}  ${name}\n`));
    expect(await Bun.file(join(out, 'SHA256SUMS')).text()).toBe(sums.join(''));
  }, 120_000);

  test('Bun leaves an addon out without a word when its package is missing, which is found in the executable.', async () => {
    const outfile = join(folder, 'silent');
    const built = await Bun.build({
      entrypoints: [join(root, 'src/accounts/secrets.ts')],
      compile: { outfile, target: foreign.compile, executablePath: process.execPath },
    });
    expect(built.success).toBe(true);
    await expect(assertHolds(outfile, await addonOf(foreign))).rejects.toThrow(
      `silent does not have ${await addonOf(foreign)} inside`,
    );
  }, 60_000);

  test('A missing package of the platform stops the build, and is named.', async () => {
    const outfile = join(folder, 'none');
    for (const name of [foreign.addon, foreign.runtime]) {
      rmSync(join(packages.folder, name), { recursive: true });
      const runtime = runtimeIn(packages.folder, foreign);
      const refusal = compile(foreign, { packages: packages.folder, runtime, outfile });
      await expect(refusal).rejects.toThrow(new RegExp(`${name}.* is missing`));
      packages[Symbol.dispose]();
      packages = await installPackages([foreign]);
    }
    expect(readdirSync(folder)).not.toContain('none');
  }, 120_000);

  test('An executable of this machine that does not start, or does not sign anybody up, stops the build; one of another is only said not to run.', async () => {
    const pretend = (name: string, script: string) => {
      const path = join(folder, name);
      writeFileSync(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
      return path;
    };
    const broken = pretend('broken', 'echo no loader >&2; exit 1');
    await expect(smoke(broken, hostTarget(), hostTarget())).rejects.toThrow('does not run: no loader');
    expect(await smoke(broken, foreign, hostTarget())).toBeString();
    const dying = pretend('dying', '[ "$1" = --version ] || exit 7');
    await expect(smoke(dying, hostTarget(), hostTarget())).rejects.toThrow('exit status 7');
  });

  test('A platform that does not exist is refused with the names of those that do.', async () => {
    const { status, stderr } = await build('--target', 'beos-x64');
    expect(status).toBe(2);
    for (const { name } of targets) expect(stderr).toInclude(name);
  });
});
