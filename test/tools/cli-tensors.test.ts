/** check, seal, verify --seal and diff on files and mounts, as a shell sees them. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Scene, scene } from '../support/cli-scene.ts';
import { requires } from '../support/requires.ts';
import { output } from '../support/run.ts';
import { runMlfs } from '../support/run-mlfs.ts';

async function mlfs(...words: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const { code, stdout, stderr } = await runMlfs(words);
  return { code, stdout: stdout.toString(), stderr: stderr.toString() };
}

const floats = (...values: number[]) => Buffer.from(Float32Array.from(values).buffer);
const TENSORS = [
  { name: 'fc.weight', dtype: 'float32', shape: [2, 2], fill: floats(1, 2, 3, 4) },
  { name: 'fc.bias', dtype: 'float32', shape: [2], fill: floats(0.5, -0.5) },
  { name: 'steps', dtype: 'int64', shape: [1], fill: Buffer.alloc(8, 1) },
] as const;

async function mounted(t: Parameters<typeof scene>[0]): Promise<Scene> {
  const at = await scene(t, TENSORS);
  assert.equal((await mlfs('mount', at.checkpoint, at.mountpoint)).code, 0);
  return at;
}

const edit = (at: Scene, path: string, bytes: Buffer) => writeFile(join(at.mountpoint, path), bytes);

test('a mount is sealed with its edits, and a file without them', requires('fuse'), async (t) => {
  const at = await mounted(t);
  const seal = join(at.folder, 'model.seal');
  assert.equal((await mlfs('seal', at.checkpoint, '-o', seal)).code, 0);
  assert.equal((await mlfs('verify', at.mountpoint, '--seal', seal)).code, 0);
  assert.equal(
    await output('bash', ['-c', `cd "$1" && sha256sum -c --quiet "$2"`, 'bash', at.mountpoint, seal]),
    '',
  );

  await edit(at, 'model/fc/bias.bin', floats(0.5, 7));
  const changed = await mlfs('verify', at.mountpoint, '--seal', seal, '--json');
  assert.equal(changed.code, 3);
  assert.deepEqual(JSON.parse(changed.stdout).changed, ['model/fc/bias.bin']);
  const file = await mlfs('verify', at.checkpoint, '--seal', seal);
  assert.deepEqual([file.code, file.stdout], [0, `${at.checkpoint}: 3 tensors as sealed\n`]);

  await writeFile(seal, 'something else\n');
  const broken = await mlfs('verify', at.checkpoint, '--seal', seal);
  assert.equal(broken.code, 3);
  assert.match(broken.stderr, /model\.seal: line 1: is not a hash and a path/);
  const missing = await mlfs('verify', at.checkpoint, '--seal', join(at.folder, 'none'));
  assert.equal(missing.code, 1);
  assert.match(missing.stderr, /none: the seal cannot be read: no such file/);
});

test('diff of a file and its mount is what was edited', requires('fuse'), async (t) => {
  const at = await mounted(t);
  const none = await mlfs('diff', at.checkpoint, at.mountpoint);
  assert.deepEqual([none.code, none.stdout], [0, 'no difference in 3 tensors\n']);
  await edit(at, 'model/fc/weight.bin', floats(1, 2, 3, 4.5));
  const some = await mlfs('diff', at.checkpoint, at.mountpoint);
  assert.equal(some.code, 1);
  assert.match(some.stdout, /^model\/fc\/weight\.bin: 1 of 4 elements \(25\.0 %\), at most 0\.5000 apart/);
  const json = await mlfs('diff', '--json', at.mountpoint, at.checkpoint);
  assert.equal(JSON.parse(json.stdout).maxDistance, 0.5);
  const quiet = await mlfs('diff', '-q', at.checkpoint, at.mountpoint);
  assert.deepEqual([quiet.code, quiet.stdout], [1, '']);
  const nowhere = await mlfs('diff', at.checkpoint, at.folder);
  assert.equal(nowhere.code, 1);
  assert.match(nowhere.stderr, /is not a mount of mlfs/);
});

test(
  'check names empty gradients and what is not finite, of a mount and of its file',
  requires('fuse'),
  async (t) => {
    const at = await mounted(t);
    await edit(at, 'model/fc/weight.grad', Buffer.alloc(16, 1));
    for (const target of [at.mountpoint, at.checkpoint]) {
      const { code, stdout } = await mlfs('check', target, '--grads');
      assert.deepEqual(
        [code, stdout],
        [1, `model/fc/bias.grad: is empty\n${target}: 2 gradients: 1 problem\n`],
      );
    }
    await edit(at, 'model/fc/bias.grad', Buffer.alloc(8, 1));
    const both = await mlfs('check', at.mountpoint, '--grads', '--finite');
    assert.deepEqual([both.code, both.stdout.includes('all is well')], [0, true]);
    await edit(at, 'model/fc/weight.bin', floats(1, Number.NaN, Number.POSITIVE_INFINITY, 0));
    const { code, stdout } = await mlfs('check', at.mountpoint, '--finite', '--json');
    assert.equal(code, 1);
    assert.deepEqual(JSON.parse(stdout).problems, [
      { path: 'model/fc/weight.bin', problem: 'has 1 NaN and 1 infinite elements' },
    ]);
    const nothing = await mlfs('check', at.mountpoint);
    assert.equal(nothing.code, 2);
    assert.match(nothing.stderr, /--grads, --finite/);
  },
);

test(
  'seal, diff and check of a mount with a path that is too long say so, and take the file instead',
  requires('fuse'),
  async (t) => {
    // As a path from the mount point it has more than 4,095 bytes.
    const long = { name: 'x'.repeat(4200), dtype: 'float32', shape: [2], fill: floats(1, 2) } as const;
    const at = await scene(t, [...TENSORS, long]);
    assert.equal((await mlfs('mount', at.checkpoint, at.mountpoint)).code, 0);
    for (const words of [
      ['seal', at.mountpoint],
      ['diff', at.checkpoint, at.mountpoint],
      ['check', at.mountpoint, '--finite'],
      ['check', at.mountpoint, '--grads'],
    ]) {
      const { code, stderr } = await mlfs(...words);
      assert.equal(code, 3, words.join(' '));
      assert.match(stderr, /has a path of more than 4095 bytes, which cannot be opened/);
      assert.match(stderr, /try: name the checkpoint file instead of the mount/);
      assert.doesNotMatch(stderr, /fault of mlfs/);
    }
    assert.equal((await mlfs('seal', at.checkpoint)).stdout.split('\n').length, 5);
    assert.equal((await mlfs('check', at.checkpoint, '--finite')).code, 0);
    assert.equal((await mlfs('diff', at.checkpoint, at.checkpoint)).code, 0);
  },
);
