import assert from 'node:assert/strict';
import { test } from 'node:test';
import { requires } from '../support/requires.ts';
import { runExample } from './example.ts';

test('quick-demo: a checkpoint is made, mounted, read, edited and committed', requires('fuse'), async (t) => {
  const output = await runExample(t, 'quick-demo');
  assert.match(output, /^mounted .*mlp\.pt at mnt: 5 tensors/m);
  assert.match(output, /^1\n-?0?\.\d+$/m, 'the edit is there, as text');
  assert.match(output, /: committed \d+ bytes in 1 range/);
  assert.match(
    output,
    /mlp\.pt: 11 entries.*every CRC-32 is right/,
    'verify is content with what was committed',
  );
});
