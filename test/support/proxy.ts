// The reverse proxies of scripts/deploy, run as they are but for ports, paths, and a certificate of the test's own.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Subprocess } from 'bun';
import { fixedPort } from './process.ts';
import type { Answer } from './server.ts';

export type ProxyName = 'nginx' | 'caddy';

const deploy = join(import.meta.dir, '../../scripts/deploy');
const searched = { PATH: `${process.env.PATH}:/usr/sbin:/sbin` };

/** Where the program is, or null when this machine does not have it. */
export function programOf(name: ProxyName | 'openssl' | 'systemd-analyze'): string | null {
  return Bun.which(name, searched);
}

interface Ports {
  /** Of the chat server. */
  readonly chat: number;
  readonly https: number;
  readonly http: number;
}

/** What to write into the folder, and the arguments that start the program with it. */
type Preparation = (folder: string, ports: Ports) => string[];

const preparations: Record<ProxyName, Preparation> = {
  nginx: (folder, { chat, https, http }) => {
    const site = readFileSync(join(deploy, 'nginx.conf'), 'utf8')
      .replace('server 127.0.0.1:22148;', `server 127.0.0.1:${chat};`)
      .replaceAll('/etc/letsencrypt/live/chat.example.com', folder)
      .replaceAll('/var/log/nginx', folder)
      .replaceAll(/^.*listen \[::\].*$/gm, '')
      .replaceAll('listen 443', `listen ${https}`)
      .replaceAll('listen 80', `listen ${http}`);
    writeFileSync(join(folder, 'site.conf'), site);
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
      .map((kind) => `${kind}_temp_path ${folder}/${kind};`)
      .join('\n');
    // The workers of a root's nginx would not get into the folder.
    const user = process.getuid?.() === 0 ? 'user root;' : '';
    writeFileSync(
      join(folder, 'main.conf'),
      `${user}\nevents {}\nhttp {\n${temporary}\ninclude ${folder}/site.conf;\n}\n`,
    );
    const globals = `daemon off; pid ${folder}/pid; error_log ${folder}/error.log info;`;
    return ['-e', `${folder}/error.log`, '-c', join(folder, 'main.conf'), '-g', globals];
  },
  caddy: (folder, { chat, https, http }) => {
    const ours = `{\n\tadmin off\n\thttp_port ${http}\n\thttps_port ${https}\n\tstorage file_system ${folder}/storage\n`;
    const certificate = `\n\ttls ${folder}/fullchain.pem ${folder}/privkey.pem\n`;
    const site = readFileSync(join(deploy, 'Caddyfile'), 'utf8')
      .replace(/^\{\n/m, ours)
      .replace(/^(\{\$CHAT_DOMAIN[^\n]*)\n/m, `$1${certificate}`)
      .replace('{$CHAT_DOMAIN:chat.example.com}', `https://localhost:${https}`)
      .replace('{$CHAT_UPSTREAM:127.0.0.1:22148}', `127.0.0.1:${chat}`);
    writeFileSync(join(folder, 'Caddyfile'), site);
    return ['run', '--adapter', 'caddyfile', '--config', join(folder, 'Caddyfile')];
  },
};

/** What the proxy needs to be told apart by: a loopback address that a request comes from. */
interface Asked {
  readonly method?: string;
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
  /** Default `127.0.0.1`. */
  readonly from?: string;
}

export class ReverseProxy {
  readonly url: string;

  private constructor(
    readonly folder: string,
    readonly ca: string,
    readonly ports: Ports,
    private readonly child: Subprocess,
  ) {
    this.url = `https://localhost:${ports.https}`;
  }

  /** Starts it before the chat server of this port and waits until it answers. */
  static async start(name: ProxyName, chat: number): Promise<ReverseProxy> {
    const folder = mkdtempSync(join(tmpdir(), `chat-${name}-`));
    const ports = { chat, https: await fixedPort(), http: await fixedPort() };
    await makeCertificate(folder);
    const ca = readFileSync(join(folder, 'fullchain.pem'), 'utf8');
    const args = preparations[name](folder, ports);
    const log = Bun.file(join(folder, 'said.log'));
    const child = Bun.spawn([programOf(name) ?? name, ...args], {
      env: { ...searched, HOME: folder },
      stdio: ['ignore', log, log],
    });
    const proxy = new ReverseProxy(folder, ca, ports, child);
    for (const deadline = Date.now() + 15_000; Date.now() < deadline; await Bun.sleep(20)) {
      if (child.exitCode !== null) break;
      if (await proxy.ask('/uptime').catch(() => null)) return proxy; // not listening yet
    }
    const said = proxy.logs();
    await proxy.stop();
    throw new Error(`${name} does not answer:\n${said}`);
  }

  /** One request over TLS, with the certificate checked. The address is sent as it is. */
  ask(path: string, { method = 'GET', body, headers, from = '127.0.0.1' }: Asked = {}): Promise<Answer> {
    const json = body === undefined ? {} : { 'content-type': 'application/json' };
    const options = { method, path, ca: this.ca, localAddress: from, headers: { ...json, ...headers } };
    const { https: port } = this.ports;
    return new Promise((resolve, reject) => {
      const sent = request({ host: 'localhost', family: 4, port, ...options }, async (response) => {
        let text = '';
        for await (const piece of response) text += piece;
        const fields = Object.entries(response.headers).map(([key, value]) => [key, String(value)]);
        const answer = {
          status: response.statusCode ?? 0,
          headers: new Headers(fields as [string, string][]),
        };
        resolve({ ...answer, body: text.startsWith('{') ? JSON.parse(text) : text });
      });
      sent.on('error', reject).end(body === undefined ? undefined : JSON.stringify(body));
    });
  }

  /** Everything that it wrote into its logs. */
  logs(): string {
    return readdirSync(this.folder)
      .filter((name) => name.endsWith('.log'))
      .map((name) => readFileSync(join(this.folder, name), 'utf8'))
      .join('\n');
  }

  async stop(): Promise<void> {
    this.child.kill('SIGTERM');
    await this.child.exited;
    rmSync(this.folder, { recursive: true, force: true });
  }
}

async function makeCertificate(folder: string): Promise<void> {
  const files = ['-keyout', join(folder, 'privkey.pem'), '-out', join(folder, 'fullchain.pem')];
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,DNS:chat.example.com'];
  const child = Bun.spawn([programOf('openssl') ?? 'openssl', 'req', '-x509', ...kind, ...names, ...files], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const said = await child.stderr.text();
  if ((await child.exited) !== 0) throw new Error(`openssl: ${said}`);
}
