import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { valueToJson } from '../../src/checkpoint/json.ts';
import { listTensors } from '../../src/checkpoint/object-tree.ts';
import { BUILTIN_RECONSTRUCTORS } from '../../src/checkpoint/pickle/builtin-reconstructors.ts';
import type { PickleLimits } from '../../src/checkpoint/pickle/limits.ts';
import { valueRepr } from '../../src/checkpoint/pickle/python-repr.ts';
import { readPickle } from '../../src/checkpoint/pickle/unpickle.ts';
import { PyGlobal, PyObject } from '../../src/checkpoint/pickle/values.ts';
import { findStateDict } from '../../src/checkpoint/state-dict.ts';
import { modelStr } from '../../src/checkpoint/torch/module-str.ts';
import { TorchReconstructors } from '../../src/checkpoint/torch/reconstructors.ts';
import { StorageTable } from '../../src/checkpoint/torch/storage-table.ts';
import { MlfsError } from '../../src/errors.ts';
import { assertExplained } from '../support/clean-text.ts';
import {
  assemble,
  global,
  int,
  type Part,
  storage,
  tensor,
  text,
  u8,
  u32,
  u64,
} from '../unit/checkpoint/pickle/assembler.ts';

const read = (bytes: Buffer, limits: Partial<PickleLimits> = {}) =>
  readPickle(bytes, { path: 'hostile.pt', reconstructors: BUILTIN_RECONSTRUCTORS, limits });

function repeat(count: number, ...parts: readonly Part[]): Buffer {
  const one = assemble(...parts);
  return Buffer.alloc(one.length * count, one);
}

const put = (index: number) => assemble('LONG_BINPUT', u32(index));
const get = (index: number) => assemble('LONG_BINGET', u32(index));

/** Each must be refused by a limit, with the limits that real files are read with. */
const bombs: [name: string, bytes: () => Buffer, reason: RegExp][] = [
  [
    'a million dicts a megabyte',
    () => assemble(repeat(6_000_000, 'EMPTY_DICT'), 'STOP'),
    /on the stack|bytes of memory/,
  ],
  [
    'empty lists that are dropped',
    () => assemble(repeat(20_000_000, 'EMPTY_LIST', 'POP'), 'STOP'),
    /bytes of memory|steps/,
  ],
  [
    'opcodes that do nothing',
    () => assemble(repeat(40_000_000, 'NONE', 'POP'), 'STOP'),
    /more than \d+ steps/,
  ],
  ['a stack without end', () => assemble('NONE', repeat(10_000_000, 'DUP'), 'STOP'), /on the stack/],
  ['MARKs in MARKs', () => assemble(repeat(200_000, 'MARK'), 'STOP'), /nested deeper/],
  [
    'a memo without end',
    () => Buffer.concat(['NONE' as const, ...memoPuts(2_000)].map((part) => assemble(part))),
    /more than \d+ values remembered/,
  ],
  [
    'a list that is copied into a set again and again',
    () =>
      assemble(
        assemble('EMPTY_LIST', 'MARK', repeat(1_000_000, 'NONE'), 'APPENDS', put(0), 'POP'),
        assemble(global('builtins', 'set'), put(1), 'POP', get(0), 'TUPLE1', put(2), 'POP'),
        repeat(100_000, get(1), get(2), 'REDUCE', 'POP'),
        'NONE',
        'STOP',
      ),
    /steps|bytes of memory/,
  ],
  [
    'a text that is encoded again and again',
    () =>
      assemble(
        assemble(text('x'.repeat(1_000_000)), text('latin1'), 'TUPLE2', put(0), 'POP'),
        assemble(global('_codecs', 'encode'), put(1), 'POP'),
        repeat(100_000, get(1), get(0), 'REDUCE', 'POP'),
        'NONE',
        'STOP',
      ),
    /steps|bytes of memory/,
  ],
  [
    'state that is merged again and again',
    () =>
      assemble(
        assemble(global('m', 'C'), 'EMPTY_TUPLE', 'REDUCE'),
        assemble(
          'EMPTY_DICT',
          'MARK',
          ...Array.from({ length: 2000 }, (_unused, i) => assemble(int(i), 'NONE')),
        ),
        assemble('SETITEMS', put(0)),
        assemble('BUILD', repeat(100_000, get(0), 'BUILD'), 'STOP'),
      ),
    /steps|bytes of memory/,
  ],
  [
    'two long keys that are equal',
    () =>
      assemble(
        assemble(text('k'.repeat(4_000_000)), put(0), text('k'.repeat(4_000_000)), put(1)),
        assemble('EMPTY_DICT', repeat(400_000, get(0), 'NONE', 'SETITEM', get(1), 'NONE', 'SETITEM')),
        'STOP',
      ),
    /steps/,
  ],
  [
    'a string beyond the limit',
    () => assemble('BINUNICODE8', u64(150 * 1024 * 1024), Buffer.alloc(150 * 1024 * 1024), 'STOP'),
    /a string of \d+ bytes/,
  ],
  [
    'an int of a million digits',
    () => assemble('LONG', Buffer.from(`${'9'.repeat(1_000_000)}L\n`), 'STOP'),
    /a line of 1000001 bytes/,
  ],
  [
    'an int of a megabyte',
    () => assemble('LONG4', u32(1_000_000), Buffer.alloc(1_000_000, 1), 'STOP'),
    /an int of/,
  ],
];

