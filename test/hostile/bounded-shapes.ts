/**
 * Files of a few kilobytes to some forty megabytes that ask for as much memory, time or text as their format lets them: millions of each
 * kind of opcode, sharing that doubles at each level, names that are long, many, or deep. Each must be opened or refused within the
 * promises of docs/SEMANTICS.md, and so must every document and listing of what was opened.
 */
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
} from '../unit/checkpoint/pickle/assembler.ts';
import { torchZip } from '../unit/checkpoint/torch/torch-files.ts';
import { buildZip } from './zip-builder.ts';

export interface Shape {
  /** A sentence's subject: "3.9 million empty lists". */
  readonly name: string;
  readonly suffix: '.pt' | '.safetensors';
  readonly bytes: () => Buffer;
  /** How many tensors it opens with. Without it a file may be refused as well. */
  readonly tensors?: number;
}

const put = (index: number) => assemble('LONG_BINPUT', u32(index));
const get = (index: number) => assemble('LONG_BINGET', u32(index));
/** Four float32s in storage 0. */
const TENSOR = tensor(storage('0', 4), 0, [4], [1]);

export function repeat(count: number, ...parts: readonly Part[]): Buffer {
  const one = assemble(...parts);
  return Buffer.alloc(one.length * count, one);
}

/** `count` parts that differ. */
function each(count: number, make: (index: number) => Buffer): Buffer {
  return Buffer.concat(Array.from({ length: count }, (_unused, index) => make(index)));
}

/** A torch zip whose data.pkl is these parts, with one storage of 16 bytes. */
function file(...parts: readonly Part[]): Buffer {
  return torchZip(assemble('PROTO', u8(4), ...parts, 'STOP'), { 0: new Uint8Array(16) });
}

function shape(name: string, ...parts: readonly (Part | (() => Buffer))[]): Shape {
  const bytes = () => file(...parts.map((part) => (typeof part === 'function' ? part() : part)));
  return { name, suffix: '.pt', bytes };
}

/** A list of `count` times the same opcodes, which each push one value. */
function listOf(count: number, name: string, ...parts: readonly Part[]): Shape {
  return shape(name, 'MARK', () => repeat(count, ...parts), 'LIST');
}

/** `first` under memo 0, then `depth` times what `wrap` makes of the value in memo `level`. */
function doubled(depth: number, first: Buffer, wrap: (below: Buffer, level: number) => Buffer): Buffer {
  const levels = each(depth, (level) => assemble(wrap(get(level), level), put(level + 1), 'POP'));
  return assemble(first, put(0), 'POP', levels, get(depth));
}

/** A pickled `torch.nn.Module` with these parameters and submodules: keys and values, one after the other. */
function moduleOf(parameters: Buffer, modules: Buffer): Buffer {
  return assemble(
    global('torch.nn.modules.container', 'Sequential'),
    'EMPTY_TUPLE',
    'NEWOBJ',
    'EMPTY_DICT',
    'MARK',
    assemble(text('_parameters'), 'EMPTY_DICT', 'MARK', parameters, 'SETITEMS'),
    assemble(text('_buffers'), 'EMPTY_DICT'),
    assemble(text('_modules'), 'EMPTY_DICT', 'MARK', modules, 'SETITEMS'),
    'SETITEMS',
    'BUILD',
  );
}

/** `count` names of one tensor in one dict. */
export function tiedNames(count: number, nameOf: (index: number) => string): Buffer {
  return file(
    assemble(TENSOR, put(0), 'POP', 'EMPTY_DICT', 'MARK'),
    each(count, (index) => assemble(text(nameOf(index)), get(0))),
    'SETITEMS',
  );
}

