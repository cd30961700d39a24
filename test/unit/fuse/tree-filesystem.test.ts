import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RequestContext } from '../../../src/fuse/filesystem.ts';
import { O_APPEND } from '../../../src/fuse/open-policy.ts';
import { TreeFilesystem } from '../../../src/fuse/tree-filesystem.ts';
import { sampleTree, WEIGHT } from './sample-tree.ts';

const O_RDONLY = 0;
const O_WRONLY = 1;
const O_RDWR = 2;
const O_TRUNC = 0o1000;
const DAY_MS = 86_400_000;

const refusedWith = (name: string) => (error: unknown) => (error as { errno?: string }).errno === name;

function setUp(options: { readOnly?: boolean } = {}) {
  const sample = sampleTree();
  const filesystem = new TreeFilesystem(sample.tree, { readOnly: options.readOnly ?? false, uid: 7, gid: 8 });
  filesystem.connect({ invalidate: () => Promise.resolve() });
  const caller = new AbortController();
  const context: RequestContext = { uid: 1000, gid: 1000, pid: 1, signal: caller.signal };
  return { ...sample, filesystem, context, interrupt: () => caller.abort(new Error('interrupted')) };
}

test('statfs says what is used by tensors and what edits may still take, in blocks that 32 bits can count', async () => {
  const { tree } = sampleTree();
  const of = (readOnly: boolean, freeBytes: number) =>
    new TreeFilesystem(tree, { readOnly, freeBytes: () => Promise.resolve(freeBytes) }).statfs();
  const used = Math.ceil(tree.totalBytes / 4096);
  const few = await of(false, 64 * 1024);
  assert.deepEqual(
    [few.blockSize, few.blocks - few.blocksFree, few.blocksFree, few.blocksAvailable],
    [4096, used, 16, 16],
  );
  const huge = await of(false, 2 ** 50);
  assert.ok(huge.blocks < 2 ** 32);
  assert.equal(huge.blocksFree * huge.blockSize, 2 ** 50);
  assert.equal((await of(true, 2 ** 30)).blocksFree, 0);
});

test('tied names are one inode with two links', () => {
  const { filesystem, nodeid } = setUp();
  const one = filesystem.lookup(nodeid.model, 'weight.bin');
  const other = filesystem.lookup(nodeid.model, 'tied.bin');
  assert.deepEqual(one, other);
  assert.ok('attr' in one);
  assert.equal(one.attr.nlink, 2);
});

test('fixed files may be kept for a day, the log and the status not at all', () => {
  const { filesystem, nodeid, context } = setUp();
  const timeouts = (parent: number, name: string) => {
    const entry = filesystem.lookup(parent, name);
    assert.ok('attr' in entry);
    return [entry.entryTimeoutMs, entry.attrTimeoutMs];
  };
  assert.deepEqual(timeouts(nodeid.model, 'weight.bin'), [DAY_MS, DAY_MS]);
  assert.deepEqual(timeouts(nodeid.model, 'gather.bin'), [DAY_MS, DAY_MS]);
  assert.deepEqual(timeouts(1, 'log'), [DAY_MS, 0]);
  assert.deepEqual(timeouts(1, 'status'), [DAY_MS, 0]);
  assert.deepEqual(filesystem.lookup(nodeid.model, 'nothing'), { absent: true, entryTimeoutMs: DAY_MS });
  assert.deepEqual(
    filesystem.lookup(1, 'nothing'),
    { absent: true, entryTimeoutMs: 0 },
    'the next checkpoint may have it',
  );
  assert.throws(() => filesystem.lookup(nodeid.weight, 'x'), refusedWith('ENOTDIR'));
  assert.throws(() => filesystem.getattr(4711, context), refusedWith('ESTALE'));
});

