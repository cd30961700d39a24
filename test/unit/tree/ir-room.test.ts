import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Checkpoint } from '../../../src/checkpoint/checkpoint.ts';
import { modelOf } from '../../../src/checkpoint/model.ts';
import { openCheckpoint } from '../../../src/checkpoint/open.ts';
import { PyDict } from '../../../src/checkpoint/pickle/values.ts';
import { ArchiveRecords } from '../../../src/checkpoint/torch/archive-layout.ts';
import type { ZipEntry } from '../../../src/checkpoint/zip/entry.ts';
import { EntryNames } from '../../../src/checkpoint/zip/entry-names.ts';
import { readContent } from '../../../src/storage/read-extents.ts';
import { RenderedPages } from '../../../src/storage/rendered-pages.ts';
import { InodeTable } from '../../../src/tree/inode-table.ts';
import { makeGraph } from '../../../src/tree/ir/graph-process.ts';
import { addIrRoom } from '../../../src/tree/ir-room.ts';
import { buildZip, DEFLATED, STORED } from '../../hostile/zip-builder.ts';
import { readFixtures } from '../../support/fixtures.ts';
import { temporaryDirectory } from '../../support/tmp.ts';
import { parseDot } from './ir/plain-dot.ts';
import { at, paths, storage, tensor } from './tree-fixtures.ts';

function roomOf(checkpoint: Checkpoint) {
  const table = new InodeTable(0);
  addIrRoom(table, { checkpoint, model: modelOf(checkpoint), cache: new RenderedPages(1 << 20) });
  return {
    paths: paths(table.root),
    read: async (path: string) => {
      const inode = at(table.root, path);
      assert.ok(inode.kind === 'file');
      const { content } = inode;
      if (content.kind === 'snapshot') return Buffer.from(await content.make()).toString();
      assert.ok(content.kind === 'extents' || content.kind === 'rendered');
      return Buffer.from(await readContent(content, 0, content.size)).toString();
    },
  };
}

async function opened(t: TestContext, name: string) {
  const fixture = readFixtures().find((one) => one.name === name);
  assert.ok(fixture, name);
  const checkpoint = await openCheckpoint(fixture.path);
  t.after(() => checkpoint.close());
  return roomOf(checkpoint);
}

const TREE = ['ir/module_tree.txt', 'ir/module_tree.json', 'ir/module_tree.dot'];

