import assert from 'node:assert/strict';
import { test } from 'node:test';
import type {
  AttrReply,
  DirectoryEntry,
  Entry,
  Filesystem,
  Invalidation,
  Notifier,
  OpenReply,
  Statfs,
} from '../../../src/fuse/filesystem.ts';
import { joinFilesystems } from '../../../src/fuse/joined-filesystem.ts';
import { RefusingFilesystem } from '../../../src/fuse/refusing-filesystem.ts';
import { Traffic } from '../../../src/fuse/traffic.ts';
import { FuseNativeBridge } from '../../../src/fuse/transport/fuse-native-operations.ts';
import { refusedWith, writableTree } from './writable-tree.ts';

const FIRST = 3 * 2 ** 30;
const SECOND = FIRST + 2 ** 28;

/** Nodeid 2 is `file`, 3 a folder that is made; what was asked is written down. */
class Room extends RefusingFilesystem {
  readonly asked: string[] = [];
  readonly known: string[] = [];
  notifier: Notifier | undefined;
  version = 0;

  override get namesVersion(): number {
    return this.version;
  }
  override connect(notifier: Notifier): void {
    this.notifier = notifier;
  }
  override remember(nodeid: number): void {
    this.known.push(`+${nodeid}`);
  }
  override forget(nodeid: number): void {
    this.known.push(`-${nodeid}`);
  }
  override lookup(parent: number, name: string) {
    this.asked.push(`lookup ${parent} ${name}`);
    return name === 'file' ? entryOf(2) : { absent: true as const, entryTimeoutMs: 7 };
  }
  override getattr(nodeid: number): AttrReply {
    return entryOf(nodeid);
  }
  override open(nodeid: number): OpenReply {
    return { handle: nodeid * 10, caching: 'direct' };
  }
  override read(nodeid: number, handle: number): Uint8Array {
    return Buffer.from(`inode ${nodeid}, handle ${handle}`);
  }
  override readdir(nodeid: number, offset: number): Iterable<DirectoryEntry> {
    const all = [
      { name: '.', offset: 1, entry: entryOf(nodeid) },
      { name: '..', offset: 2, entry: entryOf(1) },
      { name: 'file', offset: 3, entry: entryOf(2) },
    ];
    return all.slice(offset);
  }
  override mkdir(): Entry {
    return entryOf(3);
  }
  override create() {
    return { entry: entryOf(4), opened: { handle: 40, caching: 'direct' as const } };
  }
  override rename(parent: number, name: string, newParent: number, newName: string): void {
    this.asked.push(`rename ${parent}/${name} ${newParent}/${newName}`);
  }
  override statfs(_context: unknown, nodeid?: number): Statfs {
    return {
      blockSize: 512,
      blocks: nodeid ?? 0,
      blocksFree: 0,
      blocksAvailable: 0,
      files: 0,
      filesFree: 0,
      nameMax: 255,
    };
  }
}

function entryOf(nodeid: number): Entry {
  const kind = nodeid === 2 || nodeid === 4 ? 'file' : 'directory';
  const attr = { nodeid, kind, mode: 0o700, nlink: 1, uid: 7, gid: 8, size: nodeid, mtimeMs: 0 } as const;
  return { attr, entryTimeoutMs: 5, attrTimeoutMs: 6 };
}

function scene() {
  const tree = writableTree();
  const traffic = new Traffic();
  const rooms = [new Room(), new Room()] as const;
  const grafts = [
    { name: 'activations', filesystem: rooms[0] },
    { name: 'rpc', filesystem: rooms[1] },
  ];
  const joined = joinFilesystems(tree.filesystem, grafts, traffic);
  return { tree, rooms, joined, traffic, context: tree.context };
}

const names = (entries: Iterable<DirectoryEntry>) => [...entries].map(({ name }) => name);

test('a listing of the root has the tree’s names and the grafts, from any offset', async () => {
  const { joined, context } = scene();
  const all = [...(await joined.readdir(1, 0, context))];
  assert.deepEqual(names(all), ['.', '..', 'room', 'activations', 'rpc']);
  for (const [index, { offset }] of all.entries()) {
    assert.deepEqual(names(await joined.readdir(1, offset, context)), names(all.slice(index + 1)));
  }
  const graft = all[3]?.entry.attr;
  assert.equal(graft?.nodeid, FIRST + 1);
});

test('a name that is no graft is the tree’s', async () => {
  const { joined, context, tree } = scene();
  const found = await joined.lookup(1, 'room', context);
  assert.equal('attr' in found && found.attr.nodeid, tree.room.nodeid);
  assert.ok('absent' in (await joined.lookup(1, 'nothing', context)));
});

test('inodes of each graft have a range of their own within 32 bits', async () => {
  const { joined, context, rooms } = scene();
  for (const [name, base] of [['activations', FIRST] as const, ['rpc', SECOND] as const]) {
    const root = await joined.lookup(1, name, context);
    assert.ok('attr' in root);
    assert.equal(root.attr.nodeid, base + 1);
    const file = await joined.lookup(root.attr.nodeid, 'file', context);
    assert.ok('attr' in file);
    assert.equal(file.attr.nodeid, base + 2);
    assert.ok(file.attr.nodeid < 2 ** 32);
    assert.equal(file.attrTimeoutMs, 6);
    const { handle } = await joined.open(file.attr.nodeid, 0, context);
    const bytes = await joined.read(file.attr.nodeid, handle, 0, 100, context);
    assert.equal(Buffer.from(bytes).toString(), 'inode 2, handle 20');
    assert.equal((await joined.mkdir(base + 1, 'x', 0o755, context)).attr.nodeid, base + 3);
    const made = await joined.create(base + 1, 'y', 0o644, 2, context);
    assert.equal(made.entry.attr.nodeid, base + 4);
    assert.equal(made.opened.handle, 40);
  }
  assert.deepEqual(rooms[0].asked, ['lookup 1 file']);
});