/** `count` tensors with names of their own in one dict. */
export function manyTensors(count: number, nameOf: (index: number) => string): Buffer {
  const first = assemble(TENSOR, put(1), 'POP', storage('0', 4), put(0), 'POP');
  const rebuild = assemble(global('torch._utils', '_rebuild_tensor_v2'), put(2), 'POP');
  const four = assemble(int(4), 'TUPLE1', put(3), 'POP', int(1), 'TUPLE1', put(4), 'POP');
  const hooks = assemble(global('collections', 'OrderedDict'), 'EMPTY_TUPLE', 'REDUCE', put(5), 'POP');
  const made = assemble(
    get(2),
    'MARK',
    get(0),
    int(0),
    get(3),
    get(4),
    'NEWFALSE',
    get(5),
    'TUPLE',
    'REDUCE',
  );
  const items = each(count, (index) => assemble(text(nameOf(index)), made));
  return file(first, rebuild, four, hooks, 'EMPTY_DICT', 'MARK', items, 'SETITEMS');
}

/** At 20 levels all of them are listed as far as the limit of tensors reaches; modules are refused for their folders when they are mounted. */
const doubling: Shape[] = [20].flatMap((depth) => [
  shape(`a dict shared ${depth} levels deep`, () =>
    doubled(depth, assemble('EMPTY_DICT', text('t'), TENSOR, 'SETITEM'), (below) =>
      assemble('EMPTY_DICT', 'MARK', text('a'), below, text('b'), below, 'SETITEMS'),
    ),
  ),
  shape(`a list shared ${depth} levels deep`, () =>
    doubled(depth, assemble('EMPTY_LIST', TENSOR, 'APPEND'), (below) =>
      assemble('EMPTY_LIST', 'MARK', below, below, 'APPENDS'),
    ),
  ),
  shape(`a tuple shared ${depth} levels deep`, () =>
    doubled(depth, assemble(TENSOR, 'TUPLE1'), (below) => assemble(below, below, 'TUPLE2')),
  ),
]);

const doublingModules: Shape[] = [12, 20].flatMap((depth) => [
  shape(`a module shared ${depth} levels deep`, () =>
    doubled(depth, moduleOf(assemble(text('w'), TENSOR), Buffer.alloc(0)), (below) =>
      moduleOf(Buffer.alloc(0), assemble(text('l'), below, text('r'), below)),
    ),
  ),
  shape(`a module without tensors shared ${depth} levels deep`, () =>
    doubled(depth, moduleOf(Buffer.alloc(0), Buffer.alloc(0)), (below) =>
      moduleOf(Buffer.alloc(0), assemble(text('l'), below, text('r'), below)),
    ),
  ),
  shape(`a script object shared ${depth} levels deep`, () =>
    doubled(
      depth,
      assemble(
        global('__torch__', 'M'),
        'EMPTY_TUPLE',
        'NEWOBJ',
        assemble('EMPTY_DICT', text('w'), TENSOR, 'SETITEM'),
        'BUILD',
      ),
      (below) =>
        assemble(
          global('__torch__', 'M'),
          'EMPTY_TUPLE',
          'NEWOBJ',
          assemble('EMPTY_DICT', 'MARK', text('l'), below, text('r'), below, 'SETITEMS'),
          'BUILD',
        ),
    ),
  ),
]);

