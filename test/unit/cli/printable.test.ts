import assert from 'node:assert/strict';
import { test } from 'node:test';
import { exactBytes, grouped, humanBytes, plural, table } from '../../../src/cli/printable.ts';

test('sizes are human, and exact beside it', () => {
  assert.deepEqual([0, 999, 1000, 46_827_520, 99_960, 999_600, 1_099_511_627_776].map(humanBytes), [
    '0 B',
    '999 B',
    '1.0 kB',
    '46.8 MB',
    '100 kB',
    '1.0 MB',
    '1.1 TB',
  ]);
  assert.equal(exactBytes(46_827_520), '46.8 MB (46,827,520 bytes)');
  assert.equal(exactBytes(1), '1 byte');
  assert.equal(grouped(1234567), '1,234,567');
  assert.equal(plural(1, 'tensor'), '1 tensor');
  assert.equal(plural(20_000, 'tensor'), '20,000 tensors');
});

test('columns are as wide as they must be', () => {
  const rows = [
    ['long', '1'],
    ['x', '23'],
  ];
  assert.deepEqual(table(['n', 'bytes'], rows, new Set([1])), ['n     bytes', 'long      1', 'x        23']);
});

test('columns are counted as the terminal counts them, and cells are escaped before', () => {
  const rows = [
    ['重み', '1'],
    ['gro\u0308ße', '1'],
    ['a\x1b\n', '1'],
    ['🚀', '1'],
  ];
  assert.deepEqual(table(['name', 'n'], rows, new Set()), [
    'name     n',
    '重み     1',
    'gro\u0308ße    1',
    'a\\x1b\\n  1',
    '🚀       1',
  ]);
});

test('a very long cell is whole and does not widen the others', () => {
  const rows = [
    ['x'.repeat(100_000), '1'],
    ['y', '2'],
  ];
  const lines = table(['name', 'n'], rows, new Set());
  assert.equal(lines[1], `${'x'.repeat(100_000)}  1`);
  assert.equal(lines[2]?.length, 120 + 3);
});
