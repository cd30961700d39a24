/** What a tree has when its checkpoint can be edited, and what it has not when it cannot. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { openCheckpoint } from '../../../src/checkpoint/open.ts';
import { PyDict, type Value } from '../../../src/checkpoint/pickle/values.ts';
import type { Tensor } from '../../../src/checkpoint/tensor.ts';
import { type TensorToWrite, tensorToWrite, writeTorchZip } from '../../../src/checkpoint/torch/writer.ts';
import type { DirectoryInode, FileInode, Inode } from '../../../src/inode.ts';
import type { CommandContent, StoredContent } from '../../../src/storage/content.ts';
import { RenderedPages } from '../../../src/storage/rendered-pages.ts';
import { WritableCheckpoint } from '../../../src/targets/writable-checkpoint.ts';
import { Log } from '../../../src/telemetry/log.ts';
import {
  type BuiltTree,
  buildTree,
  type TreeEditing,
  type TreeSources,
} from '../../../src/tree/build-tree.ts';
import { InodeTable } from '../../../src/tree/inode-table.ts';
import { temporaryDirectory } from '../../support/tmp.ts';
import { at } from './tree-fixtures.ts';

const floats = (count: number) => tensorToWrite('float32', [count], Buffer.alloc(count * 4, 1));

function dict(entries: Record<string, unknown>): PyDict {
  const made = new PyDict();
  for (const [key, value] of Object.entries(entries)) made.set(key, value as Value);
  return made;
}

const sources: TreeSources = {
  cache: new RenderedPages(1 << 20),
  version: '1.2.3',
  log: new Log(),
  status: async () => ({}),
  metrics: () => '',
};

const control: CommandContent = {
  kind: 'command',
  perform: async (command) => `did ${command}\n`,
  sync: async () => undefined,
};

async function written(t: TestContext, root: Value): Promise<string> {
  const path = join(await temporaryDirectory(t), 'model.pt');
  await writeTorchZip(path, { root });
  return path;
}

interface Built extends BuiltTree {
  readonly edited: WritableCheckpoint;
  /** Names, sizes and largest sizes of the gradients that were opened. */
  readonly opened: (readonly [string, number, number])[];
}

async function writable(
  t: TestContext,
  root: Value,
  gradientSizes: readonly (readonly [string, number])[] = [],
): Promise<Built> {
  const edited = await WritableCheckpoint.open(await written(t, root));
  t.after(() => edited.close());
  const opened: [string, number, number][] = [];
  const editing: TreeEditing = {
    ...edited.editing,
    control,
    gradientSizes: new Map(gradientSizes),
    gradient: (name, size, maxSize) => {
      opened.push([name, size, maxSize]);
      return { kind: 'stored', maxSize, size: () => size } as unknown as StoredContent;
    },
  };
  return { ...buildTree(edited.checkpoint, { ...sources, editing }), edited, opened };
}

async function readOnly(t: TestContext, root: Value): Promise<BuiltTree> {
  const checkpoint = await openCheckpoint(await written(t, root));
  t.after(() => checkpoint.close());
  return buildTree(checkpoint, sources);
}

function file({ tree }: BuiltTree, path: string): FileInode {
  const inode = at(tree.root, path);
  assert.ok(inode.kind === 'file', path);
  return inode;
}

function* walk(directory: DirectoryInode, prefix = ''): Generator<readonly [string, Inode]> {
  for (const [name, inode] of directory.children) {
    yield [prefix + name, inode];
    if (inode.kind === 'directory') yield* walk(inode, `${prefix}${name}/`);
  }
}

const octal = (mode: number) => mode.toString(8);
const modes = ({ tree }: BuiltTree) =>
  Object.fromEntries([...walk(tree.root)].map(([path, { mode }]) => [path, octal(mode)]));

/** A training checkpoint. */
const training = () =>
  dict({
    model: dict({ 'fc.weight': floats(6), 'fc.running_mean': floats(2) }),
    moments: dict({ m: floats(6) }),
    step: 3,
  });