test('an open says how it is served', async () => {
  const { filesystem, nodeid, context } = setUp();
  const weight = await filesystem.open(nodeid.weight, O_RDONLY, context);
  assert.equal(weight.caching, 'keep');
  assert.equal(weight.extents?.length, 2);
  const gather = await filesystem.open(nodeid.gather, O_RDONLY, context);
  assert.deepEqual([gather.caching, gather.extents], ['keep', undefined]);
  assert.equal((await filesystem.open(nodeid.status, O_RDONLY, context)).caching, 'direct');
  assert.equal((await filesystem.open(nodeid.log, O_RDONLY, context)).caching, 'direct');
  assert.throws(() => filesystem.open(nodeid.model, O_RDONLY, context), refusedWith('EISDIR'));
});

test('what has no writer cannot be opened for writing, and the log not to truncate it', async () => {
  const { filesystem, nodeid, context } = setUp();
  const root = { ...context, uid: 0 };
  for (const target of [nodeid.weight, nodeid.gather, nodeid.status]) {
    for (const flags of [O_WRONLY, O_RDWR, O_WRONLY | O_TRUNC]) {
      assert.throws(() => filesystem.open(target, flags, root), refusedWith('EPERM'));
    }
  }
  filesystem.open(nodeid.log, O_WRONLY | O_APPEND, root);
  assert.throws(() => filesystem.open(nodeid.log, O_WRONLY | O_APPEND, context), refusedWith('EACCES'));
  assert.throws(() => filesystem.open(nodeid.log, O_WRONLY | O_TRUNC, root), refusedWith('EPERM'));
  await assert.rejects(filesystem.setattr(nodeid.log, { size: 0 }, root), refusedWith('EPERM'));
  await assert.rejects(filesystem.setattr(nodeid.weight, { mode: 0o777 }, root), refusedWith('EPERM'));
});

test('on a read-only mount everything that changes something is EROFS', async () => {
  const { filesystem, nodeid, context } = setUp({ readOnly: true });
  for (const target of [nodeid.weight, nodeid.gather, nodeid.log]) {
    for (const flags of [O_WRONLY, O_RDWR, O_WRONLY | O_TRUNC]) {
      assert.throws(() => filesystem.open(target, flags, context), refusedWith('EROFS'));
    }
    await assert.rejects(filesystem.setattr(target, { mode: 0o777 }, context), refusedWith('EROFS'));
    await assert.rejects(filesystem.write(target, 0, 0, Buffer.of(1)), refusedWith('EROFS'));
  }
  for (const operation of ['link', 'symlink', 'tmpfile', 'setxattr', 'removexattr'] as const) {
    assert.equal(filesystem.refusal(operation), 'EROFS');
  }
});

test('a write to the log is appended wherever it points', async () => {
  const { filesystem, nodeid, log, context } = setUp();
  const { handle } = await filesystem.open(nodeid.log, O_WRONLY | O_APPEND, { ...context, uid: 0 });
  assert.equal(await filesystem.write(nodeid.log, handle, 0, Buffer.from('second line\n')), 12);
  await filesystem.release(nodeid.log, handle);
  assert.equal(log.text, 'first line\nsecond line\n(closed)\n');
  assert.equal(filesystem.counters().append_bytes_total, 12);
  await assert.rejects(filesystem.write(nodeid.weight, 0, 0, Buffer.from('x')), refusedWith('EPERM'));
});

test('reads are cut at the end of the file and nowhere else', async () => {
  const { filesystem, nodeid, context } = setUp();
  for (const target of [nodeid.weight, nodeid.gather]) {
    for (const [offset, length] of [
      [0, 1],
      [0, 300],
      [99, 2],
      [100, 200],
      [150, 100],
      [290, 100],
      [299, 1],
    ] as const) {
      assert.deepEqual(
        Buffer.from(await filesystem.read(target, 0, offset, length, context)),
        WEIGHT.subarray(offset, offset + length),
        `${length} at ${offset}`,
      );
    }
    assert.equal((await filesystem.read(target, 0, 300, 10, context)).byteLength, 0);
    assert.equal((await filesystem.read(target, 0, 2 ** 52, 10, context)).byteLength, 0);
  }
});