test('what is read, written and open is counted by room', async () => {
  const { joined, traffic, context, tree } = scene();
  const opened = await joined.open(FIRST + 2, 0, context);
  await joined.read(FIRST + 2, opened.handle, 0, 100, context);
  const { entry, opened: made } = await joined.create(tree.room.nodeid, 'scratch', 0o644, 2, context);
  await joined.write(entry.attr.nodeid, made.handle, 0, Buffer.alloc(7), context);
  const weight = await joined.open(tree.weight.nodeid, 0, context);
  await joined.read(tree.weight.nodeid, weight.handle, 0, 4, context);
  await joined.read(tree.weight.nodeid, weight.handle, 4, 4, context);
  await joined.release(tree.weight.nodeid, weight.handle);
  const counted = [...traffic.rooms].map(
    ([room, { readBytes, readSeconds, writes, writeBytes, openFiles }]) => [
      room,
      readSeconds.counts.counts.reduce((sum, count) => sum + count),
      readBytes,
      writes,
      writeBytes,
      openFiles,
    ],
  );
  assert.deepEqual(counted, [
    ['activations', 1, 'inode 2, handle 20'.length, 0, 0, 1],
    ['rpc', 0, 0, 0, 0, 0],
    ['scratch', 0, 0, 1, 7, 1],
    ['room', 2, 8, 0, 0, 0],
  ]);
});

test('above a graft is the root', async () => {
  const { joined, context } = scene();
  const inodes = [...(await joined.readdir(FIRST + 1, 0, context))].map(({ name, entry }) => [
    name,
    entry.attr.nodeid,
  ]);
  assert.deepEqual(inodes, [
    ['.', FIRST + 1],
    ['..', 1],
    ['file', FIRST + 2],
  ]);
  const [, above] = [...(await joined.readdir(FIRST + 3, 0, context))];
  assert.equal(above?.entry.attr.nodeid, FIRST + 1);
});

test('what a room tells the kernel is in the kernel’s numbers', async () => {
  const { joined, rooms } = scene();
  const heard: Invalidation[] = [];
  joined.connect({
    invalidate: async (invalidations) => {
      heard.push(...invalidations);
    },
  });
  await rooms[1].notifier?.invalidate([
    { kind: 'pages', nodeid: 2, offset: 3, length: 4 },
    { kind: 'name', parent: 1, name: 'file' },
  ]);
  assert.deepEqual(heard, [
    { kind: 'pages', nodeid: SECOND + 2, offset: 3, length: 4 },
    { kind: 'name', parent: SECOND + 1, name: 'file' },
  ]);
});

test('nothing is renamed from one file system to another', async () => {
  const { joined, context, rooms, tree } = scene();
  const refused = (parent: number, newParent: number) =>
    assert.throws(() => joined.rename(parent, 'a', newParent, 'b', 0, context), refusedWith('EXDEV'));
  refused(FIRST + 1, SECOND + 1);
  refused(FIRST + 1, tree.room.nodeid);
  refused(tree.room.nodeid, FIRST + 1);
  await joined.rename(FIRST + 1, 'a', FIRST + 3, 'b', 0, context);
  assert.deepEqual(rooms[0].asked, ['rename 1/a 3/b']);
});

test('references are counted by the file system that they are of', () => {
  const { joined, rooms } = scene();
  joined.remember(FIRST + 2);
  joined.forget(FIRST + 2);
  joined.remember(SECOND + 3);
  assert.deepEqual(rooms[0].known, ['+2', '-2']);
  assert.deepEqual(rooms[1].known, ['+3']);
});

test('names are void when any of the file systems says so', () => {
  const { joined, rooms } = scene();
  const before = joined.namesVersion;
  rooms[1].version++;
  assert.notEqual(joined.namesVersion, before);
});

test('free space is that of the file system which is asked about', async () => {
  const { joined, context } = scene();
  assert.equal((await joined.statfs(context, SECOND + 5)).blocks, 5);
  assert.notEqual((await joined.statfs(context, 1)).blockSize, 512);
});

test('a nodeid beyond every range is stale', () => {
  const { joined, context } = scene();
  assert.throws(() => joined.getattr(SECOND + 2 ** 28 + 1, context), refusedWith('ESTALE'));
});

test('more file systems than there are numbers for are refused', () => {
  const { tree } = scene();
  const five: Filesystem[] = Array.from({ length: 5 }, () => new Room());
  const grafts = five.map((filesystem, index) => ({ name: `${index}`, filesystem }));
  assert.throws(() => joinFilesystems(tree.filesystem, grafts), RangeError);
});

test('a transport that speaks of paths finds its way into a graft', async () => {
  const { joined } = scene();
  const operations = new FuseNativeBridge(joined, assert.fail).operations();
  const stat = await new Promise<{ ino: number } | undefined>((resolve, reject) =>
    operations.getattr('/rpc/file', (result, found) =>
      result === 0 ? resolve(found) : reject(new Error(`errno ${-result}`)),
    ),
  );
  assert.equal(stat?.ino, SECOND + 2);
  const listing = await new Promise<string[] | undefined>((resolve) =>
    operations.readdir('/', (_result, found) => resolve(found)),
  );
  assert.deepEqual(listing, ['.', '..', 'room', 'activations', 'rpc']);
});
