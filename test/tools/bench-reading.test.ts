/** `npm run bench` over small models: the reading workloads and the walks run on every driver. Nothing is said about how fast. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { benchOnce } from '../support/bench-once.ts';
import { requires } from '../support/requires.ts';

const NEEDS = requires('fuse', 'addon', 'fuse-native', 'cc');
const TENSORS = '60';

for (const [workload, keys] of [
  ['sequential', ['first', 'kept', 'reopened']],
  ['random', ['rate', 'cached']],
  ['mmap', ['first', 'second']],
] as const) {
  test(
    `the bench reads natively, from C loops and from mounts of both kinds: ${workload}`,
    NEEDS,
    async (t) => {
      const figure = await benchOnce(t, workload);
      for (const driver of ['native', 'c-loop plain', 'mlfs plane', 'mlfs kernel', 'mlfs fuse-native']) {
        for (const key of keys) assert.ok(figure(driver, key) > 0, `${driver}, ${key}`);
      }
    },
  );
}

for (const [workload, peers] of [
  ['walk', ['native folder', 'c-loop tree']],
  ['walk-experts', ['native folder', 'c-loop tree']],
  ['walk-safetensors', ['c-loop tree']],
] as const) {
  test(`the bench walks the same tree in a mount and in its peers: ${workload}`, NEEDS, async (t) => {
    const figure = await benchOnce(t, workload, '--tensors', TENSORS);
    for (const driver of [...peers, 'mlfs kernel']) {
      for (const key of ['find', 'again', 'list', 'open']) {
        assert.ok(figure(driver, key) > 0, `${driver}, ${key}`);
      }
    }
    for (const driver of ['c-loop tree', 'mlfs kernel']) {
      assert.ok(figure(driver, 'mount') > 0 && figure(driver, 'rest') > 0, driver);
      assert.ok(figure(driver, 'peak') >= figure(driver, 'rest'), driver);
    }
  });
}

test('the bench times the start of commands beside node -e 0, and the first byte', NEEDS, async (t) => {
  const startUp = await benchOnce(t, 'start-up');
  for (const key of ['node', 'version', 'info']) assert.ok(startUp('mlfs kernel', key) > 0, key);
  const firstByte = await benchOnce(t, 'first-byte');
  for (const driver of ['mlfs kernel', 'mlfs fuse-native']) {
    assert.ok(firstByte(driver, 'command') > 0 && firstByte(driver, 'library') > 0, driver);
  }
});
