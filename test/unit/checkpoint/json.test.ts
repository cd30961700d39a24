import assert from 'node:assert/strict';
import { test } from 'node:test';
import { valueToJson } from '../../../src/checkpoint/json.ts';
import {
  PyBytes,
  PyDict,
  PyFloat,
  PyGlobal,
  PyList,
  PyObject,
  PySet,
  PyTuple,
  type Value,
} from '../../../src/checkpoint/pickle/values.ts';
import type { Tensor } from '../../../src/checkpoint/tensor.ts';

function list(...items: readonly Value[]): PyList {
  const made = new PyList();
  for (const item of items) made.items.push(item);
  return made;
}

function dict(...entries: readonly [Value, Value][]): PyDict {
  const made = new PyDict();
  for (const [key, value] of entries) made.set(key, value);
  return made;
}

const parsed = (value: Value) => JSON.parse(valueToJson(value));

const tensor: Tensor = {
  type: 'tensor',
  dtype: 'float32',
  shape: [2, 3],
  stride: [3, 1],
  storageOffset: 0,
  storage: {
    type: 'storage',
    key: '0',
    dtype: 'float32',
    nbytes: 24,
    location: 'cpu',
    bytes: { kind: 'absent', reason: 'a test' },
    byteorder: 'little',
  },
  requiresGrad: false,
  isParameter: true,
};

test('plain values are plain JSON', () => {
  const value = dict(['a', list(1, 'x', null, true)], ['b', new PyTuple([new PyFloat(0.5)])], ['c', dict()]);
  assert.deepEqual(parsed(value), { a: [1, 'x', null, true], b: [0.5], c: {} });
});

test('floats are printed as Python prints them, and stay JSON', () => {
  const text = valueToJson(list(new PyFloat(1), new PyFloat(1e-5), new PyFloat(1e22), new PyFloat(-0)));
  assert.equal(text.replace(/\s/g, ''), '[1.0,1e-05,1e+22,-0.0]');
  assert.deepEqual(JSON.parse(text), [1, 1e-5, 1e22, -0]);
});

test('what is no JSON number is a string', () => {
  const value = list(new PyFloat(Number.NaN), new PyFloat(Number.NEGATIVE_INFINITY), 2n ** 80n);
  assert.deepEqual(parsed(value), ['NaN', '-Infinity', String(2n ** 80n)]);
});

test('keys that are no strings are printed, and keys that print alike stay apart', () => {
  assert.deepEqual(parsed(dict([0, 1], [new PyTuple(['a', 1]), 2])), { '0': 1, "('a', 1)": 2 });
  assert.deepEqual(parsed(dict([0, 1], ['0', 2])), {
    $items: [
      [0, 1],
      ['0', 2],
    ],
  });
  assert.deepEqual(parsed(dict(['$ref', 1])), { $$ref: 1 });
});

test('tensors are references by the names they are listed under', () => {
  const object = new PyObject(new PyGlobal('m', 'C'), new PyTuple([tensor]));
  object.state = dict(['w', tensor]);
  assert.deepEqual(parsed(dict(['a', object])), {
    a: {
      $object: 'm.C',
      args: [{ $tensor: 'a.<arg0>', dtype: 'float32', shape: [2, 3], parameter: true }],
      state: { w: { $tensor: 'a.<state>.w', dtype: 'float32', shape: [2, 3], parameter: true } },
    },
  });
  assert.match(valueToJson(tensor, { nameOf: () => 'mine' }), /"\$tensor": "mine"/);
});

test('bytes, sets, globals and storages are told apart', () => {
  assert.deepEqual(
    parsed(list(new PyBytes(Buffer.from('ab')), new PySet([1]), new PyGlobal('m', 'C'), tensor.storage)),
    [
      { $bytes: 2, hex: '6162' },
      { $set: [1] },
      { $global: 'm.C' },
      { $storage: '0', dtype: 'float32', nbytes: 24, location: 'cpu' },
    ],
  );
});

test('a value inside itself is a reference to where it is', () => {
  const outer = dict();
  const inner = list(outer);
  outer.set('a/b', inner);
  inner.items.push(inner);
  assert.deepEqual(parsed(outer), { 'a/b': [{ $ref: '#/' }, { $ref: '#/a~1b' }] });
});

test('a small value that is shared is written twice, a large one once', () => {
  const small = new PyTuple([new PyFloat(0.9), new PyFloat(0.999)]);
  assert.deepEqual(parsed(list(small, small)), [
    [0.9, 0.999],
    [0.9, 0.999],
  ]);
  const large = list(...Array.from({ length: 200 }, (_unused, index) => index));
  assert.deepEqual(parsed(list(large, large))[1], { $ref: '#/0' });
});

test('NumPy arrays and scalars are shown by their values', () => {
  const dtype = new PyObject(new PyGlobal('numpy', 'dtype'), new PyTuple(['f8', false, true]));
  dtype.state = new PyTuple([3, '<', null, null, null, -1, -1, 0]);
  const bytes = Buffer.alloc(16);
  bytes.writeDoubleLE(1.5, 0);
  bytes.writeDoubleLE(-2, 8);
  const array = new PyObject(new PyGlobal('numpy.core.multiarray', '_reconstruct'), new PyTuple([]));
  array.state = new PyTuple([1, new PyTuple([2]), dtype, false, new PyBytes(bytes)]);
  const scalar = new PyObject(
    new PyGlobal('numpy._core.multiarray', 'scalar'),
    new PyTuple([dtype, new PyBytes(bytes.subarray(0, 8))]),
  );
  assert.deepEqual(parsed(list(array, scalar)), [
    { $numpy: 'float64', shape: [2], values: [1.5, -2] },
    { $numpy: 'float64', value: 1.5 },
  ]);
});

test('the text has a bound, and says what it leaves out', () => {
  const many = new PyList();
  for (let index = 0; index < 100_000; index++) many.items.push(dict(['index', index]));
  const text = valueToJson(many, { maxBytes: 10_000 });
  assert.ok(text.length < 20_000);
  const shown = JSON.parse(text);
  assert.match(shown[shown.length - 1].$omitted, /^\d+ more$/);
});

test('what is nested too deep is left out', () => {
  let value: Value = new PyTuple([]);
  for (let depth = 0; depth < 5000; depth++) value = list(value);
  assert.match(valueToJson(value), /"\$omitted": "nested deeper than 400"/);
});
