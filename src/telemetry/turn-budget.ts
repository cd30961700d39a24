import { setImmediate as nextTurn } from 'node:timers/promises';

/**
 * How much work all users of a budget may do in one turn of the event loop. The rest waits for later turns, so that other work of the process
 * runs in between.
 */
export class TurnBudget {
  readonly #each: number;
  #left: number;
  #renewal: Promise<void> | undefined;

  /** `each` is the amount for a turn, in a unit that the users choose. A piece of work that has begun may exceed it. */
  constructor(each: number) {
    this.#each = each;
    this.#left = each;
  }

  get isSpent(): boolean {
    return this.#left <= 0;
  }

  spend(amount: number): void {
    this.#left -= amount;
    this.#renewal ??= nextTurn().then(() => {
      this.#left = this.#each;
      this.#renewal = undefined;
    });
  }

  /** Resolves in a turn that has something left. */
  async free(): Promise<void> {
    while (this.isSpent) await this.#renewal;
  }
}
