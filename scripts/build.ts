// Builds standalone executables, each one file that runs alone in an empty folder: for this machine, or for others too.
import { mkdirSync, rmSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { version } from '../package.json' with { type: 'json' };
import { type Compiled, compile } from './build/compile.ts';
import { installPackages, runtimeIn } from './build/packages.ts';
import { smoke } from './build/smoke.ts';
import { hostTarget, type Target, targets } from './build/targets.ts';

const root = join(import.meta.dir, '..');
const usage = `Usage: bun run build [FILE]                          for this machine, dist/chat-backend
       bun run build --all [FOLDER]                  for all platforms, with SHA256SUMS
       bun run build --target NAME [...] [FOLDER]    for these: ${targets.map(({ name }) => name).join(', ')}`;

const megabytes = ({ bytes }: Compiled) => `${(bytes / 1e6).toFixed(0)} MB`;

async function buildHere(outfile = join(root, 'dist/chat-backend')): Promise<void> {
  rmSync(outfile, { force: true });
  const place = {
    packages: join(root, 'node_modules'),
    runtime: process.execPath,
    outfile: resolve(outfile),
  };
  const built = await compile(hostTarget(), place);
  console.log(`${built.path}: ${megabytes(built)}`);
}

/** Builds each, says whether it ran, and writes the file that `sha256sum --check` reads. */
async function buildFor(chosen: readonly Target[], folder = join(root, 'dist')): Promise<void> {
  mkdirSync(folder, { recursive: true });
  using installed = await installPackages(chosen);
  const packages = installed.folder;
  const host = hostTarget();
  const sums: string[] = [];
  for (const target of chosen) {
    const outfile = join(resolve(folder), `chat-backend-${version}-${target.name}`);
    const built = await compile(target, { packages, runtime: runtimeIn(packages, target), outfile });
    const obstacle = await smoke(built.path, target, host);
    const ran = obstacle === null ? 'ran: signed up, stopped' : `not run here: ${obstacle}`;
    console.log(`${basename(built.path)}: ${megabytes(built)}, ${ran}`);
    const hash = new Bun.CryptoHasher('sha256').update(await Bun.file(built.path).bytes()).digest('hex');
    sums.push(`${hash}  ${basename(built.path)}\n`);
  }
  await Bun.write(join(folder, 'SHA256SUMS'), sums.join(''));
}

/** Null when the command line cannot be understood. */
function readCommandLine() {
  try {
    const { values, positionals } = parseArgs({
      options: { all: { type: 'boolean' }, target: { type: 'string', multiple: true } },
      allowPositionals: true,
    });
    const named = values.all ? targets.map(({ name }) => name) : values.target;
    const chosen = named?.map((name) => targets.find((target) => target.name === name));
    if (positionals.length > 1 || chosen?.includes(undefined)) return null;
    return { chosen: chosen?.filter((target) => target !== undefined), place: positionals[0] };
  } catch {
    return null; // an option that does not exist
  }
}

const line = readCommandLine();
if (!line) {
  console.error(usage);
  process.exit(2);
}
if (line.chosen) await buildFor(line.chosen, line.place);
else await buildHere(line.place);
