/** Writes in place that session threads carry out: they leave what JavaScript's writes leave, and whatever else shows the bytes is current. */
import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { PyDict } from '../../src/checkpoint/pickle/values.ts';
import { type TensorToWrite, tensorToWrite, writeTorchZip } from '../../src/checkpoint/torch/writer.ts';
import { runMlfs } from '../support/run-mlfs.ts';
import { mountable, Server } from '../support/served.ts';
import { WritableMount } from '../support/writable-mount.ts';

const COLUMNS = 1024;
const ROWS = 3 * 256;
const BYTES = Buffer.from(Float32Array.from({ length: ROWS * COLUMNS }, (_, index) => index / 7).buffer);

/** `weight`, and `upper`, a file of its own over the upper half of the same bytes. */
async function writeViews(path: string): Promise<void> {
  const weight = tensorToWrite('float32', [ROWS, COLUMNS], BYTES);
  const root = new PyDict();
  root.className = 'collections.OrderedDict';
  root.set('weight', weight);
  const upper: TensorToWrite = { ...weight, shape: [ROWS / 2, COLUMNS], storageOffset: (ROWS / 2) * COLUMNS };
  root.set('upper', upper);
  await writeTorchZip(path, { root }, {});
}

/** Writes like an editor of tensors: whole blocks, scattered floats, equal bytes, odd places; args: seed, count, after how many to sync. */
const RANDOM_WRITES = `
import random
seed, count, every = (int(number) for number in args)
chance = random.Random(seed)
fd = os.open(M + '/model/weight.bin', os.O_RDWR)
size = os.fstat(fd).st_size
model = bytearray(os.pread(fd, size, 0))
for turn in range(count):
    length = chance.choice([1, 4, 100, 4096, 5000, 65536, 1 << 20, (1 << 20) + 4096])
    at = chance.randrange(size - length)
    if chance.random() < 0.5: at -= at % 4096
    block = bytearray(model[at:at + length])
    kind = chance.random()
    if kind < 0.4: block = bytearray(chance.randbytes(length))
    elif kind < 0.8:
        for change in range(chance.randrange(1, 60)):
            block[chance.randrange(length)] = chance.randrange(256)
    assert os.pwrite(fd, block, at) == length
    model[at:at + length] = block
    if every and turn % every == every - 1: os.fsync(fd)
    if chance.random() < 0.05: assert os.pread(fd, length, at) == block, (turn, at, length)
os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
assert os.pread(fd, size, 0) == model, 'the file has other bytes than were written'
`;

async function started(t: TestContext, launcher: readonly string[] = []): Promise<Server> {
  const server = await Server.start({ launcher });
  t.after(() => server.stop());
  return server;
}

/** The segments of a journal, one after the other. */
async function journalOf(mount: WritableMount): Promise<Buffer> {
  const folder = join(mount.stateDirectory, 'journal');
  const names = (await readdir(folder)).sort();
  return Buffer.concat(await Promise.all(names.map((name) => readFile(join(folder, name)))));
}

async function nativeWrites(mount: WritableMount): Promise<number> {
  return (await mount.status()).counters.native_writes_total ?? 0;
}

