import assert from 'node:assert/strict';
import { test } from 'node:test';
import { requires } from '../support/requires.ts';
import { runExample } from './example.ts';

test(
  'example 12: a model of 1 GiB is served by numpy and torch within 256 MiB',
  requires('fuse', 'memory cgroup', 'python3-numpy', 'python3-torch'),
  async (t) => {
    const output = await runExample(t, '12-lazy-serving');
    assert.match(output, /ended with 137: killed for want of memory/);
    const answers = [...output.matchAll(/^(?<token>\d+): (?<value>-?\d+\.\d+)$/gm)].map(([line]) => line);
    assert.equal(answers.length, 6);
    assert.equal(new Set(answers).size, 3, 'numpy and torch answer the same');
    const peak = Number(/in use, of 256 MiB: (\d+) MiB/.exec(output)?.[1]);
    assert.ok(peak > 100 && peak <= 256, `the peak was ${peak} MiB`);
  },
);
