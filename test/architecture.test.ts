// Holds the house rules: who may import whom, what each room knows, how files begin and how long they are.
import { describe, expect, test } from 'bun:test';
import { dirname, join, normalize } from 'node:path';
import { Glob } from 'bun';

const root = join(import.meta.dir, '..');

interface SourceFile {
  /** From the top of the repository, as `src/accounts/service.ts`. */
  readonly path: string;
  readonly text: string;
  /** What it imports, types too: paths from the top of the repository for files, names for packages. */
  readonly imports: readonly string[];
}

/** A rule gives one line for each place that breaks it. */
type Rule = (files: readonly SourceFile[]) => string[];

/** Rooms from the top of the house to its ground; a room may use those of the lines below its own. */
const levels = [
  ['index'],
  ['server'],
  ['app'],
  ['gateway', 'ops'],
  ['accounts', 'chats', 'messages'],
  ['http'],
  ['store', 'infra'],
  ['actor'],
  ['protocol', 'errors', 'log', 'config'],
];
/** The web client and its library stand beside the house and share nothing with it but the contract. */
const besides: Record<string, readonly string[]> = { client: ['protocol'], web: ['client', 'protocol'] };

function roomOf(path: string): string | null {
  return /^src\/([a-z]+)(?:\/|\.ts$)/.exec(path)?.[1] ?? null;
}

