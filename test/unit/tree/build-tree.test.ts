import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Checkpoint } from '../../../src/checkpoint/checkpoint.ts';
import { modelOf, nameTensors } from '../../../src/checkpoint/model.ts';
import { openCheckpoint } from '../../../src/checkpoint/open.ts';
import { PyDict, type Value } from '../../../src/checkpoint/pickle/values.ts';
import { type TensorToWrite, tensorToWrite, writeTorchZip } from '../../../src/checkpoint/torch/writer.ts';
import { openCheckpoint as openLibrary } from '../../../src/index.ts';
import type { DirectoryInode } from '../../../src/inode.ts';
import type { Content } from '../../../src/storage/content.ts';
import { RenderedPages } from '../../../src/storage/rendered-pages.ts';
import { Log } from '../../../src/telemetry/log.ts';
import { buildTree } from '../../../src/tree/build-tree.ts';
import { temporaryDirectory } from '../../support/tmp.ts';
import { at, paths } from './tree-fixtures.ts';

const one = (value: number): TensorToWrite => tensorToWrite('uint8', [1], Buffer.from([value]));

function dict(entries: Record<string, unknown>): PyDict {
  const made = new PyDict();
  for (const [key, value] of Object.entries(entries)) made.set(key, value as Value);
  return made;
}

async function opened(t: TestContext, root: Value): Promise<Checkpoint> {
  const path = join(await temporaryDirectory(t), 'model.pt');
  await writeTorchZip(path, { root });
  const checkpoint = await openCheckpoint(path);
  t.after(() => checkpoint.close());
  return checkpoint;
}

function built(checkpoint: Checkpoint, stateDict?: string) {
  return buildTree(checkpoint, {
    cache: new RenderedPages(1 << 20),
    version: '1.2.3',
    log: new Log(),
    status: async () => ({ state: 'current' }),
    metrics: () => 'mlfs_up 1\n',
    ...(stateDict === undefined ? {} : { stateDict }),
  });
}

async function text(content: Content): Promise<string> {
  if (content.kind === 'snapshot') return Buffer.from(await content.make()).toString();
  if (content.kind === 'rendered') return Buffer.from(await content.read(0, content.size)).toString();
  assert.ok(content.kind === 'extents');
  return content.extents
    .map((extent) => (extent.kind === 'inline' ? Buffer.from(extent.bytes).toString() : ''))
    .join('');
}

async function read(built: ReturnType<typeof buildTree>, path: string): Promise<string> {
  const inode = at(built.tree.root, path);
  assert.ok(inode.kind === 'file');
  return text(inode.content);
}

test('a bare state dict needs no /checkpoint', async (t) => {
  const tree = built(await opened(t, dict({ 'fc.weight': one(1), 'fc.bias': one(2) })));
  assert.equal(tree.tree.root.children.has('model'), true);
  assert.equal(tree.tree.root.children.has('checkpoint'), false);
  assert.equal(tree.tensors, 2);
});

test('a state dict with a number beside its tensors has one', async (t) => {
  const tree = built(await opened(t, dict({ w: one(1), b: one(2), epoch: 3 })));
  assert.equal((await read(tree, 'checkpoint/epoch.json')).trim(), '3');
  assert.equal(at(tree.tree.root, 'checkpoint/w.bin'), at(tree.tree.root, 'model/w.bin'));
});

test('an inode says which room it was made for, tied ones and late ones too', async (t) => {
  const checkpoint = await opened(
    t,
    dict({ state_dict: dict({ 'fc.weight': one(1), b: one(2) }), epoch: 3 }),
  );
  const { tree } = built(checkpoint);
  const seen = new Set<string>();
  const walk = (directory: DirectoryInode, room: string, path: string) => {
    for (const [name, inode] of directory.children) {
      const of = room === '' ? name : room;
      const tied = inode === at(tree.root, 'model/fc/weight.bin') || inode === at(tree.root, 'model/b.bin');
      const expected = tied || path.startsWith('/checkpoint/state_dict') ? ['model', 'checkpoint'] : [of];
      assert.ok(
        expected.includes(tree.roomOf(inode.nodeid)),
        `${path}/${name}: ${tree.roomOf(inode.nodeid)}`,
      );
      seen.add(of);
      if (inode.kind === 'directory') walk(inode, of, `${path}/${name}`);
    }
  };
  walk(tree.root, '', '');
  assert.deepEqual([...seen].sort(), ['checkpoint', 'export', 'ir', 'logs', 'model', 'sys', 'views', 'viz']);
});

