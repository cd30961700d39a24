import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BUILTIN_RECONSTRUCTORS } from '../../../../src/checkpoint/pickle/builtin-reconstructors.ts';
import { OP } from '../../../../src/checkpoint/pickle/opcodes.ts';
import { readPickle } from '../../../../src/checkpoint/pickle/unpickle.ts';
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
} from '../../../../src/checkpoint/pickle/values.ts';
import { MlfsError } from '../../../../src/errors.ts';
import { assemble, global, int, type Part, text, tuple, u8, u32, u64 } from './assembler.ts';

const line = (content: string) => Buffer.from(`${content}\n`);
const run = (...parts: readonly Part[]) =>
  readPickle(assemble(...parts, 'STOP'), { path: 'm.pt', reconstructors: BUILTIN_RECONSTRUCTORS });
const value = (...parts: readonly Part[]): Value => run(...parts).value;

/** A value as plain JavaScript, to be compared. */
function plain(of: Value | undefined): unknown {
  if (of instanceof PyFloat) return { float: of.value };
  if (of instanceof PyBytes) return { bytes: Buffer.from(of.bytes).toString('latin1'), mutable: of.mutable };
  if (of instanceof PyList) return of.items.map(plain);
  if (of instanceof PyTuple) return { tuple: of.items.map(plain) };
  if (of instanceof PySet) return { set: of.items.map(plain), frozen: of.frozen };
  if (of instanceof PyDict) return { dict: of.entries.map(([key, item]) => [plain(key), plain(item)]) };
  if (of instanceof PyGlobal) return { global: of.path };
  if (of instanceof PyObject) {
    return {
      object: of.className ?? plain(of.callable),
      args: plain(of.args),
      ...(of.kwargs === undefined ? {} : { kwargs: plain(of.kwargs) }),
      ...(of.state === undefined ? {} : { state: plain(of.state) }),
      ...(of.listItems === undefined ? {} : { list: of.listItems.map(plain) }),
      ...(of.dictItems === undefined ? {} : { items: plain(of.dictItems) }),
    };
  }
  return of;
}

const long = (bytes: readonly number[]) => assemble('LONG1', u8(bytes.length), Buffer.from(bytes));
const object = assemble(global('m', 'C'), 'EMPTY_TUPLE', 'REDUCE');

