import assert from 'node:assert/strict';
import { test } from 'node:test';
import { requires } from '../support/requires.ts';
import { runExample } from './example.ts';

test(
  'example 4: three mounted checkpoints are one run of three steps, with every element in a histogram',
  requires('fuse', 'python3'),
  async (t) => {
    const shown = await runExample(t, '04-tensorboard');
    const lines = [
      ...shown.matchAll(/^(\S+) +step (\d+) +(\d+) elements +mean +\S+ +std +(\S+) .*\[(.{30})\]/gm),
    ];
    const found = lines.map(([, tag, step, elements]) => `${tag} ${step} ${elements}`);
    const expected = [100, 200, 300].flatMap((step) => [
      `encoder.weight ${step} 32768`,
      `encoder.bias ${step} 256`,
      `head.weight ${step} 2560`,
      `head.bias ${step} 10`,
    ]);
    assert.deepEqual(found, expected);
    const deviations = lines
      .filter(([, tag]) => tag === 'encoder.weight')
      .map(([, , , , std]) => Number(std));
    for (const [index, deviation] of deviations.entries()) {
      assert.ok(Math.abs(deviation - 0.02 * (index + 1)) < 0.001, `${deviation} at step ${index}`);
    }
    // The picture of normally distributed weights is highest in the middle.
    const [, , , , , bars = ''] = lines[0] ?? [];
    assert.match(bars.slice(10, 20), /█/);
  },
);
