import type { PickleLimits } from './limits.ts';
import { PickleFault } from './refusal.ts';

/** Tracks how much of its limits a pickle has used. Code that copies or allocates for a pickle must charge the account first. */
export class Account {
  readonly #limits: PickleLimits;
  #steps = 0;
  #memoryBytes = 0;
  #isPaid = false;

  constructor(limits: PickleLimits) {
    this.#limits = limits;
  }

  /** Whether this much can be charged without a fault. */
  affords(steps: number, heapBytes: number): boolean {
    return (
      this.#steps + steps <= this.#limits.steps && this.#memoryBytes + heapBytes <= this.#limits.memoryBytes
    );
  }

  /** Throws a limit fault when the pickle has done more than it may. */
  steps(count: number): void {
    if (this.#isPaid) return;
    this.#steps += count;
    if (this.#steps > this.#limits.steps) {
      throw new PickleFault(`more than ${this.#limits.steps} steps`, 'ERR_MLFS_LIMIT');
    }
  }

  /** Throws a limit fault when the values created so far would exceed the limit. */
  heap(bytes: number): void {
    if (this.#isPaid) return;
    this.#memoryBytes += bytes;
    if (this.#memoryBytes > this.#limits.memoryBytes) {
      throw new PickleFault(
        `it needs more than ${this.#limits.memoryBytes} bytes of memory`,
        'ERR_MLFS_LIMIT',
      );
    }
  }

  /** Runs what was charged before. */
  paid(work: () => void): void {
    this.#isPaid = true;
    work();
    this.#isPaid = false;
  }
}