function memoPuts(count: number): Buffer[] {
  return Array.from({ length: count }, (_unused, index) => put(index * 7));
}

for (const [name, bytes, reason] of bombs) {
  test(`a bomb is refused by a limit: ${name}`, () => {
    const limits = name.includes('memo') ? { memoEntries: 1000 } : {};
    const refusal = refusalOf(() => read(bytes(), limits));
    assert.equal(refusal?.code, 'ERR_MLFS_LIMIT');
    assert.equal(refusal.exitCode, 3);
    assert.match(refusal.message, /^hostile\.pt: pickle byte \d+, [A-Z0-9_]+: /);
    assert.match(refusal.message, reason);
  });
}

test('a call to os.system is named and stays inert', () => {
  const bytes = assemble(global('posix', 'system'), text('touch /tmp/owned'), 'TUPLE1', 'REDUCE', 'STOP');
  const { value, globals } = read(bytes);
  assert.ok(value instanceof PyObject);
  assert.equal(value.className, 'posix.system');
  assert.deepEqual(
    globals.map((name) => name.path),
    ['posix.system'],
  );
  assert.deepEqual(JSON.parse(valueToJson(value)), { $object: 'posix.system', args: ['touch /tmp/owned'] });
});

test('every way of calling os.system stays inert', () => {
  const command = text('true');
  const ways: Buffer[] = [
    assemble(global('os', 'system'), command, 'TUPLE1', 'NEWOBJ', 'STOP'),
    assemble(global('os', 'system'), command, 'TUPLE1', 'EMPTY_DICT', 'NEWOBJ_EX', 'STOP'),
    assemble('MARK', command, 'INST', Buffer.from('os\nsystem\n'), 'STOP'),
    assemble('MARK', global('os', 'system'), command, 'OBJ', 'STOP'),
    assemble(text('os'), text('system'), 'STACK_GLOBAL', command, 'TUPLE1', 'REDUCE', 'STOP'),
    assemble(
      global('builtins', 'getattr'),
      global('os', 'x'),
      text('system'),
      'TUPLE2',
      'REDUCE',
      command,
      'TUPLE1',
      'REDUCE',
      'STOP',
    ),
    assemble('EXT1', u8(1), command, 'TUPLE1', 'REDUCE', 'STOP'),
  ];
  for (const way of ways) {
    const { value } = read(way);
    assert.ok(value instanceof PyObject);
    assert.ok(value.callable instanceof PyGlobal || value.callable instanceof PyObject);
  }
});

test('a pickle nested deeper than any tree is refused when its tensors are listed', () => {
  const { value } = read(assemble('EMPTY_TUPLE', repeat(100_000, 'TUPLE1'), 'STOP'));
  const refusal = refusalOf(() => listTensors(value, 'hostile.pt'));
  assert.equal(refusal?.code, 'ERR_MLFS_LIMIT');
  assert.match(refusal.message, /hostile\.pt: the object tree is nested deeper than/);
});

test('a value that doubles at each level is listed, printed and searched without doubling the work', () => {
  const { value } = read(assemble('EMPTY_TUPLE', repeat(60, 'DUP', 'TUPLE2'), 'STOP'));
  assert.deepEqual(listTensors(value, 'hostile.pt').tensors, []);
  assert.ok(valueToJson(value).length < 100_000);
  assert.ok(valueRepr(value).length < 100_000);
  assert.equal(findStateDict(value), undefined);
  assert.equal(modelStr(value), undefined);
});

test('one tensor at millions of paths has a bounded number of names, and every tensor has one', () => {
  const storages = new StorageTable({ path: 'hostile.pt' }, 'little', () => ({
    bytes: { kind: 'absent', reason: 'a test' },
  }));
  const torch = new TorchReconstructors(storages);
  const shared = tensor(storage('0', 4), 0, [4], [1]);
  const list = assemble('EMPTY_LIST', 'MARK', shared, repeat(2_000_000, 'DUP'), 'APPENDS');
  const last = tensor(storage('1', 4), 0, [4], [1]);
  const doubled = assemble(shared, repeat(60, 'DUP', 'TUPLE2'));
  for (const many of [list, doubled]) {
    const { value } = readPickle(assemble(many, last, 'TUPLE2', 'STOP'), {
      path: 'hostile.pt',
      reconstructors: torch.table,
      persistentLoad: (id) => storages.load(id),
    });
    const { tensors, abridged } = listTensors(value, 'hostile.pt');
    assert.ok(abridged);
    assert.ok(tensors.length < 1_500_000);
    assert.deepEqual(tensors[tensors.length - 1]?.path, ['1']);
    assert.ok(valueToJson(value).length < 64 * 1024 * 1024);
  }
});

