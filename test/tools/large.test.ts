/** Files larger than any memory: sparse, so that a terabyte is a few blocks of disk, with marks where offsets could go wrong. */
import assert from 'node:assert/strict';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type NamedTensorToWrite, writeTorchZip } from '../../src/checkpoint/torch/writer.ts';
import { output } from '../support/run.ts';
import { mountable, Server, TRANSPORTS } from '../support/served.ts';
import { temporaryDirectory } from '../support/tmp.ts';

const GiB = 2 ** 30;
const MARK_BYTES = 64;

/** Bytes that say where they are. */
function mark(offset: number): Buffer {
  return Buffer.from(`<<mark at byte ${offset}>>`.padEnd(MARK_BYTES, '.'));
}

/** Zeros with marks at `offsets`. */
function marked(name: string, size: number, offsets: readonly number[]): NamedTensorToWrite {
  const ranges = offsets.map((offset) => ({ offset, bytes: mark(offset) }));
  return { name, dtype: 'uint8', shape: [size], fill: { ranges } };
}

/** Reads the marks and what is around them through the mount: read.py PATH SIZE OFFSETS. */
const READ_MARKS = `
import json, os, sys
path, size, marks = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
fd = os.open(path, os.O_RDONLY)
assert os.fstat(fd).st_size == size, os.fstat(fd)
for offset in marks:
    wanted = (b'<<mark at byte %d>>' % offset).ljust(64, b'.')
    assert os.pread(fd, 64, offset) == wanted, (offset, os.pread(fd, 64, offset))
    before = os.pread(fd, 5000, max(0, offset - 4999))
    assert before == bytes(len(before) - 1) + b'<' or offset == 0, offset
    after = os.pread(fd, 4096, offset + 64)
    assert after == bytes(min(4096, size - offset - 64)), offset
assert os.pread(fd, 100, size) == b''
`;

async function readMarks(path: string, size: number, offsets: readonly number[]): Promise<void> {
  await output('python3', ['-c', READ_MARKS, path, String(size), JSON.stringify(offsets)]);
}

async function serve(t: TestContext): Promise<Server> {
  const server = await Server.start();
  t.after(() => server.stop());
  return server;
}

for (const transport of TRANSPORTS) {
  test(
    `${transport}: offsets above 2 GiB and 4 GiB are exact, in the tensor and in the file`,
    mountable(transport, 'python3'),
    async (t) => {
      const server = await serve(t);
      const checkpoint = join(await temporaryDirectory(t), 'large.pt');
      const size = 5 * GiB + 123;
      const offsets = [
        0,
        2 * GiB - 10_000,
        2 * GiB,
        2 * GiB + 10_000,
        4 * GiB - 10_000,
        4 * GiB + 7,
        size - MARK_BYTES,
      ];
      const small = [0, 6000, 12_000];
      await writeTorchZip(checkpoint, {
        tensors: [
          marked('first', size, offsets),
          // Small tensors behind the large one: their place in the file is what is large.
          marked('above', 16384, small),
        ],
      });
      const { path } = await server.mount(checkpoint, { transport });
      await readMarks(join(path, 'model/first.bin'), size, offsets);
      await readMarks(join(path, 'model/above.bin'), 16384, small);
    },
  );

  test(
    `${transport}: a terabyte mounts in little memory, and its far end is right to the byte`,
    mountable(transport, 'python3'),
    async (t) => {
      const server = await serve(t);
      const checkpoint = join(await temporaryDirectory(t), 'terabyte.pt');
      const tensorBytes = 256 * GiB;
      const offsets = [0, 4 * GiB + 1, 200 * GiB + 3, tensorBytes - MARK_BYTES];
      await writeTorchZip(checkpoint, {
        tensors: ['a', 'b', 'c', 'd'].map((name) => marked(name, tensorBytes, offsets)),
      });
      const { size, blocks } = await stat(checkpoint);
      assert.ok(size > 1024 * GiB);
      assert.ok(blocks * 512 < GiB, 'the file itself is sparse');
      const { path, summary } = await server.mount(checkpoint, { transport });
      for (const name of ['a', 'd']) await readMarks(join(path, `model/${name}.bin`), tensorBytes, offsets);
      const peak = await server.memory('VmHWM');
      t.diagnostic(
        `${transport}: 1 TiB mounted in ${summary.milliseconds} ms, the server's peak is ${Math.round(peak / 2 ** 20)} MiB`,
      );
      assert.ok(peak < 512 * 2 ** 20, `${peak} bytes`);
    },
  );
}
