/** Callers at a time share one run of a task: who comes while it is running waits for the next run, which begins after it. */
export class GroupSync {
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
    // Its failure is told to those who wait for it.
    await running?.catch(() => undefined);
    this.#running = this.#next;
    this.#next = undefined;
    await this.#task();
  }
}