const millions: Shape[] = [
  listOf(3_900_000, '3.9 million empty lists', 'EMPTY_LIST'),
  listOf(3_900_000, '3.9 million empty tuples', 'EMPTY_TUPLE'),
  listOf(2_300_000, '2.3 million empty dicts', 'EMPTY_DICT'),
  listOf(3_400_000, '3.4 million empty sets', 'EMPTY_SET'),
  listOf(3_400_000, '3.4 million frozen sets', 'MARK', 'FROZENSET'),
  listOf(2_300_000, '2.3 million tuples of a tuple', 'EMPTY_TUPLE', 'TUPLE1'),
  listOf(1_400_000, '1.4 million tuples of two tuples', 'EMPTY_TUPLE', 'EMPTY_TUPLE', 'TUPLE2'),
  listOf(1_100_000, '1.1 million tuples of three tuples', 'EMPTY_TUPLE', 'DUP', 'EMPTY_TUPLE', 'TUPLE3'),
  listOf(3_000_000, '3 million tuples of one number', 'NONE', 'TUPLE1'),
  listOf(1_300_000, '1.3 million lists of a list', 'EMPTY_LIST', 'EMPTY_LIST', 'APPEND'),
  listOf(1_000_000, '1 million dicts of one number', 'EMPTY_DICT', 'NONE', 'NONE', 'SETITEM'),
  listOf(700_000, '700,000 dicts of a dict', 'EMPTY_DICT', 'NONE', 'EMPTY_DICT', 'SETITEM'),
  listOf(1_500, 'tuples nested 1,900 deep, 1,500 times', 'EMPTY_TUPLE', repeat(1_900, 'TUPLE1')),
  listOf(4_000_000, '4 million numbers', 'NONE'),
  shape(
    '2 million numbers beside a dict',
    assemble('EMPTY_LIST', 'MARK', 'EMPTY_DICT', TENSOR),
    () => repeat(2_000_000, 'NONE'),
    'APPENDS',
  ),
  shape('30 million numbers in one list', 'EMPTY_LIST', () =>
    repeat(8, 'MARK', repeat(3_900_000, 'NONE'), 'APPENDS'),
  ),
  shape('12 million numbers appended one by one', 'EMPTY_LIST', () => repeat(12_000_000, 'NONE', 'APPEND')),
  shape(
    '3.9 million values that are remembered',
    'MARK',
    () => repeat(3_900_000, 'EMPTY_TUPLE', 'MEMOIZE'),
    'LIST',
  ),
  shape('7.9 million memo entries of one value', 'NONE', () => repeat(7_900_000, 'MEMOIZE')),
  shape(
    '15 million values that are recalled',
    assemble('EMPTY_LIST', 'EMPTY_LIST', put(0)),
    () => repeat(15_000_000, assemble('BINGET', u8(0)), 'POP'),
    'APPEND',
  ),
  listOf(3_900_000, '3.9 million floats', 'BINFLOAT', Buffer.alloc(8, 1)),
  listOf(3_000_000, '3 million long ints', 'LONG1', u8(9), Buffer.alloc(9, 1)),
  listOf(75_000, '75,000 ints of 2 kB', 'LONG4', u32(2000), Buffer.alloc(2000, 0x7f)),
  listOf(20_000, '20,000 ints in decimal', 'LONG', Buffer.from(`${'9'.repeat(4000)}L\n`)),
  listOf(3_900_000, '3.9 million strings of one character', 'SHORT_BINUNICODE', u8(1), Buffer.from('a')),
  listOf(3_900_000, '3.9 million strings of two bytes', 'BINUNICODE', u32(2), Buffer.from('é')),
  listOf(600_000, '600,000 strings of 120 characters', 'BINUNICODE', u32(120), Buffer.alloc(120, 'ab')),
  listOf(2_000_000, '2 million bytes objects', 'SHORT_BINBYTES', u8(1), Buffer.from('a')),
  shape('500,000 globals', 'MARK', () => each(500_000, (index) => global('m', `C${index}`)), 'LIST'),
  shape(
    '1.5 million calls of an unknown global',
    global('m', 'C'),
    put(0),
    'POP',
    'MARK',
    () => repeat(1_500_000, get(0), 'EMPTY_TUPLE', 'REDUCE'),
    'LIST',
  ),
  shape(
    '1 million objects with state',
    global('m', 'C'),
    put(0),
    'POP',
    'MARK',
    () => repeat(1_000_000, get(0), 'EMPTY_TUPLE', 'NEWOBJ', 'EMPTY_DICT', 'BUILD'),
    'LIST',
  ),
  shape('1 million objects that are called', global('m', 'C'), put(0), 'POP', () =>
    assemble(get(0), repeat(1_900, 'EMPTY_TUPLE', 'REDUCE')),
  ),
  shape('1.5 million persistent ids', 'MARK', () => repeat(1_500_000, 'NONE', 'BINPERSID'), 'LIST'),
  shape(
    '600,000 storages',
    storage('0', 4),
    put(0),
    'POP',
    'MARK',
    () =>
      repeat(
        600_000,
        assemble('MARK', text('storage')),
        global('torch', 'FloatStorage'),
        text('0'),
        text('cpu'),
        int(4),
        'TUPLE',
        'BINPERSID',
      ),
    'LIST',
  ),
  shape(
    '1.5 million ordered dicts',
    global('collections', 'OrderedDict'),
    put(0),
    'POP',
    'MARK',
    () => repeat(1_500_000, get(0), 'EMPTY_TUPLE', 'REDUCE'),
    'LIST',
  ),
  shape(
    'a dict of 1 million keys',
    'EMPTY_DICT',
    'MARK',
    () => each(1_000_000, (index) => assemble(text(`k${index}`), 'NONE')),
    'SETITEMS',
  ),
  shape(
    'a dict of 900,000 tuple keys',
    'EMPTY_DICT',
    'MARK',
    () => each(900_000, (index) => assemble(int(index), 'TUPLE1', 'NONE')),
    'SETITEMS',
  ),
  shape(
    'a dict of 300,000 large tuple keys',
    assemble('MARK', repeat(900, text('x'.repeat(60))), 'TUPLE', put(0), 'POP'),
    'EMPTY_DICT',
    'MARK',
    () => each(300_000, (index) => assemble(get(0), int(index), 'TUPLE2', 'EMPTY_TUPLE', 'TUPLE1')),
    'SETITEMS',
  ),
  shape(
    'a dict with a long text in 300,000 keys',
    assemble(text('x'.repeat(1_000_000)), put(0), 'POP'),
    'EMPTY_DICT',
    'MARK',
    () => each(300_000, (index) => assemble(get(0), int(index), 'TUPLE2', 'EMPTY_TUPLE', 'TUPLE1')),
    'SETITEMS',
  ),
  shape(
    'one tensor four million times in a list',
    'EMPTY_LIST',
    'MARK',
    TENSOR,
    () => repeat(3_900_000, 'DUP'),
    'APPENDS',
  ),
  shape('a dict of 500,000 numbers 1,000 times', () =>
    doubled(
      10,
      assemble(
        'EMPTY_DICT',
        'MARK',
        text('t'),
        TENSOR,
        each(500_000, (index) => assemble(int(index), 'NONE')),
        'SETITEMS',
      ),
      (below) => assemble('EMPTY_LIST', 'MARK', below, below, 'APPENDS'),
    ),
  ),
];

