/**
 * Writes pickles of protocol 2 as torch.save does: the values of values.ts, with storages and tensors left to the caller. What
 * Python's pickler would memoise is memoised, so that an object that occurs twice is one object again, and lists and dicts may contain
 * themselves.
 */
import { MlfsError } from '../../errors.ts';
import { ByteSink } from './byte-sink.ts';
import { OP } from './opcodes.ts';
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
} from './values.ts';

/** Python's pickler writes items in batches of this many. */
const BATCH = 1000;
/** Python gives up at about the same depth. */
const MAX_DEPTH = 900;

export const ORDERED_DICT = new PyGlobal('collections', 'OrderedDict');

/** Puts a storage or tensor into the pickle, with the writer's own means. */
export type PersistentWriter = (value: PersistentValue, pickle: PickleWriter) => void;

export function writePickle(root: Value, persistent: PersistentWriter): Buffer {
  const pickle = new PickleWriter(persistent);
  return pickle.finish(root);
}

export class PickleWriter {
  readonly #sink = new ByteSink();
  readonly #persistent: PersistentWriter;
  /** Strings and globals by what they say, everything else by identity. */
  readonly #memo = new Map<unknown, number>();
  #memoSize = 0;
  #depth = 0;

  constructor(persistent: PersistentWriter) {
    this.#persistent = persistent;
  }

  finish(root: Value): Buffer {
    this.#sink.byte(OP.PROTO);
    this.#sink.byte(2);
    this.write(root);
    this.#sink.byte(OP.STOP);
    return this.#sink.finish();
  }

  write(value: Value): void {
    if (value === null) this.#sink.byte(OP.NONE);
    else if (typeof value === 'boolean') this.#sink.byte(value ? OP.NEWTRUE : OP.NEWFALSE);
    else if (typeof value === 'number' || typeof value === 'bigint') this.#integer(value);
    else if (typeof value === 'string') this.#string(value);
    else if (value instanceof PyFloat) this.#float(value.value);
    else if (value instanceof PyGlobal) this.#global(value);
    else if (value instanceof PyTuple && value.items.length === 0) this.#sink.byte(OP.EMPTY_TUPLE);
    else if (!this.#recall(value)) this.#descend(value);
  }

  /** A persistent id: the value that names a storage. */
  persistentId(id: Value): void {
    this.write(id);
    this.#sink.byte(OP.BINPERSID);
  }

  /** `callable(*args)`, remembered as `identity`; each argument is written by a function. */
  reduce(callable: PyGlobal, args: readonly (() => void)[], identity: unknown): void {
    this.write(callable);
    this.#tupleOf(args);
    if (args.length > 0) this.#memoise({});
    this.#sink.byte(OP.REDUCE);
    this.#memoise(identity);
  }

  #descend(value: Exclude<Value, null | boolean | number | bigint | string | PyFloat | PyGlobal>): void {
    if (++this.#depth > MAX_DEPTH) {
      throw new MlfsError('ERR_MLFS_USAGE', `objects nested deeper than ${MAX_DEPTH} cannot be pickled`);
    }
    if (value instanceof PyDict) this.#dict(value);
    else if (value instanceof PyList) this.#list(value);
    else if (value instanceof PyTuple) this.#tuple(value);
    else if (value instanceof PySet) this.#set(value);
    else if (value instanceof PyBytes) this.#bytes(value);
    else if (value instanceof PyObject) this.#object(value);
    else this.#persistent(value as PersistentValue, this);
    this.#depth--;
  }

