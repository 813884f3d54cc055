// Compiles the executable of one platform out of packages in a folder, and looks whether all of it is inside.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { BunPlugin } from 'bun';
import type { Target } from './targets.ts';

export interface Compiled {
  readonly path: string;
  readonly bytes: number;
}

/** Where the packages of a platform lie, and where the executable goes. */
export interface Place {
  /** The `node_modules` that has them. */
  readonly packages: string;
  /** Bun's own executable for the platform. */
  readonly runtime: string;
  /** On Windows `.exe` is put behind it. */
  readonly outfile: string;
}

const root = join(import.meta.dir, '../..');

/**
 * Makes the executable of a platform.
 * @throws Error when a package of the platform is missing, or what is needed of it is not in the executable
 */
export async function compile(target: Target, { packages, runtime, outfile }: Place): Promise<Compiled> {
  const addon = await addonIn(join(packages, target.addon));
  if (!existsSync(runtime)) throw new Error(`${runtime} is missing.`);
  const path = target.os === 'win32' ? outfile.replace(/(?:\.exe)?$/, '.exe') : outfile;
  const build = await Bun.build({
    entrypoints: [join(root, 'src/index.ts')],
    plugins: [withAddon(addon)],
    // The executable must not pick up settings of whatever folder it is started in; its own come from the environment.
    compile: { outfile: path, executablePath: runtime, target: target.compile, autoloadBunfig: false },
    minify: true,
    bytecode: true,
    format: 'esm',
    sourcemap: 'none',
  });
  for (const message of build.logs) console.warn(String(message));
  await assertHolds(path, addon);
  return { path, bytes: Bun.file(path).size };
}

/**
 * Bun leaves out, without a word, a package that is not installed and might not be needed when the program runs.
 * @throws Error when the executable does not have the addon inside, byte for byte
 */
export async function assertHolds(executable: string, addon: string): Promise<void> {
  const [whole, part] = await Promise.all([executable, addon].map((path) => Bun.file(path).bytes()));
  if (!part?.length || !whole || Buffer.from(whole.buffer).indexOf(part) < 0)
    throw new Error(`${executable} does not have ${addon} inside.`);
}

/** The path of the compiled part in its package. */
async function addonIn(folder: string): Promise<string> {
  const manifest = Bun.file(join(folder, 'package.json'));
  if (!(await manifest.exists())) throw new Error(`${folder} is missing.`);
  return join(folder, (await manifest.json()).main);
}

/** In place of the loader that asks the machine which addon it needs: this one, and no other goes in. */
function withAddon(path: string): BunPlugin {
  const contents = `import addon from ${JSON.stringify(path)};\nexport const { hash, hashRaw, verify } = addon;`;
  return {
    name: 'argon2',
    setup: (build) => {
      build.onLoad({ filter: /@node-rs[\\/]argon2[\\/]index\.js$/ }, () => ({ contents, loader: 'js' }));
    },
  };
}
