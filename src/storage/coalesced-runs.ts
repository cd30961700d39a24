/** Concurrent callers share a run of a task; late arrivals join the next one. */
export class CoalescedRuns {
  readonly #task: () => Promise<void>;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  constructor(task: () => Promise<void>) {
    this.#task = task;
  }

  /** A run that begins after this call. */
  run(): Promise<void> {
    this.#next ??= this.#runAfter(this.#running);
    return this.#next;
  }

  async #runAfter(running: Promise<void> | undefined): Promise<void> {
    // Its failure concerns only its own callers.
    await running?.catch(() => undefined);
    this.#running = this.#next;
    this.#next = undefined;
    await this.#task();
  }
}
