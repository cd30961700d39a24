import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DirectoryListings } from '../../../src/fuse/directory-listing.ts';
import type { DirectoryInode, Inode } from '../../../src/inode.ts';

const entryOf = (inode: Inode) => ({
  attr: { nodeid: inode.nodeid, kind: inode.kind, mode: 0, nlink: 1, uid: 0, gid: 0, size: 0, mtimeMs: 0 },
  entryTimeoutMs: 0,
  attrTimeoutMs: 0,
});

let lastNodeid = 1;
const folder = (): DirectoryInode => ({
  kind: 'directory',
  nodeid: ++lastNodeid,
  mode: 0o755,
  mtimeMs: 0,
  parent: 1,
  children: new Map(),
});

function scene() {
  const listings = new DirectoryListings();
  const directory = folder();
  const add = (name: string) => {
    const inode = folder();
    directory.children.delete(name);
    directory.children.set(name, inode);
    listings.added(directory, name, inode);
  };
  const remove = (name: string) => {
    directory.children.delete(name);
    listings.removed(directory, name);
  };
  const listed = (offset: number) => [...listings.entries(directory, directory, offset, entryOf)];
  return { directory, add, remove, listed };
}

test('a listing is the entries in the order in which they were made, whatever came and went', () => {
  const { directory, add, remove, listed } = scene();
  let seed = 1;
  const random = (below: number) => {
    seed = (seed * 1103515245 + 12345) % 2 ** 31;
    return seed % below;
  };
  for (let step = 0; step < 20_000; step++) {
    const name = `n${random(3000)}`;
    if (directory.children.has(name) && random(10) > 0) remove(name);
    else add(name);
    if (step % 1000 !== 0) continue;
    const all = listed(2);
    assert.deepEqual(
      all.map(({ name: one }) => one),
      [...directory.children.keys()],
    );
    // From each of its offsets, and from those of entries that are gone.
    const from = random(all.length + 1);
    const offset = all[from]?.offset ?? 2;
    assert.deepEqual(listed(offset), all.slice(from + (all[from] === undefined ? all.length : 1)));
    const between = offset - 1;
    assert.deepEqual(
      listed(between).filter(({ name: one }) => one !== '.' && one !== '..'),
      all.filter((entry) => entry.offset > between),
    );
  }
});

test('what is removed and made between two requests does not move the others', () => {
  const { add, remove, listed } = scene();
  for (let index = 0; index < 10; index++) add(`n${index}`);
  const fifth = listed(2)[4]?.offset ?? 0;
  remove('n2');
  remove('n4');
  remove('n7');
  add('n2');
  assert.deepEqual(
    listed(fifth).map(({ name }) => name),
    ['n5', 'n6', 'n8', 'n9', 'n2'],
  );
});

test('entries that came and went without a word are found', () => {
  const { directory, add, listed } = scene();
  add('a');
  listed(0);
  directory.children.set('b', folder());
  assert.deepEqual(
    listed(0).map(({ name }) => name),
    ['.', '..', 'a', 'b'],
  );
  directory.children.delete('a');
  assert.deepEqual(
    listed(2).map(({ name }) => name),
    ['b'],
  );
});
