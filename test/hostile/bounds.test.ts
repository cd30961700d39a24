/** Every file of bounded-shapes.ts, opened by a process of its own. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SHAPES } from './bounded-shapes.ts';
import { assertCheap, measured, tellTheMost } from './measured-checkpoint.ts';

for (const { name, tensors: wanted } of SHAPES) {
  test(`opened or refused within 512 MB and two seconds: ${name}`, async (t) => {
    const { outcome, tensors, opened } = await measured(t, name, 'open');
    if (wanted !== undefined) assert.deepEqual({ outcome, tensors }, { outcome: 'opened', tensors: wanted });
    assert.ok(outcome === 'opened' || outcome.startsWith('ERR_MLFS_'), outcome);
    assert.notEqual(outcome, 'ERR_MLFS_INTERNAL');
    assertCheap(opened, 'opening');
  });
}

test('the most expensive of these files is said', tellTheMost);
