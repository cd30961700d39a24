import assert from 'node:assert/strict';
import { test } from 'node:test';
import { requires } from '../support/requires.ts';
import { runExample } from './example.ts';

test(
  'example 11: rsync moves what training changed, and diff says what',
  requires('fuse', 'rsync'),
  async (t) => {
    const output = await runExample(t, '11-delta-checkpoints');
    assert.match(
      output,
      /^model\/embed\/weight\.bin: 256 of 1,048,576 elements \(0\.0244 %\), at most 0\.5000 apart/m,
    );
    assert.match(output, /^3 differences, 11 tensors compared$/m);
    const [, journal, whole] = /^journal: (\d+) bytes, checkpoint: (\d+) bytes$/m.exec(output) ?? [];
    assert.ok(Number(journal) > 60_000 && Number(journal) < Number(whole) / 10);
    assert.equal(output.match(/^no difference in 11 tensors$/gm)?.length, 2);
    assert.match(output, /every CRC-32 is right/);
  },
);