const cases: [name: string, parts: readonly Part[], expected: unknown][] = [
  ['None', ['NONE'], null],
  ['True', ['NEWTRUE'], true],
  ['False', ['NEWFALSE'], false],
  [
    'the bools of protocol 1',
    ['MARK', 'INT', line('01'), 'INT', line('00'), 'TUPLE'],
    { tuple: [true, false] },
  ],
  ['INT', ['INT', line('-12')], -12],
  ['INT of one digit is no bool', ['INT', line('1')], 1],
  ['BININT below zero', ['BININT', Buffer.from([0xfe, 0xff, 0xff, 0xff])], -2],
  ['BININT1', ['BININT1', u8(255)], 255],
  ['BININT2', ['BININT2', Buffer.from([0, 1])], 256],
  ['LONG with its L', ['LONG', line('119547037146038801333356L')], 119547037146038801333356n],
  ['LONG1 of no bytes', [long([])], 0],
  ['LONG1 below zero', [long([0x80])], -128],
  ['LONG1 of seven bytes', [long([1, 0, 0, 0, 0, 0, 1])], 2 ** 48 + 1],
  ['LONG1 of eight bytes', [long([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f])], 2n ** 63n - 1n],
  ['LONG1 of nine bytes', [long([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0])], 2n ** 64n - 1n],
  ['LONG4', ['LONG4', u32(2), Buffer.from([0, 1])], 256],
  ['FLOAT', ['FLOAT', line('1e-05')], { float: 1e-5 }],
  ['FLOAT of infinity', ['FLOAT', line('-inf')], { float: Number.NEGATIVE_INFINITY }],
  ['BINFLOAT is big-endian', ['BINFLOAT', Buffer.from('3ff8000000000000', 'hex')], { float: 1.5 }],
  ['STRING with escapes', ['STRING', line(String.raw`'a\n\x41\\\''`)], "a\nA\\'"],
  ['STRING in double quotes', ['STRING', line('"it\'s"')], "it's"],
  ['SHORT_BINSTRING that is text', ['SHORT_BINSTRING', u8(2), Buffer.from('ab')], 'ab'],
  ['SHORT_BINSTRING that is bytes', ['SHORT_BINSTRING', u8(1), u8(0xff)], { bytes: '\xff', mutable: false }],
  ['BINSTRING', ['BINSTRING', u32(1), Buffer.from('a')], 'a'],
  ['UNICODE with escapes', ['UNICODE', line(String.raw`\u0041\U0001f600\x`)], 'A\u{1f600}\\x'],
  ['UNICODE is Latin-1 otherwise', ['UNICODE', Buffer.from([0xe9, 0x0a])], 'é'],
  ['BINUNICODE', [text('grüß')], 'grüß'],
  ['BINUNICODE of a lone surrogate', ['SHORT_BINUNICODE', u8(3), Buffer.from('eda080', 'hex')], '\ud800'],
  ['BINUNICODE of U+FFFD itself', [text('\ufffd')], '\ufffd'],
  ['BINUNICODE8', ['BINUNICODE8', u64(1), Buffer.from('a')], 'a'],
  ['SHORT_BINBYTES', ['SHORT_BINBYTES', u8(1), u8(7)], { bytes: '\x07', mutable: false }],
  ['BINBYTES', ['BINBYTES', u32(1), u8(7)], { bytes: '\x07', mutable: false }],
  ['BINBYTES8', ['BINBYTES8', u64(1), u8(7)], { bytes: '\x07', mutable: false }],
  ['BYTEARRAY8', ['BYTEARRAY8', u64(1), u8(7)], { bytes: '\x07', mutable: true }],
  ['TUPLE', [tuple(int(1), int(2))], { tuple: [1, 2] }],
  ['TUPLE1', [int(1), 'TUPLE1'], { tuple: [1] }],
  ['TUPLE2 keeps the order', [int(1), int(2), 'TUPLE2'], { tuple: [1, 2] }],
  ['TUPLE3 keeps the order', [int(1), int(2), int(3), 'TUPLE3'], { tuple: [1, 2, 3] }],
  ['LIST', ['MARK', int(1), int(2), 'LIST'], [1, 2]],
  ['APPEND', ['EMPTY_LIST', int(1), 'APPEND'], [1]],
  ['APPENDS', ['EMPTY_LIST', 'MARK', int(1), int(2), 'APPENDS'], [1, 2]],
  ['DICT', ['MARK', text('a'), int(1), 'DICT'], { dict: [['a', 1]] }],
  ['SETITEM', ['EMPTY_DICT', text('a'), int(1), 'SETITEM'], { dict: [['a', 1]] }],
  [
    'SETITEMS replaces an equal key where it is',
    ['EMPTY_DICT', 'MARK', int(1), int(2), int(3), int(4), 'NEWTRUE', int(5), 'SETITEMS'],
    {
      dict: [
        [1, 5],
        [3, 4],
      ],
    },
  ],
  ['ADDITEMS', ['EMPTY_SET', 'MARK', int(1), 'ADDITEMS'], { set: [1], frozen: false }],
  ['FROZENSET', ['MARK', int(1), 'FROZENSET'], { set: [1], frozen: true }],
  ['POP', [int(1), int(2), 'POP'], 1],
  ['POP of a MARK', [int(1), 'MARK', 'POP'], 1],
  ['POP_MARK', [int(1), 'MARK', int(2), int(3), 'POP_MARK'], 1],
  ['DUP', [int(1), 'DUP', 'TUPLE2'], { tuple: [1, 1] }],
  ['PUT and GET', [int(9), 'PUT', line('300'), 'POP', 'GET', line('300')], 9],
  ['BINPUT and BINGET', [int(9), 'BINPUT', u8(1), 'POP', 'BINGET', u8(1)], 9],
  [
    'LONG_BINPUT and LONG_BINGET',
    [int(9), 'LONG_BINPUT', u32(70000), 'LONG_BINGET', u32(70000), 'TUPLE2'],
    { tuple: [9, 9] },
  ],
  [
    'MEMOIZE counts from what is remembered',
    [int(8), 'MEMOIZE', int(9), 'MEMOIZE', 'BINGET', u8(1), 'TUPLE2', 'TUPLE2'],
    { tuple: [8, { tuple: [9, 9] }] },
  ],
  ['a remembered None', ['NONE', 'MEMOIZE', 'BINGET', u8(0), 'TUPLE2'], { tuple: [null, null] }],
  ['GLOBAL', [global('torch', 'float32')], { global: 'torch.float32' }],
  ['STACK_GLOBAL', [text('torch'), text('float32'), 'STACK_GLOBAL'], { global: 'torch.float32' }],
  ['EXT1', ['EXT1', u8(3)], { global: 'copyreg.extension_3' }],
  ['EXT2', ['EXT2', u8(3), u8(1)], { global: 'copyreg.extension_259' }],
  ['EXT4', ['EXT4', u32(3)], { global: 'copyreg.extension_3' }],
  ['REDUCE', [global('m', 'f'), int(1), 'TUPLE1', 'REDUCE'], { object: 'm.f', args: { tuple: [1] } }],
  ['NEWOBJ', [global('m', 'C'), 'EMPTY_TUPLE', 'NEWOBJ'], { object: 'm.C', args: { tuple: [] } }],
  [
    'NEWOBJ_EX',
    [global('m', 'C'), 'EMPTY_TUPLE', 'EMPTY_DICT', 'NEWOBJ_EX'],
    { object: 'm.C', args: { tuple: [] }, kwargs: { dict: [] } },
  ],
  ['INST', ['MARK', int(1), 'INST', Buffer.from('m\nC\n')], { object: 'm.C', args: { tuple: [1] } }],
  ['OBJ', ['MARK', global('m', 'C'), int(1), 'OBJ'], { object: 'm.C', args: { tuple: [1] } }],
  [
    'BUILD of an object',
    [object, 'EMPTY_DICT', text('a'), int(1), 'SETITEM', 'BUILD'],
    { object: 'm.C', args: { tuple: [] }, state: { dict: [['a', 1]] } },
  ],
  [
    'a second BUILD adds to the first',
    [
      object,
      'EMPTY_DICT',
      text('a'),
      int(1),
      'SETITEM',
      'BUILD',
      'EMPTY_DICT',
      text('b'),
      int(2),
      'SETITEM',
      'BUILD',
    ],
    {
      object: 'm.C',
      args: { tuple: [] },
      state: {
        dict: [
          ['a', 1],
          ['b', 2],
        ],
      },
    },
  ],
  [
    'items of a subclass of list',
    [object, 'MARK', int(1), 'APPENDS'],
    { object: 'm.C', args: { tuple: [] }, list: [1] },
  ],
  [
    'items of a subclass of dict',
    [object, text('a'), int(1), 'SETITEM'],
    { object: 'm.C', args: { tuple: [] }, items: { dict: [['a', 1]] } },
  ],
  [
    'PERSID without a loader',
    ['PERSID', line('7')],
    { object: 'pickle.persistent_load', args: { tuple: ['7'] } },
  ],
  [
    'BINPERSID without a loader',
    [int(7), 'BINPERSID'],
    { object: 'pickle.persistent_load', args: { tuple: [7] } },
  ],
  ['PROTO and FRAME', ['PROTO', u8(5), 'FRAME', u64(2), 'NONE'], null],
  [
    "Python 2's set",
    [global('__builtin__', 'set'), 'EMPTY_LIST', int(1), 'APPEND', 'TUPLE1', 'REDUCE'],
    { set: [1], frozen: false },
  ],
  [
    "Python 2's OrderedDict of pairs",
    [
      global('collections', 'OrderedDict'),
      'EMPTY_LIST',
      'EMPTY_LIST',
      text('a'),
      'APPEND',
      int(1),
      'APPEND',
      'APPEND',
      'TUPLE1',
      'REDUCE',
    ],
    { dict: [['a', 1]] },
  ],
  [
    'defaultdict',
    [
      global('collections', 'defaultdict'),
      global('builtins', 'int'),
      'TUPLE1',
      'REDUCE',
      text('a'),
      int(1),
      'SETITEM',
    ],
    { dict: [['a', 1]] },
  ],
  [
    'bytes of protocol 2',
    [global('_codecs', 'encode'), text('\xff\x00'), text('latin1'), 'TUPLE2', 'REDUCE'],
    { bytes: '\xff\x00', mutable: false },
  ],
  [
    'an encoding that is not Latin-1 stays a call',
    [global('_codecs', 'encode'), text('a'), text('rot13'), 'TUPLE2', 'REDUCE'],
    { object: '_codecs.encode', args: { tuple: ['a', 'rot13'] } },
  ],
  [
    'copyreg._reconstructor of an object',
    [
      global('copy_reg', '_reconstructor'),
      tuple(global('m', 'C'), global('__builtin__', 'object'), assemble('NONE')),
      'REDUCE',
    ],
    { object: 'm.C', args: { tuple: [] } },
  ],
];

