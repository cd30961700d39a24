/** A content that takes long to lay out (a header of 100,000 names): who asks for its size waits, and nobody else does. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FileInode } from '../../../src/inode.ts';
import type { ExtentContent } from '../../../src/storage/content.ts';
import { Sliced } from '../../../src/storage/sliced.ts';
import { O_WRONLY, SIZE, writableTree } from './writable-tree.ts';

const O_RDONLY = 0;
const DAY_MS = 86_400_000;

/** /room/model.safetensors: a header and the first 1000 bytes. `slices` counts how much of the layout was done. */
function setUp() {
  const tree = writableTree();
  const slices = { done: 0 };
  const layout = new Sliced(function* () {
    for (; slices.done < 100; slices.done++) yield;
    return {
      extents: [
        { kind: 'inline' as const, bytes: Buffer.from('header') },
        { kind: 'image' as const, image: tree.image, offset: 0, length: SIZE },
      ],
    };
  });
  const content: ExtentContent = {
    kind: 'extents',
    layout,
    get size() {
      return layout.value.extents.length === 2 ? SIZE + 6 : 0;
    },
    get extents() {
      return layout.value.extents;
    },
  };
  const inode = tree.tree.insert<FileInode>(
    (nodeid, mtimeMs) => ({ kind: 'file', nodeid, mtimeMs, mode: 0o444, nlink: 0, content }),
    0,
  );
  tree.tree.link(tree.room, 'model.safetensors', inode);
  return { ...tree, inode, slices };
}

test('a lookup and a listing do not lay anything out, and the kernel keeps no size', () => {
  const { filesystem, room, inode, slices } = setUp();
  const entry = filesystem.lookup(room.nodeid, 'model.safetensors');
  assert.ok('attr' in entry);
  assert.deepEqual([entry.attr.size, entry.attrTimeoutMs], [0, 0]);
  filesystem.remember(inode.nodeid);
  const listed = [...filesystem.readdir(room.nodeid, 0)].find(({ name }) => name === 'model.safetensors');
  assert.equal(listed?.entry?.attr.size, 0);
  assert.equal(slices.done, 0);
});

test('getattr waits for the size, which may be kept from then on', async () => {
  const { filesystem, context, room, inode, slices } = setUp();
  const asked = [filesystem.getattr(inode.nodeid, context), filesystem.getattr(inode.nodeid, context)];
  for (const answer of asked) {
    const { attr, attrTimeoutMs } = await answer;
    assert.deepEqual([attr.size, attrTimeoutMs], [SIZE + 6, DAY_MS]);
  }
  assert.equal(slices.done, 100);
  const entry = filesystem.lookup(room.nodeid, 'model.safetensors');
  assert.ok('attr' in entry && entry.attr.size === SIZE + 6 && entry.attrTimeoutMs === DAY_MS);
});

test('an open waits for the extents and publishes them', async () => {
  const { filesystem, context, inode } = setUp();
  const opened = await filesystem.open(inode.nodeid, O_RDONLY, context);
  assert.equal(opened.extents?.length, 2);
  assert.equal(opened.extents, (await filesystem.open(inode.nodeid, O_RDONLY, context)).extents);
});

test('what the kernel learned of it is dropped when bytes that it shows change', async () => {
  const { filesystem, context, weight, inode, invalidated } = setUp();
  filesystem.remember(inode.nodeid);
  await filesystem.open(inode.nodeid, O_RDONLY, context);
  const { handle } = await filesystem.open(weight.nodeid, O_WRONLY, context);
  await filesystem.write(weight.nodeid, handle, 700, Buffer.from('abc'));
  assert.ok(invalidated.includes(inode.nodeid));
  filesystem.forget(inode.nodeid);
  invalidated.length = 0;
  await filesystem.write(weight.nodeid, handle, 700, Buffer.from('def'));
  assert.ok(!invalidated.includes(inode.nodeid));
});

test('who is interrupted while it is laid out is told so, and it is laid out all the same', async () => {
  const { filesystem, inode, context } = setUp();
  const caller = new AbortController();
  const asked = filesystem.getattr(inode.nodeid, { ...context, signal: caller.signal });
  caller.abort(new Error('interrupted'));
  await assert.rejects(Promise.resolve(asked), /interrupted/);
  assert.equal((await filesystem.getattr(inode.nodeid, context)).attr.size, SIZE + 6);
});

test('who was interrupted while it was laid out sees later edits all the same', async () => {
  const { filesystem, inode, context, weight, invalidated } = setUp();
  filesystem.remember(inode.nodeid);
  const caller = new AbortController();
  const asked = filesystem.getattr(inode.nodeid, { ...context, signal: caller.signal });
  caller.abort(new Error('interrupted'));
  await assert.rejects(Promise.resolve(asked), /interrupted/);
  await filesystem.open(inode.nodeid, O_RDONLY, context);
  invalidated.length = 0;
  const { handle } = await filesystem.open(weight.nodeid, O_WRONLY, context);
  await filesystem.write(weight.nodeid, handle, 700, Buffer.from('abc'));
  assert.ok(invalidated.includes(inode.nodeid));
});
