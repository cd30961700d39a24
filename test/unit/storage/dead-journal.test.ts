/** Journal bytes that count for nothing: what was replaced half, and what a failure left. They take no room for good. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { abandonEdits } from '../../../src/storage/abandon-edits.ts';
import type { FileSpan } from '../../../src/storage/byte-ranges.ts';
import { ByteRanges } from '../../../src/storage/byte-ranges.ts';
import { Checksums } from '../../../src/storage/checksums.ts';
import { diskMedium } from '../../../src/storage/disk-medium.ts';
import { Edits, type EditsLimits } from '../../../src/storage/edits.ts';
import { FileSource } from '../../../src/storage/file-source.ts';
import { Image } from '../../../src/storage/image.ts';
import type { Medium } from '../../../src/storage/medium.ts';
import { StateDirectory } from '../../../src/storage/state-directory.ts';
import { changedMedium } from '../../support/changed-medium.ts';
import { temporaryDirectory } from '../../support/tmp.ts';

/** Small tensors with a header of 100 bytes before each. */
const HEADER_BYTES = 100;
const TENSOR_BYTES = 900;
const SIZE = 3_000_000;

const WRITABLE = Array.from({ length: SIZE / 1000 }, (_, index) => ({
  offset: index * 1000 + HEADER_BYTES,
  length: TENSOR_BYTES,
}));

async function sample(t: TestContext): Promise<string> {
  const path = join(await temporaryDirectory(t), 'model.bin');
  await writeFile(path, Buffer.alloc(SIZE, 1));
  return path;
}

async function open(
  path: string,
  options: EditsLimits = {},
  medium: Medium = diskMedium,
  writable: readonly FileSpan[] = WRITABLE,
) {
  const state = await StateDirectory.locate(medium, path);
  const edits = await Edits.recover(medium, path, state, options);
  const image = new Image(await FileSource.open(path));
  await edits.attach(image, {
    identity: [{ offset: 0, length: HEADER_BYTES }],
    checksums: new Checksums([]),
    writable: new ByteRanges(writable),
  });
  const close = async () => {
    await edits.close();
    await image.close();
  };
  return { edits, image, close };
}

const write = (image: Image, offset: number, bytes: Uint8Array) =>
  image.update((update) => update.write(offset, bytes));

/** A replacement that is cut short by the death of its process: its records are there and their end is not. */
async function plantHalfReplacement(path: string, bytes: number): Promise<void> {
  const { edits, image, close } = await open(path);
  await image.update(
    async (update) => {
      for (let done = 0; done < bytes; done += TENSOR_BYTES) {
        await update.write(HEADER_BYTES + (done / TENSOR_BYTES) * 1000, randomBytes(TENSOR_BYTES));
      }
    },
    { atomic: true },
  );
  await edits.close();
  await close();
  // The batch's end is the last record, and has no payload.
  const [log = ''] = await readdir(`${path}.mlfs/journal`);
  const segment = join(`${path}.mlfs/journal`, log);
  await truncate(segment, (await readFile(segment)).byteLength - 40);
}

const isGone = async (path: string) => !(await readdir(join(path, '..'))).includes('model.bin.mlfs');

test('a journal that counts for nothing is dropped by the next opening, and its state directory with it', async (t) => {
  const path = await sample(t);
  await plantHalfReplacement(path, 500_000);
  const { edits, close } = await open(path, { limitBytes: 300_000 });
  assert.equal(edits.status.journal.bytes, 0);
  await close();
  assert.equal(await isGone(path), true);
});

test('under a limit that the dead bytes exceed, an edit succeeds', async (t) => {
  const path = await sample(t);
  await plantHalfReplacement(path, 500_000);
  const { image, edits, close } = await open(path, { limitBytes: 300_000 });
  await write(image, HEADER_BYTES, Buffer.from('an edit'));
  await edits.commit();
  await close();
  assert.equal((await readFile(path)).subarray(HEADER_BYTES, HEADER_BYTES + 7).toString(), 'an edit');
});

