/** What the tensors of files are called that torch wrote: of every kind that a model may be made of. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Checkpoint } from '../../../src/checkpoint/checkpoint.ts';
import { modelOf, nameTensors, pathName } from '../../../src/checkpoint/model.ts';
import { listTensors } from '../../../src/checkpoint/object-tree.ts';
import { openCheckpoint } from '../../../src/checkpoint/open.ts';
import {
  PyDict,
  PyGlobal,
  PyList,
  PyObject,
  PyTuple,
  type Value,
} from '../../../src/checkpoint/pickle/values.ts';
import { findStateDict } from '../../../src/checkpoint/state-dict.ts';
import type { Tensor } from '../../../src/checkpoint/tensor.ts';
import { tensorContent } from '../../../src/checkpoint/tensor-content.ts';
import { tensorNames } from '../../../src/checkpoint/tensor-names.ts';
import { viewKey } from '../../../src/checkpoint/tensor-views.ts';
import { TensorObject } from '../../../src/checkpoint/torch/tensor-object.ts';
import { RenderedPages } from '../../../src/storage/rendered-pages.ts';
import { contentSha256 } from '../../support/content-sha256.ts';
import { readModelKinds } from '../../support/model-kinds.ts';
import { storage, tensor } from '../tree/tree-fixtures.ts';

const cache = new RenderedPages(1 << 20);

async function hashes(tensors: readonly { name: string; tensor: Tensor }[]): Promise<Record<string, string>> {
  const pairs = tensors.map(async ({ name, tensor }) => [
    name,
    await contentSha256(tensorContent(tensor, cache)),
  ]);
  return Object.fromEntries(await Promise.all(pairs));
}

describe('files of torch', () => {
  for (const kind of readModelKinds()) {
    test(`${kind.name}: every tensor has the name that it should, and its own bytes`, async (t) => {
      const checkpoint = await openCheckpoint(kind.path);
      t.after(() => checkpoint.close());
      const model = modelOf(checkpoint);
      const { all, tensors, inModel, leftOut } = nameTensors(checkpoint, model);
      assert.deepEqual(await hashes(model.tensors), kind.model);
      if (kind.others !== null) assert.deepEqual(await hashes(all.slice(inModel)), kind.others);
      assert.deepEqual(
        leftOut.map(({ name }) => name),
        kind.leftOut,
      );
      assert.equal(new Set(all.map(({ name }) => name)).size, all.length, 'no name twice');
      const views = new Set(checkpoint.tensors.map(({ tensor }) => viewKey(tensor)));
      assert.deepEqual(new Set(all.map(({ tensor }) => viewKey(tensor))), views, 'no tensor without a name');
      assert.equal(tensors, views.size);
    });
  }

  test('what is one tensor inside says the class of the whole', async (t) => {
    const kinds = new Map(readModelKinds().map(({ name, path }) => [name, path]));
    const notes = async (name: string) => {
      const checkpoint = await openCheckpoint(kinds.get(name) ?? '');
      t.after(() => checkpoint.close());
      return new Map(modelOf(checkpoint).tensors.map((named) => [named.name, named.tensor]));
    };
    const sharded = await notes('dtensor.pt');
    assert.equal(sharded.get('0.weight')?.note, 'torch.distributed.tensor.DTensor');
    assert.equal(sharded.get('1.num_batches_tracked')?.note, undefined);
    const subclasses = await notes('subclasses.pt');
    assert.equal(subclasses.get('one')?.note, '__main__.Wrapper');
  });
});

const one = (key: string): Tensor => tensor(storage(key, 4), [1]);

function dict(entries: readonly (readonly [key: Value, value: Value])[]): PyDict {
  const made = new PyDict();
  for (const [key, value] of entries) made.set(key, value);
  return made;
}

function list(...items: Value[]): PyList {
  const made = new PyList();
  made.items.push(...items);
  return made;
}

function object(name: string, attributes: readonly (readonly [key: Value, value: Value])[]): PyObject {
  const made = new PyObject(new PyGlobal('my', name), new PyTuple([]));
  made.state = dict(attributes);
  return made;
}

const names = (value: Value) => [...tensorNames(value).names.keys()];

test('names that JavaScript objects have, empty and hidden ones are names like any other', () => {
  const keys = ['constructor', '__proto__', '', 'a\u0000b', '\u202e', '.', '..'];
  assert.deepEqual(names(dict(keys.map((key, index) => [key, one(String(index))]))), keys);
});

test('a tensor that would have the name of another is called name~2, whatever else is called so', () => {
  const found = tensorNames(
    dict([
      ['a.b', one('1')],
      ['a.b~2', one('2')],
      ['a', dict([['b', one('3')]])],
    ]),
  );
  assert.deepEqual([...found.names.keys()], ['a.b', 'a.b~2', 'a.b~3']);
  assert.deepEqual(found.separated, ['a.b~3']);
});

test('the same tensor at one name twice has it once', () => {
  const shared = one('1');
  const same = { ...shared };
  assert.deepEqual(
    names(
      dict([
        ['a.b', shared],
        ['a', dict([['b', same]])],
      ]),
    ),
    ['a.b'],
  );
});

test('a list that is an attribute gives names to new tensors only', () => {
  const [weight, other] = [one('1'), one('2')];
  const script = new PyObject(new PyGlobal('__torch__.net', 'Net'), new PyTuple([]));
  script.state = dict([
    ['_flat_weights', list(weight, other)],
    ['weight', weight],
  ]);
  assert.deepEqual(names(script), ['weight', '_flat_weights.1']);
});

test('an object with one tensor has its name, one with several gives them names', () => {
  const root = dict([
    [
      'box',
      object('Box', [
        ['t', one('1')],
        ['n', 3],
      ]),
    ],
    [
      'boxes',
      object('Box', [
        ['s', one('2')],
        ['t', one('3')],
      ]),
    ],
    [
      'slots',
      Object.assign(object('Box', []), {
        state: new PyTuple([
          null,
          dict([
            ['a', one('4')],
            ['b', one('5')],
          ]),
        ]),
      }),
    ],
  ]);
  const found = tensorNames(root).names;
  assert.deepEqual([...found.keys()], ['box', 'boxes.s', 'boxes.t', 'slots.a', 'slots.b']);
  assert.equal(found.get('box')?.note, 'my.Box');
});

/** The names of a checkpoint with this root: the model's, the others', and what the model is called. */
function namesIn(root: Value) {
  const checkpoint = {
    root,
    path: 'x.pt',
    tensors: listTensors(root, 'x.pt').tensors,
  } as unknown as Checkpoint;
  const { all, inModel, modelName } = nameTensors(checkpoint, modelOf(checkpoint));
  const own = all.map(({ name }) => name);
  return { model: own.slice(0, inModel), others: own.slice(inModel), modelName };
}

