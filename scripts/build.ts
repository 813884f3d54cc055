// Builds the standalone executable: one file that runs alone in an empty folder.
import { rmSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dir, '..');
const outfile = process.argv[2] ?? join(root, 'dist/chat-backend');

rmSync(outfile, { force: true });
const build = await Bun.build({
  entrypoints: [join(root, 'src/index.ts')],
  // The executable must not pick up settings of whatever folder it is started in; its own come from the environment.
  compile: { outfile, autoloadBunfig: false },
  minify: true,
  bytecode: true,
  format: 'esm',
  sourcemap: 'none',
});
for (const message of build.logs) console.warn(String(message));
const megabytes = (Bun.file(outfile).size / 1e6).toFixed(0);
console.log(`${outfile}: ${megabytes} MB`);