const names: Shape[] = [
  {
    name: '20,000 names of one tensor',
    suffix: '.pt',
    tensors: 20_000,
    bytes: () => tiedNames(20_000, (index) => `layer${index}.weight`),
  },
  {
    name: '600,000 names of one tensor',
    suffix: '.pt',
    bytes: () => tiedNames(600_000, (index) => `layer${index}.weight`),
  },
  {
    name: '91,000 tensors',
    suffix: '.pt',
    tensors: 91_000,
    bytes: () => manyTensors(91_000, (index) => `model.layers.${index % 96}.mlp.experts.${index}`),
  },
  {
    name: '60,000 tensors with a storage each',
    suffix: '.pt',
    tensors: 60_000,
    bytes: () => {
      const items = each(60_000, (index) =>
        assemble(text(`layers.${index % 96}.expert${index}`), tensor(storage(String(index), 1), 0, [1], [1])),
      );
      const storages = Array.from({ length: 60_000 }, (_unused, index) => [index, new Uint8Array(4)]);
      return torchZip(
        assemble('EMPTY_DICT', 'MARK', items, 'SETITEMS', 'STOP'),
        Object.fromEntries(storages),
      );
    },
  },
  {
    name: 'as many tensors as a pickle may hold',
    suffix: '.pt',
    bytes: () => manyTensors(230_000, (index) => `layers.${index % 96}.mlp.experts.${index}`),
  },
  {
    name: '300 names of 60,000 characters',
    suffix: '.pt',
    bytes: () => manyTensors(300, (index) => `${'k'.repeat(60_000)}${index}`),
  },
  {
    name: '40,000 names of 900 characters',
    suffix: '.pt',
    bytes: () => manyTensors(40_000, (index) => `${'k'.repeat(900)}${index}`),
  },
  {
    name: 'a name of 30,000 parts',
    suffix: '.pt',
    bytes: () => manyTensors(1, () => Array(30_000).fill('a').join('.')),
  },
  {
    name: '400 names of 20,000 parts',
    suffix: '.pt',
    bytes: () => manyTensors(400, (index) => `${index}.${Array(20_000).fill('a').join('.')}`),
  },
  {
    name: '2,000 names of 2,000 parts',
    suffix: '.pt',
    tensors: 2_000,
    bytes: () => manyTensors(2_000, (index) => `${index}.${Array(2_000).fill('a').join('.')}`),
  },
  {
    name: '51,000 names of one tensor, 500 characters long',
    suffix: '.pt',
    bytes: () => tiedNames(51_000, (index) => `${'n'.repeat(500)}${index}`),
  },
  shape('30,000 tensors below 1,900 dicts', () => {
    const path = repeat(1_900, 'EMPTY_DICT', text('a'));
    const inner = assemble(
      'EMPTY_DICT',
      'MARK',
      each(30_000, (index) => assemble(text(String(index)), TENSOR)),
      'SETITEMS',
    );
    return assemble(path, inner, repeat(1_900, 'SETITEM'));
  }),
  shape('100,000 tensors of 64 dimensions', () => {
    const dims = assemble('MARK', repeat(64, int(1)), 'TUPLE');
    const made = assemble(
      get(2),
      'MARK',
      get(0),
      int(0),
      get(3),
      get(3),
      'NEWFALSE',
      get(5),
      'TUPLE',
      'REDUCE',
    );
    return assemble(
      assemble(
        storage('0', 4),
        put(0),
        'POP',
        global('torch._utils', '_rebuild_tensor_v2'),
        put(2),
        'POP',
        dims,
        put(3),
        'POP',
      ),
      assemble('EMPTY_DICT', put(5), 'POP', 'EMPTY_DICT', 'MARK'),
      each(100_000, (index) => assemble(text(`t${index}`), made)),
      'SETITEMS',
    );
  }),
];

