/** Times that no clock shows: a file can have any 64-bit number of seconds. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { writeTorchZip } from '../../src/checkpoint/torch/writer.ts';
import { LATEST_MS } from '../../src/inode.ts';
import { output } from '../support/run.ts';
import { runMlfs } from '../support/run-mlfs.ts';
import { mountable, Server } from '../support/served.ts';
import { WritableMount } from '../support/writable-mount.ts';

const LATEST = '9223372036854775807';

describe('far times', () => {
  let server: Server;
  before(async () => {
    server = await Server.start();
  });
  after(() => server.stop());

  test(
    'a tensor with the latest time can be written, and other views of its bytes are current',
    mountable('kernel'),
    async (t) => {
      const at = await WritableMount.create(t, server, 'kernel', [
        { name: 'w', dtype: 'uint8', shape: [4], fill: Buffer.from('abcd') },
      ]);
      const printed = await at.shellOutput(`
      cat $M/export/model.pt > /dev/null
      touch -a -d @${LATEST} $M/model/w.bin
      touch -m -d @${LATEST} $M/model/w.bin
      stat -c '%X %Y' $M/model/w.bin
      printf wxyz | dd of=$M/model/w.bin conv=notrunc status=none
      grep -ac wxyz $M/export/model.pt
      cat $M/model/w.bin`);
      assert.equal(printed, `${LATEST} ${LATEST}\n1\nwxyz`);
    },
  );

  test('a checkpoint with any mtime is mounted, and loaded again', mountable('kernel'), async (t) => {
    // A tmpfs keeps such times; most file systems do not.
    const folder = await mkdtemp('/dev/shm/mlfs-test-');
    t.after(() => rm(folder, { recursive: true, force: true }));
    const path = join(folder, 'model.pt');
    const write = async (file: string, letter: string) => {
      await writeTorchZip(file, {
        tensors: [{ name: 'w', dtype: 'uint8', shape: [1], fill: Buffer.from(letter) }],
      });
      await output('touch', ['-d', `@${2n ** 53n + 1n}`, file]);
    };
    await write(path, 'a');
    const mounted = await server.mount(path, { transport: 'kernel' });
    t.after(() => server.unmount(mounted.path));
    const shown = join(mounted.path, 'model/w.bin');
    const seen = () => output('sh', ['-c', `stat -c %Y "$1"; cat "$1"`, 'sh', shown]);
    assert.equal(await seen(), `${Math.floor(LATEST_MS / 1000)}\na`);
    await write(`${path}.new`, 'b');
    await output('mv', [`${path}.new`, path]);
    const { code, stderr } = await runMlfs(['reload', mounted.path]);
    assert.equal(code, 0, String(stderr));
    assert.equal(await seen(), `${Math.floor(LATEST_MS / 1000)}\nb`);
  });
});
