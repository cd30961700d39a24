import { decodeLatin1Text, ENCODE } from '../numpy/latin1-text.ts';
import type { Account } from './account.ts';
import { chargeKey } from './key-cost.ts';
import { HEAP_COST } from './limits.ts';
import type { Reconstructor } from './machine.ts';
import {
  PyBytes,
  PyDict,
  PyGlobal,
  PyList,
  PyObject,
  PySet,
  PyTuple,
  UndecodedText,
  type Value,
} from './values.ts';

/**
 * The pure reconstructors of Python's own types. Each looks at its arguments only; what does not fit stays a PyObject.
 */
export const BUILTIN_RECONSTRUCTORS: ReadonlyMap<string, Reconstructor> = new Map<string, Reconstructor>([
  [
    'collections.OrderedDict',
    (args, account) => dictOf('collections.OrderedDict', items(args)?.[0], account),
  ],
  [
    'collections.defaultdict',
    (args, account) => dictOf('collections.defaultdict', items(args)?.[1], account),
  ],
  ['collections.Counter', (args, account) => dictOf('collections.Counter', items(args)?.[0], account)],
  ...pythonTwoAndThree('dict', (args, account) => dictOf(undefined, items(args)?.[0], account)),
  ...pythonTwoAndThree('set', (args, account) => setOf(args, false, account)),
  ...pythonTwoAndThree('frozenset', (args, account) => setOf(args, true, account)),
  ...pythonTwoAndThree('list', listOf),
  ...pythonTwoAndThree('tuple', tupleOf),
  ...pythonTwoAndThree('bytearray', bytearrayOf),
  ...pythonTwoAndThree('bytes', (args) =>
    items(args)?.length === 0 ? new PyBytes(new Uint8Array(0)) : undefined,
  ),
  [ENCODE, encode],
  ['copyreg._reconstructor', reconstruct],
  ['copy_reg._reconstructor', reconstruct],
  ['copyreg.__newobj__', newObject],
  ['copy_reg.__newobj__', newObject],
  ['copyreg.__newobj_ex__', newObjectEx],
]);

function pythonTwoAndThree(name: string, reconstructor: Reconstructor): [string, Reconstructor][] {
  return [
    [`builtins.${name}`, reconstructor],
    [`__builtin__.${name}`, reconstructor],
  ];
}

/** The arguments of a call, or undefined when they are not a tuple. */
export function items(args: Value | undefined): readonly Value[] | undefined {
  return args instanceof PyTuple ? args.items : undefined;
}

/** A list's or tuple's or set's items. */
function sequence(value: Value | undefined): readonly Value[] | undefined {
  return value instanceof PyTuple || value instanceof PyList || value instanceof PySet
    ? value.items
    : undefined;
}

/** An empty dict, a dict's copy, or one from pairs, which is how Python 2 pickled an OrderedDict. */
function dictOf(
  className: string | undefined,
  source: Value | undefined,
  account: Account,
): Value | undefined {
  account.heap(HEAP_COST.dict);
  const dict = new PyDict();
  dict.className = className;
  if (source === undefined) return dict;
  const pairs = source instanceof PyDict ? source.entries : sequence(source);
  if (pairs === undefined) return undefined;
  account.steps(pairs.length * 8);
  account.heap(pairs.length * HEAP_COST.item);
  for (const pair of pairs) {
    const parts = Array.isArray(pair) ? pair : sequence(pair as Value);
    if (parts?.length !== 2) return undefined;
    chargeKey(account, dict, parts[0] as Value);
    dict.set(parts[0] as Value, parts[1] as Value);
  }
  return dict;
}

function copyOf(source: readonly Value[], account: Account): Value[] {
  account.steps(source.length);
  account.heap(HEAP_COST.set + source.length * HEAP_COST.slot);
  return [...source];
}

function setOf(args: Value, frozen: boolean, account: Account): Value | undefined {
  const given = items(args);
  if (given?.length === 0) return new PySet(copyOf([], account), frozen);
  const source = sequence(given?.[0]);
  return source === undefined ? undefined : new PySet(copyOf(source, account), frozen);
}

