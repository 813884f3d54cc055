// Holds the packages of bun.lock to the list in allowed-packages.tsv, and asks the registry for advisories on them.
import { join } from 'node:path';
import { Glob, JSONC } from 'bun';
import { z } from 'zod';

/** A package of the list: `name version` is allowed, and so are the install scripts it names. */
interface Allowed {
  readonly name: string;
  readonly version: string;
  readonly scripts: readonly string[];
}

const listPath = 'scripts/allowed-packages.tsv';
/** A package of the lock file: `name@version`, the source (empty for the registry), and more. */
const lockFile = z.object({
  packages: z.record(z.string(), z.tuple([z.string(), z.unknown()]).rest(z.unknown())),
});
const word = z.string().default('');
const manifest = z.object({
  name: word,
  version: word,
  scripts: z.record(z.string(), z.unknown()).default({}),
});
const advisories = z.record(
  z.string(),
  z.array(z.object({ severity: z.string(), title: z.string(), url: z.string() })),
);
/** In node_modules; what a package has in its own folders is not installed. */
const isPackageRoot = /^(?:.*\/node_modules\/)?(?:@[^/]+\/)?[^/@][^/]*\/package\.json$/;
const installScripts = ['preinstall', 'install', 'postinstall'];

/**
 * The lines of the list after its head: name, version, reason, and the allowed install scripts, between tabs.
 *
 * @throws Error for a line that is not of that shape
 */
function parseList(text: string): Allowed[] {
  const [, ...lines] = text.trimEnd().split('\n');
  return lines.map((line) => {
    const [name, version, reason, scripts = '', ...more] = line.split('\t');
    if (!name || !version || !reason || more.length > 0)
      throw new Error(`${listPath}: not name, version, reason and scripts between tabs: ${line}`);
    return { name, version, scripts: scripts.split(' ') };
  });
}

/** One line for each package whose versions in the lock file and on the list differ, or that is not what its name says. */
function differences(lockText: string, allowed: readonly Allowed[]): string[] {
  const entries = Object.entries(lockFile.parse(JSONC.parse(lockText)).packages);
  const locked = entries.map(([key, [id, source]]) => {
    const at = id.lastIndexOf('@');
    return { key, name: id.slice(0, at), version: id.slice(at + 1), source };
  });
  const versionsOf = (name: string, packages: readonly { name: string; version: string }[]) =>
    [...new Set(packages.filter((one) => one.name === name).map(({ version }) => version))].sort().join(', ');
  const names = new Set([...locked, ...allowed].map(({ name }) => name));
  const versions = [...names].flatMap((name) => {
    const [is, listed] = [versionsOf(name, locked), versionsOf(name, allowed)];
    if (is === listed) return [];
    if (!listed) return [`${name} ${is} is not on the list`];
    return is
      ? [`${name} is ${is}, the list has ${listed}`]
      : [`${name} ${listed} is listed, but not in bun.lock`];
  });
  const origins = locked.flatMap(({ key, name, version, source }) => {
    // an alias installs one package under the name that another is imported by
    if (key !== name && !key.endsWith(`/${name}`)) return [`${name} ${version} is installed as ${key}`];
    return source === '' ? [] : [`${name} ${version} does not come from the registry`];
  });
  return [...versions, ...origins];
}

/** One line for each script that an installed package would run at its installation and the list does not allow. */
async function forbiddenScripts(folder: string, allowed: readonly Allowed[]): Promise<string[]> {
  const problems: string[] = [];
  for await (const path of new Glob('**/package.json').scan({ cwd: folder, dot: true })) {
    if (!isPackageRoot.test(path)) continue;
    const { name, version, scripts } = manifest.parse(await Bun.file(join(folder, path)).json());
    const listed = allowed.find((one) => one.name === name && one.version === version)?.scripts;
    for (const script of installScripts)
      if (script in scripts && !listed?.includes(script))
        problems.push(`${path}: ${name} ${version} has a script "${script}", which the list does not allow`);
  }
  return problems.sort();
}

/**
 * What `bun audit` reports, a line for each advisory. A registry that does not answer is no finding: that is printed.
 *
 * @see https://bun.com/docs/install/audit
 */
async function reportedAdvisories(folder: string): Promise<string[]> {
  const child = Bun.spawn([process.execPath, 'audit', '--json'], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 30_000,
  });
  const [found, said, status] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  if (status !== 0 && found.trim() === '') {
    const error = said.trim().split('\n').at(-1) || 'error: POST took longer than 30 s';
    if (!error.startsWith('error: POST ')) return [`bun audit: ${error}`];
    console.log(`The registry told of no advisories, good or bad: ${error}`);
    return [];
  }
  return Object.entries(advisories.parse(JSON.parse(found))).flatMap(([name, ones]) =>
    ones.map(({ severity, title, url }) => `${name}: ${severity}: ${title} (${url})`),
  );
}

const allowed = parseList(await Bun.file(listPath).text());
const problems = [
  ...differences(await Bun.file('bun.lock').text(), allowed),
  ...(await forbiddenScripts('node_modules', allowed)),
  ...(await reportedAdvisories('.')),
];
for (const problem of problems) console.error(problem);
if (problems.length > 0) process.exit(1);
console.log(`${allowed.length} packages are as listed.`);
