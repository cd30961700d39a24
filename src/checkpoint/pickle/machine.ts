/**
 * The pickle machine: interprets protocols 0 to 5 as data. It knows what each opcode does to the stack and nothing of
 * Python: a GLOBAL is a name, and calling one (REDUCE, NEWOBJ, INST, OBJ) leaves a PyObject that records the call, unless
 * the name is in the table of known reconstructors, which are pure functions from arguments to values.
 *
 * Invariants: nothing is imported or executed; every opcode is charged to an Account before it allocates, so a small pickle
 * cannot ask for unbounded time or memory; memoised values keep their identity; bytes objects are views of the input.
 * Whatever is wrong with the input becomes an MlfsError with the file, the entry, the byte and the opcode.
 */
import { quoteName } from '../../visible-text.ts';
import { NAME_LENGTH } from '../name-length.ts';
import { ENCODE } from '../numpy/latin1-text.ts';
import { Account } from './account.ts';
import { ArgumentReader } from './arguments.ts';
import { chargeKey } from './key-cost.ts';
import { HEAP_COST, type PickleLimits } from './limits.ts';
import { Memo } from './memo.ts';
import { PickleFault } from './refusal.ts';
import { ValueStack } from './value-stack.ts';
import {
  type PersistentValue,
  PyDict,
  PyGlobal,
  PyList,
  PyObject,
  PySet,
  PyTuple,
  type Value,
} from './values.ts';

/** Bytes that are as long as this are worth finding in the file: shorter ones are kept. */
const LONG_TEXT = 4096;

/** Replaces a call to a known global. Returns undefined for arguments that it does not support. */
export type Reconstructor = (args: Value, account: Account) => Value | undefined;

/** Knowledge that the machine's caller supplies. */
export interface PickleHooks {
  /** `module.name` → a function that does what calling the global would do. */
  readonly reconstructors?: ReadonlyMap<string, Reconstructor>;
  /** Resolves PERSID and BINPERSID; undefined leaves a PyObject with the id as its argument. */
  readonly persistentLoad?: (id: Value) => Value | undefined;
  /** Handles BUILD on a value that persistentLoad or a reconstructor returned. */
  readonly build?: (target: PersistentValue, state: Value) => void;
  /**
   * Reads the opcodes from `start`, where two MARKs are, to the call in one step, instead of one by one: `Memo.putLater` has the conditions. Returns
   * false to leave them to the machine.
   */
  readonly shortcut?: (machine: Machine, start: number) => boolean;
  /** BUILD on a PyObject: the value that it becomes by its state, or undefined when it stays an object. */
  readonly finish?: (object: PyObject, state: Value, account: Account) => Value | undefined;
}

/** The registers of one run, and the operations on containers and objects. `dispatch.ts` maps opcodes to them. */
export class Machine {
  readonly account: Account;
  readonly input: ArgumentReader;
  readonly stack: ValueStack;
  readonly memo: Memo;
  /** Every global that was named, by `module\nname`, in the order of its first mention. */
  readonly globals = new Map<string, PyGlobal>();
  persistentIds = 0;
  readonly #hooks: PickleHooks;
  readonly #known = new Map<PyGlobal, Reconstructor>();

  constructor(bytes: Buffer, start: number, limits: PickleLimits, hooks: PickleHooks) {
    this.account = new Account(limits);
    this.account.heap(bytes.length);
    this.input = new ArgumentReader(bytes, start, this.account, limits);
    this.stack = new ValueStack(this.account, limits.stackDepth, limits.markDepth);
    this.memo = new Memo(this.account, limits.memoEntries);
    this.#hooks = hooks;
  }

  /** A text; a long one that `_codecs.encode` is called with is left as it is. */
  text(length: number): Value {
    const callable = length >= LONG_TEXT ? this.stack.last() : undefined;
    return callable instanceof PyGlobal && callable.path === ENCODE
      ? this.input.undecodedText(length)
      : this.input.unicode(length);
  }

  // Containers

  tuple(items: Value[]): PyTuple {
    if (items.length === 0) return PyTuple.EMPTY;
    this.account.heap(HEAP_COST.tuple + HEAP_COST.slot * items.length);
    return new PyTuple(items);
  }

  list(): PyList {
    this.account.heap(HEAP_COST.list);
    return new PyList();
  }

  dict(): PyDict {
    this.account.heap(HEAP_COST.dict);
    return new PyDict();
  }

  set(items: Value[], frozen: boolean): PySet {
    this.account.heap(HEAP_COST.set + HEAP_COST.slot * items.length);
    return new PySet(items, frozen);
  }

  append(target: Value, items: readonly Value[]): void {
    if (target instanceof PyList) this.#extend(target.items, items);
    else if (target instanceof PyObject) this.#extend(this.#itemsOf(target), items);
    else throw new PickleFault(`items are appended to ${describe(target)}`);
  }

