import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  PyDict,
  PyGlobal,
  PyList,
  PyObject,
  PyTuple,
  type Value,
} from '../../../../src/checkpoint/pickle/values.ts';
import type { Tensor } from '../../../../src/checkpoint/tensor.ts';
import { inSlices } from '../../../../src/storage/in-slices.ts';
import { treeDot, treeText } from '../../../../src/tree/ir/module-documents.ts';
import { moduleTree } from '../../../../src/tree/ir/module-tree.ts';
import { storage, tensor } from '../tree-fixtures.ts';
import { parseDot } from './plain-dot.ts';

function dict(entries: Record<string, Value>): PyDict {
  const made = new PyDict();
  for (const [key, value] of Object.entries(entries)) made.set(key, value);
  return made;
}

function object(module: string, name: string, state: PyDict): PyObject {
  const made = new PyObject(new PyGlobal(module, name), new PyTuple([]));
  made.state = state;
  return made;
}

function pickled(
  name: string,
  parts: { parameters?: Record<string, Value>; modules?: Record<string, Value> },
) {
  const state = dict({
    _parameters: dict(parts.parameters ?? {}),
    _buffers: dict({}),
    _modules: dict(parts.modules ?? {}),
  });
  return object('my.models', name, state);
}

const weight = (key: string): Tensor => tensor(storage(key, 16), [4], { isParameter: true });

const text = async (module: PyObject, names: Record<string, Tensor> = {}) => {
  const tensors = Object.entries(names).map(([name, value]) => ({ name, tensor: value, parameter: true }));
  const root = await inSlices(
    moduleTree({ path: [], value: module, tensors, names: new Map(), module, separated: [] }),
  );
  const written = async (document: Generator<void, Uint8Array>) =>
    Buffer.from(await inSlices(document)).toString();
  parseDot(await written(treeDot('x', root)));
  return (await written(treeText('x', root))).split('\n');
};

test('a module at two places is described at the first', async () => {
  const shared = pickled('Encoder', { parameters: { w: weight('0') } });
  const lines = await text(pickled('Net', { modules: { encoder: shared, decoder: shared } }));
  assert.deepEqual(lines, [
    '# x: 4 parameters in 1 tensor of 3 modules',
    '(root)  Net()',
    '├─ encoder  Encoder()',
    '│  └─ w  float32 [4]  parameter',
    '└─ decoder  Encoder()  the same as encoder',
    '',
  ]);
});

test('a module inside itself ends there, and tied parameters count once', async () => {
  const tied = weight('0');
  const net = pickled('Net', { parameters: { a: tied, b: tied } });
  (net.state as PyDict).set('_modules', dict({ me: net }));
  assert.deepEqual(await text(net), [
    '# x: 4 parameters in 2 tensors of 2 modules',
    '(root)  Net()',
    '├─ a  float32 [4]  parameter',
    '├─ b  float32 [4]  parameter',
    '└─ me  Net()  the same as (root)',
    '',
  ]);
});

test('tensors in lists of a script module stand in the module whose name theirs begins with', async () => {
  const packed = weight('0');
  const own = weight('1');
  const held = new PyList();
  held.items.push(packed);
  const inner = object('__torch__.my', 'Inner', dict({ packed_params: held }));
  const root = object('__torch__.my', 'Net', dict({ inner, w: own }));
  const lines = await text(root, { 'inner.packed_params.0': packed, w: own });
  assert.deepEqual(lines, [
    '# x: 8 parameters in 2 tensors of 2 modules',
    '(root)  Net()',
    '├─ w  float32 [4]  parameter',
    '└─ inner  Inner()',
    '   └─ packed_params.0  float32 [4]  parameter',
    '',
  ]);
});
