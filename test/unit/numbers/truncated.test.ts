/** Files that become shorter while native threads compute with them in place: the error names the file, and the process lives. */
import assert from 'node:assert/strict';
import { truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { compareContents } from '../../../src/numbers/compare.ts';
import { computeStatistics } from '../../../src/numbers/statistics.ts';
import type { FixedContent } from '../../../src/storage/content.ts';
import { FileSource } from '../../../src/storage/file-source.ts';
import { Image } from '../../../src/storage/image.ts';
import { requires } from '../../support/requires.ts';
import { temporaryDirectory } from '../../support/tmp.ts';

type Context = Parameters<typeof temporaryDirectory>[0];

/** A sparse file as one tensor. */
async function sparse(t: Context, name: string, size: number) {
  const path = join(await temporaryDirectory(t), name);
  await writeFile(path, '');
  await truncate(path, size);
  const base = await FileSource.open(path);
  t.after(() => base.close());
  const content: FixedContent = {
    kind: 'extents',
    size,
    extents: [{ kind: 'image', image: new Image(base), offset: 0, length: size }],
  };
  return { path, content };
}

const SIZE = 512 * 2 ** 20;

test(
  'statistics of a file that is shortened between blocks are an error that names it',
  requires('addon'),
  async (t) => {
    const { path, content } = await sparse(t, 'model.bin', SIZE);
    const computed = assert.rejects(computeStatistics(content, 'float32'), {
      code: 'ERR_MLFS_TRUNCATED',
      message: /model\.bin/,
    });
    await truncate(path, 2 ** 20 + 100);
    await computed;
  },
);

test('a comparison names the file that is shortened between blocks', requires('addon'), async (t) => {
  const before = await sparse(t, 'before.bin', SIZE);
  const after = await sparse(t, 'after.bin', SIZE);
  const compared = assert.rejects(compareContents(before.content, after.content, 'float32', SIZE / 4), {
    code: 'ERR_MLFS_TRUNCATED',
    message: /after\.bin/,
  });
  await truncate(after.path, 2 ** 20 + 100);
  await compared;
});

test('memory stays flat while the statistics of 4 GiB are computed', requires('addon'), async (t) => {
  const { content } = await sparse(t, 'large.bin', 4 * 2 ** 30);
  const before = process.memoryUsage.rss();
  let most = 0;
  const watch = setInterval(() => {
    most = Math.max(most, process.memoryUsage.rss() - before);
  }, 5);
  t.after(() => clearInterval(watch));
  const { count, zeros } = await computeStatistics(content, 'float32');
  assert.deepEqual([count, zeros], [2 ** 30, 2 ** 30]);
  assert.ok(most < 256 * 2 ** 20, `${most} bytes`);
});