for (const [name, parts, expected] of cases) {
  test(`the machine reads ${name}`, () => {
    assert.deepEqual(plain(value(...parts)), expected);
  });
}

test('every opcode of pickletools has a handler', () => {
  const missing = Object.entries(OP).filter(([, code]) => {
    try {
      readPickle(Buffer.of(code), { path: 'm.pt' });
      return false;
    } catch (cause) {
      return cause instanceof MlfsError && /is not an opcode/.test(cause.message);
    }
  });
  assert.deepEqual(missing, []);
  assert.equal(Object.keys(OP).length, 68);
});

test('a list can contain itself', () => {
  const list = value('EMPTY_LIST', 'MEMOIZE', 'BINGET', u8(0), 'APPEND');
  assert.ok(list instanceof PyList);
  assert.equal(list.items[0], list);
});

test('a memoised value keeps its identity', () => {
  const pair = value('EMPTY_DICT', 'MEMOIZE', 'BINGET', u8(0), 'TUPLE2');
  assert.ok(pair instanceof PyTuple);
  assert.equal(pair.items[0], pair.items[1]);
});

test('bytes are views of the pickle', () => {
  const bytes = assemble('SHORT_BINBYTES', u8(2), Buffer.from('ab'), 'STOP');
  const { value: made } = readPickle(bytes, { path: 'm.pt' });
  assert.ok(made instanceof PyBytes);
  assert.equal(made.bytes.buffer, bytes.buffer);
});