  #integer(value: number | bigint): void {
    if (typeof value === 'number' && !Number.isSafeInteger(value)) {
      throw new MlfsError('ERR_MLFS_USAGE', `${value} is not an integer; floats are PyFloat`);
    }
    const integer = BigInt(value);
    if (integer >= 0n && integer <= 0xffn) {
      this.#sink.byte(OP.BININT1);
      this.#sink.byte(Number(integer));
    } else if (integer >= 0n && integer <= 0xffffn) {
      this.#sink.byte(OP.BININT2);
      this.#sink.uint16(Number(integer));
    } else if (BigInt.asIntN(32, integer) === integer) {
      this.#sink.byte(OP.BININT);
      this.#sink.int32(Number(integer));
    } else {
      this.#long(integer);
    }
  }

  /** Two's complement, little-endian, as short as it gets. */
  #long(integer: bigint): void {
    let width = 5;
    while (BigInt.asIntN(width * 8, integer) !== integer) width++;
    const digits = BigInt.asUintN(width * 8, integer)
      .toString(16)
      .padStart(width * 2, '0');
    if (width < 256) {
      this.#sink.byte(OP.LONG1);
      this.#sink.byte(width);
    } else {
      this.#sink.byte(OP.LONG4);
      this.#sink.int32(width);
    }
    this.#sink.bytes(Buffer.from(digits, 'hex').reverse());
  }

  #float(value: number): void {
    this.#sink.byte(OP.BINFLOAT);
    this.#sink.doubleBE(value);
  }

  #string(value: string): void {
    const identity = `s${value}`;
    if (this.#recall(identity)) return;
    const bytes = Buffer.from(value, 'utf8');
    this.#sink.byte(OP.BINUNICODE);
    this.#sink.uint32(bytes.length);
    this.#sink.bytes(bytes);
    this.#memoise(identity);
  }

  #global(value: PyGlobal): void {
    const identity = `g${value.path}`;
    if (this.#recall(identity)) return;
    this.#sink.byte(OP.GLOBAL);
    this.#sink.bytes(Buffer.from(`${value.module}\n${value.name}\n`, 'utf8'));
    this.#memoise(identity);
  }

  #dict(value: PyDict): void {
    if (value.className === undefined) {
      this.#sink.byte(OP.EMPTY_DICT);
      this.#memoise(value);
    } else if (value.className === ORDERED_DICT.path) {
      this.reduce(ORDERED_DICT, [], value);
    } else {
      throw new MlfsError(
        'ERR_MLFS_USAGE',
        `a ${value.className} cannot be pickled; dict and OrderedDict can`,
      );
    }
    this.#items(value);
    if (value.attributes !== undefined) {
      this.write(value.attributes);
      this.#sink.byte(OP.BUILD);
    }
  }

  #items({ entries }: PyDict): void {
    this.#batches(entries, OP.SETITEM, OP.SETITEMS, ([key, value]) => {
      this.write(key);
      this.write(value);
    });
  }

  #list(value: PyList): void {
    this.#sink.byte(OP.EMPTY_LIST);
    this.#memoise(value);
    this.#batches(value.items, OP.APPEND, OP.APPENDS, (item) => this.write(item));
  }

  #batches<T>(items: readonly T[], one: number, many: number, write: (item: T) => void): void {
    for (let start = 0; start < items.length; start += BATCH) {
      const batch = items.slice(start, start + BATCH);
      if (batch.length > 1) this.#sink.byte(OP.MARK);
      for (const item of batch) write(item);
      this.#sink.byte(batch.length > 1 ? many : one);
    }
  }

  #tuple(value: PyTuple): void {
    this.#tupleOf(value.items.map((item) => () => this.write(item)));
    this.#memoise(value);
  }

  #tupleOf(writers: readonly (() => void)[]): void {
    const short = [OP.EMPTY_TUPLE, OP.TUPLE1, OP.TUPLE2, OP.TUPLE3][writers.length];
    if (short === undefined) this.#sink.byte(OP.MARK);
    for (const write of writers) write();
    this.#sink.byte(short ?? OP.TUPLE);
  }

  #set(value: PySet): void {
    const list = new PyList();
    for (const item of value.items) list.items.push(item);
    const callable = new PyGlobal('__builtin__', value.frozen ? 'frozenset' : 'set');
    this.reduce(callable, [() => this.write(list)], value);
  }

  /** Protocol 2 has no bytes: Python encodes them as text and back. */
  #bytes(value: PyBytes): void {
    const text = Buffer.from(value.bytes).toString('latin1');
    const callable = new PyGlobal('_codecs', 'encode');
    this.reduce(callable, [() => this.write(text), () => this.write('latin1')], value);
  }

  /** `cls.__new__(cls, *args)` with a state, as objects are pickled; without one, a plain call. */
  #object(value: PyObject): void {
    this.write(value.callable);
    this.write(value.args);
    this.#sink.byte(value.state === undefined ? OP.REDUCE : OP.NEWOBJ);
    this.#memoise(value);
    if (value.listItems !== undefined) {
      this.#batches(value.listItems, OP.APPEND, OP.APPENDS, (item) => this.write(item));
    }
    if (value.dictItems !== undefined) this.#items(value.dictItems);
    if (value.state !== undefined) {
      this.write(value.state);
      this.#sink.byte(OP.BUILD);
    }
  }

  #memoise(identity: unknown): void {
    const index = this.#memoSize++;
    this.#memo.set(identity, index);
    if (index < 256) {
      this.#sink.byte(OP.BINPUT);
      this.#sink.byte(index);
    } else {
      this.#sink.byte(OP.LONG_BINPUT);
      this.#sink.uint32(index);
    }
  }

  #recall(identity: unknown): boolean {
    const index = this.#memo.get(identity);
    if (index === undefined) return false;
    if (index < 256) {
      this.#sink.byte(OP.BINGET);
      this.#sink.byte(index);
    } else {
      this.#sink.byte(OP.LONG_BINGET);
      this.#sink.uint32(index);
    }
    return true;
  }
}
