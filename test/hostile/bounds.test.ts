/** Every file of bounded-shapes.ts, opened by a process of its own. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SHAPES } from './bounded-shapes.ts';
import { assertCheap, measured } from './measured-checkpoint.ts';

for (const { name } of SHAPES) {
  test(`opened or refused within 512 MB and two seconds: ${name}`, async (t) => {
    const { outcome, opened } = await measured(t, name, 'open');
    assert.ok(outcome === 'opened' || outcome.startsWith('ERR_MLFS_'), outcome);
    assert.notEqual(outcome, 'ERR_MLFS_INTERNAL');
    assertCheap(opened, 'opening');
  });
}

test('a model with 20,000 tied names opens with all of them', async (t) => {
  const { outcome, tensors } = await measured(t, '20,000 names of one tensor', 'open');
  assert.deepEqual({ outcome, tensors }, { outcome: 'opened', tensors: 20_000 });
});

test('91,000 tensors open, all of them', async (t) => {
  const { outcome, tensors } = await measured(t, '91,000 tensors', 'open');
  assert.deepEqual({ outcome, tensors }, { outcome: 'opened', tensors: 91_000 });
});
