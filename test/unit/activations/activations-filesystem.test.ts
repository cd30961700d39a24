import assert from 'node:assert/strict';
import { chmod, mkdir, readFile, rm, stat, statfs, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { ActivationsFilesystem } from '../../../src/activations/activations-filesystem.ts';
import type { RequestContext } from '../../../src/fuse/filesystem.ts';
import { temporaryDirectory } from '../../support/tmp.ts';

const ROOT = 1;
const O_RDONLY = 0;
const O_WRONLY = 1;
const O_RDWR = 2;
const O_TRUNC = 0o1000;
const uid = process.getuid?.() ?? 0;
const gid = process.getgid?.() ?? 0;
const { signal } = new AbortController();
const me: RequestContext = { uid, gid, pid: 1, signal };
const other: RequestContext = { uid: uid + 1, gid: gid + 1, pid: 2, signal };

async function scene(t: TestContext) {
  const above = await temporaryDirectory(t);
  const folder = join(above, 'activations');
  let made = 0;
  const filesystem = new ActivationsFilesystem({
    folder,
    openFolder: async () => undefined,
    makeFolder: async () => {
      made++;
      await mkdir(folder);
    },
  });
  t.after(() => filesystem.close());
  const names = async (nodeid = ROOT) => {
    const listed = [...(await filesystem.readdir(nodeid, 0))].map(({ name }) => name);
    return listed.slice(2).sort();
  };
  const put = async (name: string, bytes: Uint8Array, mode = 0o644) => {
    const { entry, opened } = await filesystem.create(ROOT, name, mode, O_WRONLY, me);
    await filesystem.write(entry.attr.nodeid, opened.handle, 0, bytes);
    await filesystem.release(entry.attr.nodeid, opened.handle);
    return entry.attr;
  };
  const nodeid = async (name: string) => {
    const found = await filesystem.lookup(ROOT, name);
    assert.ok('attr' in found, name);
    return found.attr.nodeid;
  };
  return { filesystem, folder, names, put, nodeid, made: () => made };
}

const refuses = (promise: Promise<unknown>, name: string) =>
  assert.rejects(promise, (cause: { errno?: string }) => cause.errno === name);

test('the folder is made by the first change and by no look', async (t) => {
  const { filesystem, names, made, put } = await scene(t);
  assert.equal((await filesystem.getattr(ROOT)).attr.kind, 'directory');
  assert.ok('absent' in (await filesystem.lookup(ROOT, 'x')));
  assert.deepEqual(await names(), []);
  assert.ok((await filesystem.statfs()).blocks > 0);
  await filesystem.sync();
  assert.equal(made(), 0);
  await put('x', Buffer.from('1'));
  await put('y', Buffer.from('2'));
  assert.equal(made(), 1);
  assert.deepEqual(await names(), ['x', 'y']);
  await filesystem.sync();
});

test('a folder that was taken away is made again', async (t) => {
  const { folder, names, made, put } = await scene(t);
  await put('x', Buffer.from('1'));
  await rm(folder, { recursive: true });
  await put('y', Buffer.from('2'));
  assert.equal(made(), 2);
  assert.deepEqual(await names(), ['y']);
});

test('what is no name is refused', async (t) => {
  const { filesystem, put } = await scene(t);
  await put('x', Buffer.from('1'));
  for (const name of ['', '.', '..', 'a/b', '../x', 'a\0b']) {
    await refuses(filesystem.lookup(ROOT, name), 'EINVAL');
    await refuses(filesystem.create(ROOT, name, 0o644, O_RDWR, me), 'EINVAL');
    await refuses(filesystem.mkdir(ROOT, name, 0o755, me), 'EINVAL');
    await refuses(filesystem.rename(ROOT, 'x', ROOT, name, 0, me), 'EINVAL');
  }
});

test('modes are as asked for, whatever our own umask is', async (t) => {
  const { filesystem, put } = await scene(t);
  assert.equal((await put('open', Buffer.alloc(1), 0o666)).mode, 0o666);
  assert.equal((await filesystem.mkdir(ROOT, 'folder', 0o777, me)).attr.mode, 0o777);
});

test('who may not is refused', async (t) => {
  const { filesystem, put, nodeid } = await scene(t);
  const { nodeid: secret } = await put('secret.npy', Buffer.alloc(4), 0o600);
  await refuses(filesystem.open(secret, O_RDONLY, other), 'EACCES');
  await refuses(filesystem.open(await nodeid('secret.csv'), O_RDONLY, other), 'EACCES');
  await refuses(filesystem.setattr(secret, { size: 0 }, other), 'EACCES');
  await refuses(filesystem.setattr(secret, { mode: 0o777 }, other), 'EPERM');
  await refuses(filesystem.unlink(ROOT, 'secret.npy', other), 'EACCES');
  await refuses(filesystem.rename(ROOT, 'secret.npy', ROOT, 'mine', 0, other), 'EACCES');
  await refuses(filesystem.create(ROOT, 'new', 0o644, O_RDWR, other), 'EACCES');
  await refuses(filesystem.mkdir(ROOT, 'new', 0o755, other), 'EACCES');
});

test('space is told as the file system below tells it', async (t) => {
  const { filesystem, folder } = await scene(t);
  const below = await statfs(join(folder, '..'));
  const told = await filesystem.statfs();
  assert.equal(told.blockSize * told.blocks, below.bsize * below.blocks);
  // Others write meanwhile.
  const near = (one: number, other: number) => Math.abs(one - other) * told.blockSize < 2 ** 30;
  assert.ok(near(told.blocksFree, below.bfree) && near(told.blocksAvailable, below.bavail));
  assert.ok(told.blocksFree >= told.blocksAvailable);
  assert.equal(told.files, below.files);
  assert.ok(told.filesFree > 0 || below.ffree === 0);
});

test('a sparse file has the blocks that it has on disk, and a folder one link', async (t) => {
  const { filesystem, folder, put } = await scene(t);
  const { nodeid } = await put('sparse', Buffer.from('x'));
  await truncate(join(folder, 'sparse'), 2 ** 33);
  const { attr } = await filesystem.getattr(nodeid);
  assert.equal(attr.size, 2 ** 33);
  assert.equal(attr.blocks, (await stat(join(folder, 'sparse'))).blocks);
  assert.equal((await filesystem.getattr(ROOT)).attr.nlink, 1);
});

test('a file that is opened to be cut and then read is cut, by who may write', async (t) => {
  const { filesystem, folder, put } = await scene(t);
  const { nodeid } = await put('x', Buffer.from('bytes'), 0o644);
  await refuses(filesystem.open(nodeid, O_RDONLY | O_TRUNC, other), 'EACCES');
  const { handle } = await filesystem.open(nodeid, O_RDONLY | O_TRUNC, me);
  assert.equal((await filesystem.read(nodeid, handle, 0, 10)).byteLength, 0);
  assert.equal((await stat(join(folder, 'x'))).size, 0);
  await filesystem.release(nodeid, handle);
});

test('a file that somebody finds where he wanted to make one is opened by its own mode', async (t) => {
  const { filesystem, put } = await scene(t);
  await put('secret', Buffer.from('1'), 0o600);
  await filesystem.setattr(ROOT, { mode: 0o777 }, me);
  await refuses(filesystem.create(ROOT, 'secret', 0o644, O_RDWR, other), 'EACCES');
});

test('in a sticky folder everybody removes his own', async (t) => {
  const { filesystem, put, names } = await scene(t);
  await put('x', Buffer.from('1'), 0o666);
  await filesystem.setattr(ROOT, { mode: 0o1777 }, me);
  await refuses(filesystem.unlink(ROOT, 'x', other), 'EPERM');
  await refuses(filesystem.rename(ROOT, 'x', ROOT, 'y', 0, other), 'EPERM');
  await filesystem.unlink(ROOT, 'x', me);
  assert.deepEqual(await names(), []);
});

test('what somebody else put or took is told as it is', async (t) => {
  const { filesystem, folder, put, nodeid } = await scene(t);
  const { nodeid: first } = await put('x', Buffer.from('first'));
  await writeFile(join(folder, 'x'), 'changed!');
  await chmod(join(folder, 'x'), 0o604);
  const { attr } = await filesystem.getattr(first);
  assert.deepEqual([attr.size, attr.mode], [8, 0o604]);
  const version = filesystem.namesVersion;
  await rm(join(folder, 'x'));
  await writeFile(join(folder, 'keep'), '');
  await writeFile(join(folder, 'x'), 'another file');
  await refuses(filesystem.open(first, O_RDONLY, me), 'ESTALE');
  await refuses(filesystem.getattr(first), 'ESTALE');
  assert.ok(filesystem.namesVersion > version, 'who remembers paths walks them anew');
  assert.notEqual(await nodeid('x'), first);
});

test('RENAME_NOREPLACE replaces nothing, and nothing is exchanged', async (t) => {
  const { filesystem, folder, put } = await scene(t);
  await put('x', Buffer.from('x'));
  await put('y', Buffer.from('y'));
  await refuses(filesystem.rename(ROOT, 'x', ROOT, 'y', 1, me), 'EEXIST');
  await refuses(filesystem.rename(ROOT, 'x', ROOT, 'y', 2, me), 'EINVAL');
  await filesystem.rename(ROOT, 'x', ROOT, 'z', 1, me);
  assert.equal(await readFile(join(folder, 'z'), 'utf8'), 'x');
});

test('a virtual CSV that was removed comes back with the next array', async (t) => {
  const { filesystem, names, put } = await scene(t);
  await put('x.npy', Buffer.from('no array'));
  assert.deepEqual(await names(), ['x.csv', 'x.npy']);
  await filesystem.unlink(ROOT, 'x.csv', me);
  assert.deepEqual(await names(), ['x.npy']);
  assert.ok('absent' in (await filesystem.lookup(ROOT, 'x.csv')));
  await put('part', Buffer.from('no array either'));
  await filesystem.rename(ROOT, 'part', ROOT, 'x.npy', 0, me);
  assert.deepEqual(await names(), ['x.csv', 'x.npy']);
  await refuses(filesystem.rename(ROOT, 'x.csv', ROOT, 'y.csv', 0, me), 'EPERM');
});

test('a text is read in pieces while its array changes', async (t) => {
  const { filesystem, put, nodeid } = await scene(t);
  await put('x.npy', Buffer.from('no array'));
  const csv = await nodeid('x.csv');
  const { handle, backing } = await filesystem.open(csv, O_RDONLY, me);
  assert.equal(backing, undefined, 'the kernel has nothing to read');
  const read = async (offset: number, length: number) =>
    Buffer.from(await filesystem.read(csv, handle, offset, length)).toString();
  const text = await read(0, 1000);
  await filesystem.unlink(ROOT, 'x.npy', me);
  assert.equal((await read(0, 5)) + (await read(5, 1000)), text);
  assert.equal(await read(text.length, 10), '');
  await filesystem.release(csv, handle);
  await refuses(filesystem.read(csv, handle, 0, 1), 'EBADF');
});

test('a handle that is not open, and a nodeid that is not known, are refused', async (t) => {
  const { filesystem, put } = await scene(t);
  const { nodeid } = await put('x', Buffer.from('1'));
  await refuses(filesystem.read(nodeid, 77, 0, 1), 'EBADF');
  await refuses(filesystem.getattr(4711), 'ESTALE');
  await refuses(filesystem.open(ROOT, O_RDONLY, me), 'EISDIR');
  await refuses(filesystem.lookup(nodeid, 'y'), 'ENOTDIR');
});

test('of names that were hidden nothing stays when their arrays are gone', async (t) => {
  const { filesystem, folder, names, put } = await scene(t);
  await filesystem.mkdir(ROOT, 'folder', 0o755, me);
  await put('x.npy', Buffer.from('1'));
  assert.deepEqual(await names(), ['folder', 'x.csv', 'x.npy']);
  await filesystem.unlink(ROOT, 'x.csv', me);
  assert.deepEqual(await names(), ['folder', 'x.npy']);
  // Put there behind our back, so that nothing says that it arrived.
  for (const leave of [
    () => filesystem.unlink(ROOT, 'x.npy', me),
    () => filesystem.rename(ROOT, 'x.npy', ROOT, 'elsewhere', 0, me),
  ]) {
    await filesystem.lookup(ROOT, 'x.npy');
    await leave();
    await writeFile(join(folder, 'x.npy'), '2');
    assert.ok((await names()).includes('x.csv'));
    await filesystem.unlink(ROOT, 'x.csv', me);
  }
});
