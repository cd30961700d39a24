import assert from 'node:assert/strict';
import { test } from 'node:test';
import { erofsImage } from '../../../src/kernel-view/erofs-image.ts';
import { LIMITS, type SelectionLimits, selectRanges } from '../../../src/kernel-view/select-ranges.ts';
import { atOnce } from '../../../src/storage/in-slices.ts';
import { fileRanges, type Range } from './images.ts';

const MIB = 2 ** 20;
const TIB = 2 ** 40;

function selected(ranges: readonly Range[], fileBytes: number, limits?: Partial<SelectionLimits>): number[] {
  const { nodeids } = atOnce(selectRanges(fileRanges(ranges), fileBytes, { ...LIMITS, ...limits }));
  return [...nodeids];
}

test('the residues with the most bytes get the devices', () => {
  const ranges: Range[] = [
    [2, 8, 2 * MIB],
    [3, 16, 3 * MIB],
    [4, 512 * 9 + 24, 4 * MIB],
    [5, 512 * 7 + 8, 3 * MIB],
  ];
  assert.deepEqual(selected(ranges, 10 * MIB, { devices: 2 }), [2, 4, 5]);
  assert.deepEqual(selected(ranges, 10 * MIB), [2, 3, 4, 5]);
});

test('a device with few bytes is not worth it, and small files beside large ones are', () => {
  const ranges: Range[] = [
    [2, 0, MIB - 1],
    [3, 64, MIB],
    [4, 64 + 512, 4],
  ];
  assert.deepEqual(selected(ranges, 8 * MIB), [3, 4]);
});

test('what a checkpoint may claim and no file can be is left out', () => {
  const fileBytes = 4 * MIB;
  const ranges: Range[] = [
    [2, 0, 0],
    [3, 0, fileBytes + 1],
    [4, 2 ** 63, MIB],
    [5, MIB, 2 ** 63],
    [6, Number.MAX_SAFE_INTEGER, MIB],
    [7, -512, 2 * MIB],
    [8, 0.5, 2 * MIB],
    [9, Number.NaN, 2 * MIB],
    [10, fileBytes - MIB, MIB],
    [11, fileBytes - MIB + 1, MIB],
    [12, 0, fileBytes],
  ];
  assert.deepEqual(selected(ranges, fileBytes), [10, 12]);
});

test('a range of several TiB needs all of its devices, and a file beyond 16 TiB has none', () => {
  const ranges: Range[] = [
    [2, 64, 3 * TIB],
    [3, TIB + 64, TIB],
    [4, 5 * TIB, TIB],
  ];
  assert.deepEqual(selected(ranges, 10 * TIB, { devices: 2 }), [3]);
  assert.deepEqual(selected(ranges, 10 * TIB, { devices: 3 }), [2, 3]);
  assert.deepEqual(selected(ranges, 10 * TIB), [2, 3, 4]);
  assert.deepEqual(selected(ranges, 17 * TIB), []);
});

test('of the files that reach the end of the checkpoint, only the longest are taken: the image stays small', () => {
  const fileBytes = 64 * MIB;
  const ranges: Range[] = [[2, 0, MIB]];
  for (let nth = 0; nth < 8000; nth++) ranges.push([3 + nth, nth * 512, fileBytes - nth * 512]);
  assert.deepEqual(
    selected(ranges, fileBytes),
    Array.from({ length: 1 + LIMITS.endFiles }, (_, index) => 2 + index),
  );
  const { bytes } = atOnce(erofsImage(atOnce(selectRanges(fileRanges(ranges), fileBytes)), fileBytes));
  assert.ok(bytes.byteLength < 4 * MIB, `${bytes.byteLength} bytes`);
});
