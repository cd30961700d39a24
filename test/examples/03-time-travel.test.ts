import assert from 'node:assert/strict';
import { test } from 'node:test';
import { requires } from '../support/requires.ts';
import { runExample } from './example.ts';

test(
  'example 03: a mount follows git checkout, and keeps edits',
  requires('fuse', 'git', 'addon'),
  async (t) => {
    const output = await runExample(t, '03-time-travel');
    const shown = [...output.matchAll(/^\$ cat mnt\/checkpoint\/step\.json\n(\d+)$/gm)].map(
      ([, step]) => step,
    );
    assert.deepEqual(shown, ['2000', '1337', '2000']);
    const biases = [...output.matchAll(/^\$ head -2 mnt\/views\/txt\/fc\/bias\.txt\n(\S+)\n(\S+)$/gm)];
    assert.deepEqual(
      biases.map(([, first, second]) => [first, second]),
      [
        ['1.337', '1.462'],
        ['1', '1.125'],
      ],
    );
    assert.match(output, /^bytes of edits in 1 range belong to the file that was there before$/m);
  },
);
