import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Filesystem } from '../../../../src/fuse/filesystem.ts';
import { ERRNO } from '../../../../src/fuse/protocol/errno.ts';
import { makeSupplies } from '../../../../src/fuse/supplies.ts';
import type { Done, FuseNativeOperations } from '../../../../src/fuse/transport/fuse-native-module.ts';
import { FuseNativeBridge } from '../../../../src/fuse/transport/fuse-native-operations.ts';
import { TreeFilesystem } from '../../../../src/fuse/tree-filesystem.ts';
import { InodeTable } from '../../../../src/tree/inode-table.ts';
import { sampleTree, WEIGHT } from '../sample-tree.ts';
import { SIZE, writableTree } from '../writable-tree.ts';

function setUp(overrides: Partial<Filesystem> = {}) {
  const sample = sampleTree();
  const filesystem = Object.assign(
    new TreeFilesystem(sample.tree, { readOnly: false, uid: 7, gid: 8 }),
    overrides,
  );
  const warnings: string[] = [];
  const bridge = new FuseNativeBridge(filesystem, (message) => warnings.push(message));
  return { ...sample, filesystem, bridge, warnings, operations: bridge.operations() };
}

/** What an operation hands to its callback. */
function outcome(start: (done: Done<unknown[]>) => void): Promise<[number, ...unknown[]]> {
  return new Promise((resolve) => start((...result) => resolve(result)));
}

async function opened(operations: FuseNativeOperations, path: string, flags = 0): Promise<number> {
  const [result, descriptor] = await outcome((done) => operations.open(path, flags, done));
  assert.equal(result, 0);
  return descriptor as number;
}

test('stat goes through the path to the inode', async () => {
  const { operations, nodeid } = setUp();
  const [result, stat] = await outcome((done) => operations.getattr('/model/tied.bin', done));
  assert.equal(result, 0);
  const { ino, size, nlink, mode, uid, gid } = stat as Record<string, number>;
  assert.deepEqual([ino, size, nlink, mode, uid, gid], [nodeid.weight, WEIGHT.length, 2, 0o100444, 7, 8]);
});

test('a path is walked once', async () => {
  let lookups = 0;
  const tree = sampleTree();
  const plain = new TreeFilesystem(tree.tree, { readOnly: true });
  const { operations } = setUp({
    lookup: (parent, name) => {
      lookups++;
      return plain.lookup(parent, name);
    },
  });
  for (let again = 0; again < 3; again++) {
    await outcome((done) => operations.getattr('/model/weight.bin', done));
    await outcome((done) => operations.getattr('/model/gather.bin', done));
  }
  assert.equal(lookups, 3, '/model, weight.bin and gather.bin');
});

test('refusals are negative errnos and no warnings', async () => {
  const { operations, warnings } = setUp();
  const stat = (path: string) => outcome((done) => operations.getattr(path, done));
  assert.deepEqual(await stat('/model/nothing'), [-ERRNO.ENOENT]);
  assert.deepEqual(await stat('/model/weight.bin/x'), [-ERRNO.ENOTDIR]);
  assert.deepEqual(await stat(`/${'n'.repeat(256)}`), [-ERRNO.ENAMETOOLONG]);
  assert.deepEqual(await outcome((done) => operations.open('/model/weight.bin', 1, done)), [-ERRNO.EPERM]);
  for (const name of ['mkdir', 'create']) {
    const refuse = operations[name] as (...args: unknown[]) => void;
    assert.deepEqual(await outcome((done) => refuse('/model/x', 0, done)), [-ERRNO.EACCES], name);
  }
  for (const name of ['setxattr', 'removexattr']) {
    const refuse = operations[name] as (...args: unknown[]) => void;
    assert.deepEqual(await outcome((done) => refuse('/model/weight.bin', done)), [-ERRNO.EOPNOTSUPP], name);
  }
  assert.deepEqual(warnings, []);
});

test('the unexpected is EIO and a warning that names operation and path', async () => {
  const { operations, warnings } = setUp({
    read: () => Promise.reject(new TypeError('boom')),
  });
  const fd = await opened(operations, '/model/weight.bin');
  const read = outcome((done) => operations.read('/model/weight.bin', fd, Buffer.alloc(4), 4, 0, done));
  assert.deepEqual(await read, [-ERRNO.EIO]);
  assert.match(warnings.join(), /^read \/model\/weight\.bin: TypeError: boom/);
});

test('a read fills the memory and returns how much it filled', async () => {
  const { operations, bridge } = setUp();
  const memory = Buffer.alloc(128, '#');
  const fd = await opened(operations, '/model/weight.bin');
  const read = outcome((done) => operations.read('/model/weight.bin', fd, memory, 128, 250, done));
  assert.deepEqual(await read, [50]);
  assert.deepEqual(memory.subarray(0, 50), WEIGHT.subarray(250));
  assert.equal(memory.toString('latin1', 50), '#'.repeat(78));
  assert.equal(bridge.counters().read_bytes_total, 50);
  assert.equal(bridge.counters().requests_read_total, 1);
});

