import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Tensor } from '../../../src/checkpoint/tensor.ts';
import { StatisticsCache } from '../../../src/numbers/statistics-cache.ts';
import type { FixedContent } from '../../../src/storage/content.ts';
import { requires } from '../../support/requires.ts';

test('the statistics of a bounded number of tensors are kept, the oldest go', requires('addon'), async () => {
  const cache = new StatisticsCache();
  let reads = 0;
  const content: FixedContent = {
    kind: 'rendered',
    size: 4,
    read: async () => {
      reads++;
      return Buffer.from(new Float32Array([1.5]).buffer);
    },
  };
  const tensors = Array.from({ length: 2100 }, (_, index) => {
    const bytes = { kind: 'absent', reason: 'none' } as const;
    return { dtype: 'float32', storage: { key: String(index), bytes } } as unknown as Tensor;
  });
  for (const tensor of tensors) await cache.of(tensor, content);
  assert.equal(reads, 2100);
  assert.equal((await cache.of(tensors[2099] as Tensor, content)).max, 1.5);
  assert.equal(reads, 2100, 'the newest is kept');
  await cache.of(tensors[0] as Tensor, content);
  assert.equal(reads, 2101, 'the oldest is computed again');
});
