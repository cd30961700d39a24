import assert from 'node:assert/strict';
import { test } from 'node:test';
import { translatePrototype } from '../../../src/cli/prototype.ts';

test("the prototype's spelling becomes the mount command", () => {
  assert.deepEqual(
    translatePrototype(['--model', 'resnet18.pt', '--mount', '/mnt/mlfs', '--foreground', '--wait']),
    ['mount', '--foreground', '--wait', '--', 'resnet18.pt', '/mnt/mlfs'],
  );
  assert.deepEqual(
    translatePrototype(['--state-dict', 'ema', '--model=-odd.pt', '--mount=/m', '--unsafe-write']),
    ['mount', '--state-dict', 'ema', '--unsafe-write', '--', '-odd.pt', '/m'],
  );
});

test('other command lines are left alone', () => {
  for (const argv of [['--help'], [], ['ls', '--model'], ['mount', 'a', 'b']]) {
    assert.deepEqual(translatePrototype(argv), argv);
  }
});

test('a half spelling says what is missing', () => {
  assert.throws(() => translatePrototype(['--model', 'a.pt']), /--mount is missing/);
  assert.throws(() => translatePrototype(['--mount', '/m']), /--model is missing/);
  assert.throws(() => translatePrototype(['--mount', '/m', '--model']), /a value is missing/);
});
