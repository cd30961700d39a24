import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openCheckpoint } from '../../../src/checkpoint/open.ts';
import { atOnce } from '../../../src/storage/in-slices.ts';
import { RenderedPages } from '../../../src/storage/rendered-pages.ts';
import { Log } from '../../../src/telemetry/log.ts';
import { buildTree } from '../../../src/tree/build-tree.ts';
import { oneRangeFiles } from '../../../src/tree/one-range-files.ts';
import { readFixtures } from '../../support/fixtures.ts';

test('the files that are one range are exactly those whose content is one extent, in every fixture', async () => {
  let ranges = 0;
  let others = 0;
  for (const { path, name } of readFixtures()) {
    const checkpoint = await openCheckpoint(path);
    try {
      const { image } = checkpoint;
      const { tree } = buildTree(checkpoint, {
        cache: new RenderedPages(1 << 20),
        version: '1.2.3',
        log: new Log({ level: 'error' }),
        status: async () => ({}),
        metrics: () => '',
      });
      const { nodeids, offsets, lengths } = atOnce(oneRangeFiles(tree, image));
      const found = new Map(Array.from(nodeids, (nodeid, i) => [nodeid, [offsets[i], lengths[i]]]));
      for (let nodeid = 2; nodeid < tree.nextNodeid; nodeid++) {
        const inode = tree.get(nodeid);
        if (inode?.kind !== 'file') continue;
        const { content } = inode;
        const pending = content.kind === 'extents' && content.layout?.done === false;
        const [extent, ...more] = content.kind === 'extents' && !pending ? content.extents : [];
        const range =
          extent?.kind === 'image' && extent.image === image && more.length === 0
            ? [extent.offset, extent.length]
            : undefined;
        assert.deepEqual(found.get(nodeid), range, `${name}: inode ${nodeid}`);
        if (range === undefined) others++;
        else ranges++;
      }
    } finally {
      await checkpoint.close();
    }
  }
  assert.ok(ranges > 50 && others > 50, `${ranges} ranges, ${others} other files`);
});
