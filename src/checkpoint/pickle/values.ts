/**
 * The values a pickle can describe, as inert data. Python's `None`, `True`/`False` and `str` are null, boolean and
 * string; ints are numbers while they are safe integers and bigint beyond; floats are PyFloat, because
 * `1` and `1.0` print differently; everything else has a class here. Nothing in this module can run anything.
 * Containers are mutable while the machine builds them, may be shared (memo) and may contain themselves.
 */
import type { Latin1Text } from '../numpy/latin1-text.ts';

export type Value =
  | null
  | boolean
  | number
  | bigint
  | string
  | PyFloat
  | PyBytes
  | PyList
  | PyTuple
  | PyDict
  | PySet
  | PyGlobal
  | PyObject
  | PersistentValue;

/**
 * A mark that a walk over the object tree leaves on a container, so that it needs no set of visited containers: a forged file has
 * millions. Each walk has its own numbers (walk-marks.ts); 0 means not visited.
 */
abstract class Container {
  mark = 0;
}

/** Values that a persistent id or a known reconstructor returns instead of a PyObject: storages and tensors. */
export interface PersistentValue {
  readonly type: 'storage' | 'tensor';
}

export class PyFloat {
  readonly type = 'float';
  readonly value: number;
  constructor(value: number) {
    this.value = value;
  }
}

/** `bytes` or `bytearray`. */
export class PyBytes {
  readonly type = 'bytes';
  readonly bytes: Uint8Array;
  readonly mutable: boolean;
  /** The text that the bytes were decoded from, for what is long. */
  declare readonly text?: Latin1Text;
  constructor(bytes: Uint8Array, mutable = false, text?: Latin1Text) {
    this.bytes = bytes;
    this.mutable = mutable;
    if (text !== undefined) this.text = text;
  }
}

/** A long text, still in UTF-8, that `_codecs.encode` makes bytes of: it never becomes a string. */
export class UndecodedText extends PyBytes {}

export class PyList extends Container {
  readonly type = 'list';
  readonly items: Value[] = [];
}

export class PyTuple extends Container {
  /** The single `()`, as in Python. */
  static readonly EMPTY = new PyTuple([]);
  readonly type = 'tuple';
  readonly items: readonly Value[];
  /** `torch.Size`, when it is not a plain tuple. */
  readonly className: string | undefined;
  constructor(items: readonly Value[], className?: string) {
    super();
    this.items = items;
    this.className = className;
  }
}

export class PySet extends Container {
  readonly type = 'set';
  readonly frozen: boolean;
  readonly items: Value[];
  constructor(items: Value[] = [], frozen = false) {
    super();
    this.items = items;
    this.frozen = frozen;
  }
}

/** Below this many entries a dict is searched, not indexed: pickles are full of small and empty dicts. */
const INDEXED_FROM = 8;

/** A dict or OrderedDict in insertion order; a later equal key replaces the earlier value in place. */
export class PyDict extends Container {
  readonly type = 'dict';
  /** `collections.OrderedDict`, `collections.defaultdict`, … when it is not a plain dict. */
  className: string | undefined;
  /** Attributes set by BUILD, e.g. `_metadata` of a state dict. */
  attributes: PyDict | undefined;
  readonly entries: [key: Value, value: Value][] = [];
  /** Number of keys whose texts are longer than any name; the adder counts them, because they cost more than others. */
  longKeys = 0;
  #index: Map<unknown, number> | undefined;
  /** Whether a key was set again. Until then a new key needs one look into the index instead of two. */
  #hasRepeated = false;

