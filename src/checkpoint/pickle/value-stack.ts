import type { Account } from './account.ts';
import { HEAP_COST } from './limits.ts';
import { PickleFault } from './refusal.ts';
import type { Value } from './values.ts';

/** Slots of the stack that are charged at once. */
const CHARGED = 16_384;

/** The machine's stack and its MARKs. Nothing below the last MARK can be popped. */
export class ValueStack {
  readonly #values: Value[] = [];
  /** Heights of the stack at the open MARKs. */
  readonly #marks: number[] = [];
  #floor = 0;
  /** Height up to which the stack is already charged. */
  #charged = 0;
  readonly #account: Account;
  readonly #depthLimit: number;
  readonly #markLimit: number;

  constructor(account: Account, depthLimit: number, markLimit: number) {
    this.#account = account;
    this.#depthLimit = depthLimit;
    this.#markLimit = markLimit;
  }

  push(value: Value): void {
    if (this.#values.length >= this.#charged) this.#grow();
    this.#values.push(value);
  }

  #grow(): void {
    if (this.#values.length >= this.#depthLimit) {
      throw new PickleFault(`more than ${this.#depthLimit} values on the stack`, 'ERR_MLFS_LIMIT');
    }
    const height = Math.min(this.#depthLimit, this.#charged + CHARGED);
    this.#account.heap(HEAP_COST.grownSlot * (height - this.#charged));
    this.#charged = height;
  }

  pop(): Value {
    if (this.#values.length <= this.#floor) throw new PickleFault('the stack is empty');
    return this.#values.pop() as Value;
  }

  top(): Value {
    if (this.#values.length <= this.#floor) throw new PickleFault('the stack is empty');
    return this.#values[this.#values.length - 1] as Value;
  }

  /** The value that was pushed last, also when a MARK lies above it. */
  last(): Value | undefined {
    return this.#values.at(-1);
  }

  mark(): void {
    if (this.#marks.length >= this.#markLimit) {
      throw new PickleFault(`nested deeper than ${this.#markLimit}`, 'ERR_MLFS_LIMIT');
    }
    this.#floor = this.#values.length;
    this.#marks.push(this.#floor);
  }

  /** Removes and returns everything above the last MARK, and closes it. */
  popItems(): Value[] {
    const height = this.#marks.pop();
    if (height === undefined) throw new PickleFault('there is no MARK');
    this.#floor = this.#marks[this.#marks.length - 1] ?? 0;
    const items = this.#values.slice(height);
    this.#values.length = height;
    return items;
  }

  get openMarks(): number {
    return this.#marks.length;
  }

  /** Whether the stack may have this many more values and MARKs. */
  hasRoom(values: number, marks: number): boolean {
    return (
      this.#values.length + values <= this.#depthLimit &&
      this.#marks.length + marks <= this.#markLimit &&
      this.#values.length > this.#floor
    );
  }

  /** POP: removes the top value, or the MARK if that is on top. */
  drop(): void {
    if (this.#marks.length > 0 && this.#values.length === this.#floor) this.popItems();
    else this.pop();
  }
}
