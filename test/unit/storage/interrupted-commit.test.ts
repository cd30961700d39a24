import assert from 'node:assert/strict';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { ByteRanges } from '../../../src/storage/byte-ranges.ts';
import { Checksums } from '../../../src/storage/checksums.ts';
import { diskMedium } from '../../../src/storage/disk-medium.ts';
import { Edits } from '../../../src/storage/edits.ts';
import { FileSource } from '../../../src/storage/file-source.ts';
import type { FileStructure } from '../../../src/storage/file-structure.ts';
import { Image } from '../../../src/storage/image.ts';
import { StateDirectory } from '../../../src/storage/state-directory.ts';
import { temporaryDirectory } from '../../support/tmp.ts';

/** A file like safetensors: a header and contents, without checksums. */
const HEADER_BYTES = 100;
const SIZE = 10_000;

const structure = (): FileStructure => ({
  identity: [{ offset: 0, length: HEADER_BYTES }],
  checksums: new Checksums([]),
  writable: new ByteRanges([{ offset: HEADER_BYTES, length: SIZE - HEADER_BYTES }]),
});

function contents(seed: number): Buffer {
  return Buffer.concat([Buffer.alloc(HEADER_BYTES, 'header'), Buffer.alloc(SIZE - HEADER_BYTES, seed)]);
}

async function open(path: string) {
  const state = await StateDirectory.locate(diskMedium, path);
  const edits = await Edits.recover(diskMedium, path, state);
  const source = await FileSource.open(path);
  const close = async () => {
    await edits.close();
    await source.close();
  };
  try {
    await edits.finishInterrupted(source, structure());
    const image = new Image(source);
    await edits.attach(image, structure());
    return { edits, image, close };
  } catch (cause) {
    await close();
    throw cause;
  }
}

/** A commit that is decided, and fails before anything of it is in the file. */
async function interruptedAt(t: TestContext): Promise<string> {
  const path = join(await temporaryDirectory(t), 'model.bin');
  await writeFile(path, contents(1));
  const { edits, image, close } = await open(path);
  await image.update((update) => update.write(500, Buffer.from('an edit')));
  const failing = edits.commit({
    onProgress: () => {
      throw new Error('cut short');
    },
  });
  await assert.rejects(failing, /cut short/);
  await close();
  return path;
}

test('it is finished in the file that it was for', async (t) => {
  const path = await interruptedAt(t);
  const { edits, close } = await open(path);
  assert.equal(edits.dirty, false);
  await close();
  assert.equal((await readFile(path)).subarray(500, 507).toString(), 'an edit');
});

test('another file with the same header and size does not get it, when nothing but its inode tells it apart', async (t) => {
  const path = await interruptedAt(t);
  await writeFile(`${path}.retrained`, contents(2));
  await rename(`${path}.retrained`, path);
  await assert.rejects(open(path), { code: 'ERR_MLFS_RECOVERY' });
  assert.deepEqual(await readFile(path), contents(2));
});

test('it can be finished by nobody but the user who decided it', async (t) => {
  const path = await interruptedAt(t);
  const base = join(`${path}.mlfs`, 'base.json');
  const before = await readFile(path);
  const record = JSON.parse(await readFile(base, 'utf8')) as { uid: number };
  await writeFile(base, JSON.stringify({ ...record, uid: record.uid + 1 }));
  await assert.rejects(open(path), { code: 'ERR_MLFS_RECOVERY' });
  assert.deepEqual(await readFile(path), before);
});
