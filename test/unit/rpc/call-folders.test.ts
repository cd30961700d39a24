import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CallFolders } from '../../../src/rpc/call-folders.ts';
import { memoryCallFile } from './memory-call-file.ts';

const OWNER = { uid: 1, gid: 2 };

test('a call on one descriptor takes no folder of a caller, whatever that is called', () => {
  const folders = new CallFolders({ nodeidLimit: 2 ** 28, makeFile: memoryCallFile });
  const made = ['call-3', 'call-4'].map((name) => folders.make(name, OWNER));
  const hidden = [folders.makeHidden(OWNER), folders.makeHidden(OWNER)];
  assert.deepEqual(
    made.map(({ name }) => folders.named(name)),
    made,
  );
  assert.deepEqual(
    hidden.map(({ name }) => folders.named(name)),
    hidden,
  );
  for (const folder of hidden) folders.remove(folder);
  assert.deepEqual([...folders.all], made);
});
