// The gate of packages: what it passes, and each thing it fails for, on made-up lock files in a temp folder.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

const script = join(import.meta.dir, '../../scripts/audit.ts');
const advisory = { id: 1, url: 'https://example.test/1', title: 'Lets all in', severity: 'low' };

let folder = '';
/** Stands in for the registry; what it knows is asked for by path. */
let registry: Bun.Server<undefined>;

beforeAll(() => {
  const answer = (known: unknown, status = 200) => Response.json(known, { status });
  registry = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    fetch: ({ url }) => {
      if (url.includes('/sound/')) return answer({});
      if (url.includes('/garbled/')) return answer({ chosen: 'yes' });
      return url.includes('/unsafe/') ? answer({ chosen: [advisory] }) : answer({}, 405);
    },
  });
});
afterAll(() => registry.stop(true));

const write = (path: string, text: string) => {
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  writeFileSync(join(folder, path), text);
};
const lock = (packages: Record<string, unknown[]>) => {
  const lines = Object.entries(packages).map(([key, entry]) => `    "${key}": ${JSON.stringify(entry)},\n`);
  const workspaces = '"workspaces": { "": { "name": "made-up", "dependencies": { "chosen": "1.0.0", }, }, }';
  write(
    'bun.lock',
    `{\n  "lockfileVersion": 1,\n  ${workspaces},\n  "packages": {\n${lines.join('')}  },\n}\n`,
  );
};
const list = (...lines: string[]) =>
  write('scripts/allowed-packages.tsv', ['name\tversion\treason\tinstall scripts', ...lines, ''].join('\n'));
const installed = (path: string, name: string, scripts: Record<string, string>) =>
  write(`node_modules/${path}/package.json`, JSON.stringify({ name, version: '1.0.0', scripts }));

const chosen = ['chosen@1.0.0', '', { dependencies: { '@deep/down': '^2.0.0' } }, 'sha512-AA=='];
const deep = ['@deep/down@2.0.0', '', {}, 'sha512-AA=='];
const chosenLine = 'chosen\t1.0.0\tchosen for the test';
const deepLine = '@deep/down\t2.0.0\tfor chosen';

/** A folder in which nothing is wrong; each test then spoils it. */
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'chat-audit-'));
  write('package.json', '{ "name": "made-up", "dependencies": { "chosen": "1.0.0" } }');
  lock({ chosen, '@deep/down': deep });
  list(chosenLine, deepLine);
  installed('chosen', 'chosen', { test: 'true' });
  return () => rmSync(folder, { recursive: true, force: true });
});

async function audit(knows = 'sound') {
  const child = Bun.spawn([process.execPath, 'run', script], {
    cwd: folder,
    env: {
      PATH: process.env.PATH ?? '',
      HOME: folder,
      NPM_CONFIG_REGISTRY: `http://127.0.0.1:${registry.port}/${knows}/`,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 10_000,
  });
  const [stdout, stderr, status] = await Promise.all([
    child.stdout.text(),
    child.stderr.text(),
    child.exited,
  ]);
  return { status, stdout, stderr };
}

/** Holds that the gate fails, with this one line. */
async function failsWith(line: string) {
  expect(await audit()).toEqual({ status: 1, stdout: '', stderr: `${line}\n` });
}

test('Packages that are as listed, deep ones too, pass.', async () => {
  expect(await audit()).toEqual({ status: 0, stdout: '2 packages are as listed.\n', stderr: '' });
});

describe('the list', () => {
  test('A package that is not on it fails.', async () => {
    list(chosenLine);
    await failsWith('@deep/down 2.0.0 is not on the list');
  });

  test('A package of another version fails.', async () => {
    list(chosenLine, deepLine.replace('2.0.0', '2.0.1'));
    await failsWith('@deep/down is 2.0.0, the list has 2.0.1');
  });

  test('A second version of a package, inside another one, fails until it is listed.', async () => {
    lock({ chosen, '@deep/down': deep, 'chosen/@deep/down': ['@deep/down@3.0.0', '', {}, 'sha512-AA=='] });
    await failsWith('@deep/down is 2.0.0, 3.0.0, the list has 2.0.0');
    list(chosenLine, deepLine, deepLine.replace('2.0.0', '3.0.0'));
    expect(await audit()).toMatchObject({ status: 0 });
  });

  test('A listed package that is gone fails.', async () => {
    list(chosenLine, deepLine, 'gone\t1.0.0\tonce needed');
    await failsWith('gone 1.0.0 is listed, but not in bun.lock');
  });

  test('A listed package under the name of another fails.', async () => {
    lock({ chosen, '@deep/down': deep, other: deep });
    await failsWith('@deep/down 2.0.0 is installed as other');
  });

  test('A listed package from elsewhere than the registry fails.', async () => {
    lock({ chosen, '@deep/down': ['@deep/down@2.0.0', 'https://example.test/down.tgz', {}, 'sha512-AA=='] });
    await failsWith('@deep/down 2.0.0 does not come from the registry');
  });

  test('Every problem has a line of its own.', async () => {
    list('gone\t1.0.0\tonce needed', chosenLine.replace('1.0.0', '1.0.1'));
    const { status, stderr } = await audit();
    expect(status).toBe(1);
    expect(stderr.trimEnd().split('\n')).toHaveLength(3);
  });

  test('A line without a reason fails.', async () => {
    list(chosenLine, '@deep/down\t2.0.0');
    const { status, stderr } = await audit();
    expect(status).toBe(1);
    expect(stderr).toInclude('not name, version, reason and scripts between tabs: @deep/down');
  });
});

describe('install scripts', () => {
  for (const name of ['preinstall', 'install', 'postinstall']) {
    test(`A package with a script "${name}" fails until the list allows it.`, async () => {
      installed('chosen', 'chosen', { [name]: 'node steal.js' });
      await failsWith(
        `chosen/package.json: chosen 1.0.0 has a script "${name}", which the list does not allow`,
      );
      list(`${chosenLine}\t${name}`, deepLine);
      expect(await audit()).toMatchObject({ status: 0 });
    });
  }

  test('A scoped package inside another one is looked at too.', async () => {
    installed('chosen/node_modules/@deep/down', '@deep/down', { install: 'node steal.js' });
    await failsWith(
      'chosen/node_modules/@deep/down/package.json: @deep/down 1.0.0 has a script "install", which the list does not allow',
    );
  });
});

describe('advisories', () => {
  test('An advisory that the registry reports fails.', async () => {
    expect(await audit('unsafe')).toEqual({
      status: 1,
      stdout: '',
      stderr: 'chosen: low: Lets all in (https://example.test/1)\n',
    });
  });

  test('A report that cannot be read fails.', async () => {
    expect(await audit('garbled')).toMatchObject({ status: 1, stdout: '' });
  });

  test('A lock file that `bun audit` does not take fails.', async () => {
    lock({ chosen });
    list(chosenLine);
    await failsWith('bun audit: error: failed to parse lockfile: InvalidLockfile');
  });

  test('A registry that does not tell is said in one line and passed over.', async () => {
    const { status, stdout, stderr } = await audit('silent');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(
      /^The registry told of no advisories, good or bad: .*405\n2 packages are as listed\.\n$/,
    );
  });

  test('What the list fails, fails also when the registry does not tell.', async () => {
    list(chosenLine);
    expect(await audit('silent')).toMatchObject({
      status: 1,
      stderr: '@deep/down 2.0.0 is not on the list\n',
    });
  });
});
