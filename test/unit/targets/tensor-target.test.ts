/** The tensors of a checkpoint file as a target: found without inodes, and the same as those of the tree. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openCheckpoint } from '../../../src/checkpoint/open.ts';
import { nbytes } from '../../../src/checkpoint/tensor.ts';
import type { DirectoryInode } from '../../../src/inode.ts';
import { RenderedPages } from '../../../src/storage/rendered-pages.ts';
import { tensorTarget } from '../../../src/targets/tensor-target.ts';
import { Log } from '../../../src/telemetry/log.ts';
import { buildTree } from '../../../src/tree/build-tree.ts';
import { TensorInode } from '../../../src/tree/tensor-files.ts';

const FILES = [
  'checkpoint.pt',
  'checkpoint-deflated.pt',
  'legacy-tied.pt',
  'legacy-views.pt',
  'all.safetensors',
];

const fixture = (name: string) =>
  fileURLToPath(new URL(`../../fixtures/torch-2.13/${name}`, import.meta.url));

/** What the objects of the tree say. */
async function inTree(path: string): Promise<object> {
  const checkpoint = await openCheckpoint(path);
  try {
    const { tree } = buildTree(checkpoint, {
      cache: new RenderedPages(1 << 20),
      version: '0',
      log: new Log(),
      status: async () => ({}),
      metrics: () => '',
    });
    const tensors: object[] = [];
    const gradients: object[] = [];
    const seen = new Set<TensorInode>();
    const walk = (folder: DirectoryInode, prefix: string) => {
      for (const [name, inode] of folder.children) {
        const at = `${prefix}${name}`;
        const tensor = inode instanceof TensorInode ? inode.tensor : undefined;
        if (inode.kind === 'directory') walk(inode, `${at}/`);
        else if (name.endsWith('.grad')) gradients.push({ path: at, size: tensor ? nbytes(tensor) : 0 });
        else if (inode instanceof TensorInode && !seen.has(inode)) {
          seen.add(inode);
          const { dtype, shape } = inode.tensor;
          tensors.push({ path: at, dtype, shape, size: nbytes(inode.tensor) });
        }
      }
    };
    for (const room of ['model', 'checkpoint']) {
      const folder = tree.root.children.get(room);
      if (folder?.kind === 'directory') walk(folder, `${room}/`);
    }
    return { tensors, gradients };
  } finally {
    await checkpoint.close();
  }
}

for (const name of FILES) {
  test(`the target of a file lists the tensors and gradients of its tree, in the same order: ${name}`, async () => {
    const target = await tensorTarget(fixture(name));
    try {
      const tensors = target.tensors.map(({ path, dtype, shape, content }) => ({
        path,
        dtype,
        shape,
        size: content.size,
      }));
      assert.ok(tensors.length > 0);
      assert.deepEqual({ tensors, gradients: await target.gradients() }, await inTree(fixture(name)));
    } finally {
      await target.close();
    }
  });
}

test('a target keeps the content of a tensor only if it is not one run of the file', async () => {
  const plain = await tensorTarget(fixture('all.safetensors'));
  const deflated = await tensorTarget(fixture('checkpoint-deflated.pt'));
  try {
    const kept = ({ tensors }: typeof plain) =>
      tensors.filter((tensor) => {
        const { content } = tensor;
        return content.size > 0 && content === tensor.content;
      }).length;
    assert.equal(kept(plain), 0);
    assert.ok(kept(deflated) > 0);
  } finally {
    await plain.close();
    await deflated.close();
  }
});
