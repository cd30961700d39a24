import assert from 'node:assert/strict';
import { test } from 'node:test';
import { O_DSYNC, O_RDWR, O_TRUNC, O_WRONLY, refusedWith, SIZE, writableTree } from './writable-tree.ts';

test('a write invalidates every other file that shows the bytes, and not the one that was written', async () => {
  const { filesystem, context, weight, half, gathered, invalidated, bytes, counts } = writableTree();
  const { handle } = await filesystem.open(weight.nodeid, O_RDWR, context);
  assert.equal(await filesystem.write(weight.nodeid, handle, 700, Buffer.from('abc')), 3);
  assert.equal(bytes.toString('latin1', 700, 703), 'abc');
  assert.deepEqual(invalidated.sort(), [half.nodeid, gathered.nodeid].sort());
  assert.equal(counts.drops, 1, 'rendered pages are dropped');
  invalidated.length = 0;
  await filesystem.write(weight.nodeid, handle, 100, Buffer.from('x'));
  assert.deepEqual(invalidated, [gathered.nodeid]);
});

test('what the kernel has forgotten is not invalidated any more, and its rendered pages are dropped', async () => {
  const { filesystem, context, weight, half, gathered, invalidated, counts } = writableTree();
  filesystem.forget(half.nodeid);
  filesystem.forget(gathered.nodeid);
  assert.equal(counts.drops, 1);
  const { handle } = await filesystem.open(weight.nodeid, O_RDWR, context);
  await filesystem.write(weight.nodeid, handle, 700, Buffer.from('abc'));
  assert.deepEqual(invalidated, []);
});

test('the time of every file whose bytes changed rises each time, and no other', async () => {
  const { filesystem, context, weight, half, gradient } = writableTree();
  const time = async (nodeid: number) => (await filesystem.getattr(nodeid, context)).attr.mtimeMs;
  const { handle } = await filesystem.open(half.nodeid, O_WRONLY, context);
  const before = [await time(half.nodeid), await time(weight.nodeid), await time(gradient.nodeid)];
  let last = 0;
  for (let turn = 1; turn < 5; turn++) {
    await filesystem.write(half.nodeid, handle, 0, Buffer.of(turn));
    const now = await time(half.nodeid);
    assert.ok(now > last);
    last = now;
  }
  assert.ok(last > (before[0] as number) && (await time(weight.nodeid)) > (before[1] as number));
  assert.equal(await time(gradient.nodeid), before[2]);
  await filesystem.write(half.nodeid, handle, 0, Buffer.of(4));
  assert.equal(await time(half.nodeid), last, 'equal bytes are no change');
});

test('attributes may be kept where the kernel can be told, and nowhere else', () => {
  for (const [notify, timeout] of [
    [true, 86_400_000],
    [false, 0],
  ] as const) {
    const { filesystem, room } = writableTree({ notify });
    const entry = filesystem.lookup(room.nodeid, 'weight.bin');
    assert.ok('attr' in entry);
    assert.equal(entry.attrTimeoutMs, timeout);
  }
});

test('a replacement is one atomic update, and its own pages are dropped', async () => {
  const { filesystem, context, weight, bytes, updates, invalidated, closed } = writableTree();
  const { handle, caching } = await filesystem.open(weight.nodeid, O_WRONLY | O_TRUNC, context);
  assert.equal(caching, 'direct');
  for (let at = 0; at < SIZE; at += 100)
    await filesystem.write(weight.nodeid, handle, at, Buffer.alloc(100, 1));
  assert.equal(updates.changed, 0, 'nothing before the close');
  await filesystem.flush(weight.nodeid, handle);
  assert.deepEqual(updates, { changed: 1, atomic: 1 });
  assert.ok(invalidated.includes(weight.nodeid));
  assert.ok(bytes.subarray(0, SIZE).equals(Buffer.alloc(SIZE, 1)));
  await filesystem.flush(weight.nodeid, handle);
  await filesystem.release(weight.nodeid, handle);
  assert.equal(updates.changed, 1, 'a second close of the same bytes changes nothing');
  assert.equal(closed.length, 1);
});

test('the first write of a replacement tells the kernel where the old bytes end', async () => {
  const { filesystem, context, weight, bytes, ends } = writableTree();
  bytes[SIZE - 1] = 77;
  const { handle } = await filesystem.open(weight.nodeid, O_WRONLY | O_TRUNC, context);
  assert.deepEqual(ends, []);
  for (const at of [0, 100]) await filesystem.write(weight.nodeid, handle, at, Buffer.alloc(100, 1));
  assert.deepEqual(ends, [{ nodeid: weight.nodeid, offset: SIZE - 1, byte: 77 }]);
});

