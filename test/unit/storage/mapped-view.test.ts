import assert from 'node:assert/strict';
import { open, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { MlfsError } from '../../../src/errors.ts';
import { FileSource } from '../../../src/storage/file-source.ts';
import { mappedView } from '../../../src/storage/mapped-view.ts';
import { requires } from '../../support/requires.ts';
import { temporaryDirectory } from '../../support/tmp.ts';

test(
  'a view is the bytes of the file, at any alignment, and writing to it leaves the file alone',
  requires('mmap-io'),
  async (t) => {
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
      const view = mappedView(source, offset, length);
      assert.deepEqual(view, bytes.subarray(offset, offset + length));
      view[0] = 255;
      assert.deepEqual(await source.read(offset, 1), bytes.subarray(offset, offset + 1));
    }
  },
);

test('a view past 2 GiB or past the end is refused, not wrong', requires('mmap-io'), async (t) => {
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
    [5 * 2 ** 30, 1],
  ] as const) {
    assert.throws(() => mappedView(source, offset, length), MlfsError);
  }
});
