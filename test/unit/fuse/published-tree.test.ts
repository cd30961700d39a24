import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NativeInodes } from '../../../src/fuse/native-inodes.ts';
import { TreeFilesystem } from '../../../src/fuse/tree-filesystem.ts';
import { unknownInode } from '../../../src/inode.ts';
import { INODE, INODE_FIELDS, LISTING } from '../../../src/storage/native.ts';
import { InodeTable } from '../../../src/tree/inode-table.ts';
import { PlainFilesByPlace } from '../../../src/tree/plain-files.ts';
import { writableTree } from './writable-tree.ts';

interface Listed {
  readonly flags: number;
  readonly entries: readonly (readonly [name: string, nodeid: number, offset: number])[];
}

/** The data plane's table, as far as a test asks it. */
class FakeTable implements NativeInodes {
  readonly limit = 2 ** 28;
  readonly rows = new Map<number, readonly number[]>();
  readonly listings = new Map<number, Listed>();
  readonly changes: number[][] = [];
  readonly counted = new Map<number, number>();
  remembered: number[] = [];
  dropped: [first: number, count: number][] = [];
  held = new Map<object, number>();
  full = false;

  addInodes(rows: Float64Array): void {
    if (this.full) throw new Error('no memory');
    for (let at = 0; at < rows.length; at += INODE_FIELDS) {
      const row = [...rows.subarray(at, at + INODE_FIELDS)];
      this.rows.set(row[0] as number, row);
    }
  }

  publishListings(folders: Float64Array, names: Uint8Array): void {
    if (this.full) throw new Error('no memory');
    let byte = 0;
    for (let at = 0; at < folders.length; ) {
      const [nodeid = 0, flags = 0, count = 0] = folders.subarray(at, at + 3);
      at += 3;
      const entries: [string, number, number][] = [];
      for (let index = 0; index < count; index++, at += 3) {
        const [child = 0, offset = 0, bytes = 0] = folders.subarray(at, at + 3);
        entries.push([Buffer.from(names.subarray(byte, byte + bytes)).toString(), child, offset]);
        byte += bytes;
      }
      this.listings.set(nodeid, { flags, entries });
    }
  }

  changeInode(
    nodeid: number,
    mode: number,
    uid: number,
    gid: number,
    size: number,
    times: Float64Array,
  ): boolean {
    this.changes.push([nodeid, mode, uid, gid, size, ...times]);
    return this.rows.has(nodeid);
  }

  withdrawInodes(nodeids: Float64Array): void {
    for (const nodeid of nodeids) this.rows.delete(nodeid);
  }

  withdrawListing(nodeid: number): void {
    this.listings.delete(nodeid);
  }

  withdrawAll(first: number, count: number): void {
    this.dropped.push([first, count]);
  }

  references(nodeid: number): number {
    return this.counted.get(nodeid) ?? 0;
  }

  takeRemembered(): Float64Array {
    return Float64Array.from(this.remembered.splice(0));
  }

  setDefaults(): void {}
  setStatfs(): void {}
  roomNumber(): number {
    return 3;
  }
  fileOf(): number {
    return 0;
  }
  hold(owner: object, images: ReadonlySet<unknown>): void {
    this.held.set(owner, images.size);
  }
}

function published() {
  const tree = writableTree();
  const table = new FakeTable();
  for (const { nodeid } of [tree.weight, tree.half, tree.gathered, tree.gradient])
    tree.filesystem.forget(nodeid);
  tree.filesystem.publishIn(table);
  return { ...tree, table };
}

test('what has a fixed size has a row, and the root is never listed completely', () => {
  const { table, tree, room, weight, gathered } = published();
  const row = table.rows.get(weight.nodeid) ?? [];
  assert.deepEqual(row.slice(1, 4), [0o100644, 1, 1000]);
  assert.equal(((row[7] ?? 0) & INODE.TELL) !== 0, true);
  assert.equal(((table.rows.get(gathered.nodeid)?.[7] ?? 0) & INODE.READABLE) !== 0, true);
  assert.equal(table.rows.get(room.nodeid)?.[1], 0o040755);
  assert.equal(table.listings.get(tree.root.nodeid)?.flags, 0);
});

