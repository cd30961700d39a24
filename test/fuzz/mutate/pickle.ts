/**
 * Mutations of a pickle that know its opcodes: most mutants still are pickles, and say something slightly or entirely wrong about their
 * tensors, storages, globals and containers.
 */
import { OP } from '../../../src/checkpoint/pickle/opcodes.ts';
import type { Random } from '../random.ts';
import { edge, mutateBytes, mutateText } from './bytes.ts';
import {
  ALL_CODES,
  global,
  integer,
  integerOf,
  memoGet,
  memoPut,
  type Opcode,
  opcode,
  putTogether,
  takeApart,
  textOf,
  unicode,
  WITHOUT_ARGUMENT,
} from './pickle-opcodes.ts';

const GLOBALS = [
  '_rebuild_tensor',
  '_rebuild_tensor_v2',
  '_rebuild_tensor_v3',
  '_rebuild_qtensor',
  '_rebuild_parameter',
  '_rebuild_parameter_with_state',
  '_rebuild_meta_tensor_no_storage',
  '_rebuild_device_tensor_from_cpu_tensor',
  '_rebuild_device_tensor_from_numpy',
  '_rebuild_sparse_tensor',
  '_rebuild_sparse_csr_tensor',
  '_rebuild_nested_tensor',
  '_rebuild_wrapper_subclass',
]
  .map((name) => `torch._utils.${name}`)
  .concat([
    'torch.nn.parameter.Parameter',
    'torch.nn.parameter.Buffer',
    'torch.autograd.variable.Variable',
    'torch._tensor._rebuild_from_type_v2',
    'torch.Tensor',
    'torch.Size',
    'torch.device',
    'torch.FloatStorage',
    'torch.ComplexDoubleStorage',
    'torch.QInt8Storage',
    'torch.BoolStorage',
    'torch.storage.UntypedStorage',
    'torch.storage._load_from_bytes',
    'torch.serialization._get_layout',
    'torch.per_channel_affine',
    'torch.float8_e8m0fnu',
    'torch.uint4',
    'torch.complex32',
    'torch.bits16',
    'collections.OrderedDict',
    'collections.defaultdict',
    'collections.Counter',
    'builtins.set',
    'builtins.frozenset',
    'builtins.bytearray',
    'builtins.complex',
    'builtins.object',
    '__builtin__.dict',
    '_codecs.encode',
    'copyreg._reconstructor',
    'copyreg.__newobj_ex__',
    'numpy.dtype',
    'numpy.ndarray',
    'numpy.core.multiarray._reconstruct',
    'numpy._core.multiarray.scalar',
    'numpy.core.numeric._frombuffer',
    '__torch__.M',
    'torch.nn.modules.linear.Linear',
    'os.system',
    '__proto__.constructor',
  ]);

type Mutation = (random: Random, opcodes: Opcode[]) => Opcode[];

const MUTATIONS: readonly (readonly [weight: number, mutation: Mutation])[] = [
  [10, nearbyInteger],
  [8, extremeInteger],
  [6, otherText],
  [6, otherGlobal],
  [5, otherKindOfValue],
  [6, (random, opcodes) => replaced(opcodes, random.below(opcodes.length), [])],
  [5, repeated],
  [5, inserted],
  [4, swapped],
  [4, otherMemoIndex],
  [4, otherTuple],
  [4, (random, opcodes) => moved(random, opcodes)],
  [3, persistentId],
  [2, containsItself],
  [2, sharedDoublings],
  [2, deepNesting],
  [1, manyContainers],
  [1, (random, opcodes) => opcodes.slice(0, random.below(opcodes.length))],
];

/** The pickle's tail behind its STOP stays as it is. */
export function mutatePickle(random: Random, pickle: Uint8Array): Buffer {
  if (random.once(12)) return mutateBytes(random, pickle);
  const { opcodes, rest } = takeApart(pickle);
  let changed = opcodes;
  for (let left = random.pick([1, 1, 1, 2, 2, 4]); left > 0 && changed.length > 0; left--) {
    changed = random.weighted(MUTATIONS)(random, changed);
  }
  return Buffer.concat([putTogether(changed), rest]);
}

function replaced(opcodes: readonly Opcode[], at: number, by: readonly Opcode[], count = 1): Opcode[] {
  return [...opcodes.slice(0, at), ...by, ...opcodes.slice(at + count)];
}

/** The place of an opcode that fits; of any opcode when there is none. */
function place(random: Random, opcodes: readonly Opcode[], fits: (opcode: Opcode) => boolean): number {
  const places = opcodes.flatMap((candidate, index) => (fits(candidate) ? [index] : []));
  return places.length > 0 ? random.pick(places) : random.below(opcodes.length);
}

const isInteger = (candidate: Opcode) => integerOf(candidate) !== undefined;

