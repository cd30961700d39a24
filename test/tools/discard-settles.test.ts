/** A discard of many edits is told to the kernel in parts. The library's `discard` resolves after the last of them. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { writeTorchZip } from '../../src/checkpoint/torch/writer.ts';
import { output } from '../support/run.ts';
import { mountable, Server } from '../support/served.ts';
import { temporaryDirectory } from '../support/tmp.ts';

const TENSORS = 1500;

const EDIT = `
import os, sys
for i in range(${TENSORS}):
    file = os.open(f'{sys.argv[1]}/model/t{i}.bin', os.O_RDWR)
    os.write(file, b'x')
    os.close(file)
`;
/** How many tensors begin with the byte of an edit. Opened without Python's own files, which ask by ioctl whether they are terminals. */
const EDITED = `
import os, sys
count = 0
for i in range(${TENSORS}):
    file = os.open(f'{sys.argv[1]}/model/t{i}.bin', os.O_RDONLY)
    count += os.read(file, 1) == b'x'
    os.close(file)
print(count)
`;

test(
  'kernel: after discard() of the library every file shows the bytes of the checkpoint',
  mountable('kernel', 'python3'),
  async (t) => {
    const server = await Server.start();
    t.after(() => server.stop());
    const folder = await temporaryDirectory(t);
    const checkpoint = join(folder, 'model.pt');
    await writeTorchZip(checkpoint, {
      tensors: Array.from({ length: TENSORS }, (_, i) => ({
        name: `t${i}`,
        dtype: 'uint8' as const,
        shape: [8],
        fill: Buffer.alloc(8, 7),
      })),
    });
    const { path } = await server.mount(checkpoint, { transport: 'kernel' });
    const edited = async () => Number(await output('python3', ['-c', EDITED, path]));
    await output('python3', ['-c', EDIT, path]);
    assert.equal(await edited(), TENSORS);

    // The event loop stands still from then on, so that nothing is told late.
    const release = join(folder, 'release');
    await server.ask({ discard: path, blockUntil: release });
    assert.equal(await edited(), 0);
    await server.release(release);
    await server.unmount(path);
  },
);
