import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { writeTorchZip } from '../../../src/checkpoint/torch/writer.ts';
import { unmountPath } from '../../../src/fuse/transport/unmount.ts';
import { isFileLocked } from '../../../src/storage/lock.ts';
import { statusOf } from '../../../src/targets/find-mount.ts';
import { ServerEnd } from '../../../src/targets/server-end.ts';
import { runMlfs } from '../../support/run-mlfs.ts';
import { mountable, Server } from '../../support/served.ts';
import { temporaryDirectory } from '../../support/tmp.ts';

async function served(t: TestContext, readOnly: boolean) {
  const server = await Server.start();
  t.after(() => server.stop());
  const folder = await temporaryDirectory(t);
  const checkpoint = join(folder, 'model.pt');
  await writeTorchZip(checkpoint, {
    tensors: [{ name: 'weight', dtype: 'float32', shape: [2], fill: Buffer.alloc(8) }],
  });
  const { path: mountpoint } = await server.mount(checkpoint, { transport: 'kernel', readOnly });
  return { server, folder, checkpoint, mountpoint };
}

test(
  'a server that is still at work is waited for, and not the process that lives on',
  mountable('kernel'),
  async (t) => {
    const { server, folder, checkpoint, mountpoint } = await served(t, false);
    const weight = await open(join(mountpoint, 'model/weight.bin'), 'r+');
    await weight.write(Buffer.from([1]), 0, 1, 0);
    await weight.close();
    assert.ok(existsSync(`${checkpoint}.mlfs`));
    await runMlfs(['discard', mountpoint]);
    const end = await ServerEnd.of(mountpoint, await statusOf(mountpoint));
    const release = join(folder, 'release');
    await server.block(release);
    await unmountPath(mountpoint, true);
    assert.equal(await end.wait(100), false, 'it has the lock');
    const ended = end.wait();
    await server.release(release);
    await rm(release);
    assert.equal(await ended, true);
    assert.equal(await isFileLocked(checkpoint), false);
    assert.equal(existsSync(`${checkpoint}.mlfs`), false);
    assert.ok(server.alive);
  },
);

test('umount of a mount in a process that lives on ends, read-only too', mountable('kernel'), async (t) => {
  for (const readOnly of [false, true]) {
    const { server, mountpoint } = await served(t, readOnly);
    const { code, stderr } = await runMlfs(['umount', mountpoint]);
    assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
    assert.ok(server.alive);
  }
});