for (const how of ['commit', 'discard'] as const) {
  test(`${how} drops what is dead when there is no edit`, async (t) => {
    const path = await sample(t);
    let failing = true;
    const medium = changedMedium((folder) => {
      const remove = folder.remove.bind(folder);
      // So that the records of the update stay where they are.
      folder.remove = (name) => (failing ? Promise.reject(new Error('not now')) : remove(name));
    });
    const { edits, image, close } = await open(path, {}, medium);
    const update = image.update(
      async (update) => {
        await update.write(HEADER_BYTES, randomBytes(TENSOR_BYTES));
        throw new Error('cut short');
      },
      { atomic: true },
    );
    await assert.rejects(update, /cut short/);
    assert.ok(edits.status.journal.bytes > TENSOR_BYTES);
    failing = false;
    assert.equal((await edits[how]()).bytes, 0);
    assert.equal(edits.status.journal.bytes, 0);
    await close();
    assert.equal(await isGone(path), true);
  });
}

test('a replacement that fails gives its room back at once, and what was there before stays', async (t) => {
  const path = await sample(t);
  const limitBytes = 200_000;
  const first = await open(path, { limitBytes });
  await write(first.image, HEADER_BYTES, Buffer.from('kept'));
  const { bytes } = first.edits.status.journal;
  for (let round = 0; round < 5; round++) {
    const replacement = first.image.update(
      async (update) => {
        for (const { offset } of WRITABLE) await update.write(offset, randomBytes(TENSOR_BYTES));
      },
      { atomic: true },
    );
    await assert.rejects(replacement, { errno: 'ENOSPC' });
    assert.equal(first.edits.status.journal.bytes, bytes);
    await first.edits.flush();
  }
  await write(first.image, 5 * 1000 + HEADER_BYTES, Buffer.from('later'));
  await first.close();
  const second = await open(path);
  t.after(second.close);
  assert.equal((await second.image.read(HEADER_BYTES, 4)).toString(), 'kept');
  assert.equal((await second.image.read(5 * 1000 + HEADER_BYTES, 5)).toString(), 'later');
  assert.equal(second.edits.status.dirtyBytes, 9);
});

test('edits of small tensors that are joined do not take the headers between them along', async (t) => {
  const path = await sample(t);
  const first = await open(path);
  const content = Buffer.from(await first.image.read(0, SIZE));
  const change = async ({ offset }: { readonly offset: number }) => {
    for (const at of [10, 300, 600]) {
      content[offset + at] = 2;
      await write(first.image, offset + at, Buffer.from([2]));
    }
  };
  for (const range of WRITABLE.slice(0, 1048)) await change(range);
  const writable = new ByteRanges(WRITABLE);
  const pieces = [...first.image.overlay.pieces()];
  assert.ok(pieces.length < 3 * 1048, 'some were joined');
  for (const { start, end } of pieces) assert.ok(writable.contains(start, end), `${start} to ${end}`);
  await first.close();
  const second = await open(path);
  t.after(second.close);
  assert.deepEqual(await second.image.read(0, SIZE), content);
  await second.edits.commit();
  assert.deepEqual(await readFile(path), content);
});

test('edits of thousands of tiny tensors, which cannot be joined, are not rewritten with every change', async (t) => {
  const path = await sample(t);
  const tiny = Array.from({ length: 3000 }, (_, index) => ({ offset: index * 200 + 150, length: 4 }));
  const { image, edits, close } = await open(path, {}, diskMedium, tiny);
  t.after(close);
  for (const { offset } of tiny) await write(image, offset, Buffer.from([2]));
  await image.update(async () => undefined);
  assert.equal(edits.status.dirtyRanges, tiny.length);
  const { bytes } = edits.status.journal;
  assert.ok(bytes < 2 * 41 * tiny.length, `${bytes} bytes`);
});

test('edits in a journal that is damaged can be dropped', async (t) => {
  const path = await sample(t);
  const first = await open(path);
  for (let round = 0; round < 3; round++) {
    await write(first.image, HEADER_BYTES + round * 1000, randomBytes(50));
    await first.edits.flush();
  }
  await first.close();
  const segment = join(`${path}.mlfs/journal`, '000001.log');
  const bytes = await readFile(segment);
  bytes[70] = (bytes[70] as number) ^ 1;
  await writeFile(segment, bytes);
  await assert.rejects(open(path), { code: 'ERR_MLFS_RECOVERY' });
  await abandonEdits(await StateDirectory.locate(diskMedium, path));
  assert.equal(await isGone(path), true);
});