/** `count` times one value, in a list. */
function timesInList(count: number, value: () => Buffer): () => Buffer {
  return () =>
    assemble(
      value(),
      put(0),
      'POP',
      'EMPTY_LIST',
      TENSOR,
      'APPEND',
      'MARK',
      repeat(count, get(0)),
      'APPENDS',
    );
}

/** An object of an unknown class with these attributes: keys and values, one after the other. */
function objectWith(attributes: Buffer): Buffer {
  return assemble(
    assemble(global('m', 'C'), 'EMPTY_TUPLE', 'NEWOBJ'),
    assemble('EMPTY_DICT', 'MARK', attributes, 'SETITEMS', 'BUILD'),
  );
}

const MANY = 100_000;
const numbers = (count: number) => each(count, (index) => assemble(text(`k${index}`), 'NONE'));

/** More attributes for the object on the stack. */
function moreAttributes(): Buffer {
  return assemble('EMPTY_DICT', 'MARK', numbers(MANY), 'SETITEMS', 'BUILD');
}

/** What `_rebuild_from_type_v2` makes of these arguments. */
function tensorSubclass(args: Buffer): Buffer {
  return assemble(
    global('torch._tensor', '_rebuild_from_type_v2'),
    'MARK',
    assemble(global('m', 'rebuild'), global('m', 'Subclass'), 'MARK', args, 'TUPLE', 'EMPTY_DICT', 'TUPLE'),
    'REDUCE',
  );
}

