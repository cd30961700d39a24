import assert from 'node:assert/strict';
import { open, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { FileSource } from '../../../src/storage/file-source.ts';
import { mapThroughMmapIo } from '../../../src/storage/mmap-io.ts';
import { requires } from '../../support/requires.ts';
import { temporaryDirectory } from '../../support/tmp.ts';

test('mmap-io maps the bytes of the file at any alignment, and a write into a private copy leaves the file alone', {
  ...requires('mmap-io'),
}, async (t) => {
  const file = path.join(await temporaryDirectory(t), 'file');
  const bytes = Buffer.from(Array.from({ length: 20_000 }, (_, index) => (index * 7) % 251));
  await writeFile(file, bytes);
  const source = await FileSource.open(file);
  t.after(() => source.close());
  for (const [offset, length] of [
    [0, 20_000],
    [1, 4095],
    [4096, 1],
    [5000, 12_345],
    [19_999, 1],
  ] as const) {
    for (const mode of ['r', 'c'] as const) {
      const range = mapThroughMmapIo(source, source.fd, offset, length, { mode, intent: 'random' });
      const view = Buffer.from(range.buffer, range.byteOffset, length);
      assert.deepEqual(view, bytes.subarray(offset, offset + length));
      assert.equal(range.guarded, false);
      if (mode === 'c') view[0] = 255;
      assert.deepEqual(await source.read(offset, 1), bytes.subarray(offset, offset + 1));
    }
  }
});

test('mmap-io maps nothing past 2 GiB, and knows a file that became too short', {
  ...requires('mmap-io'),
}, async (t) => {
  const file = path.join(await temporaryDirectory(t), 'file');
  const handle = await open(file, 'w');
  await handle.truncate(5 * 2 ** 30);
  await handle.close();
  const source = await FileSource.open(file);
  t.after(() => source.close());
  for (const [offset, length] of [
    [2 ** 31, 1],
    [2 ** 32 + 5, 1],
    [0, 2 ** 31],
  ] as const) {
    assert.throws(() => mapThroughMmapIo(source, source.fd, offset, length, { mode: 'r' }), {
      code: 'ERR_MLFS_USAGE',
    });
  }
  const range = mapThroughMmapIo(source, source.fd, 100, 50, { mode: 'r' });
  assert.equal(range.torn(), false);
  await truncate(file, 149);
  assert.equal(range.torn(), true);
});
