import { setImmediate as nextTurn } from 'node:timers/promises';

/** What may be done in one turn of the event loop, by all who share it; the rest waits for later turns, and whatever else the process serves comes between. */
export class TurnBudget {
  readonly #each: number;
  #left: number;
  #renewal: Promise<void> | undefined;

  /** `each`: the amount of a turn, in whatever its users count. What is begun may exceed it. */
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