const importsOf = (text: string): string[] => {
  const code = withoutComments(text);
  const found = [
    ...code.matchAll(/^(?:import|export)\b[^;'"]*?\bfrom\s+['"]([^'"]+)['"]/gm),
    ...code.matchAll(/^import\s+['"]([^'"]+)['"]/gm),
    ...code.matchAll(/\b(?:import|require)\(\s*([^)]*?)\s*[,)]/g),
  ];
  return found.map(([, name = '']) => name.replace(/^['"]|['"]$/g, ''));
};

/** Whole lines of comment are blanked, which is the only place comments speak of imports in. */
function withoutComments(text: string): string {
  return text.replace(/^\s*(?:\/\/|\/?\*).*$/gm, '');
}

function sourceFile(path: string, text: string): SourceFile {
  const imports = importsOf(text).map((name) =>
    name.startsWith('.') ? normalize(join(dirname(path), name)) : name,
  );
  return { path, text, imports };
}

const isPackage = (name: string) => !/^(?:src|scripts|test)\//.test(name);
const isNamed = (name: string, ...packages: string[]) =>
  packages.some((one) => name === one || name.startsWith(`${one}/`) || name.startsWith(`${one}:`));

const eachImport =
  (problem: (file: SourceFile, imported: string) => boolean): Rule =>
  (files) =>
    files.flatMap((file) =>
      file.imports.filter((name) => problem(file, name)).map((name) => `${file.path} imports ${name}`),
    );
const eachFile =
  (what: string, problem: (file: SourceFile) => boolean): Rule =>
  (files) =>
    files.filter(problem).map(({ path }) => `${path} ${what}`);

const direction = eachImport(({ path }, imported) => {
  if (isPackage(imported)) return false;
  if (path.startsWith('scripts/')) return imported.startsWith('test/');
  const [from, to] = [roomOf(path), roomOf(imported)];
  if (!from || !to) return true; // src knows nothing of scripts and tests
  if (from === to) return false;
  if (from in besides) return !besides[from]?.includes(to);
  const [above, below] = [from, to].map((room) => levels.findIndex((rooms) => rooms.includes(room)));
  return above === undefined || below === undefined || above < 0 || below <= above;
});

const everyRoomIsKnown = eachFile('is in no room of the house', ({ path }) => {
  const room = roomOf(path) ?? '';
  const known = levels.flat().includes(room) || room in besides || path === 'src/sql.d.ts';
  return path.startsWith('src/') && !known;
});

const protocolStandsAlone = eachImport(
  ({ path }, name) => roomOf(path) === 'protocol' && name !== 'zod' && roomOf(name) !== 'protocol',
);

const onlyTheStoreKnowsTheDatabase = eachImport(({ path }, name) => {
  const allowed =
    /^src\/store\/|^scripts\//.test(path) ||
    (/^src\/ops\/(?:backup|import)\//.test(path) && name === 'bun:sqlite');
  return isNamed(name, 'drizzle-orm', 'bun:sqlite') && !allowed;
});

const adaptersAreChosenAtTheTop = eachImport(
  ({ path }, name) =>
    roomOf(name) === 'store' &&
    !/^src\/store\/(?:[a-z-]+-)?store\.ts$/.test(name) && // the interfaces
    !/^(?:src\/(?:store|ops)\/|src\/(?:server|index)\.ts$|scripts\/)/.test(path),
);

const rulesKnowNoFramework: Rule = (files) => {
  const services = files.filter(({ path }) => /\/(?:service|committer)\.ts$/.test(path));
  const imports = eachImport((_file, name) => isNamed(name, 'hono', 'bun', 'drizzle-orm'));
  const globals = eachFile('uses Bun', ({ text }) => /\bBun\b/.test(withoutComments(text)));
  return [...imports(services), ...globals(services)];
};

/** Every circle once, as the files on it. */
const noCircles: Rule = (files) => {
  const importsAt = new Map(files.map(({ path, imports }) => [path, imports]));
  const settled = new Set<string>();
  const circles: string[] = [];
  const walk = (path: string, trail: readonly string[]): void => {
    if (trail.includes(path)) circles.push([...trail.slice(trail.indexOf(path)), path].join(' > '));
    else if (!settled.has(path)) {
      for (const next of importsAt.get(path) ?? []) if (importsAt.has(next)) walk(next, [...trail, path]);
      settled.add(path);
    }
  };
  for (const { path } of files) walk(path, []);
  return circles;
};

const noBarrels = eachFile('only passes on what others export', ({ text }) => {
  const code = withoutComments(text);
  const own = code.replace(/^export\b[^;'"]*?\bfrom\s+['"][^'"]+['"][^;\n]*;?/gm, '').trim();
  return /^export\s+\*/m.test(code) || (own === '' && code.trim() !== '');
});

const noDefaultExports = eachFile(
  'has a default export',
  ({ path, text }) =>
    path.startsWith('src/') &&
    path !== 'src/sql.d.ts' &&
    /^export\s+(?:default\b|\{[^}]*\bas default\b)/m.test(text),
);

/** These two pass the environment on to their children (git, a backup) and read no setting from it. */
const passEnvironmentOn = ['src/ops/backup/git.ts', 'src/ops/backup/runner.ts', 'scripts/bench/run.ts'];
const onlyConfigReadsTheEnvironment = eachFile(
  'reads the environment',
  ({ path, text }) =>
    path !== 'src/config.ts' &&
    !passEnvironmentOn.includes(path) &&
    /\bprocess\s*(?:\?\.|\.)\s*env\b|\bBun\.env\b|\bimport\.meta\.env\b|\benv\b[^;\n]*=\s*process\b/.test(
      withoutComments(text),
    ),
);

const beginsWithASentence = eachFile(
  'does not begin with a comment that says what it is',
  ({ text }) => !/^(?:#!.*\n)?\/\/ [A-Z`][^\n]*\.\n/.test(text),
);

const fitsOneSitting = eachFile(
  'is longer than 400 lines',
  ({ path, text }) => path.startsWith('src/') && text.trimEnd().split('\n').length > 400,
);

const everyCloseCodeIsUsed: Rule = (files) => {
  const table = /\bcloseCodes = \{([^}]*)\}/.exec(files.map(({ text }) => text).join('\n'))?.[1] ?? '';
  const names = [...table.matchAll(/(\w+): \d+/g)].map(([, name = '']) => name);
  const isUsed = (name: string) => files.some(({ text }) => text.includes(`closeCodes.${name}`));
  return names.filter((name) => !isUsed(name)).map((name) => `nothing closes with ${name}`);
};

const dynamicImportsAreLiteral = eachImport((_file, name) => !/^[\w@./:-]+$/.test(name));

interface Case {
  readonly rule: Rule;
  /** A file (or several) that breaks the rule: path, then text. */
  readonly broken: Record<string, string>;
  /** One that looks alike and does not. */
  readonly sound: Record<string, string>;
}

const rules: Record<string, Case> = {
  'A room imports only rooms below it.': {
    rule: direction,
    broken: { 'src/http/a.ts': `import type { Store } from '../accounts/service.ts';` },
    sound: { 'src/index.ts': `import { backupCommand } from './ops/backup/backup.ts';` },
  },
  'Features never import each other.': {
    rule: direction,
    broken: { 'src/chats/a.ts': `const { b } = await import('../messages/b.ts');` },
    sound: { 'src/chats/a.ts': `export type { C } from './c.ts';\n// import('../messages/b.ts')` },
  },
  'Nothing in src imports a script or a test.': {
    rule: direction,
    broken: { 'src/server.ts': `import '../scripts/populate.ts';` },
    sound: { 'src/server.ts': `import { version } from '../package.json' with { type: 'json' };` },
  },
  'Every file of src is in a room of the house.': {
    rule: everyRoomIsKnown,
    broken: { 'src/utils/text.ts': '' },
    sound: { 'src/protocol/text.ts': '' },
  },
  'Every close code is used.': {
    rule: everyCloseCodeIsUsed,
    broken: { 'src/errors.ts': 'export const closeCodes = {\n  odd: 4999,\n} as const;' },
    sound: {
      'src/errors.ts': 'export const closeCodes = {\n  odd: 4999,\n} as const;',
      'src/gateway/a.ts': "socket.close(closeCodes.odd, 'Odd.');",
    },
  },
  'The protocol imports only zod and itself.': {
    rule: protocolStandsAlone,
    broken: { 'src/protocol/a.ts': `import { AppError } from '../errors.ts';` },
    sound: { 'src/protocol/a.ts': `import { z } from 'zod';\nimport { b } from './b.ts';` },
  },
  'Only the store imports the database; a backup and an import may open files of SQLite.': {
    rule: onlyTheStoreKnowsTheDatabase,
    broken: { 'src/ops/backup/backup.ts': `import {\n  eq,\n} from 'drizzle-orm';` },
    sound: { 'src/ops/backup/backup.ts': `import { Database } from 'bun:sqlite';` },
  },
  'Concrete store files are imported only where parts are put together.': {
    rule: adaptersAreChosenAtTheTop,
    broken: { 'src/chats/service.ts': `import { openStore } from '../store/open.ts';` },
    sound: { 'src/chats/service.ts': `import type { Store } from '../store/store.ts';` },
  },
  'Services and the committer know no framework, no Bun and no SQL.': {
    rule: rulesKnowNoFramework,
    broken: { 'src/messages/committer.ts': 'await Bun.sleep(1);' },
    sound: { 'src/messages/committer.ts': `// Bun has setImmediate\nimport { a } from 'node:crypto';` },
  },
  'No files import each other in a circle, not even for types.': {
    rule: noCircles,
    broken: { 'src/a.ts': `import './b.ts';`, 'src/b.ts': `import type { A } from './a.ts';` },
    sound: {
      'src/a.ts': `import './b.ts';\nimport './c.ts';`,
      'src/b.ts': `import './c.ts';`,
      'src/c.ts': '',
    },
  },
  'No file is a barrel.': {
    rule: noBarrels,
    broken: { 'src/chats/a.ts': `// All.\nexport { a } from './a.ts';\nexport type { B } from './b.ts';\n` },
    sound: { 'src/chats/a.ts': `export { a } from './a.ts';\nexport const b = 1;` },
  },
  'No file of src has a default export.': {
    rule: noDefaultExports,
    broken: { 'src/app.ts': 'const app = 1;\nexport { app as default };' },
    sound: { 'src/sql.d.ts': 'export default text;' },
  },
  'Only config.ts reads the environment.': {
    rule: onlyConfigReadsTheEnvironment,
    broken: { 'src/infra/mailer.ts': 'const url = process.env.SMTP_URL;' },
    sound: { 'src/ops/backup/git.ts': 'const env = { ...process.env };' },
  },
  'Every file begins with a sentence that says what it is.': {
    rule: beginsWithASentence,
    broken: { 'src/log.ts': `import { join } from 'node:path';\n` },
    sound: { 'src/log.ts': '// Structured log.\n' },
  },
  'No file of src is longer than 400 lines.': {
    rule: fitsOneSitting,
    broken: { 'src/log.ts': 'a;\n'.repeat(401) },
    sound: { 'src/log.ts': 'a;\n'.repeat(400) },
  },
  'What is imported is written out, so that these rules see it.': {
    rule: dynamicImportsAreLiteral,
    broken: { 'src/log.ts': 'const feature = await import(`../` + name);' },
    sound: { 'src/log.ts': `const { z } = await import('zod');` },
  },
};

async function readSources(): Promise<SourceFile[]> {
  const files: SourceFile[] = [];
  for (const folder of ['src', 'scripts']) {
    for await (const path of new Glob(`${folder}/**/*.ts`).scan(root)) {
      files.push(sourceFile(path, await Bun.file(join(root, path)).text()));
    }
  }
  return files;
}

const sources = await readSources();
const asFiles = (texts: Record<string, string>) =>
  Object.entries(texts).map(([path, text]) => sourceFile(path, text));

describe('the house', () => {
  test('All files of src and scripts are looked at.', () => {
    const paths = sources.map(({ path }) => path);
    expect(paths).toContain('src/store/sqlite.ts');
    expect(paths).toContain('scripts/build.ts');
    const server = sources.find(({ path }) => path === 'src/server.ts');
    expect(server?.imports).toContain('src/gateway/gateway.ts');
    expect(server?.imports).toContain('src/store/store.ts');
  });

  for (const [title, { rule, broken, sound }] of Object.entries(rules)) {
    test(title, () => {
      expect(rule(sources)).toEqual([]);
      expect(rule(asFiles(broken))).toHaveLength(1);
      expect(rule(asFiles(sound))).toEqual([]);
    });
  }
});

/** The dependencies whose version leaves a choice. */
function looseVersions(dependencies: Record<string, string>): string[] {
  return Object.entries(dependencies)
    .filter(([, version]) => !/^\d+\.\d+\.\d+(?:-[\w.]+)?$/.test(version))
    .map(([name, version]) => `${name} ${version}`);
}

/** The Bun that `npm run setup` fetches, or null when it names none. */
function bunOfSetup(script: string): string | null {
  return /\bbun@(\S+)/.exec(script)?.[1] ?? null;
}

describe('package.json', async () => {
  const { scripts, engines, dependencies, devDependencies } = await Bun.file(
    join(root, 'package.json'),
  ).json();

  test('Every dependency has one exact version.', () => {
    expect(looseVersions({ ...dependencies, ...devDependencies })).toEqual([]);
    expect(looseVersions({ a: '^1.2.3', b: '~1.2.3', c: '1.x', d: 'latest', e: '1.2.3' })).toHaveLength(4);
  });

  test('The Bun that setup fetches is the one that is depended on, and the one that runs this.', () => {
    const { bun } = { ...dependencies, ...devDependencies };
    expect(bunOfSetup(scripts.setup)).toBe(bun);
    expect(engines.bun).toBe(bun);
    expect(Bun.version).toBe(bun);
    expect(bunOfSetup('npx --yes bun@1.0.0 install')).not.toBe(bun);
  });
});