/** Parts of objects that are looked at besides their arguments and items. */
const shared: Shape[] = [
  shape(
    'an object of 100,000 attributes 100,000 times',
    timesInList(MANY, () => objectWith(numbers(MANY))),
  ),
  shape('an object of 200,000 attributes and items', () =>
    assemble(
      objectWith(assemble(text('t'), TENSOR, numbers(200_000))),
      assemble('MARK', numbers(200_000), 'SETITEMS', 'MARK', repeat(200_000, 'NONE'), 'APPENDS'),
    ),
  ),
  shape(
    'a dict of 100,000 numbers as the attributes of 20,000 objects',
    () => assemble('EMPTY_DICT', 'MARK', numbers(MANY), 'SETITEMS', put(0), 'POP'),
    'EMPTY_LIST',
    TENSOR,
    'APPEND',
    'MARK',
    () => repeat(20_000, global('m', 'C'), 'EMPTY_TUPLE', 'NEWOBJ', get(0), 'BUILD'),
    'APPENDS',
  ),
  shape(
    'a module of 100,000 parameters that are None 100,000 times',
    timesInList(MANY, () => moduleOf(numbers(MANY), Buffer.alloc(0))),
  ),
  shape(
    'a module of 100,000 attributes 100,000 times',
    timesInList(MANY, () => assemble(moduleOf(Buffer.alloc(0), Buffer.alloc(0)), moreAttributes())),
  ),
  shape(
    'an object whose 100,000 attributes are lists 100,000 times',
    timesInList(MANY, () => objectWith(each(MANY, (index) => assemble(text(`k${index}`), 'EMPTY_LIST')))),
  ),
  shape(
    'a tensor subclass with one dict of 100,000 numbers as 100,000 arguments',
    () => assemble('EMPTY_DICT', 'MARK', numbers(MANY), 'SETITEMS', put(0), 'POP'),
    () => tensorSubclass(repeat(MANY, get(0))),
  ),
  shape(
    'a tensor subclass with one dict of 1,000 tensors as 100,000 arguments',
    () => {
      const tensors = each(1_000, (index) =>
        assemble(text(`k${index}`), tensor(storage('0', 4), index % 4, [1, 1, 1], [index, 1, 1])),
      );
      return assemble('EMPTY_DICT', 'MARK', tensors, 'SETITEMS', put(0), 'POP');
    },
    () => tensorSubclass(repeat(MANY, get(0))),
  ),
  shape(
    'a dict with 100,000 attributes 100,000 times',
    timesInList(MANY, () =>
      assemble(
        assemble(global('collections', 'OrderedDict'), 'EMPTY_TUPLE', 'REDUCE'),
        assemble('EMPTY_DICT', 'MARK', numbers(MANY), 'SETITEMS', 'BUILD'),
      ),
    ),
  ),
];

const written: Shape[] = [
  {
    name: 'a list of 400 levels around a long text',
    suffix: '.pt',
    bytes: () =>
      file(
        repeat(390, 'EMPTY_LIST', 'NONE', 'APPEND'),
        assemble(
          'EMPTY_LIST',
          'MARK',
          each(500_000, (index) => text(`some text of the list ${index}`)),
          'APPENDS',
        ),
        repeat(390, 'APPEND'),
      ),
  },
  {
    name: 'a chain of 190 modules around 20,000',
    suffix: '.pt',
    bytes: () => {
      const leaf = moduleOf(
        assemble(text('w'), TENSOR),
        each(20_000, (index) => assemble(text(`child${index}`), get(7))),
      );
      const small = assemble(moduleOf(Buffer.alloc(0), Buffer.alloc(0)), put(7), 'POP');
      return file(
        small,
        doubled(190, leaf, (below) =>
          moduleOf(Buffer.alloc(0), assemble(text('inner'), below, text('again'), below)),
        ),
      );
    },
  },
];

