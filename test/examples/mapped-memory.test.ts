import assert from 'node:assert/strict';
import { test } from 'node:test';
import { requires } from '../support/requires.ts';
import { runExample } from './example.ts';

test(
  'mapped-memory: a tensor is computed with where it lies, and no memory is taken for it',
  requires('addon'),
  async (t) => {
    const output = await runExample(t, 'mapped-memory', { env: { MIB: '256' } });
    // (1·1 + 2·2 + 3·3) at three places.
    assert.match(output, /^embedding, first pass: 42, /m);
    assert.match(output, /^embedding, second pass: 42, /m);
    assert.match(output, /^memory of the process: -?\d+ MiB more, and \d+ MiB of the file's pages$/m);
  },
);
