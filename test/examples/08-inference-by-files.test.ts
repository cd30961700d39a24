import assert from 'node:assert/strict';
import { test } from 'node:test';
import { requires } from '../support/requires.ts';
import { runExample } from './example.ts';

test(
  'example 08: a torch worker answers files, an edit reaches it, an error is readable',
  requires('fuse', 'addon', 'python3-torch', 'python3-numpy'),
  async (t) => {
    const output = await runExample(t, '08-inference-by-files');
    const classes = [...output.matchAll(/^class (\d+)/gm)].map(([, digit]) => digit);
    assert.equal(classes.length, 4);
    assert.equal(classes[0], classes[1], 'a folder and a descriptor are answered alike');
    assert.equal(classes[2], '3', 'the edit is in the answer');
    assert.equal(classes[3], classes[0], 'the scripted model has the old bias');
    assert.match(output, /^done$/m);
    assert.match(output, /output\.npy: Input\/output error$/m);
    assert.match(output, /^ValueError: /m);
  },
);
