/** Longer nothing else of the mount waits. */
const SLICE_MS = 8;

/** Runs work that yields between its parts, and lets the event loop go on now and then. */
export async function inSlices<T>(work: Generator<void, T>): Promise<T> {
  for (;;) {
    const until = performance.now() + SLICE_MS;
    while (performance.now() < until) {
      const { done, value } = work.next();
      if (done === true) return value;
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
}