describe('writes of the data plane', mountable('kernel', 'python3'), () => {
  for (const { name, every } of [
    { name: 'nothing synced', every: 0 },
    { name: 'fsync after every tenth', every: 10 },
  ]) {
    test(`leave byte for byte the journal that JavaScript leaves, with ${name}`, async (t) => {
      const seed = 1 + every;
      const journals: Buffer[] = [];
      for (const launcher of [[], ['env', 'MLFS_INODE_TABLE=off']]) {
        const mount = await WritableMount.create(t, await started(t, launcher), 'kernel', writeViews);
        await mount.python(RANDOM_WRITES, seed, 120, every);
        // Requests for the file's attributes between the writes show no difference here.
        if (launcher.length === 0)
          assert.ok((await nativeWrites(mount)) > 100, 'the data plane wrote nothing');
        else assert.equal(await nativeWrites(mount), 0);
        journals.push(await journalOf(mount));
        const now = await readFile(mount.model('weight.bin'));
        const again = await mount.again('kernel');
        assert.ok(now.equals(await readFile(again.model('weight.bin'))), 'replay brings the same bytes');
        const committed = await runMlfs(['commit', again.path]);
        assert.equal(committed.code, 0, committed.stderr);
        const verified = await runMlfs(['verify', again.checkpoint]);
        assert.equal(verified.code, 0, verified.stderr + verified.stdout);
      }
      const [native, other] = journals as [Buffer, Buffer];
      assert.ok(native.byteLength > 1 << 20);
      assert.ok(native.equals(other), `${native.byteLength} and ${other.byteLength} bytes`);
    });
  }

  test('show at once through a view and the export that the kernel had in its pages', async (t) => {
    const mount = await WritableMount.create(t, await started(t), 'kernel', writeViews);
    await mount.python(`
size = os.stat(M + '/model/weight.bin').st_size
weight = os.open(M + '/model/weight.bin', os.O_RDWR)
upper = os.open(M + '/model/upper.bin', os.O_RDONLY)
export = os.open(M + '/export/model.pt', os.O_RDONLY)
whole = os.pread(export, os.fstat(export).st_size, 0)
base = whole.index(os.pread(weight, 4096, 0))
for turn in range(200):
    at = size // 2 + turn * 4096 + 4 * turn
    os.pread(upper, 8192, at - size // 2)
    os.pread(export, 8192, base + at)
    before = os.fstat(upper).st_mtime_ns, os.fstat(weight).st_mtime_ns
    block = os.urandom(4096)
    os.pwrite(weight, block, at)
    assert os.pread(upper, 4096, at - size // 2) == block, turn
    assert os.pread(export, 4096, base + at) == block, turn
    after = os.fstat(upper).st_mtime_ns, os.fstat(weight).st_mtime_ns
    assert after[0] > before[0] and after[1] > before[1], (turn, before, after)
`);
    assert.ok((await nativeWrites(mount)) > 150);
    await mount.python(`
import zipfile
with zipfile.ZipFile(M + '/export/model.pt') as archive: assert archive.testzip() is None, archive.testzip()
`);
  });

  test('show their time to whoever asks right after them', async (t) => {
    const mount = await WritableMount.create(t, await started(t), 'kernel', writeViews);
    await mount.python(`
fd = os.open(M + '/model/weight.bin', os.O_RDWR)
os.pwrite(fd, b'first', 0)
for turn in range(100):
    before = os.fstat(fd).st_mtime_ns
    os.pwrite(fd, os.urandom(64), turn * 4096)
    assert os.fstat(fd).st_mtime_ns > before, turn
`);
    assert.ok((await nativeWrites(mount)) >= 100);
  });

  test('of several programs at once are all there, and none is mixed with another', async (t) => {
    const mount = await WritableMount.create(t, await started(t), 'kernel', writeViews);
    await mount.python(`
import multiprocessing
def write(number):
    fd = os.open(M + '/model/' + ('weight.bin' if number % 2 == 0 else 'upper.bin'), os.O_RDWR)
    half = os.stat(M + '/model/upper.bin').st_size
    for turn in range(100):
        at = (turn * 4 + number) * 2048
        os.pwrite(fd, bytes([turn, number]) * 1024, at if number % 2 else half + at)
    os.close(fd)
with multiprocessing.Pool(4) as pool: pool.map(write, range(4))
upper = open(M + '/model/upper.bin', 'rb').read()
for number in range(4):
    for turn in range(100):
        at = (turn * 4 + number) * 2048
        assert upper[at:at + 2048] == bytes([turn, number]) * 1024, (number, turn)
`);
    assert.ok((await nativeWrites(mount)) > 0);
    const again = await mount.again('kernel');
    const upper = await readFile(again.model('upper.bin'));
    for (let number = 0; number < 4; number++) {
      for (let turn = 0; turn < 100; turn++) {
        const at = (turn * 4 + number) * 2048;
        assert.deepEqual([upper[at], upper[at + 2047]], [turn, number]);
      }
    }
  });

  test('of a shared mapping are there for every reader after msync, and survive a new mount', async (t) => {
    const mount = await WritableMount.create(t, await started(t), 'kernel', writeViews);
    await mount.python(`
import mmap
fd = os.open(M + '/model/weight.bin', os.O_RDWR)
upper = os.open(M + '/model/upper.bin', os.O_RDONLY)
size = os.fstat(fd).st_size
os.pwrite(fd, b'first', 0)
with mmap.mmap(fd, size) as memory:
    for turn in range(64):
        at = size // 2 + turn * 4096 + turn
        os.pread(upper, 4096, at - size // 2)
        memory[at:at + 3000] = bytes([turn + 1]) * 3000
        memory.flush()
        assert os.pread(upper, 3000, at - size // 2) == bytes([turn + 1]) * 3000, turn
`);
    assert.ok((await nativeWrites(mount)) > 50);
    const now = await readFile(mount.model('weight.bin'));
    const again = await mount.again('kernel');
    assert.ok(now.equals(await readFile(again.model('weight.bin'))));
  });

  test('end where the file ends, whatever the offset, and end with a truncation', async (t) => {
    const mount = await WritableMount.create(t, await started(t), 'kernel', writeViews);
    await mount.python(`
import fcntl
fd = os.open(M + '/model/weight.bin', os.O_RDWR)
size = os.fstat(fd).st_size
before = os.pread(fd, size, 0)
def refused(call, *numbers):
    try: call()
    except OSError as refusal: assert refusal.errno in numbers, refusal
    else: raise AssertionError('nothing was refused')
os.pwrite(fd, b'first', 0)
for at in (size - 2, size, size + 1, 2**31, 2**32 - 2, 2**40, 2**63 - 4):
    refused(lambda: os.pwrite(fd, b'1234', at), errno.EFBIG, errno.EINVAL)
os.pwrite(fd, b'last', size - 4)
fcntl.fcntl(fd, fcntl.F_SETFL, os.O_APPEND)
refused(lambda: os.write(fd, b'x'), errno.EFBIG)
fcntl.fcntl(fd, fcntl.F_SETFL, 0)
expected = b'first' + before[5:-4] + b'last'
assert os.pread(fd, size, 0) == expected
reader = os.open(M + '/model/weight.bin', os.O_RDONLY)
os.ftruncate(fd, 0)
for at in range(0, size, 1 << 20): os.pwrite(fd, b'\\x05' * min(1 << 20, size - at), at)
os.close(fd)
assert os.pread(reader, size, 0) == b'\\x05' * size
`);
    assert.ok((await nativeWrites(mount)) >= 1);
  });

  test('stop at the journal’s limit with ENOSPC, and go on after a commit', async (t) => {
    const limit = 2 << 20;
    const mount = await WritableMount.create(t, await started(t), 'kernel', writeViews, {
      journalLimitBytes: limit,
    });
    const written = Number(
      await mount.python(`
fd = os.open(M + '/model/weight.bin', os.O_RDWR)
written = 0
try:
    for at in range(0, 3 << 20, 4096):
        os.pwrite(fd, os.urandom(4096), at)
        written += 4096
except OSError as refusal: assert refusal.errno == errno.ENOSPC, refusal
print(written)
`),
    );
    assert.ok(written > limit / 2 && written < limit, `${written} bytes were written`);
    assert.ok((await journalOf(mount)).byteLength <= limit);
    const committed = await runMlfs(['commit', mount.path]);
    assert.equal(committed.code, 0, committed.stderr);
    await mount.python(`
fd = os.open(M + '/model/weight.bin', os.O_RDWR)
for at in range(0, 1 << 20, 4096): os.pwrite(fd, b'\\x07' * 4096, at)
`);
    assert.ok(
      (await readFile(mount.model('weight.bin'))).subarray(0, 1 << 20).equals(Buffer.alloc(1 << 20, 7)),
    );
  });
});
