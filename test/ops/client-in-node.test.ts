// The client library outside Bun: bundled for browsers it needs nothing of ours, and Node runs it against the server.
import { expect, test } from 'bun:test';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { join } from '../support/people.ts';
import { withServer } from '../support/server.ts';
import { defaultGroup, TestSocket } from '../support/socket.ts';

const entry = joinPath(import.meta.dir, '../../src/client/client.ts');
const program = `
import { ChatClient } from './client.js';
const [url, uid, token, group] = process.argv.slice(2);
const client = new ChatClient({ url, uid: Number(uid), token });
const seen = [];
client.on('message', ({ id, message }) => seen.push([id, message]));
client.connect();
await client.send(group, 'from Node');
while (seen.length < 2) await new Promise((resolve) => setTimeout(resolve, 10));
console.log(JSON.stringify({ seen, history: (await client.history(group)).map(({ message }) => message) }));
client.close();
`;

test('Node runs the bundle that browsers get, and the bundle is small and whole', async () => {
  const folder = mkdtempSync(joinPath(tmpdir(), 'chat-client-'));
  try {
    const built = await Bun.build({ entrypoints: [entry], outdir: folder, target: 'browser', minify: true });
    const [bundle = ''] = await Promise.all(built.outputs.map((output) => output.text()));
    expect(bundle).not.toMatch(/\bimport\b|\brequire\(|\bBuffer\b|\bBun\b/);
    expect(bundle.length).toBeLessThan(12_000);
    await Bun.write(joinPath(folder, 'package.json'), '{"type":"module"}');
    await Bun.write(joinPath(folder, 'program.js'), program);
    await withServer(async (server) => {
      const [alice, bob] = [await join(server, 'Alice'), await join(server, 'Bob')];
      await using his = await TestSocket.announced(server, bob);
      // Node 20 has its WebSocket behind a flag that later ones still know.
      const words = ['--experimental-websocket', '--no-warnings', joinPath(folder, 'program.js')];
      const node = Bun.spawn(['node', ...words, server.url, String(alice.uid), alice.token, defaultGroup], {
        stdout: 'pipe',
        stderr: 'inherit',
      });
      expect((await his.next()).data.MESSAGE).toBe('from Node');
      await his.say('from Bob');
      const { seen, history } = JSON.parse(await new Response(node.stdout).text());
      expect(seen).toEqual([
        [1, 'from Node'],
        [2, 'from Bob'],
      ]);
      expect(history).toEqual(['from Node', 'from Bob']);
      expect(await node.exited).toBe(0);
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}, 20_000);