  set(key: Value, value: Value): void {
    const identity = keyIdentity(key);
    const { entries } = this;
    if (this.#index !== undefined && !this.#hasRepeated) {
      this.#index.set(identity, entries.length);
      if (this.#index.size > entries.length) {
        entries.push([key, value]);
        return;
      }
      this.#hasRepeated = true;
      this.#index = indexOf(entries);
    }
    const at = this.#find(identity);
    if (at !== undefined) {
      const entry = entries[at];
      if (entry) entry[1] = value;
      return;
    }
    this.#index?.set(identity, entries.length);
    entries.push([key, value]);
    if (this.#index === undefined && entries.length > INDEXED_FROM) this.#index = indexOf(entries);
  }

  /** The value under a string, int, bool or None key; undefined when there is none. */
  get(key: string | number | boolean | null): Value | undefined {
    const at = this.#find(keyIdentity(key));
    return at === undefined ? undefined : this.entries[at]?.[1];
  }

  #find(identity: unknown): number | undefined {
    if (this.#index !== undefined) return this.#index.get(identity);
    const at = this.entries.findIndex((entry) => keyIdentity(entry[0]) === identity);
    return at < 0 ? undefined : at;
  }
}

function indexOf(entries: PyDict['entries']): Map<unknown, number> {
  return new Map(entries.map((entry, index) => [keyIdentity(entry[0]), index]));
}

/** A GLOBAL: a module-level name that was mentioned and never resolved. */
export class PyGlobal {
  readonly type = 'global';
  readonly module: string;
  readonly name: string;
  constructor(module: string, name: string) {
    this.module = module;
    this.name = name;
  }
  /** `module.name`. */
  get path(): string {
    return `${this.module}.${this.name}`;
  }
}

/** An object that a pickle would create by calling `callable`; only the call is recorded. */
export class PyObject extends Container {
  readonly type = 'object';
  /** A PyGlobal nearly always; the result of another REDUCE in hostile or odd files. */
  readonly callable: Value;
  readonly args: Value;
  readonly kwargs: Value | undefined;
  /** The argument of BUILD. */
  state: Value | undefined;
  /** Items added by APPEND(S)/SETITEM(S)/ADDITEMS to a subclass of list, dict or set. */
  listItems: Value[] | undefined;
  dictItems: PyDict | undefined;
  /** Where the memo has it, or -1. */
  memoIndex = -1;
  constructor(callable: Value, args: Value, kwargs?: Value) {
    super();
    this.callable = callable;
    this.args = args;
    this.kwargs = kwargs;
  }
  /** `module.name` of the callable, or undefined when it is not a global. */
  get className(): string | undefined {
    return this.callable instanceof PyGlobal ? this.callable.path : undefined;
  }
}

/** Maximum parts, text and nesting of a tuple key that is compared by value; larger ones are compared by identity. */
const TUPLE_KEY = { parts: 16, text: 256, depth: 3 };

/** V8 hashes numbers without a secret: of larger ones a forged file may choose thousands that collide. */
const PLAIN_NUMBERS = 0x100_0000;

/**
 * Equal Python keys map to one identity: 1 == True == 1.0, strings and short bytes by value, tuples by parts, the rest by
 * object. A string stands for itself, so that its hash is computed once; other identities of that type start with NUL.
 */
function keyIdentity(key: Value): unknown {
  if (typeof key === 'string') return key;
  if (typeof key === 'boolean') return key ? 1 : 0;
  if (typeof key === 'number') return numberIdentity(key);
  if (typeof key === 'bigint') return `\0i${key.toString(16)}`;
  if (key instanceof PyFloat) return numberIdentity(key.value);
  if (key instanceof PyTuple) return tupleIdentity(key, TUPLE_KEY.depth) ?? key;
  if (key instanceof PyBytes && key.bytes.length <= TUPLE_KEY.text) {
    return `\0b${Buffer.from(key.bytes).toString('latin1')}`;
  }
  return key;
}

function numberIdentity(value: number): unknown {
  return Number.isInteger(value) && value >= 0 && value < PLAIN_NUMBERS ? value + 0 : `\0n${value + 0}`;
}

function tupleIdentity(tuple: PyTuple, depth: number): string | undefined {
  if (tuple.items.length > TUPLE_KEY.parts || depth === 0) return undefined;
  let identity = '\0t';
  for (const item of tuple.items) {
    const part = item instanceof PyTuple ? tupleIdentity(item, depth - 1) : keyIdentity(item);
    if (part === undefined || (part !== null && typeof part === 'object')) return undefined;
    const text = String(part);
    if (text.length > TUPLE_KEY.text) return undefined;
    identity += `${typeof part}:${text.length}:${text},`;
  }
  return identity;
}