function listOf(args: Value, account: Account): Value | undefined {
  const given = items(args);
  const source = given?.length === 0 ? [] : sequence(given?.[0]);
  if (source === undefined) return undefined;
  const list = new PyList();
  for (const item of copyOf(source, account)) list.items.push(item);
  return list;
}

function tupleOf(args: Value, account: Account): Value | undefined {
  const given = items(args);
  const source = given?.length === 0 ? [] : sequence(given?.[0]);
  return source === undefined ? undefined : new PyTuple(copyOf(source, account));
}

/** `bytearray(b'…')`, `bytearray('…', 'latin-1')` (protocols 0 to 2) and `bytearray()`. */
function bytearrayOf(args: Value, account: Account): Value | undefined {
  const given = items(args);
  if (given === undefined) return undefined;
  const [source, encoding] = given;
  if (source === undefined) return new PyBytes(new Uint8Array(0), true);
  if (source instanceof PyBytes) return new PyBytes(source.bytes, true);
  if (typeof source !== 'string' || typeof encoding !== 'string') return undefined;
  const bytes = latin1Bytes(source, encoding, account);
  return bytes === undefined ? undefined : new PyBytes(bytes, true);
}

/** Protocols below 3 have no bytes: they are pickled as `_codecs.encode(text, 'latin1')`. */
function encode(args: Value, account: Account): Value | undefined {
  const [text, encoding] = items(args) ?? [];
  if (typeof encoding !== 'string') return undefined;
  if (text instanceof UndecodedText) return decoded(text, encoding, account);
  if (typeof text !== 'string') return undefined;
  const bytes = latin1Bytes(text, encoding, account);
  return bytes === undefined ? undefined : new PyBytes(bytes);
}

function decoded({ bytes: encoded }: UndecodedText, encoding: string, account: Account): Value | undefined {
  if (!LATIN1.test(encoding)) return undefined;
  account.steps(encoded.length >>> 4);
  account.heap(HEAP_COST.bytes + encoded.length);
  const made = decodeLatin1Text(encoded);
  return made === undefined ? undefined : new PyBytes(made.bytes, false, made.text);
}

const LATIN1 = /^(latin-?1|iso-?8859-?1)$/i;

function latin1Bytes(text: string, encoding: string, account: Account): Buffer | undefined {
  if (!LATIN1.test(encoding)) return undefined;
  account.steps(text.length >>> 4);
  account.heap(HEAP_COST.bytes + text.length);
  const bytes = Buffer.from(text, 'latin1');
  // A character above U+00FF would have been an error in Python; it is cut here, so say it is not known.
  return /[\u0100-\uffff]/.test(text) ? undefined : bytes;
}

/** `copyreg._reconstructor(cls, base, state)`: an object of `cls`; a dict's or list's state are its items. */
function reconstruct(args: Value, account: Account): Value | undefined {
  const [cls, base, state] = items(args) ?? [];
  if (cls === undefined) return undefined;
  account.heap(HEAP_COST.object + HEAP_COST.tuple);
  const baseName = base instanceof PyGlobal ? base.name : undefined;
  const plain = baseName === 'object' || state === null || state === undefined;
  const object = new PyObject(cls, new PyTuple(plain || isItems(baseName, state) ? [] : [state]));
  if (baseName === 'dict' && state instanceof PyDict) object.dictItems = state;
  if (baseName === 'list' && state instanceof PyList) object.listItems = state.items;
  return object;
}

function isItems(baseName: string | undefined, state: Value): boolean {
  return (baseName === 'dict' && state instanceof PyDict) || (baseName === 'list' && state instanceof PyList);
}

/** `copyreg.__newobj__(cls, *args)`: NEWOBJ spelt as a call. */
function newObject(args: Value, account: Account): Value | undefined {
  const [cls, ...rest] = items(args) ?? [];
  if (cls === undefined) return undefined;
  account.steps(rest.length);
  account.heap(HEAP_COST.object + HEAP_COST.tuple + rest.length * HEAP_COST.slot);
  return new PyObject(cls, new PyTuple(rest));
}

function newObjectEx(args: Value, account: Account): Value | undefined {
  const [cls, positional, keywords] = items(args) ?? [];
  if (cls === undefined || positional === undefined) return undefined;
  account.heap(HEAP_COST.object);
  return new PyObject(cls, positional, keywords);
}
