import assert from 'node:assert/strict';
import { test } from 'node:test';
import { requires } from '../support/requires.ts';
import { runExample } from './example.ts';

test(
  'example 02: inotifywait sees the output of each layer arrive, and a CSV is beside each',
  requires('fuse', 'inotifywait', 'python3-torch', 'python3-numpy'),
  async (t) => {
    const output = await runExample(t, '02-activation-scooping');
    const seen = [...output.matchAll(/^(\S+)\.npy +(\d+) bytes {2}(\S+)$/gm)];
    const found = seen.map(([, name, size]) => `${name} ${size}`);
    const expected = ['normalize 896', 'conv.layer 560', 'relu 560', 'flatten 560', 'classify.layer 248'];
    assert.deepEqual(found, expected, output);
    for (const [, name, , line] of seen) assert.match(line ?? '', /^-?\d[^,]*,-?\d/, `the CSV of ${name}`);
    const answers = /^answers: (\d) (\d) (\d)$/m.exec(output)?.slice(1).join(' ');
    assert.ok(
      answers !== undefined && output.includes(`[${answers}]`),
      'numpy finds the same answers in the file',
    );
    const [, kept = ''] = output.split('$ ls model.pt.mlfs/activations/');
    const names = kept.trim().split('\n').slice(1);
    assert.deepEqual(names, ['classify.layer.npy', 'conv.layer.npy', 'normalize.npy', 'relu.npy'], output);
  },
);
