import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { writeTorchZip } from '../../../src/checkpoint/torch/writer.ts';
import { requires } from '../../support/requires.ts';
import { MLFS, runMlfs } from '../../support/run-mlfs.ts';
import { runAsSecondUser, sharedDirectory } from '../../support/second-user.ts';

test("another user's mount is not called dead", requires('fuse', 'root'), async (t) => {
  const folder = await sharedDirectory(t);
  const [checkpoint, mountpoint] = [join(folder, 'model.pt'), join(folder, 'mount')];
  await mkdir(mountpoint);
  await writeTorchZip(checkpoint, {
    tensors: [{ name: 'weight', dtype: 'float32', shape: [2], fill: Buffer.alloc(8) }],
  });
  assert.equal((await runMlfs(['mount', checkpoint, mountpoint])).code, 0);
  try {
    // tsx could not write its cache.
    const env = { ...process.env, TSX_DISABLE_CACHE: '1' };
    for (const command of ['status', 'commit']) {
      const [program = '', ...args] = MLFS;
      const { code, stderr } = await runAsSecondUser(program, [...args, command, mountpoint], { env });
      assert.equal(code, 1);
      assert.equal(
        stderr,
        `mlfs: ${mountpoint}: permission denied: only user 0, who mounted it, may use it\n` +
          '  try: mount it with -o allow_other to let other users in, root too\n',
      );
    }
  } finally {
    await runMlfs(['umount', mountpoint]);
  }
});
