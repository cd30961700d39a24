import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InodeTable } from '../../../src/tree/inode-table.ts';
import { O_RDWR, refusedWith, SIZE, writableTree } from './writable-tree.ts';

const NOREPLACE = 1;
const EXCHANGE = 2;
const WHITEOUT = 4;
const O_EXCL = 0o200;

async function setUp() {
  const made = writableTree();
  const { filesystem, room, context } = made;
  const create = async (name: string, bytes: Uint8Array = new Uint8Array(0), parent = room.nodeid) => {
    const { entry, opened } = await filesystem.create(parent, name, 0o644, O_RDWR, context);
    await filesystem.write(entry.attr.nodeid, opened.handle, 0, bytes);
    return { nodeid: entry.attr.nodeid, handle: opened.handle };
  };
  const close = ({ nodeid, handle }: { nodeid: number; handle: number }) =>
    filesystem.release(nodeid, handle);
  const rename = (from: string, to: string, flags = 0) =>
    filesystem.rename(room.nodeid, from, room.nodeid, to, flags, context);
  const nodeidOf = (name: string) => {
    const entry = filesystem.lookup(room.nodeid, name);
    return 'attr' in entry ? entry.attr.nodeid : undefined;
  };
  return { ...made, create, close, rename, nodeidOf };
}

test('a scratch file is asked for each time, is its maker’s alone, and its number is no tensor’s', async () => {
  const { filesystem, create, room, context } = await setUp();
  const { nodeid } = await create('.swp');
  const entry = filesystem.lookup(room.nodeid, '.swp');
  assert.ok('attr' in entry);
  assert.deepEqual([entry.entryTimeoutMs, entry.attrTimeoutMs, entry.attr.mode], [0, 0, 0o600]);
  assert.deepEqual([entry.attr.uid, entry.attr.gid], [context.uid, context.gid]);
  assert.ok(nodeid >= 2 ** 31 && nodeid < 2 ** 32);
});

test('rename flags: NOREPLACE is honoured, EXCHANGE and WHITEOUT are not there', async () => {
  const { create, rename, nodeidOf } = await setUp();
  await create('one');
  await create('other');
  await assert.rejects(rename('one', 'other', NOREPLACE), refusedWith('EEXIST'));
  await assert.rejects(rename('one', 'weight.bin', NOREPLACE), refusedWith('EEXIST'));
  await assert.rejects(rename('one', 'other', EXCHANGE), refusedWith('EINVAL'));
  await assert.rejects(rename('one', 'third', WHITEOUT), refusedWith('EINVAL'));
  const one = nodeidOf('one');
  await rename('one', 'third', NOREPLACE);
  assert.deepEqual([nodeidOf('one'), nodeidOf('third')], [undefined, one]);
  await rename('third', 'third');
  await assert.rejects(rename('nothing', 'x'), refusedWith('ENOENT'));
});

test('a scratch file that is renamed over a tensor is from then on another name of it', async () => {
  const { create, close, rename, nodeidOf, filesystem, weight, bytes, context, invalidated } = await setUp();
  const scratch = await create('new', Buffer.alloc(SIZE, 7));
  await rename('new', 'weight.bin');
  assert.equal(nodeidOf('weight.bin'), weight.nodeid);
  assert.equal(nodeidOf('new'), undefined);
  assert.ok(bytes.subarray(0, SIZE).equals(Buffer.alloc(SIZE, 7)));
  assert.ok(invalidated.includes(scratch.nodeid));
  await filesystem.write(scratch.nodeid, scratch.handle, 0, Buffer.of(9));
  assert.equal(bytes[0], 9);
  invalidated.length = 0;
  const { handle } = await filesystem.open(weight.nodeid, O_RDWR, context);
  await filesystem.write(weight.nodeid, handle, 1, Buffer.of(9));
  assert.ok(invalidated.includes(scratch.nodeid), 'what the tensor becomes is seen through it, too');
  await close(scratch);
  assert.throws(() => filesystem.getattr(scratch.nodeid, context), refusedWith('ESTALE'));
});

test('a rename over a tensor that is refused changes no name, and the log says why', async () => {
  const { create, rename, nodeidOf, updates, log } = await setUp();
  const { nodeid } = await create('new', Buffer.alloc(10));
  await assert.rejects(rename('new', 'weight.bin'), refusedWith('EINVAL'));
  await assert.rejects(rename('new', 'gathered.bin'), refusedWith('EPERM'));
  assert.equal(nodeidOf('new'), nodeid);
  assert.equal(updates.changed, 0);
  assert.match(
    log.join('\n'),
    /weight\.bin: not replaced .* 10 bytes are neither the 1000 of the file nor one number/,
  );
});

test('bytes of a removed file live as long as somebody has it open, and are then closed', async () => {
  const { create, close, filesystem, room, context, closed } = await setUp();
  const file = await create('gone', Buffer.from('still here'));
  filesystem.unlink(room.nodeid, 'gone', context);
  const read = await filesystem.read(file.nodeid, file.handle, 0, 100, context);
  assert.equal(Buffer.from(read).toString(), 'still here');
  assert.equal(closed.length, 0);
  await close(file);
  assert.equal(closed.length, 1);
  const { nodeid, handle } = await create('unused');
  await close({ nodeid, handle });
  filesystem.unlink(room.nodeid, 'unused', context);
  assert.equal(closed.length, 2);
});