test('tensors and the folders of their rooms can be written, the rest of the tree cannot', async (t) => {
  const tree = await writable(t, training());
  const shown = modes(tree);
  const expected: Record<string, string> = {
    sys: '555',
    'sys/version': '444',
    'sys/tensors.json': '444',
    'sys/control': '644',
    model: '755',
    'model/fc': '755',
    'model/fc/weight.bin': '644',
    'model/fc/weight.grad': '644',
    'model/fc/running_mean.bin': '644',
    checkpoint: '755',
    'checkpoint/moments': '755',
    'checkpoint/moments/m.bin': '644',
    'checkpoint/step.json': '444',
    export: '555',
    'export/model.pt': '444',
    logs: '555',
    'logs/fuse.log': '644',
  };
  assert.deepEqual(Object.fromEntries(Object.keys(expected).map((path) => [path, shown[path]])), expected);
  for (const [path, inode] of walk(tree.tree.root)) {
    if (inode.kind === 'directory')
      assert.equal(inode.writable, /^(model|checkpoint|views\/(npy|txt|csv))/.test(path), path);
  }
});

test('on a read-only mount nothing has a writer, and there is nothing to command', async (t) => {
  const tree = await readOnly(t, training());
  for (const [path, inode] of walk(tree.tree.root)) {
    if (path === 'logs/fuse.log') continue;
    assert.equal(octal(inode.mode), inode.kind === 'directory' ? '555' : '444', path);
    if (inode.kind === 'directory') assert.notEqual(inode.writable, true, path);
    else assert.equal((inode.content as { writer?: unknown }).writer, undefined, path);
  }
  assert.equal(modes(tree)['sys/control'], undefined);
  assert.equal(file(tree, 'model/fc/weight.grad').content.kind, 'extents');
});

test('an expanded tensor is read-only where others are not', async (t) => {
  const row = floats(6);
  const expanded: TensorToWrite = { ...row, shape: [4, 6], stride: [0, 1] };
  const transposed: TensorToWrite = { ...row, shape: [3, 2], stride: [1, 3] };
  const tree = await writable(t, dict({ expanded, transposed }));
  assert.equal(octal(file(tree, 'model/expanded.bin').mode), '444');
  assert.equal(octal(file(tree, 'model/transposed.bin').mode), '644');
});

test('/sys/control does what is written into it', async (t) => {
  const { content } = file(await writable(t, training()), 'sys/control');
  assert.ok(content.kind === 'command');
  assert.equal(await content.perform('commit'), 'did commit\n');
});

test('a gradient is opened when somebody looks at it, with the size that is there and the size of its parameter', async (t) => {
  const tree = await writable(t, training(), [
    ['fc.weight', 8],
    ['elsewhere', 4],
  ]);
  assert.deepEqual(tree.opened, []);
  const gradient = file(tree, 'model/fc/weight.grad');
  const { content } = gradient;
  assert.ok(content.kind === 'stored' && gradient.content === content);
  assert.equal(content.size(), 8);
  assert.deepEqual(tree.opened, [['fc.weight', 8, 24]]);
});

test('tied parameters have one gradient, under the first of their names', async (t) => {
  const tied = floats(6);
  const tree = await writable(t, dict({ wte: tied, head: tied }));
  assert.equal(at(tree.tree.root, 'model/wte.grad'), at(tree.tree.root, 'model/head.grad'));
  assert.equal(file(tree, 'model/head.grad').nlink, 2);
  assert.equal(file(tree, 'model/head.grad').content.kind, 'stored');
  assert.deepEqual(tree.opened, [['wte', 0, 24]]);
});

for (const key of ['grads', 'gradients', 'grad']) {
  test(`gradients that the checkpoint has under "${key}" are the ones beside their parameters`, async (t) => {
    const model = dict({ w: floats(6), b: floats(2), other: floats(3) });
    const tree = await writable(t, dict({ model, [key]: dict({ w: floats(6), b: floats(5) }) }));
    const gradient = file(tree, 'model/w.grad');
    assert.equal(at(tree.tree.root, `checkpoint/${key}/w.bin`), gradient);
    assert.equal(gradient.xattrs?.get('user.mlfs.shape'), '6');
    assert.equal(octal(gradient.mode), '644');
    for (const name of ['b', 'other'])
      assert.equal(file(tree, `model/${name}.grad`).content.kind, 'stored', name);
  });
}

test('a tensor takes one number of its dtype', async (t) => {
  const tree = await writable(t, dict({ w: floats(6) }));
  const { element } = file(tree, 'model/w.bin');
  assert.deepEqual(element?.('1'), Buffer.from('0000803f', 'hex'));
  assert.equal(element?.('one'), undefined);
});

const storageBytes = (tensor: Tensor) => {
  assert.ok(tensor.storage.bytes.kind === 'extent');
  return tensor.storage.bytes;
};