test('an attribute never overruns the memory that it goes to', async () => {
  const { bridge } = setUp();
  const get = (memory: Buffer) =>
    outcome((done) => bridge.getxattr('/model/weight.bin', 'user.mlfs.dtype', memory, done));
  const list = (memory: Buffer) => outcome((done) => bridge.listxattr('/model/weight.bin', memory, done));
  const exact = Buffer.alloc(5);
  assert.deepEqual(await get(exact), [5]);
  assert.equal(exact.toString(), 'uint8');
  assert.deepEqual(await get(Buffer.alloc(0)), [5]);
  assert.deepEqual(await get(Buffer.alloc(4)), [-ERRNO.ERANGE]);
  assert.deepEqual(await list(Buffer.alloc(0)), [16]);
  assert.deepEqual(await list(Buffer.alloc(15)), [-ERRNO.ERANGE]);
  assert.deepEqual(await list(Buffer.alloc(100)), [16]);
});

test('what waits is ended with EINTR and what comes later is not', async () => {
  const { bridge, operations, gate } = setUp();
  const fd = await opened(operations, '/model/gather.bin');
  const read = (offset: number) =>
    outcome((done) => operations.read('/model/gather.bin', fd, Buffer.alloc(4), 4, offset, done));
  gate.wait = true;
  const waiting = read(0);
  bridge.interruptAll();
  assert.deepEqual(await waiting, [-ERRNO.EINTR]);
  gate.wait = false;
  assert.deepEqual(await read(0), [4]);
});

test('a listing has names and attributes of equal number', async () => {
  const { operations } = setUp();
  const [result, names, stats] = await outcome((done) => operations.readdir('/model', done));
  assert.equal(result, 0);
  assert.deepEqual(names, ['.', '..', 'weight.bin', 'tied.bin', 'gather.bin']);
  assert.equal((stats as unknown[]).length, 5);
});

function writable(supplies = makeSupplies()) {
  const made = writableTree({ notify: false, supplies });
  const bridge = new FuseNativeBridge(made.filesystem, () => undefined);
  const operations = bridge.operations();
  const write = async (path: string, descriptor: number, bytes: Buffer) =>
    outcome((done) => operations.write(path, descriptor, bytes, bytes.length, 0, done));
  const size = async (path: string) => {
    const [result, stat] = await outcome((done) => operations.getattr(path, done));
    return result === 0 ? (stat as { size: number }).size : result;
  };
  return { ...made, operations, write, size };
}

test('paths are right after renames and removals, and open files stay what they were', async () => {
  const { operations, write, size } = writable();
  const [, one] = await outcome((done) => operations.create('/room/one', 0o644, done));
  assert.deepEqual(await write('/room/one', one as number, Buffer.from('first')), [5]);
  assert.equal(await size('/room/one'), 5);
  assert.deepEqual(await outcome((done) => operations.mkdir('/room/folder', 0o755, done)), [0]);
  assert.deepEqual(await outcome((done) => operations.rename('/room/one', '/room/folder/two', done)), [0]);
  assert.deepEqual(
    [await size('/room/one'), await size('/room/folder/two')],
    [-ERRNO.ENOENT, 5],
    'the old path leads nowhere',
  );
  assert.deepEqual(await outcome((done) => operations.rename('/room/folder', '/room/moved', done)), [0]);
  assert.deepEqual([await size('/room/folder/two'), await size('/room/moved/two')], [-ERRNO.ENOENT, 5]);
  assert.deepEqual(await outcome((done) => operations.unlink('/room/moved/two', done)), [0]);
  const memory = Buffer.alloc(5);
  const read = outcome((done) => operations.read('/room/moved/two', one as number, memory, 5, 0, done));
  assert.deepEqual([await read, memory.toString()], [[5], 'first']);
  assert.deepEqual(await outcome((done) => operations.rmdir('/room/moved', done)), [0]);
});

test('what libfuse does to an open file before it is replaced is refused for a tensor', async () => {
  const { operations } = writable();
  await opened(operations, '/room/weight.bin');
  const hidden = '/room/.fuse_hidden0000000100000001';
  assert.deepEqual(await outcome((done) => operations.rename('/room/weight.bin', hidden, done)), [
    -ERRNO.EPERM,
  ]);
});

test('another tree leads the paths elsewhere, and open files stay what they were', async () => {
  const { operations, filesystem, tree, size, bytes } = writable();
  bytes.write('old');
  const descriptor = await opened(operations, '/room/weight.bin');
  assert.equal(await size('/room/weight.bin'), SIZE);
  const next = new InodeTable(0, tree.nextNodeid);
  next.add(next.folder(next.root, 'room'), 'weight.bin', {
    content: () => ({ kind: 'extents', size: 3, extents: [{ kind: 'inline', bytes: Buffer.from('new') }] }),
  });
  await filesystem.replaceTree(next);
  assert.equal(await size('/room/weight.bin'), 3);
  const memory = Buffer.alloc(3);
  const read = outcome((done) => operations.read('/room/weight.bin', descriptor, memory, 3, 0, done));
  assert.deepEqual([await read, memory.toString()], [[3], 'old']);
});

test('folders that come and go leave nothing behind', async () => {
  const supplies = makeSupplies();
  const { operations, size } = writable(supplies);
  for (let count = 0; count < 5; count++) {
    assert.deepEqual(await outcome((done) => operations.mkdir('/room/folder', 0o755, done)), [0]);
    await size('/room/folder');
    assert.deepEqual(await outcome((done) => operations.rmdir('/room/folder', done)), [0]);
  }
  assert.equal(supplies.scratchNames.taken, 0);
});
