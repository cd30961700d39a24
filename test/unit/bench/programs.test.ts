import assert from 'node:assert/strict';
import { test } from 'node:test';
import { output } from '../../../bench/programs.ts';

test('a program that ends with the expected exit code has not failed', async () => {
  assert.equal(await output('sh', ['-c', 'echo said; exit 1'], { expected: 1 }), 'said\n');
  await assert.rejects(output('sh', ['-c', 'echo why >&2; exit 2'], { expected: 1 }), /^Error: why$/);
  await assert.rejects(output('sh', ['-c', 'exit 0'], { expected: 1 }), /ended with 0, not with 1/);
  await assert.rejects(output('sh', ['-c', 'echo why >&2; exit 1']), /^Error: why$/);
});

test('a program that is not there is named', async () => {
  await assert.rejects(output('no-such-program', []), /no-such-program/);
});
