import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NameAndTensor } from '../../../src/checkpoint/model.ts';
import { atOnce } from '../../../src/storage/in-slices.ts';
import { tensorsJson } from '../../../src/tree/tensors-json.ts';
import { storage, tensor } from './tree-fixtures.ts';

const tied = tensor(storage('0', 16), [4]);
const alone = tensor(storage('1', 16), [4]);

function lines(tensors: readonly NameAndTensor[], maxBytes?: number) {
  const bytes = atOnce(
    tensorsJson(
      () => tensors,
      () => '/model/x.bin',
      maxBytes,
    ),
  );
  return JSON.parse(Buffer.from(bytes).toString()) as Record<string, unknown>[];
}

function names(count: number, length = 0): NameAndTensor[] {
  return Array.from({ length: count }, (_unused, index) => ({
    name: `${'n'.repeat(length)}layer${index}`,
    tensor: tied,
  }));
}

test('a line lists the other names of the same bytes', () => {
  const [first, second, third] = lines([
    { name: 'a', tensor: tied },
    { name: 'b', tensor: tied },
    { name: 'c', tensor: alone },
  ]);
  assert.deepEqual([first?.aliases, first?.aliases_total], [['b'], 1]);
  assert.deepEqual([second?.aliases, second?.aliases_total], [['a'], 1]);
  assert.deepEqual([third?.aliases, third?.aliases_total], [[], 0]);
});

test('17 tied names are listed whole, and of 18 each line counts one more than it lists', () => {
  for (const { aliases, aliases_total: total } of lines(names(17))) {
    assert.equal((aliases as string[]).length, 16);
    assert.equal(total, 16);
  }
  for (const { aliases, aliases_total: total } of lines(names(18))) {
    assert.equal((aliases as string[]).length, 16);
    assert.equal(total, 17);
  }
});

test('20,000 tied names make a document whose size grows with their number and not with its square', () => {
  const sizes = [5_000, 20_000].map((count) => Buffer.byteLength(JSON.stringify(lines(names(count)))));
  assert.ok((sizes[1] as number) < 4.2 * (sizes[0] as number), String(sizes));
  assert.ok((sizes[1] as number) < 16 * 1024 * 1024, String(sizes));
});

test('aliases of long names end where all lines together have listed 16 Mi characters', () => {
  const listed = lines(names(4_000, 4_000)).map(({ aliases }) => (aliases as string[]).length);
  assert.equal(listed[0], 16);
  assert.equal(listed.at(-1), 0);
});

test('a document that would be too large ends with how many lines are missing', () => {
  const found = lines(names(5_000), 100_000);
  const last = found.at(-1);
  assert.equal((last?.omitted as number) + found.length - 1, 5_000);
  assert.match(String(last?.reason), /too large/);
  assert.equal(lines(names(100), 100_000_000).length, 100);
});

test('no tensors are an empty array', () => {
  assert.deepEqual(lines([]), []);
});
