import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chooseRanges } from '../../../src/throughput/tensor-ranges.ts';

interface Line {
  file?: string | null;
  file_offset?: number | null;
  nbytes?: number;
  shape?: number[];
  stride?: number[];
}

function tensorsJson(...lines: Line[]): string {
  const whole = { file: '/model/a.bin', file_offset: 64, nbytes: 16, shape: [4], stride: [1] };
  return JSON.stringify(lines.map((line) => ({ ...whole, ...line })));
}

test('chooseRanges takes the largest tensors first and cuts the last one at the budget', () => {
  const json = tensorsJson(
    { file: '/model/small.bin', nbytes: 16, file_offset: 64 },
    { file: '/model/large.bin', nbytes: 400, file_offset: 128, shape: [100] },
    { file: '/model/middle.bin', nbytes: 40, file_offset: 1024, shape: [10] },
  );
  assert.deepEqual(chooseRanges(json, 420), [
    { file: '/model/large.bin', offset: 128, length: 400 },
    { file: '/model/middle.bin', offset: 1024, length: 20 },
  ]);
});

test('chooseRanges leaves out what is no run of the checkpoint: strided, compressed, absent and empty tensors', () => {
  const json = tensorsJson(
    { file: '/model/strided.bin', shape: [2, 2], stride: [1, 2] },
    { file: '/model/deflated.bin', file_offset: null },
    { file: null },
    { file: '/model/empty.bin', nbytes: 0, shape: [0] },
    { file: '/model/good.bin', shape: [1, 4], stride: [7, 1] },
  );
  assert.deepEqual(
    chooseRanges(json, 1000).map((range) => range.file),
    ['/model/good.bin'],
  );
});

test('chooseRanges reads a tied tensor once', () => {
  assert.equal(chooseRanges(tensorsJson({}, {}), 1000).length, 1);
});
