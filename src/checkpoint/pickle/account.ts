import type { PickleLimits } from './limits.ts';
import { PickleFault } from './refusal.ts';

/** What a pickle has used of its limits. Whoever copies or allocates on a pickle's behalf charges it here first. */
export class Account {
  readonly #limits: PickleLimits;
  #steps = 0;
  #memoryBytes = 0;

  constructor(limits: PickleLimits) {
    this.#limits = limits;
  }

  /** Throws a limit fault when the pickle has done more than it may. */
  steps(count: number): void {
    this.#steps += count;
    if (this.#steps > this.#limits.steps) {
      throw new PickleFault(`more than ${this.#limits.steps} steps`, 'ERR_MLFS_LIMIT');
    }
  }

  /** Throws a limit fault when the values made so far would not fit. */
  heap(bytes: number): void {
    this.#memoryBytes += bytes;
    if (this.#memoryBytes > this.#limits.memoryBytes) {
      throw new PickleFault(
        `it needs more than ${this.#limits.memoryBytes} bytes of memory`,
        'ERR_MLFS_LIMIT',
      );
    }
  }
}