test('a model that is an argument or an attribute of an object has its names once, and a full name by the rules', () => {
  const sd = dict([
    ['w', one('1')],
    ['b', one('2')],
  ]);
  const optimizer = dict([['exp', one('3')]]);
  const call = (...args: Value[]) => new PyObject(new PyGlobal('my', 'NT'), new PyTuple(args));
  const model = ['w', 'b'];
  assert.deepEqual(namesIn(call(sd, optimizer)), { model, others: ['1.exp'], modelName: '0' });
  assert.deepEqual(namesIn(dict([['x', call(sd, optimizer)]])), {
    model,
    others: ['x.1.exp'],
    modelName: 'x.0',
  });
  // The number is taken out of the names of an only argument.
  assert.deepEqual(namesIn(dict([['x', call(sd)]])), { model, others: [], modelName: 'x' });
  const slots = Object.assign(call(), { state: new PyTuple([null, dict([['net', sd]])]) });
  assert.deepEqual(namesIn(dict([['x', slots]])), { model, others: [], modelName: 'x.net' });
  const twice = dict([
    ['model', sd],
    ['optimizer', dict([['copy', sd]])],
  ]);
  assert.deepEqual(namesIn(twice), {
    model,
    others: ['optimizer.copy.w', 'optimizer.copy.b'],
    modelName: 'model',
  });
});

test('a tensor in a list of an object is another part of it', () => {
  const [own, other] = [one('1'), one('2')];
  const named = (...attributes: [Value, Value][]) => names(dict([['o', object('Box', attributes)]]));
  assert.deepEqual(named(['t', own], ['list', list(other)]), ['o.t', 'o.list.0']);
  assert.deepEqual(named(['t', own], ['list', list(dict([['deep', list(other)]]))]), [
    'o.t',
    'o.list.0.deep.0',
  ]);
  assert.deepEqual(named(['t', own], ['list', list({ ...own })]), ['o'], 'the same tensor again');
  assert.deepEqual(named(['t', own], ['list', list(1, dict([['n', 2]]))]), ['o']);
  assert.deepEqual(named(['list', list(other)]), ['o.list.0']);
});

test('what contains itself is named once', () => {
  const root = dict([['w', one('1')]]);
  root.set('self', root);
  root.set('list', list(root));
  assert.deepEqual(names(root), ['w']);
});