/** Shapes, strides, offsets and counts that are slightly wrong. */
function nearbyInteger(random: Random, opcodes: Opcode[]): Opcode[] {
  const at = place(random, opcodes, isInteger);
  const value = integerOf(opcodes[at] as Opcode) ?? 1n;
  const near = random.pick([value + 1n, value - 1n, value * 2n, value / 2n, -value, value * value, 0n]);
  return replaced(opcodes, at, [integer(near)]);
}

function extremeInteger(random: Random, opcodes: Opcode[]): Opcode[] {
  return replaced(opcodes, place(random, opcodes, isInteger), [integer(edge(random))]);
}

function otherText(random: Random, opcodes: Opcode[]): Opcode[] {
  const isText = (candidate: Opcode) => textOf(candidate) !== undefined;
  const at = place(random, opcodes, isText);
  // One of the pickle's own texts makes equal keys, and storages that are each other's.
  const own = textOf(opcodes[place(random, opcodes, isText)] as Opcode) ?? '';
  const text = random.once(3) ? own : mutateText(random, textOf(opcodes[at] as Opcode) ?? '');
  return replaced(opcodes, at, [unicode(text)]);
}

function otherGlobal(random: Random, opcodes: Opcode[]): Opcode[] {
  const isGlobal = ({ code }: Opcode) => code === OP.GLOBAL || code === OP.STACK_GLOBAL;
  const at = place(random, opcodes, isGlobal);
  const own = opcodes[place(random, opcodes, isGlobal)] as Opcode;
  const by = random.once(4) && own.code === OP.GLOBAL ? own : global(random.pick(GLOBALS));
  return replaced(opcodes, at, [by]);
}

function otherKindOfValue(random: Random, opcodes: Opcode[]): Opcode[] {
  return replaced(opcodes, random.below(opcodes.length), [anyValue(random)]);
}

function anyValue(random: Random): Opcode {
  const float = Buffer.alloc(8);
  float.writeDoubleBE(random.pick([0, -0, 0.5, 1e308, Number.NaN, Number.POSITIVE_INFINITY]));
  return random.pick([
    opcode(OP.NONE),
    opcode(OP.NEWTRUE),
    opcode(OP.EMPTY_LIST),
    opcode(OP.EMPTY_DICT),
    opcode(OP.EMPTY_TUPLE),
    opcode(OP.EMPTY_SET),
    opcode(OP.BINFLOAT, float),
    opcode(OP.SHORT_BINBYTES, Buffer.concat([Buffer.of(4), random.bytes(4)])),
    opcode(OP.INT, Buffer.from(`${random.pick(['01', '00', '-5', '9'.repeat(30), 'x', ''])}\n`)),
    opcode(OP.LONG, Buffer.from(`${random.pick(['1', '-1', '9'.repeat(300), ''])}L\n`)),
    opcode(OP.FLOAT, Buffer.from(`${random.pick(['1e999', 'nan', '-inf', 'x'])}\n`)),
    opcode(OP.STRING, Buffer.from(`${random.pick(["'a'", "'\\x00\\'", '"', "''"])}\n`)),
    integer(edge(random)),
    unicode(mutateText(random, 'text')),
    global(random.pick(GLOBALS)),
    memoGet(random.below(40)),
  ]);
}

/** Longer pickles take longer to make than to read. */
const LONGEST_REPEAT_BYTES = 2 << 20;

function repeated(random: Random, opcodes: Opcode[]): Opcode[] {
  const at = random.below(opcodes.length);
  const span = opcodes.slice(at, at + random.pick([1, 1, 2, 8, 40]));
  const spanBytes = span.reduce((sum, { bytes }) => sum + bytes.length, 0);
  const times = Math.min(random.pick([1, 1, 2, 20, 1000]), Math.ceil(LONGEST_REPEAT_BYTES / spanBytes));
  return replaced(opcodes, at, Array.from({ length: times + 1 }, () => span).flat(), span.length);
}

function inserted(random: Random, opcodes: Opcode[]): Opcode[] {
  const argument = random.bytes(random.pick([0, 1, 2, 4, 8]));
  const by = random.once(3)
    ? opcode(random.pick(ALL_CODES), argument)
    : random.once(2)
      ? opcode(random.pick(WITHOUT_ARGUMENT))
      : anyValue(random);
  return replaced(opcodes, random.below(opcodes.length), [by], 0);
}

function swapped(random: Random, opcodes: Opcode[]): Opcode[] {
  const result = [...opcodes];
  const one = random.below(result.length);
  const other = random.once(2) ? Math.min(one + 1, result.length - 1) : random.below(result.length);
  [result[one], result[other]] = [result[other] as Opcode, result[one] as Opcode];
  return result;
}

const MEMO: ReadonlySet<number> = new Set([OP.BINGET, OP.LONG_BINGET, OP.BINPUT, OP.LONG_BINPUT, OP.MEMOIZE]);