test('each open of a snapshot has its own bytes, and stat shows the latest', async () => {
  const { filesystem, nodeid, context } = setUp();
  const text = async (handle: number) =>
    Buffer.from(await filesystem.read(nodeid.status, handle, 0, 100, context)).toString();
  const size = async () => (await filesystem.getattr(nodeid.status, context)).attr.size;
  const first = await filesystem.open(nodeid.status, O_RDONLY, context);
  const second = await filesystem.open(nodeid.status, O_RDONLY, context);
  assert.equal(await text(first.handle), 'made 1 times!\n');
  assert.equal(await text(second.handle), 'made 2 times!!\n');
  assert.equal(await size(), 15, 'while it is open, it is not made again');
  filesystem.release(nodeid.status, first.handle);
  filesystem.release(nodeid.status, second.handle);
  assert.throws(() => filesystem.read(nodeid.status, first.handle, 0, 1, context), refusedWith('EBADF'));
  assert.equal(await size(), 16, 'a stat of what nobody has open makes it');
});

test('a read and an open that never end can be interrupted', async () => {
  const { filesystem, nodeid, context, gate, interrupt } = setUp();
  gate.wait = true;
  const read = filesystem.read(nodeid.gather, 0, 0, 10, context);
  const open = filesystem.open(nodeid.status, O_RDONLY, context);
  interrupt();
  await assert.rejects(async () => read, /interrupted/);
  await assert.rejects(async () => open, /interrupted/);
});

test('a listing goes on after any entry', () => {
  const { filesystem, nodeid } = setUp();
  const names = (offset: number) =>
    Array.from(filesystem.readdir(nodeid.model, offset), (entry) => entry.name);
  const all = ['.', '..', 'weight.bin', 'tied.bin', 'gather.bin'];
  for (let offset = 0; offset <= all.length; offset++) assert.deepEqual(names(offset), all.slice(offset));
  assert.deepEqual(names(Number.MAX_SAFE_INTEGER), []);
  assert.throws(() => filesystem.readdir(nodeid.weight, 0), refusedWith('ENOTDIR'));
});

test('all bytes are data to lseek', () => {
  const { filesystem, nodeid } = setUp();
  const SEEK_DATA = 3;
  const SEEK_HOLE = 4;
  assert.equal(filesystem.lseek(nodeid.weight, 0, 17, SEEK_DATA), 17);
  assert.equal(filesystem.lseek(nodeid.weight, 0, 17, SEEK_HOLE), WEIGHT.length);
  assert.throws(() => filesystem.lseek(nodeid.weight, 0, 300, SEEK_DATA), refusedWith('ENXIO'));
  assert.throws(() => filesystem.lseek(nodeid.weight, 0, 300, SEEK_HOLE), refusedWith('ENXIO'));
  assert.throws(() => filesystem.lseek(nodeid.weight, 0, 0, 0), refusedWith('EINVAL'));
});

test('access follows the mode bits, for root too where nobody may execute', () => {
  const { filesystem, nodeid, context } = setUp();
  const root = { ...context, uid: 0 };
  const owner = { ...context, uid: 7 };
  filesystem.access(nodeid.weight, 4, context);
  filesystem.access(nodeid.model, 5, context);
  filesystem.access(nodeid.weight, 2, root);
  filesystem.access(nodeid.log, 2, owner);
  assert.throws(() => filesystem.access(nodeid.log, 2, context), refusedWith('EACCES'));
  assert.throws(() => filesystem.access(nodeid.weight, 2, owner), refusedWith('EACCES'));
  assert.throws(() => filesystem.access(nodeid.weight, 1, root), refusedWith('EACCES'));
  const readOnly = setUp({ readOnly: true });
  assert.throws(() => readOnly.filesystem.access(readOnly.nodeid.log, 2, root), refusedWith('EROFS'));
});

test('xattrs are those of the inode', () => {
  const { filesystem, nodeid } = setUp();
  assert.deepEqual(filesystem.listxattr(nodeid.weight), ['user.mlfs.dtype']);
  assert.deepEqual(filesystem.listxattr(nodeid.model), []);
  assert.equal(Buffer.from(filesystem.getxattr(nodeid.weight, 'user.mlfs.dtype')).toString(), 'uint8');
  assert.throws(() => filesystem.getxattr(nodeid.weight, 'user.other'), refusedWith('ENODATA'));
});
