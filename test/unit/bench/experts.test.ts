import assert from 'node:assert/strict';
import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { expertTensors } from '../../../bench/models/expert-names.ts';
import { MARK, writeExpertsPt, writeExpertsSafetensors } from '../../../bench/models/write-experts.ts';
import { nbytes } from '../../../src/checkpoint/tensor.ts';
import { openCheckpoint } from '../../../src/index.ts';
import { temporaryDirectory } from '../../support/tmp.ts';

/** Enough for a layer with experts: the first three have none. */
const TENSORS = 120;

test('the model of experts has the names and the size of DeepSeek-V3, each name once', () => {
  const tensors = [...expertTensors({})];
  assert.equal(tensors.length, 91_991);
  assert.equal(new Set(tensors.map(({ name }) => name)).size, tensors.length);
  const bytes = tensors.reduce((sum, tensor) => sum + nbytes(tensor), 0);
  assert.ok(bytes > 688e9 && bytes < 689e9, `${bytes}`);
});

for (const [format, write] of [
  ['pt', writeExpertsPt],
  ['safetensors', writeExpertsSafetensors],
] as const) {
  for (const small of [true, false]) {
    test(`a ${format} with ${small ? 'tiny tensors' : 'the published shapes'} opens with these tensors, and its far end is marked`, async (t) => {
      const file = join(await temporaryDirectory(t), `model.${format}`);
      const written = await write(file, { tensors: TENSORS, small });
      assert.equal(written.count, TENSORS);
      const { size, blocks } = await stat(file);
      assert.equal(size, written.size);
      assert.ok(blocks * 512 < 4 * 2 ** 20, 'the file is sparse');
      const checkpoint = await openCheckpoint(file);
      t.after(() => checkpoint.close());
      assert.deepEqual(
        checkpoint.tensors.map(({ name, dtype, shape }) => ({ name, dtype, shape: [...shape] })),
        [...expertTensors({ tensors: TENSORS, small })].map((tensor) => ({
          ...tensor,
          shape: [...tensor.shape],
        })),
      );
      const handle = await open(file);
      t.after(() => handle.close());
      const { offset, length } = written.last;
      const { buffer } = await handle.read(
        Buffer.alloc(MARK.length),
        0,
        MARK.length,
        offset + length - MARK.length,
      );
      assert.deepEqual(buffer, MARK);
    });
  }
}
