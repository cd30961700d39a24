import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DirectoryListings } from '../../../src/fuse/directory-listing.ts';
import type { Entry } from '../../../src/fuse/filesystem.ts';
import type { FileInode, Inode, KnownInode } from '../../../src/inode.ts';
import { atOnce } from '../../../src/storage/in-slices.ts';
import { RenderedPages } from '../../../src/storage/rendered-pages.ts';
import { InodeTable } from '../../../src/tree/inode-table.ts';
import { TensorFiles } from '../../../src/tree/tensor-files.ts';
import { at, IMAGE, paths, storage, tensor } from './tree-fixtures.ts';

const MTIME_MS = 1_700_000_000_000;
const FIRST = 100;

function model(writable: boolean) {
  const table = new InodeTable(MTIME_MS, FIRST);
  const files = new TensorFiles(table, { cache: new RenderedPages(1 << 20), writable });
  const room = table.room('model', writable);
  const folder = table.folderBelow(room.nodeid, ['layers', '0']);
  files.place(folder, 'weight', tensor(storage('0', 24), [2, 3]), 'layers.0.weight');
  files.place(folder, 'transposed', tensor(storage('1', 24), [2, 3], { stride: [1, 2] }));
  return { table, files, room, folder };
}

function known(table: InodeTable): Map<string, KnownInode> {
  const found = new Map<string, KnownInode>();
  atOnce(table.known((inode) => found.set(table.pathOf(inode.nodeid) ?? '', { ...inode })));
  return found;
}

test('an object that is asked for twice is the same, however it is reached', () => {
  const { table, room, folder } = model(false);
  const weight = at(table.root, 'model/layers/0/weight.bin');
  assert.equal(table.get(weight.nodeid), weight);
  assert.equal(at(room, 'layers/0'), table.get(folder));
  assert.equal(table.get(FIRST - 1), undefined);
  assert.equal(table.get(table.nextNodeid), undefined);
});

test('a folder that was looked into shows what is added later', () => {
  const { table, files, folder } = model(false);
  const before = paths(table.root).length;
  files.place(folder, 'bias', tensor(storage('2', 8), [2]));
  assert.equal(paths(table.root).length, before + 1);
});

test('the names of the tree come first and stay in their places, whatever is added and removed', () => {
  const table = new InodeTable(MTIME_MS);
  const room = table.room('notes', true);
  const content = () => ({ kind: 'extents', size: 0, extents: [] }) as const;
  const own = Array.from({ length: 200 }, (_, index) => `n${index}`);
  // Entries of another folder lie between them.
  for (const name of own) {
    table.add(room, name, { content });
    table.add(table.folder(table.root, 'other'), name, { content });
  }
  const listings = new DirectoryListings();
  const entryOf = ({ nodeid }: Inode) => ({ attr: { nodeid } }) as Entry;
  const listed = (offset: number) => [...listings.entries(room, table.root, offset, entryOf)];
  const all = listed(2);
  const added = at(table.root, 'other');
  room.children.set('x', added);
  room.children.set('y', added);
  room.children.delete('x');
  assert.deepEqual([...room.children.keys()], [...own, 'y']);
  assert.deepEqual([room.children.size, room.children.has('x'), room.children.get('y')], [201, false, added]);
  assert.deepEqual(listed(2).slice(0, -1), all);
  for (const place of [0, 150, 20, 199, 200]) {
    const names = listed(place + 2).map(({ name }) => name);
    assert.deepEqual(names, [...own.slice(place), 'y']);
  }
  assert.deepEqual(listed(203), []);
});

test('what is known of an inode without its object is what its object says', () => {
  for (const writable of [false, true]) {
    const { table } = model(writable);
    const columns = known(table);
    assert.deepEqual(
      [...columns.keys()],
      [
        '/model',
        '/model/layers',
        '/model/layers/0',
        '/model/layers/0/weight.bin',
        '/model/layers/0/weight.grad',
        '/model/layers/0/transposed.bin',
      ],
    );
    for (const [path, facts] of columns) {
      const inode = table.get(facts.nodeid);
      assert.ok(inode !== undefined);
      assert.deepEqual(
        [facts.isDirectory, facts.mode, facts.room, inode === at(table.root, path.slice(1))],
        [inode.kind === 'directory', inode.mode, 'model', true],
        path,
      );
      if (inode.kind === 'directory') assert.equal(facts.parent, inode.parent);
      else assert.deepEqual([facts.nlink, facts.size], [inode.nlink, sizeOf(inode)], path);
    }
    const weight = columns.get('/model/layers/0/weight.bin');
    assert.deepEqual([weight?.image, weight?.offset, weight?.readable], [IMAGE, 1024, true]);
    const transposed = columns.get('/model/layers/0/transposed.bin');
    assert.deepEqual([transposed?.image, transposed?.follows], [undefined, true]);
  }
});

test('a folder whose documents are made when they are asked for is not known completely', () => {
  const { table, room } = model(false);
  let made = 0;
  const content = () => {
    made++;
    return { kind: 'extents', size: 0, extents: [] } as const;
  };
  table.add(room, 'note.json', { content });
  table.add(table.folder(room, 'cheap'), 'raw.bin', { content, isCheap: true });
  const complete = new Map<string, boolean>();
  atOnce(
    table.listings({
      folder: (nodeid, _count, all) => complete.set(table.pathOf(nodeid) ?? '', all),
      entry: () => undefined,
    }),
  );
  assert.deepEqual(
    [...complete],
    [
      ['/model', false],
      ['/model/layers', true],
      ['/model/layers/0', true],
      ['/model/cheap', true],
    ],
  );
  assert.equal(made, 1, 'the content of the note was not made');
});

test('names in writable folders are known by nodeid', () => {
  const { table, room } = model(true);
  table.add(table.folder(table.root, 'sys'), 'version', {
    content: () => ({ kind: 'extents', size: 0, extents: [] }),
  });
  assert.equal(table.isInWritableFolder(at(room, 'layers/0/weight.bin').nodeid), true);
  assert.equal(table.isInWritableFolder(at(table.root, 'sys/version').nodeid), false);
  const inodes = {
    make: (_index: number, nodeid: number, mtimeMs: number) => ({ nodeid, mtimeMs }) as FileInode,
    pathOf: (index: number) => `/late/${index}`,
  };
  const first = table.reserve(2, inodes, true);
  assert.equal(table.isInWritableFolder(first + 1), true);
  assert.equal(table.made(first + 1), undefined);
  assert.equal(table.get(first + 1), table.get(first + 1), 'one nodeid is one object');
  assert.equal(table.get(first + 1)?.nodeid, first + 1);
  assert.equal(table.pathOf(first + 1), '/late/1');
  assert.equal(table.get(first + 2), undefined);
});

function sizeOf({ content }: FileInode): number {
  assert.ok(content.kind === 'extents' || content.kind === 'rendered');
  return content.size;
}