test('create opens a file that is there, unless it must not be', async () => {
  const { filesystem, room, weight, context } = await setUp();
  const { entry } = await filesystem.create(room.nodeid, 'weight.bin', 0o644, O_RDWR, context);
  assert.equal(entry.attr.nodeid, weight.nodeid);
  const exclusive = filesystem.create(room.nodeid, 'weight.bin', 0o644, O_RDWR | O_EXCL, context);
  await assert.rejects(exclusive, refusedWith('EEXIST'));
});

test('folders cannot be put in the place of files, nor of folders that hold something', async () => {
  const { create, rename, filesystem, room, context, nodeidOf } = await setUp();
  filesystem.mkdir(room.nodeid, 'folder', 0o755, context);
  filesystem.mkdir(room.nodeid, 'full', 0o755, context);
  await create('inside', new Uint8Array(0), nodeidOf('full') as number);
  await create('file');
  await assert.rejects(rename('folder', 'file'), refusedWith('ENOTDIR'));
  await assert.rejects(rename('file', 'folder'), refusedWith('EISDIR'));
  await assert.rejects(rename('folder', 'full'), refusedWith('ENOTEMPTY'));
  await rename('full', 'folder');
  assert.equal(nodeidOf('full'), undefined);
  assert.throws(() => filesystem.rmdir(room.nodeid, 'folder', context), refusedWith('ENOTEMPTY'));
});

test('an offset of a listing is an entry’s own, whatever comes and goes', async () => {
  const { create, filesystem, room, context, rename } = await setUp();
  const listing = (offset: number) =>
    Array.from(filesystem.readdir(room.nodeid, offset), ({ name, offset: after }) => ({ name, after }));
  await create('first');
  await create('second');
  const before = listing(0);
  const place = before.find(({ name }) => name === 'first')?.after as number;
  filesystem.unlink(room.nodeid, 'first', context);
  assert.deepEqual(
    listing(place).map(({ name }) => name),
    ['second'],
  );
  await create('third');
  await rename('second', 'fourth');
  assert.deepEqual(
    listing(place).map(({ name }) => name),
    ['third', 'fourth'],
  );
  const offsets = listing(0).map(({ after }) => after);
  assert.deepEqual(
    offsets,
    offsets.toSorted((a, b) => a - b),
  );
});

test('another tree takes the place of the first, which lives on for who holds its inodes', async () => {
  const { filesystem, tree, weight, context, named, create } = await setUp();
  const scratch = await create('draft', Buffer.from('kept'));
  const next = new InodeTable(1_800_000_000_000, tree.nextNodeid);
  next.add(next.folder(next.root, 'other'), 'x.bin', {
    content: () => ({ kind: 'extents', size: 1, extents: [{ kind: 'inline', bytes: Buffer.of(1) }] }),
  });
  const version = filesystem.namesVersion;
  await filesystem.replaceTree(next);
  assert.deepEqual(named.sort(), ['other', 'room']);
  assert.ok(filesystem.namesVersion > version);
  assert.ok('absent' in filesystem.lookup(1, 'room'));
  const other = filesystem.lookup(1, 'other');
  assert.ok('attr' in other && other.attr.nodeid >= tree.nextNodeid);
  assert.deepEqual(
    Array.from(filesystem.readdir(1, 0), ({ name }) => name),
    ['.', '..', 'other'],
  );
  assert.equal((await filesystem.getattr(1, context)).attr.nodeid, 1);
  assert.equal((await filesystem.getattr(weight.nodeid, context)).attr.size, SIZE, 'the kernel holds it');
  const draft = await filesystem.read(scratch.nodeid, scratch.handle, 0, 10, context);
  assert.equal(Buffer.from(draft).toString(), 'kept');
});

test('files of another tree are later than any that was edited before, whatever their checkpoint says', async () => {
  const { filesystem, tree, weight, context } = await setUp();
  const { handle } = await filesystem.open(weight.nodeid, O_RDWR, context);
  await filesystem.write(weight.nodeid, handle, 0, Buffer.from('abc'));
  const edited = (await filesystem.getattr(weight.nodeid, context)).attr.mtimeMs;
  // The write touched other files, too, perhaps a millisecond later.
  const [first, last] = [edited + 1, edited + 100];
  for (const [mtimeMs, from, to] of [
    [1_600_000_000_000, first, last],
    [edited, first, last],
    [edited + 1000, edited + 1000, edited + 1000],
  ] as const) {
    const next = new InodeTable(mtimeMs, tree.nextNodeid);
    next.add(next.root, 'other.bin', {
      content: () => ({ kind: 'extents', size: 1, extents: [{ kind: 'inline', bytes: Buffer.of(1) }] }),
    });
    await filesystem.replaceTree(next);
    const other = filesystem.lookup(1, 'other.bin');
    assert.ok('attr' in other);
    assert.ok(
      other.attr.mtimeMs >= from && other.attr.mtimeMs <= to,
      `${other.attr.mtimeMs - edited} ms later`,
    );
  }
});

test('the inodes of an old tree are gone with the last of them that the kernel held', async () => {
  const { filesystem, tree, weight, half, gathered, gradient, context } = await setUp();
  await filesystem.replaceTree(new InodeTable(1_800_000_000_000, tree.nextNodeid));
  for (const { nodeid } of [weight, half, gathered]) filesystem.forget(nodeid);
  assert.equal((await filesystem.getattr(weight.nodeid, context)).attr.size, SIZE);
  filesystem.forget(gradient.nodeid);
  assert.throws(() => filesystem.getattr(weight.nodeid, context), refusedWith('ESTALE'));
});
