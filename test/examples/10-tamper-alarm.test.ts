import assert from 'node:assert/strict';
import { test } from 'node:test';
import { requires } from '../support/requires.ts';
import { runExample } from './example.ts';

test(
  'example 10: a seal names the tensor that was changed, and sha256sum reads it',
  requires('fuse'),
  async (t) => {
    const output = await runExample(t, '10-tamper-alarm');
    assert.match(output, /^model\.pt: 5 tensors as sealed$/m);
    assert.match(output, /^model\/layers\/1\/linear\/bias\.bin: changed$/m);
    assert.match(output, /^model\/layers\/1\/linear\/bias\.bin: FAILED$/m);
    assert.match(output, /^mnt: 5 tensors as sealed$/m);
    assert.match(output, /^model\/embed\/weight\.bin: changed$/m);
  },
);
