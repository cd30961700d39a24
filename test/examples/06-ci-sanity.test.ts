import assert from 'node:assert/strict';
import { test } from 'node:test';
import { requires } from '../support/requires.ts';
import { runExample } from './example.ts';

test('example 06: an empty gradient and a NaN each fail the build', requires('fuse'), async (t) => {
  const output = await runExample(t, '06-ci-sanity');
  assert.match(output, /^model\/layers\/1\/linear\/bias\.grad: is empty$/m);
  assert.match(output, /^mnt: 5 gradients: 2 problems$/m);
  assert.match(output, /^exit code 1$/m);
  assert.match(output, /5 gradients, 5 floating-point tensors: all is well/);
  assert.match(output, /^model\/layers\/0\/linear\/bias\.bin: has 64 NaN/m);
});
