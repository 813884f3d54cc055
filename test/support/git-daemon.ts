// Repositories over the network: the git daemon on a port of its own, which gives what it has to whoever asks.
import { fixedPort } from './process.ts';

export interface GitDaemon extends AsyncDisposable {
  readonly port: number;
  /** `git://127.0.0.1:PORT` */
  readonly url: string;
}

/** Serves every repository below a folder, and takes pushes too. @throws after 5 s without an answer */
export async function serveRepositories(folder: string): Promise<GitDaemon> {
  const port = await fixedPort();
  const options = [
    '--reuseaddr',
    '--export-all',
    '--enable=receive-pack',
    '--listen=127.0.0.1',
    `--port=${port}`,
  ];
  const daemon = Bun.spawn(['git', 'daemon', ...options, `--base-path=${folder}`, folder], {
    stdio: ['ignore', 'ignore', 'ignore'],
    detached: true, // git starts the daemon itself as a child, which has to end with it
  });
  await answers(port);
  return {
    port,
    url: `git://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      process.kill(-daemon.pid, 'SIGKILL');
      await daemon.exited;
    },
  };
}

async function answers(port: number): Promise<void> {
  for (const deadline = Date.now() + 5000; Date.now() < deadline; await Bun.sleep(10)) {
    try {
      const socket = await Bun.connect({ hostname: '127.0.0.1', port, socket: { data: () => undefined } });
      socket.end();
      return;
    } catch {
      // not yet
    }
  }
  throw new Error('the git daemon does not answer');
}
