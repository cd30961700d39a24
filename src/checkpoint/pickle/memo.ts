import type { Account } from './account.ts';
import { HEAP_COST } from './limits.ts';
import { PickleFault } from './refusal.ts';
import { PyObject, type Value } from './values.ts';

/** Python 2's cPickle counts from 1, and a pickler may skip values that are never used again. */
const MAX_GAP = 64;
/** Indices far from all others: no pickler makes them. */
const MAX_SPARSE = 4096;

/** The memo. Indices are dense in pickles that a pickler wrote, and arbitrary in forged ones. */
export class Memo {
  readonly #dense: (Value | undefined)[] = [];
  readonly #sparse = new Map<number, Value>();
  readonly #account: Account;
  readonly #limit: number;
  #size = 0;

  constructor(account: Account, limit: number) {
    this.#account = account;
    this.#limit = limit;
  }

  /** Number of memoised values, which is the next index of MEMOIZE. */
  get size(): number {
    return this.#size;
  }

  get(index: number): Value {
    const value = index < this.#dense.length ? this.#dense[index] : this.#sparse.get(index);
    if (value === undefined) throw new PickleFault(`nothing was remembered under ${index}`);
    return value;
  }

  /** Remembers another value where an object was remembered last. */
  replace(object: PyObject, value: Value): void {
    const index = object.memoIndex;
    if (this.#dense[index] === object) this.#dense[index] = value;
    else if (this.#sparse.get(index) === object) this.#sparse.set(index, value);
  }

  set(index: number, value: Value): void {
    if (value instanceof PyObject) value.memoIndex = index;
    if (index > this.#dense.length + MAX_GAP) {
      if (!this.#sparse.has(index)) this.#grow(this.#sparse.size < MAX_SPARSE);
      this.#sparse.set(index, value);
      return;
    }
    while (this.#dense.length < index) {
      this.#dense.push(this.#sparse.get(this.#dense.length));
      this.#account.heap(HEAP_COST.memo);
    }
    if (this.#dense[index] === undefined) this.#grow(true);
    this.#dense[index] = value;
  }

  #grow(allowed: boolean): void {
    this.#size++;
    if (!allowed || this.#size > this.#limit) {
      throw new PickleFault(
        `more than ${allowed ? this.#limit : MAX_SPARSE} values remembered`,
        'ERR_MLFS_LIMIT',
      );
    }
    this.#account.heap(HEAP_COST.memo);
  }
}
