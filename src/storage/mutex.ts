/** Runs tasks one at a time, in the order in which they were given. A task that fails does not stop the next one. */
export class Mutex {
  #last: Promise<unknown> = Promise.resolve();

  run<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#last.then(task);
    // The failure belongs to its own caller.
    this.#last = result.catch(() => undefined);
    return result;
  }
}
