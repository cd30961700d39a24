import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { writeTorchZip } from '../../../src/checkpoint/torch/writer.ts';
import type { InodeTree } from '../../../src/inode.ts';
import { Control } from '../../../src/mount/control.ts';
import { ServedCheckpoint } from '../../../src/mount/served-checkpoint.ts';
import { RenderedPages } from '../../../src/storage/rendered-pages.ts';
import { Log } from '../../../src/telemetry/log.ts';
import { buildTree } from '../../../src/tree/build-tree.ts';
import { temporaryDirectory } from '../../support/tmp.ts';

async function write(path: string, value: number): Promise<void> {
  await writeTorchZip(path, {
    tensors: [{ name: 'w', dtype: 'uint8', shape: [4], fill: Buffer.alloc(4, value) }],
  });
}

async function served(t: TestContext) {
  const folder = await temporaryDirectory(t);
  const path = join(folder, 'model.pt');
  await write(path, 1);
  const log = new Log({ level: 'error' });
  const cache = new RenderedPages(1 << 20);
  const never = () => Promise.reject(new Error('was not asked for'));
  const actions = {
    commit: never,
    commitTo: never,
    discard: never,
    flush: never,
    reload: never,
    status: never,
    sync: never,
  };
  const checkpoint = await ServedCheckpoint.open({
    path,
    mountpoint: join(folder, 'mount'),
    readOnly: false,
    editing: {},
    log,
    build: (opened, firstNodeid) =>
      buildTree(opened.checkpoint, {
        cache,
        version: 'test',
        log,
        firstNodeid,
        status: async () => ({}),
        metrics: () => '',
        ...(opened.editing === undefined
          ? {}
          : { editing: { ...opened.editing, control: new Control(actions, log) } }),
      }),
  });
  t.after(() => checkpoint.close());
  const shown: InodeTree[] = [checkpoint.built.tree];
  checkpoint.showOn({ replaceTree: async (tree) => void shown.push(tree), serves: () => true });
  const set = (value: number) => {
    const { bytes } = checkpoint.checkpoint.tensors[0]?.tensor.storage ?? {};
    const offset = bytes?.kind === 'extent' ? bytes.offset : 0;
    return checkpoint.checkpoint.image.update((update) => update.write(offset, Buffer.from([value])));
  };
  const replace = async (value: number) => {
    await write(`${path}.new`, value);
    await rename(`${path}.new`, path);
  };
  return { folder, path, checkpoint, shown, set, replace };
}

const nodeidsOf = (tree: InodeTree) => [...tree.root.children.values()].map(({ nodeid }) => nodeid);

test('reload puts the new file in the place of the old one, under nodeids of its own', async (t) => {
  const { checkpoint, shown, replace, set } = await served(t);
  assert.deepEqual(await checkpoint.reload(), { reloaded: false });
  const old = checkpoint.checkpoint.image;
  await replace(2);
  assert.deepEqual(await checkpoint.reload(), { reloaded: true, tensors: 1, bytes: 4 });
  assert.equal(shown.length, 2);
  const [before = [], after = []] = shown.map(nodeidsOf);
  assert.ok(Math.min(...after) > Math.max(...before));
  await assert.rejects(
    old.update(async () => undefined),
    { errno: 'ESTALE' },
  );
  assert.equal((await old.read(0, 4)).toString('latin1', 0, 2), 'PK', 'the old one can still be read');
  await set(9);
  assert.equal((await checkpoint.commit()).bytes, 1);
});

test('what cannot be opened leaves everything as it was', async (t) => {
  const { path, checkpoint, shown, set } = await served(t);
  await writeFile(`${path}.new`, 'no checkpoint');
  await rename(`${path}.new`, path);
  await assert.rejects(checkpoint.reload(), { exitCode: 3 });
  assert.equal(shown.length, 1);
  await set(5);
  assert.equal(checkpoint.edits?.status.dirtyBytes, 1, 'writing goes on until somebody notices');
});

test('edits of the old file hold a reload up, and say how to go on', async (t) => {
  const { folder, checkpoint, shown, set, replace } = await served(t);
  await set(5);
  await replace(2);
  await assert.rejects(
    checkpoint.reload(),
    (error: Error & { code?: string; advice?: string }) =>
      error.code === 'ERR_MLFS_BUSY' &&
      /1 bytes of edits in 1 range/.test(error.message) &&
      /--to NEW\.pt.*mlfs discard/.test(error.advice ?? ''),
  );
  assert.equal(shown.length, 1);
  await assert.rejects(set(6), { errno: 'ESTALE' });
  await checkpoint.commitTo(join(folder, 'kept.pt'));
  assert.equal(existsSync(join(folder, 'kept.pt')), true);
  await checkpoint.discard();
  assert.deepEqual(await checkpoint.reload(), { reloaded: true, tensors: 1, bytes: 4 });
});

test('a copy is not written over the checkpoint, nor into the mount', async (t) => {
  const { folder, path, checkpoint, set } = await served(t);
  await set(5);
  for (const [target, says] of [
    [path, /is the checkpoint that is mounted/],
    [join(folder, 'mount', 'model', 'new.pt'), /lies in the mount itself/],
  ] as const) {
    await assert.rejects(checkpoint.commitTo(target, { overwrite: true }), says);
  }
});
