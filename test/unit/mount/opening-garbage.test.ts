import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NamedTensor } from '../../../src/checkpoint/tensor.ts';
import { collectOpeningGarbage } from '../../../src/mount/opening-garbage.ts';

const withTensors = (count: number) => ({ tensors: new Array<NamedTensor>(count) });

/** An object that nothing holds. */
const dropped = () => new WeakRef({});

test('what nothing holds after a large checkpoint was opened is collected at once', async () => {
  const reference = dropped();
  await collectOpeningGarbage(withTensors(50_000));
  assert.equal(reference.deref(), undefined);
  assert.equal(globalThis.gc, undefined);
});

test('a small checkpoint is not worth a collection', async () => {
  const reference = dropped();
  await collectOpeningGarbage(withTensors(49_999));
  assert.notEqual(reference.deref(), undefined);
});