function safetensors(header: Buffer, dataBytes = 0): Buffer {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([length, header, Buffer.alloc(dataBytes)]);
}

const others: Shape[] = [
  {
    name: 'a safetensors file of 131,072 tensors',
    suffix: '.safetensors',
    bytes: () =>
      safetensors(
        Buffer.from(
          `{${Array.from({ length: 131_072 }, (_unused, index) => `"layers.${index}.weight":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}`).join(',')}}`,
        ),
      ),
  },
  {
    name: 'a safetensors file of 600 names of 60,000 characters',
    suffix: '.safetensors',
    bytes: () =>
      safetensors(
        Buffer.from(
          `{${Array.from({ length: 600 }, (_unused, index) => `"${'k.'.repeat(30_000)}${index}":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}`).join(',')}}`,
        ),
      ),
  },
  {
    name: 'a safetensors header that nests',
    suffix: '.safetensors',
    bytes: () => safetensors(Buffer.concat([Buffer.from('{"a":'), Buffer.alloc(5_000_000, '[')])),
  },
  {
    name: 'a safetensors header of 99 MB of spaces',
    suffix: '.safetensors',
    bytes: () => safetensors(Buffer.concat([Buffer.alloc(99_000_000, ' '), Buffer.from('{}')])),
  },
  {
    name: 'safetensors metadata of a million entries',
    suffix: '.safetensors',
    bytes: () =>
      safetensors(
        Buffer.from(
          `{"__metadata__":{${Array.from({ length: 1_000_000 }, (_unused, index) => `"${index}":"x"`).join(',')}}}`,
        ),
      ),
  },
  {
    name: 'a script of torch 1.0 with attributes shared 40 levels deep',
    suffix: '.pt',
    tensors: 1,
    bytes: () => {
      const pickled = (value: Buffer) => assemble('PROTO', u8(2), value, 'STOP');
      const attribute = doubled(40, assemble('EMPTY_LIST', 'NONE', 'APPEND'), (below, level) =>
        level % 3 === 0
          ? assemble('EMPTY_DICT', 'MARK', text('a'), below, text('b'), below, 'SETITEMS')
          : level % 3 === 1
            ? assemble(below, below, 'TUPLE2')
            : assemble('EMPTY_LIST', 'MARK', below, below, 'APPENDS'),
      );
      const model = {
        mainModule: { parameters: [{ name: 'w', tensorId: '0' }], attributes: [{ name: 'shared', id: '0' }] },
        tensors: [{ dims: ['2'], strides: ['1'], dataType: 'FLOAT', data: { key: 'tensors/0' } }],
      };
      return buildZip([
        { name: 'm/version', content: Buffer.from('1') },
        { name: 'm/code/m.py', content: Buffer.from('def forward(self): pass') },
        { name: 'm/tensors/0', content: new Uint8Array(8) },
        { name: 'm/attributes.pkl', content: pickled(assemble(attribute, 'TUPLE1')) },
        { name: 'm/model.json', content: Buffer.from(JSON.stringify(model)) },
      ]);
    },
  },
  {
    name: 'an archive of 60,000 entries',
    suffix: '.pt',
    bytes: () =>
      buildZip([
        { name: 'm/data.pkl', content: assemble('PROTO', u8(2), 'NONE', 'STOP') },
        ...Array.from({ length: 60_000 }, (_unused, index) => ({ name: `m/extra/${index}` })),
        { name: 'm/version', content: Buffer.from('3\n') },
      ]),
  },
];

export const SHAPES: readonly Shape[] = [
  ...millions,
  ...doubling,
  ...doublingModules,
  ...names,
  ...shared,
  ...written,
  ...others,
];