test('a replacement larger than a slice, and a fill, are whole', async () => {
  const { filesystem, context, weight, bytes } = writableTree();
  const { handle } = await filesystem.open(weight.nodeid, O_WRONLY | O_TRUNC, context);
  await filesystem.write(weight.nodeid, handle, 0, Buffer.from(' 42\n'));
  await filesystem.flush(weight.nodeid, handle);
  assert.ok(bytes.subarray(0, SIZE).equals(Buffer.alloc(SIZE, 42)));
  assert.equal(bytes[SIZE], 0, 'and nothing behind it');
});

test('every close looks anew: what was refused may be whole at the next', async () => {
  const { filesystem, context, weight, updates, log } = writableTree();
  const { handle } = await filesystem.open(weight.nodeid, O_WRONLY | O_TRUNC, context);
  await filesystem.flush(weight.nodeid, handle);
  await filesystem.write(weight.nodeid, handle, 0, Buffer.alloc(600, 1));
  await assert.rejects(async () => filesystem.flush(weight.nodeid, handle), refusedWith('EINVAL'));
  await assert.rejects(async () => filesystem.flush(weight.nodeid, handle), refusedWith('EINVAL'));
  await filesystem.write(weight.nodeid, handle, 600, Buffer.alloc(400, 2));
  await filesystem.flush(weight.nodeid, handle);
  await filesystem.release(weight.nodeid, handle);
  assert.equal(updates.atomic, 1);
  assert.deepEqual(log, [], 'it came to a good end');
});

test('a handle that is released without a close changes nothing, and one line says so', async () => {
  const { filesystem, context, weight, updates, log, closed } = writableTree();
  const { handle } = await filesystem.open(weight.nodeid, O_WRONLY | O_TRUNC, context);
  await filesystem.write(weight.nodeid, handle, 0, Buffer.alloc(SIZE, 1));
  await filesystem.release(weight.nodeid, handle);
  assert.equal(updates.changed, 0);
  assert.equal(log.length, 1);
  assert.match(log.join(), /^\/room\/weight\.bin: not replaced: 1000 bytes were written/);
  assert.equal(closed.length, 1);
});

test('where the kernel cannot be told, a refused replacement makes the file look newer', async () => {
  const { filesystem, context, weight } = writableTree({ notify: false });
  const time = async () => (await filesystem.getattr(weight.nodeid, context)).attr.mtimeMs;
  const before = await time();
  const { handle } = await filesystem.open(weight.nodeid, O_WRONLY | O_TRUNC, context);
  await filesystem.write(weight.nodeid, handle, 0, Buffer.alloc(9, 1));
  await assert.rejects(async () => filesystem.flush(weight.nodeid, handle), refusedWith('EINVAL'));
  assert.ok((await time()) > before);
});

test('fsync before the close of a replacement makes it durable at the close', async () => {
  const { filesystem, context, weight, counts } = writableTree();
  const { handle } = await filesystem.open(weight.nodeid, O_WRONLY | O_TRUNC, context);
  await filesystem.write(weight.nodeid, handle, 0, Buffer.alloc(SIZE, 1));
  await filesystem.fsync(weight.nodeid, handle);
  const before = counts.flushes;
  await filesystem.flush(weight.nodeid, handle);
  assert.equal(counts.flushes, before + 1);
});

test('a write with O_DSYNC is durable when it returns, and another is not before fsync', async () => {
  const { filesystem, context, weight, counts } = writableTree();
  const plain = await filesystem.open(weight.nodeid, O_WRONLY, context);
  await filesystem.write(weight.nodeid, plain.handle, 0, Buffer.of(1));
  assert.equal(counts.flushes, 0);
  await filesystem.fsync(weight.nodeid, plain.handle);
  assert.equal(counts.flushes, 1);
  const synced = await filesystem.open(weight.nodeid, O_WRONLY | O_DSYNC, context);
  await filesystem.write(weight.nodeid, synced.handle, 0, Buffer.of(2));
  assert.equal(counts.flushes, 2);
});

test('modes are asked: who may not write cannot open, cut or change', async () => {
  const { filesystem, context, weight, room } = writableTree();
  const stranger = { ...context, uid: 1000, gid: 1000 };
  filesystem.lookup(room.nodeid, 'weight.bin');
  assert.throws(() => filesystem.open(weight.nodeid, O_WRONLY, stranger), refusedWith('EACCES'));
  await assert.rejects(filesystem.setattr(weight.nodeid, { size: SIZE }, stranger), refusedWith('EACCES'));
  await assert.rejects(filesystem.setattr(weight.nodeid, { mode: 0o777 }, stranger), refusedWith('EPERM'));
  await assert.rejects(filesystem.setattr(weight.nodeid, { uid: 1000 }, stranger), refusedWith('EPERM'));
  await assert.rejects(filesystem.create(room.nodeid, 'x', 0o644, O_RDWR, stranger), refusedWith('EACCES'));
});
