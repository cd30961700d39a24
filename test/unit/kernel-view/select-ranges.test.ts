import assert from 'node:assert/strict';
import { test } from 'node:test';
import { erofsImage } from '../../../src/kernel-view/erofs-image.ts';
import { LIMITS, type SelectionLimits, selectRanges } from '../../../src/kernel-view/select-ranges.ts';
import { atOnce } from '../../../src/storage/in-slices.ts';
import { bytesWithCopies, fileRanges, type Range } from './images.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;
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

test('a small file is left out, also beside large ones on a device that is there anyway', () => {
  const ranges: Range[] = [
    [2, 0, MIB - 1],
    [3, 64, MIB],
    [4, 64 + 512, 4],
    [5, 128, MIB + 1],
    [6, 512, 200],
    [7, 0, 8 * MIB],
  ];
  assert.deepEqual(selected(ranges, 8 * MIB), [3, 5, 7]);
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

test('of 200,000 files that reach the end of the checkpoint the longest are taken, as far as the image stays small', () => {
  const fileBytes = 8 * GIB;
  const ranges: Range[] = [[2, 0, MIB]];
  for (let nth = 0; nth < 200_000; nth++) ranges.push([3 + nth, nth * 32_768, fileBytes - nth * 32_768]);
  const found = atOnce(selectRanges(fileRanges(ranges), fileBytes));
  assert.deepEqual([...found.nodeids.subarray(0, 3)], [2, 3, 4]);
  assert.ok(found.nodeids.length > 50);
  const image = atOnce(erofsImage(found, fileBytes));
  assert.ok(bytesWithCopies(image) < LIMITS.endBytes + MIB, `${bytesWithCopies(image)} bytes`);
});

test('the last tensor and the exported file of a checkpoint of 16 TiB are both taken', () => {
  const fileBytes = 16 * TIB;
  assert.deepEqual(
    selected(
      [
        [2, 64, GIB],
        [3, fileBytes - 500 * GIB - 600, 500 * GIB],
        [4, 0, fileBytes],
      ],
      fileBytes,
    ),
    [2, 3, 4],
  );
});

test('no part of the selection between two yields grows with the number of files', () => {
  const parts = (files: number) => {
    const fileBytes = 8 * GIB;
    const ranges: Range[] = [];
    for (let nth = 0; nth < files; nth++) ranges.push([3 + nth, nth * 512, fileBytes - nth * 512]);
    let yields = 0;
    for (const _ of selectRanges(fileRanges(ranges), fileBytes)) yields++;
    return yields;
  };
  // Three passes over all files, and one over those that reach the end.
  assert.ok(parts(100_000) - parts(50_000) >= (4 * 50_000) / 1024);
});
