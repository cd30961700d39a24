/** `npm run bench` over small checkpoints: what MLFS computes, beside the programs that do the same. Nothing is said about how fast. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pythonWithNumpy } from '../../bench/numpy.ts';
import { benchOnce } from '../support/bench-once.ts';
import { requires } from '../support/requires.ts';

const NEEDS = requires('fuse', 'addon', 'cc');

test('the bench computes statistics beside numpy, where there is one', NEEDS, async (t) => {
  const figure = await benchOnce(t, 'statistics');
  for (const key of ['float32', 'float16']) {
    assert.ok(figure('mlfs kernel', key) > 0, key);
    assert.equal(figure('native', key) > 0, pythonWithNumpy() !== undefined, key);
  }
});

for (const [workload, program, keys] of [
  ['seal', 'sha256sum', ['rate']],
  ['verify', 'unzip', ['rate']],
  ['diff', 'cmp', ['equal']],
] as const) {
  test(`the bench runs ${workload} beside ${program}`, { ...NEEDS, ...requires(program) }, async (t) => {
    const figure = await benchOnce(t, workload);
    for (const driver of ['native', 'mlfs kernel']) {
      for (const key of keys) assert.ok(figure(driver, key) > 0, `${driver}, ${key}`);
    }
    if (workload === 'diff') assert.ok(figure('mlfs kernel', 'changed') > 0);
  });
}