  addItems(target: Value, items: readonly Value[]): void {
    if (target instanceof PySet && !target.frozen) this.#extend(target.items, items);
    else if (target instanceof PyObject) this.#extend(this.#itemsOf(target), items);
    else throw new PickleFault(`items are added to ${describe(target)}`);
  }

  /** `items` alternates keys and values. */
  setItems(target: Value, items: readonly Value[]): void {
    let dict: PyDict;
    if (target instanceof PyDict) dict = target;
    else if (target instanceof PyObject) {
      target.dictItems ??= this.dict();
      dict = target.dictItems;
    } else throw new PickleFault(`items are set on ${describe(target)}`);
    if (items.length % 2 !== 0) throw new PickleFault('the last key has no value');
    if (dict.entries.length === 0 && items.length > 0) this.account.heap(HEAP_COST.firstItem);
    for (let at = 0; at < items.length; at += 2) {
      const key = items[at] as Value;
      chargeKey(this.account, dict, key);
      this.account.heap(HEAP_COST.item);
      dict.set(key, items[at + 1] as Value);
    }
  }

  #itemsOf(object: PyObject): Value[] {
    if (object.listItems === undefined) this.account.heap(HEAP_COST.list);
    object.listItems ??= [];
    return object.listItems;
  }

  #extend(list: Value[], items: readonly Value[]): void {
    if (list.length === 0 && items.length > 0) this.account.heap(HEAP_COST.firstItem);
    this.account.heap(HEAP_COST.grownSlot * items.length);
    for (const item of items) list.push(item);
  }

  // Names, calls and state

  global(module: string, name: string): PyGlobal {
    if (module.length + name.length > NAME_LENGTH) {
      throw new PickleFault(
        `a global's name of ${module.length + name.length} characters; the limit is ${NAME_LENGTH}`,
        'ERR_MLFS_LIMIT',
      );
    }
    const key = `${module}\n${name}`;
    const seen = this.globals.get(key);
    if (seen !== undefined) return seen;
    this.account.heap(HEAP_COST.global + module.length + name.length);
    const global = new PyGlobal(module, name);
    this.globals.set(key, global);
    const reconstructor = this.#hooks.reconstructors?.get(global.path);
    if (reconstructor !== undefined) this.#known.set(global, reconstructor);
    return global;
  }

  /** Extension codes are registered in the program that wrote the file, so they cannot be resolved. */
  extension(code: number): PyGlobal {
    return this.global('copyreg', `extension_${code}`);
  }

  persistent(id: Value): Value {
    this.persistentIds++;
    const value = this.#hooks.persistentLoad?.(id);
    if (value !== undefined) {
      this.account.heap(HEAP_COST.storage);
      return value;
    }
    this.account.heap(HEAP_COST.object);
    return new PyObject(this.global('pickle', 'persistent_load'), this.tuple([id]));
  }

  call(callable: Value, args: Value, kwargs?: Value): Value {
    if (callable instanceof PyGlobal && kwargs === undefined) {
      const made = this.#known.get(callable)?.(args, this.account);
      if (made !== undefined) return made;
    }
    this.account.heap(HEAP_COST.object);
    return new PyObject(callable, args, kwargs);
  }

  /** BUILD on the top of the stack. */
  build(state: Value): void {
    const target = this.stack.top();
    if (target instanceof PyObject) {
      const finished = this.#hooks.finish?.(target, state, this.account);
      if (finished !== undefined) {
        // What names it from now on does so by the stack or the memo. A forged pickle may have put the object elsewhere: there it stays one.
        this.stack.pop();
        this.stack.push(finished);
        this.memo.replace(target, finished);
        return;
      }
      target.state = target.state === undefined ? state : this.#merged(target.state, state);
    } else if (target instanceof PyDict) {
      const attributes =
        state instanceof PyTuple ? state.items.find((item) => item instanceof PyDict) : state;
      if (!(attributes instanceof PyDict)) return;
      target.attributes =
        target.attributes === undefined
          ? attributes
          : (this.#merged(target.attributes, attributes) as PyDict);
    } else if (isPersistent(target)) {
      this.#hooks.build?.(target, state);
    } else {
      throw new PickleFault(`state is set on ${describe(target)}`);
    }
  }

  /** A second BUILD updates the attributes that the first one set. */
  #merged(before: Value, after: Value): Value {
    if (!(before instanceof PyDict && after instanceof PyDict)) return after;
    const merged = new PyDict();
    for (const [key, value] of [...before.entries, ...after.entries]) {
      this.account.steps(8);
      this.account.heap(HEAP_COST.item);
      chargeKey(this.account, merged, key);
      merged.set(key, value);
    }
    return merged;
  }
}

function isPersistent(value: Value): value is PersistentValue {
  return typeof value === 'object' && value !== null && (value.type === 'storage' || value.type === 'tensor');
}

function describe(value: Value): string {
  if (value === null) return 'None';
  if (typeof value !== 'object') return `a ${typeof value}`;
  return value instanceof PyGlobal ? `the global ${quoteName(value.path)}` : `a ${value.type}`;
}