test('what is dirty shows at the tensor and in the list, until it is committed', async (t) => {
  const tied = floats(6);
  const tree = await writable(t, dict({ wte: tied, head: tied, clean: floats(2) }));
  const dirtyOf = (path: string) => file(tree, path).xattrs?.get('user.mlfs.dirty');
  assert.equal(dirtyOf('model/wte.bin'), '0');
  assert.deepEqual(await tree.dirtyTensors(), []);
  const { image, offset } = storageBytes(tree.edited.checkpoint.tensors[0]?.tensor ?? assert.fail());
  await image.update((update) => update.write(offset + 4, Buffer.from([9, 9, 9])));
  assert.equal(dirtyOf('model/head.bin'), '3');
  assert.equal(dirtyOf('model/clean.bin'), '0');
  assert.deepEqual(await tree.dirtyTensors(), [{ name: 'wte', bytes: 3, ranges: 1 }]);
  await tree.edited.edits.commit();
  assert.equal(dirtyOf('model/wte.bin'), '0');
  assert.deepEqual(await tree.dirtyTensors(), []);
});

test('a tree that takes the place of another begins where that one ended, but for the root', async (t) => {
  const checkpoint = await openCheckpoint(await written(t, training()));
  t.after(() => checkpoint.close());
  const first = buildTree(checkpoint, sources).tree;
  const second = buildTree(checkpoint, { ...sources, firstNodeid: first.nextNodeid }).tree;
  const third = buildTree(checkpoint, { ...sources, firstNodeid: second.nextNodeid }).tree;
  const seen = new Set<number>();
  for (const tree of [first, second, third]) {
    assert.equal(tree.root.nodeid, 1);
    assert.equal(tree.get(1), tree.root);
    const inodes = new Set([...walk(tree.root)].map(([, inode]) => inode));
    assert.equal(tree.inodeCount, inodes.size + 1);
    for (const inode of inodes) {
      assert.ok(!seen.has(inode.nodeid), `${inode.nodeid} was given out twice`);
      seen.add(inode.nodeid);
      assert.equal(tree.get(inode.nodeid), inode);
      for (const other of [first, second, third])
        if (other !== tree) assert.equal(other.get(inode.nodeid), undefined);
    }
    assert.equal(tree.get(tree.nextNodeid), undefined);
    assert.equal(tree.get(0), undefined);
  }
});

test('a folder below a writable one is writable', () => {
  const table = new InodeTable(0);
  const room = table.room('model', true);
  assert.equal(table.folderAt(room, ['a', 'b']).writable, true);
  assert.equal(table.folderAt(table.room('sys', false), ['a']).writable, false);
  assert.equal(table.root.writable, false);
});

test('what views show of plain tensors is found without objects, and followed by nothing else', async (t) => {
  const { tree, edited } = await writable(t, dict({ a: floats(64), b: floats(64) }));
  const { plainFiles } = tree;
  assert.ok(plainFiles !== undefined);
  const names = new Map<number, string>();
  const follows: string[] = [];
  const told = (path: string) =>
    (at(tree.root, path.slice(1)) as DirectoryInode).tellAhead?.({
      inode: ({ nodeid, follows: followed }) => {
        if (followed) follows.push(names.get(nodeid) ?? String(nodeid));
      },
      folder: () => undefined,
      entry: (name, nodeid) => names.set(nodeid, `${path}/${name}`),
    });
  for (const view of ['npy', 'txt', 'csv', 'json']) told(`/views/${view}`);
  assert.deepEqual(follows, []);
  const [[, nodeid] = []] = [...names].map(([number, name]) => [name, number] as const);
  assert.ok(nodeid !== undefined && plainFiles.has(nodeid) && !plainFiles.has(tree.root.nodeid));

  const weight = at(tree.root, 'model/b.bin') as FileInode;
  const extent = weight.content.kind === 'extents' ? weight.content.extents[0] : undefined;
  assert.ok(extent?.kind === 'image');
  const changed = [{ start: extent.offset + 8, end: extent.offset + 12 }];
  const found = [...plainFiles.overlapping(edited.checkpoint.image, changed)];
  const shown = found.map(({ nodeid, ranges }) => [names.get(nodeid) ?? '/model/b.bin', ranges] as const);
  const whole = [{ offset: 0, length: 0 }];
  assert.deepEqual(shown, [
    ['/model/b.bin', [{ offset: 8, length: 4 }]],
    ['/views/npy/b.npy', [{ offset: 128 + 8, length: 4 }]],
    ['/views/txt/b.txt', whole],
    ['/views/csv/b.csv', whole],
    ['/views/json/b.json', whole],
  ]);
  for (const { nodeid } of found.slice(1)) assert.equal(tree.made(nodeid), undefined, names.get(nodeid));
});
