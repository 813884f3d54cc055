// How far a long command is: a bar on a real terminal, few lines elsewhere, nothing when silent.
import { describe, expect, setDefaultTimeout, test } from 'bun:test';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';

setDefaultTimeout(60_000); // each starts whole programs, on a machine that may be busy

const module = join(import.meta.dir, '../../src/ops/progress.ts');

/** A program that does 1,000 of 1,000 things in this many ms, and may fail in the middle. */
function program(options: string, ms = 0, fails = false): string[] {
  const code = `
    import { startProgress } from ${JSON.stringify(module)};
    using progress = startProgress('messages', ${options});
    for (let step = 0; step < 10; step += 1) {
      progress.advance(100);
      await Bun.sleep(${ms / 10});
      if (${fails} && step === 4) process.exitCode = 3;
      if (${fails} && step === 4) throw new Error('the disk is gone');
    }`;
  return [process.execPath, '-e', code];
}

async function onTerminal(command: string[], columns = 100): Promise<string> {
  const decoder = new TextDecoder();
  let shown = '';
  const take = (_: unknown, bytes: Uint8Array): void => {
    shown += decoder.decode(bytes, { stream: true });
  };
  const child = Bun.spawn(command, {
    terminal: { cols: columns, rows: 30, data: take },
  });
  await child.exited;
  await Bun.sleep(50); // what it wrote last may still be on its way through the terminal
  child.terminal?.close();
  return shown;
}

async function elsewhere(command: string[]) {
  const child = Bun.spawn(command, { stdin: 'ignore', stdout: 'pipe', stderr: 'pipe' });
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { stdout, stderr };
}

describe('on a terminal', () => {
  test('A bar fills in one line, which ends.', async () => {
    const shown = await onTerminal(program('{ total: 1000 }', 500));
    const drawn = shown.split('\r\u001b[K').map(stripVTControlCharacters);
    expect(drawn.length).toBeGreaterThan(3);
    expect(drawn[1]).toInclude('messages [........................] 0 of 1,000, 0 %');
    expect(drawn.at(-1)).toInclude('messages [########################] 1,000 of 1,000, 100 %');
    expect(shown.match(/\n/g)).toHaveLength(1);
  });

  test('A narrow one gets as much of the line as fits.', async () => {
    const shown = await onTerminal(program('{ total: 1000 }', 300), 30);
    const drawn = shown.split('\r\u001b[K').slice(1).map(stripVTControlCharacters);
    for (const line of drawn) expect(line.trimEnd().length).toBeLessThan(30);
  });

  test('What is said of a failure on the way begins on a line of its own.', async () => {
    const shown = await onTerminal(program('{ total: 1000 }', 300, true));
    expect(shown).toMatch(/500 of 1,000, 50 %, \d s\r\n/);
  });

  test('Silent work shows nothing.', async () => {
    expect(await onTerminal(program('{ total: 1000, silent: true }'))).toBe('');
  });
});

describe('elsewhere', () => {
  test('Short work is one plain line on standard error, at the end.', async () => {
    const { stdout, stderr } = await elsewhere(program('{ total: 1000 }'));
    expect({ stdout, stderr }).toEqual({ stdout: '', stderr: 'messages: 1,000 of 1,000, 100 %, 0 s\n' });
  });

  test('Long work says a line every five seconds.', async () => {
    const { stderr } = await elsewhere(program('{ total: 1000 }', 7000));
    const lines = stderr.trim().split('\n');
    expect(lines.length).toBeWithin(2, 5);
    expect(lines[0]).toMatch(/^messages: [1-9]00 of 1,000, [1-9]0 %, [5-9] s$/);
    expect(lines.at(-1)).toStartWith('messages: 1,000 of 1,000');
  });

  test('An unknown amount is counted, in the unit asked for.', async () => {
    const { stderr } = await elsewhere(program('{ total: null, format: (bytes) => bytes + " B" }'));
    expect(stderr).toBe('messages: 1000 B, 0 s\n');
  });

  test('Silent work says nothing.', async () => {
    const { stdout, stderr } = await elsewhere(program('{ total: 1000, silent: true }'));
    expect({ stdout, stderr }).toEqual({ stdout: '', stderr: '' });
  });
});
