import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DTYPES, numel, type Tensor } from '../../../src/checkpoint/tensor.ts';
import type { MediumFile } from '../../../src/storage/medium.ts';
import { Overlay } from '../../../src/storage/overlay.ts';
import { dirtyBytes } from '../../../src/tree/dirty-bytes.ts';
import { dirtyTensors } from '../../../src/tree/dirty-tensors.ts';
import { IMAGE, storage, tensor } from './tree-fixtures.ts';

/** Where storage 0 lies. */
const BASE = 1024;
const file = {} as MediumFile;

function dirty(ranges: readonly (readonly [start: number, length: number])[]): Overlay {
  const overlay = new Overlay();
  for (const [start, length] of ranges) {
    overlay.set(start, length, { file, fileOffset: start * 3, segment: 1 }, new Set());
  }
  return overlay;
}

/** The bytes of the file that a view shows, one by one. */
function bytesShown(view: Tensor): Set<number> {
  const itemsize = DTYPES[view.dtype];
  const shown = new Set<number>();
  for (let index = 0; index < numel(view); index++) {
    let rest = index;
    let at = view.storageOffset;
    for (let dim = view.shape.length - 1; dim >= 0; dim--) {
      at += (rest % (view.shape[dim] as number)) * (view.stride[dim] as number);
      rest = Math.floor(rest / (view.shape[dim] as number));
    }
    for (let byte = 0; byte < itemsize; byte++) shown.add(BASE + at * itemsize + byte);
  }
  return shown;
}

test('of a view by slicing, permuting and expanding exactly its own bytes count', () => {
  const axis = fc.record({
    size: fc.integer({ min: 1, max: 4 }),
    step: fc.integer({ min: 1, max: 3 }),
    expanded: fc.boolean(),
  });
  fc.assert(
    fc.property(
      fc.constantFrom('uint8' as const, 'int16' as const, 'float32' as const),
      fc.array(axis, { maxLength: 4 }),
      fc.array(fc.nat(), { minLength: 4, maxLength: 4 }),
      fc.nat({ max: 5 }),
      fc.array(fc.tuple(fc.nat({ max: 4000 }), fc.integer({ min: 1, max: 40 })), { maxLength: 12 }),
      (dtype, axes, order, storageOffset, ranges) => {
        const whole = axes.map(({ size, step }) => size * step);
        const placed = axes.map(({ size, step, expanded }, index) => ({
          size,
          stride: expanded ? 0 : step * whole.slice(index + 1).reduce((a, b) => a * b, 1),
          rank: order[index] as number,
        }));
        placed.sort((a, b) => a.rank - b.rank);
        const shape = placed.map(({ size }) => size);
        const stride = placed.map((one) => one.stride);
        const view = tensor(storage('0', 1 << 20), shape, { dtype, stride, storageOffset });
        const overlay = dirty(ranges.map(([at, length]) => [BASE - 10 + at, length]));
        let expected = 0;
        for (const byte of bytesShown(view)) if (overlay.touches(byte, byte + 1)) expected++;
        assert.equal(dirtyBytes(overlay, view).bytes, expected, `[${shape}] [${stride}] ${dtype}`);
      },
    ),
    { numRuns: 1000 },
  );
});

test('ranges that touch are one, and what lies between the elements is none', () => {
  const rows = tensor(storage('0', 4096), [4, 8], { stride: [64, 1] });
  assert.deepEqual(dirtyBytes(new Overlay(), rows), { bytes: 0, ranges: 0 });
  assert.deepEqual(dirtyBytes(dirty([[BASE + 40, 100]]), rows), { bytes: 0, ranges: 0 });
  const overlay = dirty([
    [BASE + 4, 4],
    [BASE + 8, 4],
    [BASE + 20, 4],
    [BASE + 200, 100],
  ]);
  assert.deepEqual(dirtyBytes(overlay, rows), { bytes: 12 + 32, ranges: 3 });
});

test('elements that share a byte are counted in bytes, and a storage that is not there in none', () => {
  const packed = tensor(storage('0', 64), [10], { dtype: 'quint4x2' });
  assert.equal(dirtyBytes(dirty([[BASE, 64]]), packed).bytes, 5);
  const absent = { ...storage('0', 64), bytes: { kind: 'absent', reason: 'meta' } as const };
  assert.equal(dirtyBytes(dirty([[BASE, 64]]), tensor(absent, [16])).bytes, 0);
  assert.equal(dirtyBytes(dirty([[BASE, 64]]), tensor(storage('0', 64), [0, 4])).bytes, 0);
});

test('a tensor of a terabyte is counted without walking through it', () => {
  const shape = [1 << 20, 1 << 18];
  const bytes = { kind: 'extent', image: IMAGE, offset: 0, length: 2 ** 40 } as const;
  const huge = tensor({ ...storage('0', 2 ** 40), bytes }, shape, { stride: [1, 1 << 20] });
  assert.equal(dirtyBytes(dirty([[2 ** 39, 4096]]), huge).bytes, 4096);
});

test('dirty tensors are listed once, under the first of their names', () => {
  const shared = storage('0', 64);
  const named = [
    { name: 'wte', tensor: tensor(shared, [16]) },
    { name: 'clean', tensor: tensor(storage('1', 64), [16]) },
    { name: 'head', tensor: tensor(shared, [16]) },
    { name: 'first row', tensor: tensor(shared, [4]) },
  ];
  assert.deepEqual(dirtyTensors(new Overlay(), named), []);
  assert.deepEqual(dirtyTensors(dirty([[BASE + 12, 8]]), named), [
    { name: 'wte', bytes: 8, ranges: 1 },
    { name: 'first row', bytes: 4, ranges: 1 },
  ]);
});