test('a hundred thousand tensors that want one name have as many names', () => {
  const root = dict([]);
  const count = 100_000;
  // An int and a string print alike, and so do dicts by their keys.
  const inner = Array.from({ length: count }, (_, index) => dict([['w', one(String(index))]]));
  for (const [index, value] of inner.entries()) root.entries.push([index % 2 === 0 ? 'k' : 'k', value]);
  const found = tensorNames(root).names;
  assert.equal(found.size, count);
  assert.ok(found.has(`k.w~${count}`));
});

test('a state dict of 200,000 tensors with long names has them all', () => {
  const root = dict([]);
  const prefix = 'block.'.repeat(20);
  for (let index = 0; index < 200_000; index++) root.entries.push([prefix + index, one(String(index))]);
  assert.equal(tensorNames(root).names.size, 200_000);
});

test('one tensor at two million places has a bounded number of names', () => {
  const shared = one('1');
  const items = list(...Array.from({ length: 2000 }, () => shared));
  const { names: found } = tensorNames(list(...Array.from({ length: 1000 }, () => items)));
  assert.ok(found.size > 30_000 && found.size < 40_000, String(found.size));
});

const found = (value: Value) => findStateDict(value)?.path;

const models: readonly [what: string, root: Value, path: readonly string[] | undefined][] = [
  [
    'a wrapper beside a tensor',
    dict([
      ['model', dict([['w', one('1')]])],
      ['step', one('2')],
    ]),
    ['model'],
  ],
  [
    'a state dict with a child called model',
    dict([
      ['w', one('1')],
      ['b', one('3')],
      ['model', dict([['w', one('2')]])],
    ]),
    [],
  ],
  [
    'a tree of tensors',
    dict([
      ['a', dict([['w', one('1')]])],
      ['b', dict([['w', one('2')]])],
    ]),
    [],
  ],
  [
    'two models and a number',
    dict([
      [
        'G',
        dict([
          ['w', one('1')],
          ['b', one('3')],
        ]),
      ],
      ['D', dict([['w', one('2')]])],
      ['epoch', 1],
    ]),
    [],
  ],
  [
    'a wrapper with a tree and a number',
    dict([
      [
        'model',
        dict([
          ['encoder', dict([['w', one('1')]])],
          ['decoder', dict([['w', one('2')]])],
          ['version', 3],
        ]),
      ],
      ['optimizer', dict([['state', dict([[0, dict([['m', one('3')]])]])]])],
    ]),
    ['model'],
  ],
  [
    'two models and what an optimizer keeps under another name',
    dict([
      [
        'G',
        dict([
          ['w', one('1')],
          ['b', one('3')],
        ]),
      ],
      ['D', dict([['w', one('2')]])],
      [
        'opt',
        dict([
          ['state', dict([[0, dict([['m', one('4')]])]])],
          ['param_groups', list(3)],
        ]),
      ],
      ['epoch', 1],
    ]),
    ['G'],
  ],
  [
    'one state dict and a number',
    dict([
      ['mine', dict([['w', one('1')]])],
      ['epoch', 1],
    ]),
    ['mine'],
  ],
  ['a list of tensors', list(one('1'), one('2')), []],
  [
    'packed weights in tuples',
    dict([
      ['a', new PyTuple([one('1'), null])],
      ['b', new PyTuple([one('2'), null])],
    ]),
    [],
  ],
  [
    'an optimizer alone',
    dict([
      [
        'state',
        dict([
          [0, dict([['m', one('1')]])],
          [1, dict([['m', one('2')]])],
        ]),
      ],
      ['param_groups', list(3)],
    ]),
    ['state'],
  ],
  [
    'a tensor deep in other things',
    dict([
      ['optimizer', object('Thing', [['t', one('1')]])],
      ['lr', 1],
    ]),
    [],
  ],
  [
    'a tensor that is made of others',
    Object.assign(new TensorObject(new PyGlobal('my', 'Sharded'), new PyTuple([])), {
      state: dict([
        ['local', one('1')],
        ['spec', dict([['mesh', one('2')]])],
      ]),
    }),
    [],
  ],
  ['no tensor', dict([['lr', 1]]), undefined],
];

for (const [what, root, path] of models) {
  test(`the model is found: ${what}`, () => {
    assert.deepEqual(found(root), path);
  });
}

test('a full name has no steps that only the pickle needs', () => {
  assert.equal(
    pathName(['ema', '<state>', '_modules', 'fc', '<state>', '_parameters', 'weight']),
    'ema.fc.weight',
  );
  assert.equal(pathName(['w', '<state>', '1', '_spec', '<state>', 'mesh']), 'w._spec.mesh');
  assert.equal(pathName(['vocabulary', '<pad>', '_modules']), 'vocabulary.<pad>._modules');
});
