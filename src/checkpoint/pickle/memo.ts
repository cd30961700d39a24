import { lastAtMost } from '../last-at-most.ts';
import type { Account } from './account.ts';
import { HEAP_COST } from './limits.ts';
import { PickleFault } from './refusal.ts';
import { PyObject, type Value } from './values.ts';

/** Python 2's cPickle counts from 1, and a pickler may skip values that are never used again. */
const MAX_GAP = 64;
/** Indices far from all others: no pickler makes them. */
const MAX_SPARSE = 4096;

/** Opcodes that were read without making the values that they memoise. */
export interface LeftOut {
  /** Where they begin in the pickle. */
  readonly position: number;
  /** The index of the first value; the others follow it. */
  readonly first: number;
}

/** Stands for a value that is put later. */
const LATER = Symbol('later');

/**
 * The memo. Indices are dense in pickles that a pickler wrote, and arbitrary in forged ones. Values that are nearly never asked for may be put later:
 * then only the place of the opcodes that make them is remembered.
 */
export class Memo {
  readonly #dense: (Value | typeof LATER | undefined)[] = [];
  readonly #sparse = new Map<number, Value>();
  readonly #account: Account;
  readonly #limit: number;
  #size = 0;
  /** The first indices of values that are put later, rising, and where the opcodes that make them begin. */
  #laterFrom: number[] = [];
  #laterAt: number[] = [];

  constructor(account: Account, limit: number) {
    this.#account = account;
    this.#limit = limit;
  }

  /** Number of memoised values, which is the next index of MEMOIZE. */
  get size(): number {
    return this.#size;
  }

  get(index: number): Value {
    const value = this.made(index);
    if (value === undefined) throw new PickleFault(`nothing was remembered under ${index}`);
    return value;
  }

  /** The value, if there is one that was put. */
  made(index: number): Value | undefined {
    const value = index < this.#dense.length ? this.#dense[index] : this.#sparse.get(index);
    return value === LATER ? undefined : (value as Value | undefined);
  }

  /** The lowest index above all dense ones. */
  get nextDense(): number {
    return this.#dense.length;
  }

  /** Whether this many more values can be put at `nextDense` and behind it. */
  hasRoom(count: number): boolean {
    return this.#sparse.size === 0 && this.#size + count <= this.#limit;
  }

  /** Reserves the next `count` indices for values that the opcodes at `position` make. There must be room. */
  putLater(count: number, position: number): void {
    if (count === 0) return;
    this.#laterFrom.push(this.#dense.length);
    this.#laterAt.push(position);
    for (let added = 0; added < count; added++) this.#dense.push(LATER);
    this.#size += count;
  }

  /** The opcodes that make the value under `index`; undefined if it is not put later, or was put. */
  leftOutAt(index: number): LeftOut | undefined {
    if (this.#dense[index] !== LATER) return undefined;
    return this.#leftOut(lastAtMost(this.#laterFrom.length, (nth) => this.#laterFrom[nth] as number, index));
  }

  /** All opcodes whose values are put later. They are forgotten: the caller runs them. */
  takeLeftOut(): LeftOut[] {
    const taken = this.#laterAt.map((_, nth) => this.#leftOut(nth));
    this.#laterAt = [];
    this.#laterFrom = [];
    return taken;
  }

  #leftOut(nth: number): LeftOut {
    return { position: this.#laterAt[nth] as number, first: this.#laterFrom[nth] as number };
  }

  /** Whether `set` would replace a value while others are put later: their opcodes may refer to it. */
  isReplacing(index: number): boolean {
    return this.#laterAt.length > 0 && this.made(index) !== undefined;
  }

  /** Puts a value that is put later, unless another has been put in its place. */
  fill(index: number, value: Value): void {
    if (this.#dense[index] === LATER) this.#dense[index] = value;
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
