import assert from 'node:assert/strict';
import { test } from 'node:test';
import { exactBytes, grouped, humanBytes, plural, printable, table } from '../../../src/cli/printable.ts';

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

test("a stranger's name cannot reach the terminal's controls", () => {
  assert.equal(printable('a\x1b[31mb\u009bc\nd'), 'a\\x1b[31mb\\x9bc d');
});

test('columns are as wide as they must be', () => {
  assert.equal(
    table(
      ['n', 'bytes'],
      [
        ['long', '1'],
        ['x', '23'],
      ],
      new Set([1]),
      false,
    ),
    'n     bytes\nlong      1\nx        23\n',
  );
});
