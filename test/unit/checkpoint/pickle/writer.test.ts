import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import fc from 'fast-check';
import { BUILTIN_RECONSTRUCTORS } from '../../../../src/checkpoint/pickle/builtin-reconstructors.ts';
import { readPickle } from '../../../../src/checkpoint/pickle/unpickle.ts';
import {
  type PersistentValue,
  PyBytes,
  PyDict,
  PyFloat,
  PyGlobal,
  PyList,
  PyObject,
  PySet,
  PyTuple,
  type Value,
} from '../../../../src/checkpoint/pickle/values.ts';
import { writePickle } from '../../../../src/checkpoint/pickle/writer.ts';
import { requires } from '../../../support/requires.ts';

const noTensors = (value: PersistentValue) => assert.fail(`a ${value.type} in a plain pickle`);
const pickled = (value: Value) => writePickle(value, noTensors);
const roundTrip = (value: Value) =>
  readPickle(pickled(value), { path: 'test', reconstructors: BUILTIN_RECONSTRUCTORS }).value;

function list(items: readonly Value[]): PyList {
  const result = new PyList();
  result.items.push(...items);
  return result;
}

function dict(entries: readonly (readonly [Value, Value])[], className?: string): PyDict {
  const result = new PyDict();
  result.className = className;
  for (const [key, value] of entries) result.set(key, value);
  return result;
}

const scalar: fc.Arbitrary<Value> = fc.oneof(
  fc.constantFrom(null, true, false, 0, 255, 256, 65535, 65536, 2 ** 31 - 1, -(2 ** 31), 2 ** 31),
  fc.maxSafeInteger(),
  fc.bigInt({ min: -(2n ** 2100n), max: -(2n ** 53n) }),
  fc.bigInt({ min: 2n ** 53n, max: 2n ** 2100n }),
  fc.double({ noNaN: true }).map((value) => new PyFloat(value)),
  fc.string({ unit: 'grapheme', maxLength: 20 }),
  fc.uint8Array({ maxLength: 20 }).map((bytes) => new PyBytes(Buffer.from(bytes))),
);
const { value: anyValue } = fc.letrec<{ value: Value }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    scalar,
    fc.array(tie('value'), { maxLength: 5 }).map(list),
    fc.array(tie('value'), { maxLength: 5 }).map((items) => new PyTuple(items)),
    fc
      .uniqueArray(fc.tuple(fc.string({ maxLength: 5 }), tie('value')), {
        maxLength: 5,
        selector: ([key]) => key,
      })
      .chain((entries) =>
        fc.constantFrom(undefined, 'collections.OrderedDict').map((className) => dict(entries, className)),
      ),
  ),
}));

test('what is written reads back the same', () => {
  fc.assert(
    fc.property(anyValue, (value) => {
      assert.deepEqual(roundTrip(value), value);
    }),
    { numRuns: 500 },
  );
});

test('containers of more than one batch and memos of more than 256 entries read back', () => {
  const many = Array.from({ length: 2500 }, (_, index) => `item ${index}`);
  const value = list([list(many), dict(many.map((key, index) => [key, index])), list(many.slice(0, 1001))]);
  assert.deepEqual(roundTrip(value), value);
});

test('an object that occurs twice is one object again, and a list may contain itself', () => {
  const shared = dict([['a', 1]]);
  const value = list([shared, shared]);
  value.items.push(value);
  const read = roundTrip(value);
  assert.ok(read instanceof PyList);
  assert.equal(read.items[0], read.items[1]);
  assert.equal(read.items[2], read);
});

test('an object is pickled with its class and its state, and not called', () => {
  const module = new PyObject(new PyGlobal('torch.nn.modules.linear', 'Linear'), new PyTuple([]));
  module.state = dict([['training', true]]);
  const read = roundTrip(module);
  assert.ok(read instanceof PyObject);
  assert.equal(read.className, 'torch.nn.modules.linear.Linear');
  assert.ok(pickled(module).includes(0x81), 'NEWOBJ makes it without its __init__');
});

test('what protocol 2 cannot say is refused', () => {
  assert.throws(() => pickled(1.5), /1.5 is not an integer/);
  assert.throws(() => pickled(2 ** 53), /is not an integer/);
  assert.throws(() => pickled(dict([], 'collections.Counter')), /a collections.Counter cannot be pickled/);
  let deep: Value = list([]);
  for (let depth = 0; depth < 2000; depth++) deep = list([deep]);
  assert.throws(() => pickled(deep), { code: 'ERR_MLFS_USAGE' });
});

test('Python reads it with every value as it was', requires('python3'), () => {
  const value = dict([
    ['ints', list([0, 255, 256, 65536, -1, 2 ** 31, 2n ** 70n, -(2n ** 2100n)])],
    ['floats', new PyTuple([new PyFloat(-0.5), new PyFloat(Number.POSITIVE_INFINITY)])],
    ['text', 'h\u00e9\u{1f600}'],
    ['bytes', new PyBytes(Buffer.from([0, 255]))],
    ['set', new PySet([1, 'a'])],
    ['frozen', new PySet([2], true)],
    [7, dict([[new PyTuple([1, 2]), null]], 'collections.OrderedDict')],
    ['many', list(Array.from({ length: 3000 }, (_, index) => `k${index}`))],
  ]);
  const script = `
import pickle, sys, collections
v = pickle.loads(sys.stdin.buffer.read())
assert v['ints'] == [0, 255, 256, 65536, -1, 2 ** 31, 2 ** 70, -2 ** 2100], v['ints']
assert v['floats'] == (-0.5, float('inf'))
assert v['text'] == 'h\\u00e9\\U0001f600' and v['bytes'] == b'\\x00\\xff'
assert v['set'] == {1, 'a'} and v['frozen'] == frozenset([2])
assert v[7] == collections.OrderedDict([((1, 2), None)]) and type(v[7]) is collections.OrderedDict
assert v['many'] == ['k%d' % i for i in range(3000)]
`;
  const { status, stderr } = spawnSync('python3', ['-c', script], {
    input: pickled(value),
    encoding: 'utf8',
  });
  assert.equal(status, 0, stderr);
});