test('a folder with a scratch file has no listing, and is listed again after it is gone', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { table, filesystem, room, context } = published();
  const before = table.listings.get(room.nodeid);
  assert.equal(((before?.flags ?? 0) & LISTING.COMPLETE) !== 0, true);
  assert.deepEqual(before?.entries[0]?.slice(2), [3]);
  filesystem.mknod(room.nodeid, 'scratch', 0o100600, context);
  assert.equal(table.listings.has(room.nodeid), false);
  t.mock.timers.tick(1000);
  assert.equal(table.listings.has(room.nodeid), false, 'not while the scratch file is there');
  filesystem.unlink(room.nodeid, 'scratch', context);
  assert.equal(table.listings.has(room.nodeid), false);
  t.mock.timers.tick(1000);
  assert.deepEqual(table.listings.get(room.nodeid), before);
});

test('a removed name takes the listing away before the removal is answered', () => {
  const { table, filesystem, room, context } = published();
  filesystem.unlink(room.nodeid, 'weight.bin', context);
  assert.equal(table.listings.has(room.nodeid), false);
});

test('chmod and an edit are in the table when they are answered', async () => {
  const { table, filesystem, weight, context } = published();
  await filesystem.setattr(weight.nodeid, { mode: 0o600 }, context);
  assert.deepEqual(table.changes.at(-1)?.slice(0, 2), [weight.nodeid, 0o600]);
  table.remembered = [weight.nodeid];
  table.counted.set(weight.nodeid, 1);
  const before = table.changes.length;
  await filesystem.write(weight.nodeid, 0, 0, Buffer.from([1, 2, 3]));
  assert.equal(
    table.changes.slice(before).some(([nodeid]) => nodeid === weight.nodeid),
    true,
  );
});

test('an inode with a time that the table cannot hold is answered by JavaScript, and can still be written', async () => {
  const { table, filesystem, weight, context } = published();
  const latest = (2n ** 63n - 1n) * 1_000_000_000n;
  const { attr } = await filesystem.setattr(weight.nodeid, { atime: latest }, context);
  assert.equal(attr.exactTimes?.atimeNs, latest);
  assert.equal(table.rows.has(weight.nodeid), false);
  assert.equal(await filesystem.write(weight.nodeid, 0, 0, Buffer.from([1, 2, 3])), 3);
  const safe = table.changes.every((change) => change.every(Number.isSafeInteger));
  assert.equal(safe, true);
});

test('a file whose lookup JavaScript did not see is invalidated when its bytes change', async () => {
  const { table, filesystem, weight, half, invalidated } = published();
  table.remembered = [half.nodeid];
  table.counted.set(half.nodeid, 1);
  await filesystem.write(weight.nodeid, 0, 500, Buffer.from([9, 9, 9]));
  assert.deepEqual(invalidated, [half.nodeid]);
});

test('an inode that nobody refers to any more is not followed, whatever was reported of it', async () => {
  const { table, filesystem, weight, half, invalidated } = published();
  table.remembered = [half.nodeid];
  filesystem.takeNews();
  assert.deepEqual(table.remembered, []);
  await filesystem.write(weight.nodeid, 0, 500, Buffer.from([9, 9, 9]));
  assert.deepEqual(invalidated, []);
});

test('references are not reported where nothing changes', () => {
  const { tree } = writableTree();
  const table = new FakeTable();
  new TreeFilesystem(tree, { readOnly: true }).publishIn(table);
  for (const [nodeid, row] of table.rows) assert.equal((row[7] ?? 0) & INODE.TELL, 0, `${nodeid}`);
});

