import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AttributeChanges } from '../../../src/fuse/attribute-changes.ts';
import { sampleTree } from './sample-tree.ts';

test('a time far in the future still fits the messages of the kernel after the next change', () => {
  const inode = sampleTree().tree.root;
  const changes = new AttributeChanges();
  changes.apply(inode.nodeid, { mtime: (2n ** 63n - 1n) * 1_000_000_000n });
  for (let count = 0; count < 3; count++) changes.touch(inode);
  const { mtimeMs = Number.NaN } = changes.of(inode.nodeid) ?? {};
  assert.ok(Number.isSafeInteger(mtimeMs), String(mtimeMs));
});