test('a TorchScript archive has its code and its graph', async (t) => {
  const room = await opened(t, 'torch-2.13/scripted-net.pt');
  const code = room.paths.filter((path) => path.startsWith('ir/code/') && !path.endsWith('/'));
  assert.equal(code.length, 8);
  assert.ok(code.includes('ir/code/__torch__/torch/nn/modules/conv/___torch_mangle_1.py'));
  assert.ok(code.every((path) => path.endsWith('.py')));
  for (const name of ['ir/graph.txt', 'ir/graph.json', 'ir/graph.dot', ...TREE]) {
    assert.ok(room.paths.includes(name), name);
  }
  assert.match(await room.read('ir/code/__torch__.py'), /^class Net\(Module\):\n/);

  const text = await room.read('ir/graph.txt');
  assert.match(text, /^# scripted-net\.pt: TorchScript, 12 modules, 8 classes, 3 functions\n\nmodules\n/);
  assert.match(text, /\n {2}blocks\.1\.bn +__torch__\.torch\.nn\.modules\.batchnorm\.BatchNorm2d\n/);
  assert.match(
    text,
    /\n {2}%0 = self\.stem\.forward\(x\) : Tensor {4}-> __torch__\.torch\.nn\.modules\.conv\.Conv2d\.forward\n/,
  );
  assert.doesNotMatch(text, /could not be taken apart/);

  const json = JSON.parse(await room.read('ir/graph.json'));
  assert.equal(json.lines_kept_as_text, 0);
  assert.equal(json.graphs[0].name, '__torch__.Net.forward');
  assert.deepEqual(
    json.modules.find(({ path }: { path: string }) => path === 'blocks.0'),
    { path: 'blocks.0', class: '__torch__.Block' },
  );
  const dot = parseDot(await room.read('ir/graph.dot'));
  assert.ok(dot.clusters.includes('cluster_m0'));
  const labels = [...dot.nodes.values()];
  assert.ok(labels.some((label) => label.startsWith('stem.forward')));
  for (const edge of dot.edges.flat()) assert.ok(dot.nodes.has(edge), edge);
});

test("an exported program has torch's own JSON, and its graph as text", async (t) => {
  const room = await opened(t, 'torch-2.13/exported.pt2');
  assert.deepEqual(room.paths, ['ir/', 'ir/graph.txt', 'ir/graph.dot', 'ir/graph.json', ...TREE]);
  const text = await room.read('ir/graph.txt');
  assert.match(text, /\n {2}p_fc_weight : float32\[2, 3\] {2}parameter fc\.weight\n/);
  assert.match(
    text,
    /\n {2}# tail\.0\n {2}linear_1 = torch\.ops\.aten\.linear\.default\(linear, p_tail_0_weight, p_tail_0_bias\) : float32\[5, 2\]\n/,
  );
  assert.match(text, /\n {2}cat = torch\.ops\.aten\.cat\.default\(\[tanh, x\], 1\) : float32\[5, 5\]\n/);
  assert.match(text, /\noutputs\n {2}mul {2}output\n$/);
  const json = JSON.parse(await room.read('ir/graph.json'));
  assert.equal(json.graph_module.graph.nodes.length, 5);
  const dot = parseDot(await room.read('ir/graph.dot'));
  const linear = [...dot.nodes].find(([, label]) => label.startsWith('aten.linear'))?.[0] ?? '';
  const inputs = dot.edges.filter(([, to]) => to === linear).map(([from]) => dot.nodes.get(from));
  assert.deepEqual(inputs, ['x\\nfloat32[5, 3]', 'fc.weight\\nfloat32[2, 3]', 'fc.bias\\nfloat32[2]']);
});

test('a pickled module has the tree of its modules, with what torch prints of each', async (t) => {
  const room = await opened(t, 'torch-2.13/module.pt');
  assert.deepEqual(room.paths, ['ir/', ...TREE]);
  const text = await room.read('ir/module_tree.txt');
  assert.match(text, /^# module\.pt: 80 parameters in 9 tensors of 6 modules\n\(root\) {2}Sequential\(\)\n/);
  assert.match(
    text,
    /\n├─ fc1 {2}Linear\(in_features=5, out_features=7, bias=True\)\n│ {2}├─ weight {2}float32 \[7, 5\] {2}parameter\n/,
  );
  assert.match(text, /\n│ {2}└─ num_batches_tracked {2}int64 \[\] {2}buffer\n/);
  const { modules } = JSON.parse(await room.read('ir/module_tree.json'));
  assert.deepEqual(modules[0].modules, ['fc1', 'bn', 'act', 'drop', 'fc2']);
  assert.deepEqual(modules[1].tensors[0], {
    name: 'weight',
    dtype: 'float32',
    shape: [7, 5],
    parameter: true,
  });
  const dot = parseDot(await room.read('ir/module_tree.dot'));
  assert.equal(dot.nodes.size, 6);
  assert.equal(dot.edges.length, 5);
});

test('the tree of a state dict is what the dots of its names say', async (t) => {
  const room = await opened(t, 'torch-2.13/checkpoint.pt');
  const { modules } = JSON.parse(await room.read('ir/module_tree.json'));
  assert.ok(modules.length > 1);
  for (const module of modules) assert.equal(module.class, null);
});

test('every fixture with a model has documents that parse', async (t) => {
  let documents = 0;
  for (const { name, path } of readFixtures()) {
    const checkpoint = await openCheckpoint(path);
    t.after(() => checkpoint.close());
    const room = roomOf(checkpoint);
    for (const file of room.paths.filter((one) => !one.endsWith('/'))) {
      const text = await room.read(file);
      if (file.endsWith('.json')) JSON.parse(text);
      if (file.endsWith('.dot')) parseDot(text);
      assert.ok(text.length > 0, `${name} ${file}`);
      documents++;
    }
  }
  assert.ok(documents > 100, `${documents}`);
});

test('names of any kind are labels, and deep ones do not nest without end', async () => {
  const root = new PyDict();
  const names = [
    'a"b\\c.w',
    '<b>&amp;.w',
    'x\ny.\0.w',
    '\ud800.w',
    `${'d.'.repeat(5000)}w`,
    '..',
    'größe.😀',
  ];
  for (const [index, name] of names.entries()) root.set(name, tensor(storage(String(index), 16), [4]));
  const checkpoint = { format: 'torch-zip', path: 'odd".pt', root, entries: [] } as unknown as Checkpoint;
  const room = roomOf(checkpoint);
  const dot = parseDot(await room.read('ir/module_tree.dot'));
  assert.ok([...dot.nodes.values()].some((label) => label.startsWith('a"b\\\\c')));
  assert.ok([...dot.nodes.values()].some((label) => label.startsWith('<b>&amp;amp;')));
  assert.ok(dot.nodes.size < 130);
  const { modules } = JSON.parse(await room.read('ir/module_tree.json'));
  const found = modules.flatMap((module: { path: string; tensors: { name: string }[] }) =>
    module.tensors.map(({ name }) => (module.path === '' ? name : `${module.path}.${name}`)),
  );
  assert.deepEqual(new Set(found.map((name: string) => name.length)).size > 0, true);
  assert.ok(found.includes(`${'d.'.repeat(5000)}w`), 'no part of a name is lost');
  assert.doesNotMatch(await room.read('ir/module_tree.txt'), /\0/);
});

test('a checkpoint without a model and without a program has no room', async (t) => {
  const room = await opened(t, 'torch-2.13/scheduler.pt');
  assert.deepEqual(room.paths, []);
});

test('several models of one package have a folder each', () => {
  const names = ['data/weights/a_weights_config.json', 'models/a.json', 'models/b.json', 'models/sub/c.json'];
  const entries = names.map((name) => ({ name: `package/${name}`, method: 'stored', offset: 0, size: 2 }));
  const listed = new EntryNames(entries.length, 64);
  for (const { name } of entries) listed.add(Buffer.from(name), 0, name.length);
  const records = new ArchiveRecords(
    { entries: entries as unknown as ZipEntry[], names: listed },
    'package/',
  );
  const checkpoint = { format: 'torch-export', path: 'p.pt2', root: new PyDict(), entries, records };
  const room = roomOf(checkpoint as unknown as Checkpoint);
  assert.deepEqual(
    room.paths.filter((path) => !path.endsWith('/')),
    ['a', 'b'].flatMap((model) => ['txt', 'dot', 'json'].map((form) => `ir/${model}/graph.${form}`)),
  );
});

/** A program of torch.export before 2.8: a plain zip with its JSON and torch files beside it. */
test('exported programs as torch 2.0 to 2.7 wrote them have their graph, too', async (t) => {
  const fixture = readFixtures().find(({ name }) => name === 'torch-2.13/state-dict.pt');
  assert.ok(fixture);
  const path = join(await temporaryDirectory(t), 'old.pt2');
  const state = await readFile(fixture.path);
  const program = {
    graph_module: {
      graph: {
        inputs: [],
        outputs: [],
        nodes: [
          { target: 'torch.ops.aten.relu.default', inputs: [], outputs: [{ as_tensor: { name: 'relu' } }] },
        ],
      },
    },
    schema_version: { major: 5 },
  };
  const zip = buildZip([
    { name: 'serialized_state_dict.pt', content: state, method: STORED },
    {
      name: 'serialized_exported_program.json',
      content: Buffer.from(JSON.stringify(program)),
      method: DEFLATED,
    },
  ]);
  await writeFile(path, zip);
  const checkpoint = await openCheckpoint(path);
  t.after(() => checkpoint.close());
  const room = roomOf(checkpoint);
  assert.match(
    await room.read('ir/graph.txt'),
    /schema 5\.0, 1 nodes[\s\S]*\n {2}relu = torch\.ops\.aten\.relu\.default\(\)\n/,
  );
  assert.deepEqual(JSON.parse(await room.read('ir/graph.json')), program);
});

test('sizes that may change, numbers beyond 2^53 and the branches of a cond are readable', async () => {
  const size = (text: string) => ({ as_expr: { expr_str: text } });
  const branch = {
    name: 'true_graph_0',
    graph: {
      inputs: [{ as_tensor: { name: 'arg0' } }],
      nodes: [
        {
          target: 'torch.ops.aten.sin.default',
          inputs: [{ arg: { as_tensor: { name: 'arg0' } } }],
          outputs: [{ as_tensor: { name: 'sin' } }],
        },
      ],
      outputs: [{ as_tensor: { name: 'sin' } }],
    },
  };
  const program = JSON.stringify({
    graph_module: {
      graph: {
        inputs: [],
        outputs: [],
        nodes: [
          {
            target: 'torch.ops.aten.slice.Tensor',
            inputs: [{ name: 'end', kind: 2, arg: { as_int: 'LAST' } }],
            outputs: [{ as_tensor: { name: 'slice_1' } }],
          },
          { target: 'torch.ops.higher_order.cond', inputs: [{ arg: { as_graph: branch } }], outputs: [] },
        ],
        tensor_values: {
          slice_1: {
            dtype: 7,
            sizes: [
              size("Mul(Integer(2), Add(Symbol('s0', positive=True), Integer(1)))"),
              size("Pow(Symbol('s1'), Integer(2))"),
              size('FloorDiv(a, b)'),
              size('$$'),
            ],
          },
        },
      },
    },
  }).replace('"LAST"', '9223372036854775807');
  const text = await makeGraph('txt', async () => ({
    kind: 'exported',
    name: 'x',
    json: Buffer.from(program),
  }));
  assert.match(
    text.toString(),
    /\n {2}slice_1 = torch\.ops\.aten\.slice\.Tensor\(end=9223372036854775807\) : float32\[2\*\(s0 \+ 1\), s1\*\*2, FloorDiv\(a, b\), \$\$\]\n/,
  );
  assert.match(
    text.toString(),
    /cond\(graph true_graph_0\)\n {4}true_graph_0\(arg0\):\n {6}# \(root\)\n {6}sin = torch\.ops\.aten\.sin\.default\(arg0\)\n {6}return sin\n/,
  );
});

test('a large program is taken apart in a process of its own, and says the same', async () => {
  const body = Array.from(
    { length: 5000 },
    (_, index) => `  x${index + 1} = torch.add(x${index}, ${index})\n`,
  ).join('');
  const text = `def f(x0: Tensor) -> Tensor:\n${body}  return x5000\n`;
  const files = [{ name: 'big.py', text }];
  const made = await makeGraph('txt', async () => ({
    kind: 'torchscript',
    name: 'big',
    files,
    modules: [],
  }));
  const lines = made.toString().trimEnd().split('\n');
  assert.equal(lines.at(-1), '  return x5000');
  assert.equal(lines.at(-2), '  x5000 = torch.add(x4999, 4999)');
});

test('a program that cannot be read gives documents that say why', async () => {
  const broken = async () => ({
    kind: 'exported' as const,
    name: 'x',
    json: Buffer.from('{"graph_module": ['),
  });
  assert.match((await makeGraph('txt', broken)).toString(), /^# the graph could not be made: /);
  parseDot((await makeGraph('dot', broken)).toString());
  const gone = () => Promise.reject(new Error('entry "code/a.py" has 99 bytes\nthe limit is 3'));
  const { error } = JSON.parse((await makeGraph('json', gone)).toString());
  assert.match(error, /has 99 bytes the limit is 3/);
  const large = async () => ({ kind: 'exported' as const, name: 'x', json: Buffer.alloc(100_000, '[') });
  assert.match((await makeGraph('txt', large)).toString(), /^# the graph could not be made: /);
});