test('a plain file is touched by every change of its bytes, and invalidated if the kernel has it', async () => {
  const { table, tree, image, filesystem, weight, half, invalidated } = published();
  tree.plainFiles = new PlainFilesByPlace(image, { starts: [500], ends: [1000], nodeids: [half.nodeid] });
  const touched = () => table.changes.filter(([nodeid]) => nodeid === half.nodeid).length;
  await filesystem.write(weight.nodeid, 0, 500, Buffer.from([9, 9, 9]));
  assert.deepEqual([invalidated, touched()], [[], 1]);
  table.counted.set(half.nodeid, 1);
  await filesystem.write(weight.nodeid, 0, 400, Buffer.from([8, 8, 8]));
  assert.deepEqual([invalidated, touched()], [[], 1], 'other bytes');
  await filesystem.write(weight.nodeid, 0, 500, Buffer.from([7, 7, 7]));
  assert.deepEqual([invalidated, touched()], [[half.nodeid], 2]);
});

test('another tree has its rows before its names lead to it; the former one is dropped when nobody refers to it', async () => {
  const { table, filesystem, tree, room, weight } = published();
  table.counted.set(room.nodeid, 1);
  const next = new InodeTable(1_800_000_000_000, tree.nextNodeid);
  const folder = next.room('room', true);
  await filesystem.replaceTree(next);
  assert.equal(table.rows.has(folder.nodeid), true);
  assert.deepEqual(table.listings.get(1)?.entries, [['room', folder.nodeid, 3]]);
  assert.equal(table.rows.has(weight.nodeid), false, 'requests about the former tree come to JavaScript');
  assert.equal(filesystem.serves(tree), true);
  assert.deepEqual(table.dropped, []);
  table.counted.clear();
  assert.equal(filesystem.serves(tree), false);
  assert.deepEqual(table.dropped, [[tree.firstNodeid, tree.nextNodeid - tree.firstNodeid]]);
});

test('a tree that does not fit into the table is shown nevertheless, and JavaScript answers', async () => {
  const { table, filesystem, tree, context, log } = published();
  const next = new InodeTable(1_800_000_000_000, tree.nextNodeid);
  const folder = next.room('room', true);
  table.full = true;
  await filesystem.replaceTree(next);
  assert.equal(table.listings.has(1), false, 'the names of the former tree');
  assert.deepEqual(table.dropped[0], [next.firstNodeid, next.nextNodeid - next.firstNodeid]);
  const entry = filesystem.lookup(1, 'room');
  assert.equal('attr' in entry && entry.attr.nodeid, folder.nodeid);
  assert.match(log.join('\n'), /no memory/);
  assert.equal((await filesystem.setattr(folder.nodeid, { mode: 0o700 }, context)).attr.mode, 0o700);
});

test('a folder that cannot be listed again is left to JavaScript, and the next one is listed', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { table, filesystem, room, context, log } = published();
  const before = table.listings.get(room.nodeid);
  const change = () => {
    filesystem.mknod(room.nodeid, 'scratch', 0o100600, context);
    filesystem.unlink(room.nodeid, 'scratch', context);
    t.mock.timers.tick(1000);
  };
  table.full = true;
  change();
  assert.equal(table.listings.has(room.nodeid), false);
  assert.match(log.join('\n'), /no memory/);
  table.full = false;
  change();
  assert.deepEqual(table.listings.get(room.nodeid), before);
});

test('a file with names in several folders keeps its changes when somebody looks into another of them', async () => {
  const { table, filesystem, room, weight, context } = published();
  await filesystem.setattr(weight.nodeid, { mode: 0o600 }, context);
  const before = table.rows.get(weight.nodeid);
  Object.assign(room, {
    tellAhead: ({ inode }: Parameters<NonNullable<typeof room.tellAhead>>[0]) =>
      inode({ ...unknownInode(weight.nodeid), mode: 0o644, size: 1000 }),
  });
  filesystem.lookup(room.nodeid, 'half.bin');
  assert.equal(table.rows.get(weight.nodeid), before, 'no reader sees a row without the changes');
});

test('a former tree is never listed again', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { table, filesystem, tree, room, context } = published();
  table.counted.set(room.nodeid, 1);
  await filesystem.replaceTree(new InodeTable(1_800_000_000_000, tree.nextNodeid));
  table.listings.delete(room.nodeid);
  filesystem.mknod(room.nodeid, 'scratch', 0o100600, context);
  filesystem.unlink(room.nodeid, 'scratch', context);
  t.mock.timers.tick(1000);
  assert.equal(table.listings.has(room.nodeid), false);
});