test('BUILD of a dict sets its attributes', () => {
  const dict = value('EMPTY_DICT', 'EMPTY_DICT', text('_metadata'), int(1), 'SETITEM', 'BUILD');
  assert.ok(dict instanceof PyDict);
  assert.equal(dict.attributes?.get('_metadata'), 1);
});

test('a large dict finds its keys by value', () => {
  const parts = Array.from({ length: 50 }, (_unused, key) => assemble(int(key), text(`v${key}`)));
  const dict = value('EMPTY_DICT', 'MARK', ...parts, tuple(int(1), text('a')), int(7), 'SETITEMS');
  assert.ok(dict instanceof PyDict);
  assert.equal(dict.get(49), 'v49');
  dict.set(new PyTuple([1, 'a']), 8);
  assert.equal(dict.entries.length, 51);
});

test('the pickle ends at STOP, wherever it starts', () => {
  const bytes = assemble('NONE', 'STOP', int(5), 'STOP', 'NONE');
  assert.equal(readPickle(bytes, { path: 'm.pt' }).bytesConsumed, 2);
  const second = readPickle(bytes, { path: 'm.pt', start: 2 });
  assert.equal(second.value, 5);
  assert.equal(second.bytesConsumed, 3);
});

const refusals: [name: string, parts: readonly Part[], message: RegExp][] = [
  ['an unknown opcode', [u8(0xff)], /pickle byte 0, 0xff: is not an opcode/],
  ['a stack that is empty', ['NONE', 'POP', 'POP'], /pickle byte 2, POP: the stack is empty/],
  ['a pop below a MARK', [int(1), 'MARK', 'TUPLE1'], /TUPLE1: the stack is empty/],
  ['a TUPLE without a MARK', ['TUPLE'], /TUPLE: there is no MARK/],
  [
    'a key without a value',
    ['EMPTY_DICT', 'MARK', int(1), 'SETITEMS'],
    /SETITEMS: the last key has no value/,
  ],
  ['an APPEND to a dict', ['EMPTY_DICT', 'NONE', 'APPEND'], /APPEND: items are appended to a dict/],
  ['state on a tuple', ['EMPTY_TUPLE', 'NONE', 'BUILD'], /BUILD: state is set on a tuple/],
  ['what was never remembered', ['BINGET', u8(3)], /BINGET: nothing was remembered under 3/],
  ['protocol 6', ['PROTO', u8(6)], /PROTO: protocol 6 is not known/],
  ['text that is not UTF-8', ['BINUNICODE', u32(1), u8(0xff)], /BINUNICODE: the string is not UTF-8/],
  ['a string that is not quoted', ['STRING', line('abc')], /STRING: the string is not quoted/],
  ['an int that is none', ['INT', line('1x')], /INT: "1x" is not an integer/],
  ['a float that is none', ['FLOAT', line('0x1p3')], /FLOAT: "0x1p3" is not a float/],
  ['an out-of-band buffer', ['NEXT_BUFFER'], /NEXT_BUFFER: out-of-band buffers are not in the file/],
  [
    'a global whose name is no string',
    ['NONE', 'NONE', 'STACK_GLOBAL'],
    /STACK_GLOBAL: the name of a global/,
  ],
  ['a length beyond the end', ['BINBYTES8', u64(2n ** 60n)], /BINBYTES8: the length \d+ is beyond any file/],
  ['a string of a negative length', ['BINSTRING', u32(0xffffffff)], /BINSTRING: a string of -1 bytes/],
];

for (const [name, parts, message] of refusals) {
  test(`the machine refuses ${name}`, () => {
    assert.throws(
      () => run(...parts),
      (cause: unknown) => {
        assert.ok(cause instanceof MlfsError);
        assert.equal(cause.code, 'ERR_MLFS_PICKLE');
        assert.match(cause.message, message);
        return true;
      },
    );
  });
}

test('a refusal names the file, the entry, the byte and the opcode', () => {
  assert.throws(() => readPickle(assemble('NONE', 'TUPLE2'), { path: 'a/m.pt', entry: 'm/data.pkl' }), {
    message: 'a/m.pt: entry "m/data.pkl": pickle byte 1, TUPLE2: the stack is empty',
  });
});
