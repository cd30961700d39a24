import assert from 'node:assert/strict';
import { truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { FileSource } from '../../../src/storage/file-source.ts';
import { temporaryDirectory } from '../../support/tmp.ts';

async function fileOf(t: TestContext, bytes: Uint8Array): Promise<string> {
  const path = join(await temporaryDirectory(t), 'file.bin');
  await writeFile(path, bytes);
  return path;
}

test('any range reads as it is, later and at once', async (t) => {
  const bytes = Buffer.from('0123456789');
  const source = await FileSource.open(await fileOf(t, bytes));
  t.after(() => source.close());
  for (const [offset, length] of [
    [0, 10],
    [3, 4],
    [10, 0],
  ] as const) {
    const expected = bytes.subarray(offset, offset + length);
    assert.ok((await source.read(offset, length)).equals(expected));
    assert.ok(source.readNow(offset, length).equals(expected));
  }
});

test('a range that leaves the file is refused, and so is one that the file has lost since', async (t) => {
  const path = await fileOf(t, new Uint8Array(100));
  const source = await FileSource.open(path);
  t.after(() => source.close());
  const outside = { code: 'ERR_MLFS_TRUNCATED', errno: 'EIO' };
  for (const [offset, length] of [
    [99, 2],
    [-1, 1],
    [2 ** 53, 1],
    [0, -1],
  ] as const) {
    await assert.rejects(source.read(offset, length), outside);
    assert.throws(() => source.readNow(offset, length), outside);
  }
  await truncate(path, 50);
  const lost = { code: 'ERR_MLFS_TRUNCATED', message: /the file ended at byte 50; it had 100 bytes/ };
  await assert.rejects(source.read(40, 20), lost);
  assert.throws(() => source.readNow(40, 20), lost);
});

test('closing waits for the reads under way, and later reads fail', async (t) => {
  const source = await FileSource.open(await fileOf(t, Buffer.alloc(100_000, 7)));
  const reads = Array.from({ length: 50 }, (_, index) => source.read(index, 50_000));
  let closed = false;
  const closing = source.close().then(() => {
    closed = true;
  });
  const later = source.read(0, 1);
  await assert.rejects(later, { code: 'ERR_MLFS_IO', message: /the file was closed/ });
  for (const bytes of await Promise.all(reads)) assert.equal(bytes[49_999], 7);
  assert.equal(closed, false, 'the descriptor is closed after the last read');
  await closing;
  assert.throws(() => source.readNow(0, 1), { code: 'ERR_MLFS_IO' });
  await source.close();
});

test('what is no readable regular file is an error that names it', async (t) => {
  const directory = await temporaryDirectory(t);
  await assert.rejects(FileSource.open(directory), { code: 'ERR_MLFS_FORMAT', message: /is a directory/ });
  await assert.rejects(FileSource.open(join(directory, 'none')), { code: 'ERR_MLFS_NOT_FOUND' });
});
