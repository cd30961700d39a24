import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Inodes } from '../../../src/fuse/inodes.ts';
import type { InodeTree } from '../../../src/inode.ts';
import { InodeTable } from '../../../src/tree/inode-table.ts';

test('a former tree without references is dropped when it is asked for, and not while its names are published', () => {
  const trees = [new InodeTable(0), new InodeTable(0, 1000), new InodeTable(0, 2000)] as const;
  const inodes = new Inodes(trees[0]);
  const dropped: InodeTree[] = [];
  inodes.dropped = (tree) => dropped.push(tree);
  inodes.replace(trees[1]);
  inodes.replace(trees[2]);
  assert.deepEqual(dropped, []);
  assert.equal(inodes.has(trees[1]), false);
  assert.deepEqual(dropped, [trees[0], trees[1]]);
});
