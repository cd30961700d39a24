import assert from 'node:assert/strict';
import { test } from 'node:test';
import { requires } from '../support/requires.ts';
import { runExample } from './example.ts';

test(
  'example 01: vim edits a bias of a model that is being trained, and it learns',
  requires('fuse', 'vim', 'python3-torch'),
  async (t) => {
    const output = await runExample(t, '01-surgery');
    const [before, after] = output.split(/^step \d+: reloaded hidden\.bias$/m);
    assert.ok(before !== undefined && after !== undefined, output);
    assert.match(before, /^step 300: loss 0\.52\d\d, 0 of 32 units alive$/m);
    assert.match(before, /^0000000( +0){4}$/m, 'the gradient is in its file');
    assert.match(after, /^step \d+: loss 0\.0\d+: learned$/m);
    assert.match(after, /^hidden\.bias +\d+ +1$/m, 'only the bias is dirty');
    assert.match(after, /^0000000( +0\.5){4}$/m, 'and the checkpoint has it after the commit');
  },
);