function otherMemoIndex(random: Random, opcodes: Opcode[]): Opcode[] {
  const at = place(random, opcodes, ({ code }) => MEMO.has(code));
  const index = random.pick([0, 1, random.below(opcodes.length), 255, 256, 0x7fffffff, 0xffffffff]);
  return replaced(opcodes, at, [random.once(2) ? memoGet(index) : memoPut(index)]);
}

function otherTuple(random: Random, opcodes: Opcode[]): Opcode[] {
  const tuples: readonly number[] = [OP.TUPLE, OP.TUPLE1, OP.TUPLE2, OP.TUPLE3, OP.EMPTY_TUPLE];
  const at = place(random, opcodes, ({ code }) => tuples.includes(code));
  return replaced(opcodes, at, [opcode(random.pick([...tuples, OP.LIST, OP.DICT, OP.FROZENSET]))]);
}

/** A span of opcodes copied or moved to another place: tensors inside of tensors' arguments, keys that are values. */
function moved(random: Random, opcodes: Opcode[]): Opcode[] {
  const from = random.below(opcodes.length);
  const span = opcodes.slice(from, from + random.between(1, 30));
  const rest = random.once(2) ? opcodes : replaced(opcodes, from, [], span.length);
  return replaced(rest, random.below(rest.length), span, 0);
}

/** Changes one of the few values before a persistent id: class, key, location, count. */
function persistentId(random: Random, opcodes: Opcode[]): Opcode[] {
  const at = place(random, opcodes, ({ code }) => code === OP.BINPERSID);
  const before = Math.max(0, at - random.between(1, 8));
  return replaced(opcodes, before, [anyValue(random)], random.below(2));
}

const LARGE_INDEX = 0x00f0_0000;

function containsItself(random: Random, opcodes: Opcode[]): Opcode[] {
  const at = place(random, opcodes, ({ code }) => code === OP.EMPTY_DICT || code === OP.EMPTY_LIST);
  const make = opcodes[at] as Opcode;
  const own = [memoPut(LARGE_INDEX), memoGet(LARGE_INDEX)];
  const into = random.pick([
    [...own, opcode(OP.APPEND)],
    [memoPut(LARGE_INDEX), integer(1n), memoGet(LARGE_INDEX), opcode(OP.SETITEM)],
    [...own, opcode(OP.BUILD)],
    [...own, opcode(OP.TUPLE1), memoPut(LARGE_INDEX)],
  ]);
  return replaced(opcodes, at, [make, ...into]);
}

/** A container that holds the one before it twice, again and again: a short pickle with 2^n paths. */
function sharedDoublings(random: Random, opcodes: Opcode[]): Opcode[] {
  const at = place(random, opcodes, ({ code }) => code === OP.BINPERSID || code === OP.REDUCE);
  const doublings: Opcode[] = [];
  const dict = random.once(2);
  for (let level = random.between(2, 24); level > 0; level--) {
    const index = LARGE_INDEX + level;
    const twice = [memoGet(index), memoGet(index)];
    doublings.push(memoPut(index), opcode(OP.POP));
    if (dict) {
      const [one, other] = twice as [Opcode, Opcode];
      doublings.push(opcode(OP.EMPTY_DICT), opcode(OP.MARK), unicode('a'), one, unicode('b'), other);
      doublings.push(opcode(OP.SETITEMS));
    } else doublings.push(...twice, opcode(OP.TUPLE2));
  }
  return replaced(opcodes, at + 1, doublings, 0);
}

function deepNesting(random: Random, opcodes: Opcode[]): Opcode[] {
  const depth = random.pick([50, 1000, 20_000, 100_000]);
  const nested = random.pick([
    [
      ...Array<Opcode>(depth).fill(opcode(OP.EMPTY_LIST)),
      ...Array<Opcode>(depth - 1).fill(opcode(OP.APPEND)),
    ],
    [integer(1n), ...Array<Opcode>(depth).fill(opcode(OP.TUPLE1))],
    [...Array<Opcode>(depth).fill(opcode(OP.MARK)), ...Array<Opcode>(depth).fill(opcode(OP.TUPLE))],
  ]);
  return replaced(opcodes, random.below(opcodes.length), nested, random.below(2));
}

function manyContainers(random: Random, opcodes: Opcode[]): Opcode[] {
  const count = random.pick([1000, 30_000, 200_000]);
  const one = opcode(random.pick([OP.EMPTY_LIST, OP.EMPTY_DICT, OP.EMPTY_TUPLE, OP.EMPTY_SET, OP.NONE]));
  const list = [
    opcode(OP.EMPTY_LIST),
    opcode(OP.MARK),
    ...Array<Opcode>(count).fill(one),
    opcode(OP.APPENDS),
  ];
  return replaced(opcodes, random.below(opcodes.length), list, random.below(2));
}
