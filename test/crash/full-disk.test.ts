import assert from 'node:assert/strict';
import { mkdtemp, readFile, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { writeTorchZip } from '../../src/checkpoint/torch/writer.ts';
import { DEBIAN_PYTHON } from '../support/requires.ts';
import { output } from '../support/run.ts';
import { mountable, Server, TRANSPORTS } from '../support/served.ts';

const TENSOR_BYTES = 1024 * 1024;

/** Writes blocks of 16 KiB, each of one byte, over both tensors, round after round; prints how many went well, and the errno. */
const FILL = `
import os, sys
folder, first = sys.argv[1], int(sys.argv[2])
files = [os.open(f'{folder}/model/{name}/weight.bin', os.O_RDWR) for name in 'ab']
block, per_file = 16384, ${TENSOR_BYTES} // 16384
for number in range(1000):
    index = number % (2 * per_file)
    try:
        data = bytes([(first + number) % 251]) * block
        assert os.pwrite(files[index // per_file], data, index % per_file * block) == block
    except OSError as error:
        print(number, error.errno)
        sys.exit(0)
print(1000, 0)
`;

/** What both tensors hold after so many blocks. */
function filled(before: Buffer, first: number, blocks: number): Buffer {
  const bytes = Buffer.from(before);
  for (let number = 0; number < blocks; number++) {
    const at = (number * 16384) % bytes.byteLength;
    bytes.fill((first + number) % 251, at, at + 16384);
  }
  return bytes;
}

async function smallDisk(t: TestContext): Promise<{ disk: string; server: Server }> {
  const disk = await mkdtemp(join(tmpdir(), 'mlfs-disk-'));
  await output('mount', ['-t', 'tmpfs', '-o', 'size=5m', 'mlfs-test', disk]);
  const server = await Server.start();
  t.after(async () => {
    await server.stop();
    await output('umount', ['-l', disk]);
    await rmdir(disk);
  });
  return { disk, server };
}

/**
 * Fills the disk through one descriptor that stays open, in blocks of 16 KiB; then discards or commits, which must give the space back, and fills it
 * again. Prints after each filling how many blocks went well, and the free KiB after the command.
 */
const FILL_OPEN = `
import errno, os, sys
mount, disk = sys.argv[1:]
fd = os.open(mount + '/model/a.bin', os.O_RDWR)
size, block = os.fstat(fd).st_size, 16384
model = bytearray(os.pread(fd, size, 0))
for turn, command in enumerate(['discard', 'commit', 'discard']):
    before = bytes(model)
    for number in range(1000):
        data, at = bytes([(turn * 50 + number) % 251]) * block, number * block % size
        try: assert os.pwrite(fd, data, at) == block
        except OSError as error:
            assert error.errno == errno.ENOSPC, error
            break
        model[at:at + block] = data
    assert os.pread(fd, size, 0) == model
    os.fsync(fd)
    open(mount + '/sys/control', 'w').write(command + '\\n')
    if command == 'discard': model = bytearray(before)
    assert os.pread(fd, size, 0) == model, command
    free = os.statvfs(disk)
    print(number, free.f_bavail * free.f_bsize >> 10)
`;

test(
  'session threads find the disk full, lose nothing, and a discard and a commit give the space back to an open file',
  mountable('kernel', 'root', 'python3'),
  async (t) => {
    const { disk, server } = await smallDisk(t);
    const checkpoint = join(disk, 'model.pt');
    const tensor = { name: 'a', dtype: 'uint8' as const, shape: [TENSOR_BYTES] };
    await writeTorchZip(checkpoint, { tensors: [{ ...tensor, fill: Buffer.alloc(TENSOR_BYTES, 255) }] });
    const { path } = await server.mount(checkpoint, { transport: 'kernel' });
    const lines = (await output(DEBIAN_PYTHON, ['-c', FILL_OPEN, path, disk])).trim().split('\n');
    let blocks = 0;
    for (const line of lines) {
      const [filled, freeKib] = line.split(' ').map(Number) as [number, number];
      assert.ok(filled > 200 && freeKib > 3800, `blocks and free KiB: ${lines.join(', ')}`);
      blocks += filled;
    }
    const { counters } = JSON.parse(await readFile(join(path, 'sys/status.json'), 'utf8'));
    assert.ok(counters.native_writes_total > blocks / 2, `${counters.native_writes_total} of ${blocks}`);
  },
);

for (const transport of TRANSPORTS) {
  test(
    `a full disk fails writes with ENOSPC, reads go on, commit and discard make room (${transport})`,
    mountable(transport, 'root', 'python3'),
    async (t) => {
      const { disk, server } = await smallDisk(t);
      const checkpoint = join(disk, 'model.pt');
      await writeTorchZip(checkpoint, {
        tensors: ['a.weight', 'b.weight'].map((name) => ({
          name,
          dtype: 'uint8' as const,
          shape: [TENSOR_BYTES],
          fill: Buffer.alloc(TENSOR_BYTES, 255),
        })),
      });
      const { path } = await server.mount(checkpoint, { transport });
      const fill = async (first: number) => {
        const [blocks, errno] = (await output(DEBIAN_PYTHON, ['-c', FILL, path, String(first)]))
          .trim()
          .split(' ');
        assert.equal(Number(errno), 28, `the errno of block ${blocks}`);
        return Number(blocks);
      };
      const read = async () =>
        Buffer.concat(
          await Promise.all(['a', 'b'].map((name) => readFile(join(path, 'model', name, 'weight.bin')))),
        );
      const control = (command: string) =>
        output('bash', ['-c', 'echo "$1" > "$2"', '-', command, join(path, 'sys/control')]);

      const first = await fill(1);
      assert.ok(first > 50, `${first} blocks fit`);
      const committed = filled(Buffer.alloc(2 * TENSOR_BYTES, 255), 1, first);
      assert.ok((await read()).equals(committed));
      await control('commit');
      assert.ok((await read()).equals(committed));

      const second = await fill(100);
      assert.ok(second > 50, `${second} blocks fit after a commit`);
      assert.ok((await read()).equals(filled(committed, 100, second)));
      await control('discard');
      assert.ok((await read()).equals(committed));
      await fill(200);
      await control('discard');

      await server.unmount(path);
      const bad = await output(DEBIAN_PYTHON, [
        '-c',
        'import sys, zipfile\nprint(zipfile.ZipFile(sys.argv[1]).testzip())',
        checkpoint,
      ]);
      assert.equal(bad.trim(), 'None');
      assert.deepEqual((await readFile(checkpoint)).includes(committed.subarray(0, TENSOR_BYTES)), true);
    },
  );
}
