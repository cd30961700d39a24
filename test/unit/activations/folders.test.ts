import assert from 'node:assert/strict';
import { closeSync, fstatSync, openSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Folders } from '../../../src/activations/folders.ts';
import { Nodes } from '../../../src/activations/nodes.ts';
import { temporaryDirectory } from '../../support/tmp.ts';

test('a file without a name is changed by a descriptor that nobody else closes', async (t) => {
  const folder = await temporaryDirectory(t);
  const folders = new Folders({
    folder,
    openFolder: async () => undefined,
    makeFolder: async () => undefined,
  });
  t.after(() => folders.close());
  const nodes = new Nodes();
  const opened = openSync(join(folder, 'x'), 'wx');
  const { ino } = fstatSync(opened, { bigint: true });
  const node = nodes.at(nodes.root, 'x', 'file', ino);
  node.open.add(opened);
  unlinkSync(join(folder, 'x'));
  nodes.remove(node);
  await folders.usePlace(node, async (fd) => {
    // The last one who has it open closes it, and the next file that is opened gets the number.
    closeSync(opened);
    const other = openSync(join(folder, 'other'), 'wx');
    try {
      assert.equal(other, opened);
      assert.equal(fstatSync(fd, { bigint: true }).ino, ino);
    } finally {
      closeSync(other);
    }
  });
  node.open.clear();
  await assert.rejects(
    folders.usePlace(node, async () => undefined),
    (cause: { errno?: string }) => cause.errno === 'ESTALE',
  );
});