test('/sys describes the checkpoint', async (t) => {
  const tied = one(7);
  const tree = built(await opened(t, dict({ 'a.w': tied, 'b.w': tied, c: one(1) })));
  assert.equal(await read(tree, 'sys/version'), 'mlfs 1.2.3\n');
  const banner = await read(tree, 'sys/banner');
  assert.match(banner, /torch-zip, 2 tensors, read-only\n/);
  assert.match(banner, /^\/export +the whole checkpoint: model\.pt, model\.safetensors$/m);
  assert.doesNotMatch(banner, /written|control|appended/);
  assert.match(await read(tree, 'sys/model_str'), /\(a\): \(\n {4}\(w\): uint8 \[1\]/);
  assert.match(await read(tree, 'sys/metrics'), /^mlfs_up 1\n *\n$/);
  assert.equal(JSON.parse(await read(tree, 'sys/status.json')).state, 'current');
  const tensors = JSON.parse(await read(tree, 'sys/tensors.json'));
  assert.deepEqual(
    tensors.map((row: Record<string, unknown>) => [row.name, row.nbytes, row.aliases, row.file]),
    [
      ['a.w', 1, ['b.w'], '/model/a/w.bin'],
      ['b.w', 1, ['a.w'], '/model/a/w.bin'],
      ['c', 1, [], '/model/c.bin'],
    ],
  );
  assert.equal(JSON.parse(await read(tree, 'sys/checkpoint.json')).c.$tensor, 'c');
});

test('a file without tensors is a tree all the same, and says that there is no model', async (t) => {
  const tree = built(await opened(t, dict({ last_epoch: 4, lrs: dict({ base: 1 }) })));
  assert.match(await read(tree, 'sys/model_str'), /no model/);
  assert.equal(await read(tree, 'checkpoint/last_epoch.json'), '4\n');
});

test('tensors that the object tree does not lead to are in /checkpoint too', async (t) => {
  const checkpoint = await opened(t, dict({ w: one(1), extra: one(2) }));
  const { tensor } = checkpoint.tensors[1] ?? assert.fail();
  const strays = { ...tensor, storage: { ...tensor.storage, key: 'stray' } };
  const tree = built({
    ...checkpoint,
    root: dict({ w: checkpoint.tensors[0]?.tensor }),
    tensors: [
      ...checkpoint.tensors.slice(0, 1),
      { path: ['constants', '0', '<state>', '<pad>'], tensor: strays },
    ],
  });
  const room = at(tree.tree.root, 'checkpoint');
  assert.ok(room.kind === 'directory');
  assert.deepEqual(paths(room), ['w.bin', 'constants/', 'constants/0/', 'constants/0/<pad>.bin']);
});

test('--state-dict chooses among several, also inside another, and names the keys when there is none', async (t) => {
  const checkpoint = await opened(
    t,
    dict({
      state_dict: dict({ w: one(1) }),
      ema: dict({ w: one(2) }),
      'a.b': dict({ c: dict({ w: one(3) }) }),
    }),
  );
  const first = (key?: string) => modelOf(checkpoint, key).path;
  assert.deepEqual(first(), ['state_dict']);
  assert.deepEqual(first('ema'), ['ema']);
  assert.deepEqual(first('a.b.c'), ['a.b', 'c']);
  assert.throws(() => first('nothing'), /no state dict at "nothing"/);
});

test('hostile names stay inside the mount and apart', async (t) => {
  const tree = built(
    await opened(t, dict({ '../../etc/passwd': one(1), 'a..b': one(2), '': one(3), 'n\0ul': one(4) })),
  );
  const model = at(tree.tree.root, 'model');
  assert.ok(model.kind === 'directory');
  assert.deepEqual(
    paths(model)
      .filter((path) => path.endsWith('.bin'))
      .sort(),
    ['%.bin', '%/%/%2F/%/%2Fetc%2Fpasswd.bin', 'a/%/b.bin', 'n%00ul.bin'],
  );
});

test('a tensor of the model has its name in the state dict, another its full path', async (t) => {
  const checkpoint = await opened(t, dict({ model: dict({ 'fc.w': one(1) }), step: one(2) }));
  const names = nameTensors(checkpoint, modelOf(checkpoint)).all.map(({ name }) => name);
  assert.deepEqual(names, ['fc.w', 'step']);
});

test("the tensors' bytes are those of each tensor once, without the code of a script", async (t) => {
  for (const name of ['scripted-net.pt', 'legacy-tied.pt']) {
    const path = fileURLToPath(new URL(`../../fixtures/torch-2.13/${name}`, import.meta.url));
    const checkpoint = await openCheckpoint(path);
    t.after(() => checkpoint.close());
    await using library = await openLibrary(path);
    const bytes = [...library.distinctTensors()].reduce((sum, { nbytes }) => sum + nbytes, 0);
    assert.equal(built(checkpoint).tensorBytes, bytes, name);
  }
});
