// The files of a snapshot: the manifest read strictly, parts split, sealed and joined, the state noted beside them.
import { afterAll, describe, expect, test } from 'bun:test';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BackupError } from '../../src/ops/backup/error.ts';
import { isSameSnapshot, type Manifest, parseManifest } from '../../src/ops/backup/manifest.ts';
import { joinParts, openStored, partBytes, writeParts, writeStored } from '../../src/ops/backup/parts.ts';
import { cipher, createSealer } from '../../src/ops/backup/seal.ts';
import { noteBackupState, readBackupState } from '../../src/ops/backup/state.ts';

const root = mkdtempSync(join(tmpdir(), 'backup-files-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const key = randomBytes(32);
const source = join(root, 'source');
const content = Buffer.concat([
  randomBytes(partBytes),
  Buffer.alloc(partBytes, 'same '),
  Buffer.from('the end'),
]);
writeFileSync(source, content);

interface Stored {
  readonly manifest: Manifest;
  readonly files: Map<string, Uint8Array>;
}

async function store(sealWith: Uint8Array | null): Promise<Stored> {
  const files = new Map<string, Uint8Array>();
  const sealer = sealWith ? createSealer(sealWith) : null;
  const keep = async (name: string, bytes: Uint8Array) => void files.set(name, bytes.slice());
  const written = await writeParts(source, { sealer, keep });
  const ledger = await writeStored('erasures.jsonl', Buffer.from('{}\n'), { sealer, keep });
  const manifest = parseManifest(
    JSON.stringify({
      format: 1,
      version: '1.2.3',
      schema: 3,
      takenAtMs: 1000,
      epoch: 'one',
      counts: { accounts: 1, chats: 2, messages: 3 },
      newest: { messageAtMs: null, seqSum: 3 },
      sealed: sealer ? { cipher, keyId: sealer.keyId } : null,
      ledger,
      ...written,
    }),
  );
  return { manifest, files };
}

async function joined({ manifest, files }: Stored, joinKey: Uint8Array | null): Promise<Buffer> {
  const target = join(root, 'joined');
  rmSync(target, { force: true });
  const readPart = async (name: string) => files.get(name) ?? new Uint8Array();
  await joinParts(manifest, { readPart, key: joinKey, target });
  expect(statSync(target).mode & 0o777).toBe(0o600);
  return readFileSync(target);
}

async function refusalOf(running: Promise<unknown>): Promise<string> {
  const error = await running.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (!(error instanceof BackupError)) throw error ?? new Error('it was not refused');
  return error.message;
}

describe('parts', () => {
  test('in clear they are the file, cut; joined they are it again', async () => {
    const stored = await store(null);
    expect(stored.manifest.parts.map(({ name, bytes }) => `${name} ${bytes}`)).toEqual([
      `parts/0001 ${partBytes}`,
      `parts/0002 ${partBytes}`,
      'parts/0003 7',
    ]);
    const [first] = stored.manifest.parts;
    expect(
      Buffer.from(stored.files.get(first?.name ?? '') ?? []).equals(content.subarray(0, partBytes)),
    ).toBe(true);
    expect((await joined(stored, null)).equals(content)).toBe(true);
  });

  test('sealed they show nothing of it, are the same whenever they are sealed, and differ by key and place', async () => {
    const stored = await store(key);
    expect((await joined(stored, key)).equals(content)).toBe(true);
    expect([...stored.files.values()].some((bytes) => Buffer.from(bytes).includes('same same'))).toBe(false);
    expect(stored.files.get('parts/0002')?.length).toBeLessThan(partBytes / 100);
    expect((await store(key)).manifest.parts).toEqual(stored.manifest.parts);
    expect((await store(randomBytes(32))).manifest.parts).not.toEqual(stored.manifest.parts);
    const { seal } = createSealer(key);
    expect(seal('parts/0001', content)).not.toEqual(seal('parts/0002', content));
  });

  test('a missing, changed or exchanged part is refused by its name, and no file is left', async () => {
    for (const sealWith of [null, key]) {
      const { manifest, files } = await store(sealWith);
      const damaged = [...(files.get('parts/0002') ?? [])];
      damaged[20] = ((damaged[20] ?? 0) + 1) % 256;
      const wrong = [new Uint8Array(), Uint8Array.from(damaged), files.get('parts/0001') ?? new Uint8Array()];
      for (const bytes of wrong) {
        const changed = new Map(files).set('parts/0002', bytes);
        expect(await refusalOf(joined({ manifest, files: changed }, sealWith))).toStartWith(
          'parts/0002 is damaged',
        );
        expect(existsSync(join(root, 'joined'))).toBe(false);
      }
    }
  });

  test('who changes the manifest too cannot exchange sealed parts, nor leave out or change any', async () => {
    const { manifest, files } = await store(key);
    const [first, second, ...rest] = manifest.parts;
    if (!first || !second) throw new Error('there are too few parts');
    const exchanged = {
      ...manifest,
      parts: [{ ...second, name: first.name }, { ...first, name: second.name }, ...rest],
    };
    const swapped = new Map(files)
      .set(first.name, files.get(second.name) ?? new Uint8Array())
      .set(second.name, files.get(first.name) ?? new Uint8Array());
    expect(await refusalOf(joined({ manifest: exchanged, files: swapped }, key))).toContain(
      'parts/0001 cannot be opened',
    );
    const shorter = { ...manifest, parts: [first, second] };
    expect(await refusalOf(joined({ manifest: shorter, files }, key))).toContain(
      'do not make up the database',
    );
    const bytes = Uint8Array.from(files.get(first.name) ?? []).fill(0, 100, 101);
    const forged = { ...first, sha256: createHash('sha256').update(bytes).digest('hex') };
    expect(() => openStored(forged, bytes, createSealer(key))).toThrow('parts/0001 cannot be opened');
  });

  test('without the key, and with another, it is said which is missing', async () => {
    const stored = await store(key);
    expect(await refusalOf(joined(stored, null))).toContain('Set BACKUP_KEY');
    const other = randomBytes(32);
    const refusal = await refusalOf(joined(stored, other));
    expect(refusal).toContain(createSealer(other).keyId);
    expect(refusal).not.toContain(other.toString('hex').slice(0, 16));
  });
});

describe('the manifest', () => {
  test('a format of the future is refused by its name, and whatever is not a manifest by its place', async () => {
    const { manifest } = await store(null);
    const read = (changes: object) => () => parseManifest(JSON.stringify({ ...manifest, ...changes }));
    expect(read({})()).toEqual(manifest);
    expect(read({ format: 2, unheard: true })).toThrow('has the format 2, this program reads format 1');
    expect(read({ schema: -1 })).toThrow('damaged: schema');
    expect(read({ extra: 1 })).toThrow('damaged');
    expect(read({ parts: [] })).toThrow('damaged: parts');
    expect(read({ parts: manifest.parts.toReversed() })).toThrow(
      'damaged: parts: the parts are not in order',
    );
    expect(read({ ledger: { ...manifest.ledger, name: '../x' } })).toThrow('damaged: ledger.name');
    for (const text of ['', '[]', 'null', '{"format":']) expect(() => parseManifest(text)).toThrow('damaged');
  });

  test('two are the same when but the time differs', async () => {
    const { manifest } = await store(null);
    expect(isSameSnapshot(manifest, { ...manifest, takenAtMs: 2000 })).toBe(true);
    expect(isSameSnapshot(manifest, { ...manifest, epoch: 'two' })).toBe(false);
    expect(isSameSnapshot(manifest, (await store(key)).manifest)).toBe(false);
  });
});

describe('the state', () => {
  const dataDir = join(root, 'state');
  const path = join(dataDir, 'backup', 'state.json');
  const empty = { lastSuccess: null, lastFailure: null, remoteBytes: null, lastDrill: null };

  test('without a file, or with a damaged one, nothing is known', () => {
    expect(readBackupState(dataDir)).toEqual(empty);
    noteBackupState(dataDir, { remoteBytes: 1 });
    for (const text of ['', '{"lastSuccess":', '{}']) {
      writeFileSync(path, text);
      expect(readBackupState(dataDir)).toEqual(empty);
    }
  });

  test('what is noted replaces its own place alone, for the eyes of the owner', () => {
    const lastFailure = { atMs: 5, message: 'No.' };
    noteBackupState(dataDir, { remoteBytes: 7 });
    noteBackupState(dataDir, { lastFailure });
    expect(readBackupState(dataDir)).toEqual({ ...empty, remoteBytes: 7, lastFailure });
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  test('notes of several processes at once are all kept', async () => {
    const module = JSON.stringify(join(import.meta.dir, '../../src/ops/backup/state.ts'));
    const write = (news: object) => {
      const line = `noteBackupState(${JSON.stringify(dataDir)}, ${JSON.stringify(news)});`;
      const code = `import { noteBackupState } from ${module};\nfor (let run = 0; run < 50; run++) ${line}\n`;
      return Bun.spawn([process.execPath, '-e', code], { stdout: 'ignore', stderr: 'inherit' }).exited;
    };
    const lastFailure = { atMs: 9, message: 'Both.' };
    const lastDrill = { atMs: 1, ok: true, message: 'Sound.', durationMs: 2, commit: null };
    expect(await Promise.all([write({ lastFailure, remoteBytes: 9 }), write({ lastDrill })])).toEqual([0, 0]);
    expect(readBackupState(dataDir)).toEqual({ lastSuccess: null, remoteBytes: 9, lastFailure, lastDrill });
  });
});
