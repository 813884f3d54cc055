// The files of scripts/deploy: the units are sound and hardened alike, settings exist, images are of the versions used here.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { engines } from '../../package.json' with { type: 'json' };
import { loadConfig, variables } from '../../src/config.ts';
import { programOf } from '../support/proxy.ts';

const root = join(import.meta.dir, '../..');
const read = (name: string) => readFileSync(join(root, 'scripts/deploy', name), 'utf8');
const services = ['chat-backend.service', 'chat-backend-backup.service'];

/** NAME=value lines of a settings file, with those that wait behind a `#` to be used. */
function settingsOf(text: string): Record<string, string> {
  return Object.fromEntries(
    [...text.matchAll(/^#?([A-Z_]+)=(.*)$/gm)].map(([, name, value]) => [name, value]),
  );
}

/** The settings of a unit that bound what it may do. */
function boundsOf(unit: string): string[] {
  const bounds =
    /^(?:Protect|Private|Restrict|SystemCall|Capability|Ambient|NoNew|Lock|Remove|UMask|LimitCORE)/;
  return unit.split('\n').filter((line) => bounds.test(line));
}

const analyzer = programOf('systemd-analyze');

describe.skipIf(!analyzer)(`systemd${analyzer ? '' : ' (skipped: no systemd-analyze here)'}`, () => {
  const folder = mkdtempSync(join(tmpdir(), 'chat-units-'));

  async function analyze(...args: string[]) {
    const child = Bun.spawn([analyzer ?? '', ...args], {
      stdout: 'pipe',
      stderr: 'pipe',
    });
    const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    return { status: child.exitCode, said: stdout + stderr };
  }
  const unit = (name: string) => join(folder, name);

  beforeAll(() => {
    for (const name of [...services, 'chat-backend-backup.timer'])
      writeFileSync(unit(name), read(name).replace('/usr/local/bin/chat-backend', process.execPath));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test('It finds nothing wrong with the units, and would find a word that it does not know.', async () => {
    for (const name of [...services, 'chat-backend-backup.timer'])
      expect(await analyze('verify', unit(name))).toEqual({ status: 0, said: '' });
    writeFileSync(unit('wrong.service'), read('chat-backend.service').replace('UMask', 'YouMask'));
    expect((await analyze('verify', unit('wrong.service'))).said).toInclude('YouMask');
  });

  test('It rates what they leave open at 1.5 of 10 or less.', async () => {
    const rate = (name: string) =>
      analyze('security', '--offline=true', '--no-pager', '--threshold=15', unit(name));
    for (const name of services) {
      const { status, said } = await rate(name);
      expect(status, said).toBe(0);
    }
    writeFileSync(unit('open.service'), '[Service]\nExecStart=/bin/true\n');
    expect((await rate('open.service')).status).not.toBe(0);
  });
});

describe('what a server is set up with', () => {
  test('The backup is bound like the server.', () => {
    const [server = '', backup = ''] = services.map(read);
    expect(boundsOf(server).length).toBeGreaterThan(20);
    expect(boundsOf(backup)).toEqual(boundsOf(server));
  });

  test('Every setting of the example exists and is valid.', () => {
    const settings = settingsOf(read('env'));
    expect(Object.keys(settings)).toContain('BACKUP_REPO');
    expect(Object.keys(variables)).toEqual(expect.arrayContaining(Object.keys(settings)));
    expect(loadConfig(settings)).toMatchObject({ HOST: '127.0.0.1', BACKUP_SCHEDULE: 'off' });
  });

  test('What the page links to in the README is there.', () => {
    const headings = [...readFileSync(join(root, 'README.md'), 'utf8').matchAll(/^#+ (.+)$/gm)];
    const anchors = headings.map(([, heading = '']) => heading.toLowerCase().replaceAll(' ', '-'));
    const links = [...read('README.md').matchAll(/README\.md#([\w-]+)/g)].map(([, anchor]) => anchor);
    expect(links).toContain('configuration');
    expect(anchors).toEqual(expect.arrayContaining(links));
  });

  test('The image is built by the Bun that everything else uses, from files that exist and reach the build.', () => {
    const text = read('Dockerfile');
    expect(/^FROM oven\/bun:(\S+) AS build$/m.exec(text)?.[1]).toBe(engines.bun);
    const copied = [...text.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, paths = '']) =>
      paths.split(' '),
    );
    const ignored = read('Dockerfile.dockerignore').split('\n');
    expect(copied).toContain('bun.lock');
    for (const path of copied) {
      expect(existsSync(join(root, path)), path).toBe(true);
      expect(ignored).toContain(`!${path}`);
    }
  });

  test('The services of the compose file use networks, volumes and files that exist, and settings that do.', () => {
    const { services: parts, networks, volumes } = Bun.YAML.parse(read('compose.yaml')) as Compose;
    const { chat, caddy } = parts;
    for (const part of [chat, caddy]) {
      for (const network of part?.networks ?? []) expect(networks).toHaveProperty(network);
      for (const volume of part?.volumes ?? []) {
        const [from = ''] = volume.split(':');
        if (from.startsWith('./')) expect(readdirSync(join(root, 'scripts/deploy'))).toContain(from.slice(2));
        else expect(Object.keys(volumes)).toContain(from);
      }
    }
    expect(existsSync(join(root, chat?.build?.dockerfile ?? ''))).toBe(true);
    const settings = chat?.environment ?? {};
    const proxyAddress = networks.inside?.ipam.config[0]?.subnet ?? '';
    expect(loadConfig({ ...settings, PUBLIC_URL: 'https://a.test' }).TRUST_PROXY?.check('172.31.22.3')).toBe(
      true,
    );
    expect(settings.TRUST_PROXY).toBe(proxyAddress);
    expect(read('Caddyfile')).toInclude('{$CHAT_UPSTREAM:');
  });
});

interface Part {
  readonly build?: { readonly dockerfile: string };
  readonly environment?: Record<string, string>;
  readonly networks: readonly string[];
  readonly volumes: readonly string[];
}

interface Compose {
  readonly services: Record<string, Part>;
  readonly networks: Record<string, { readonly ipam: { readonly config: readonly { subnet: string }[] } }>;
  readonly volumes: Record<string, null>;
}
