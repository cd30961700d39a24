import type { Account } from './account.ts';
import { HEAP_COST } from './limits.ts';
import { PickleFault } from './refusal.ts';
import type { Value } from './values.ts';

/** The memo: indices are dense in every pickle that a pickler wrote, and anything in a forged one. */
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

  /** How many values are remembered: the index that MEMOIZE uses next. */
  get size(): number {
    return this.#size;
  }

  get(index: number): Value {
    const value = this.#dense[index] ?? this.#sparse.get(index);
    if (value === undefined) {
      // None is remembered too: `??` skipped it.
      if (index < this.#dense.length && this.#dense[index] === null) return null;
      throw new PickleFault(`nothing was remembered under ${index}`);
    }
    return value;
  }

  set(index: number, value: Value): void {
    if (index === this.#dense.length && !this.#sparse.has(index)) {
      this.#grow();
      this.#dense.push(value);
    } else if (index < this.#dense.length) {
      this.#dense[index] = value;
    } else {
      if (!this.#sparse.has(index)) this.#grow();
      this.#sparse.set(index, value);
    }
  }

  #grow(): void {
    this.#size++;
    if (this.#size > this.#limit) {
      throw new PickleFault(`more than ${this.#limit} values remembered`, 'ERR_MLFS_LIMIT');
    }
    this.#account.heap(HEAP_COST.memo);
  }
}