test('a module that holds itself is printed once', () => {
  const module = assemble(
    assemble(global('m', 'Net'), 'EMPTY_TUPLE', 'REDUCE', put(0)),
    assemble('EMPTY_DICT', 'MARK', text('_parameters'), 'EMPTY_DICT', text('_buffers'), 'EMPTY_DICT'),
    assemble(text('_modules'), 'EMPTY_DICT', text('me'), get(0), 'SETITEM', 'SETITEMS', 'BUILD', 'STOP'),
  );
  assert.equal(modelStr(read(module).value), 'Net(\n  (me): Net(...)\n)');
});

test('a pickle that is cut at any byte is refused with its place', () => {
  const whole = assemble(
    'PROTO',
    u8(4),
    'FRAME',
    u64(28),
    'EMPTY_DICT',
    text('a'),
    assemble('LONG1', u8(9), Buffer.alloc(9, 1)),
    'SETITEM',
    global('m', 'C'),
    'EMPTY_TUPLE',
    'NEWOBJ',
    'TUPLE2',
    'STOP',
  );
  assert.equal(read(whole).bytesConsumed, whole.length);
  for (let length = 0; length < whole.length; length++) {
    const refusal = refusalOf(() => read(whole.subarray(0, length)));
    assert.equal(refusal?.code, 'ERR_MLFS_PICKLE', `cut at ${length}`);
    assert.match(refusal.message, /hostile\.pt: pickle byte \d+, /);
  }
});

test('any bytes are a value or a typed refusal, never another error', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      const refusal = refusalOf(() => inspectAll(Buffer.from(bytes)));
      assert.ok(refusal === undefined || refusal.exitCode === 3);
    }),
    { numRuns: 3000 },
  );
});

test('any sequence of opcodes is a value or a typed refusal, and what it makes can be shown', () => {
  const piece = fc.oneof(
    fc.constantFrom<Part>(
      'MARK',
      'TUPLE',
      'TUPLE1',
      'TUPLE2',
      'TUPLE3',
      'EMPTY_TUPLE',
      'EMPTY_LIST',
      'EMPTY_DICT',
    ),
    fc.constantFrom<Part>(
      'EMPTY_SET',
      'APPEND',
      'APPENDS',
      'SETITEM',
      'SETITEMS',
      'ADDITEMS',
      'FROZENSET',
      'DUP',
    ),
    fc.constantFrom<Part>(
      'POP',
      'POP_MARK',
      'NONE',
      'NEWTRUE',
      'REDUCE',
      'NEWOBJ',
      'NEWOBJ_EX',
      'BUILD',
      'OBJ',
    ),
    fc.constantFrom<Part>('LIST', 'DICT', 'MEMOIZE', 'BINPERSID', 'STACK_GLOBAL'),
    fc.integer({ min: 0, max: 4 }).map((index) => assemble('BINGET', u8(index))),
    fc.integer({ min: 0, max: 4 }).map((index) => assemble('BINPUT', u8(index))),
    fc
      .constantFrom(
        'collections OrderedDict',
        'builtins set',
        'copyreg _reconstructor',
        '_codecs encode',
        'm C',
      )
      .map((name) => global(name.split(' ')[0] as string, name.split(' ')[1] as string)),
    fc.constantFrom('', 'a', 'latin1').map(text),
    fc.integer({ min: -2, max: 300 }).map(int),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 60 }), (pieces) => {
      const refusal = refusalOf(() => inspectAll(assemble(...pieces, 'STOP')));
      assert.ok(refusal === undefined || refusal.exitCode === 3);
    }),
    { numRuns: 3000 },
  );
});

/** Reads a pickle and asks of its value all that opening and showing it does. */
function inspectAll(bytes: Buffer): void {
  const { value } = read(bytes);
  listTensors(value, 'hostile.pt');
  findStateDict(value);
  modelStr(value);
  valueRepr(value);
  JSON.parse(valueToJson(value));
}

/** The MlfsError that a call ends in; any other error is the test's failure. */
function refusalOf(call: () => unknown): MlfsError | undefined {
  try {
    call();
    return undefined;
  } catch (cause) {
    if (!(cause instanceof MlfsError)) throw cause;
    assertExplained(cause);
    return cause;
  }
}
