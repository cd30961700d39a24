import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Passthrough } from '../../../../src/fuse/transport/passthrough.ts';

function scene(id: number, agreed = true) {
  const warnings: string[] = [];
  const asked: number[] = [];
  const passthrough = new Passthrough({ passthrough: true, onWarning: (message) => warnings.push(message) });
  passthrough.agreed = agreed;
  const native = {
    openBacking: (fd: number) => {
      asked.push(fd);
      return id;
    },
  };
  return { warnings, asked, open: (fd: number) => passthrough.open(native, fd) };
}

test('a file that the kernel takes has an id', () => {
  const { open, warnings } = scene(3);
  assert.equal(open(10), 3);
  assert.deepEqual(warnings, []);
});

test('a kernel that did not agree is not asked', () => {
  const { open, asked } = scene(3, false);
  assert.equal(open(10), undefined);
  assert.deepEqual(asked, []);
});

test('a refusal is said once, to root only', () => {
  const { open, warnings } = scene(-1);
  assert.equal(open(10), undefined);
  assert.equal(open(11), undefined);
  const expected =
    process.getuid?.() === 0 ? ['activations are not passed through to the kernel: EPERM'] : [];
  assert.deepEqual(warnings, expected);
});

test('it is wanted unless somebody turns it off', (t) => {
  const onWarning = () => undefined;
  const before = process.env.MLFS_PASSTHROUGH;
  t.after(() => {
    if (before === undefined) delete process.env.MLFS_PASSTHROUGH;
    else process.env.MLFS_PASSTHROUGH = before;
  });
  delete process.env.MLFS_PASSTHROUGH;
  assert.equal(new Passthrough({ onWarning }).wanted, true);
  process.env.MLFS_PASSTHROUGH = 'off';
  assert.equal(new Passthrough({ onWarning }).wanted, false);
  assert.equal(new Passthrough({ onWarning, passthrough: true }).wanted, true);
});
