/** Maximum time of a slice: nothing else of the mount waits longer, however many documents are being made. */
const SLICE_MS = 8;

/** Number of running works, which share the slice. */
let running = 0;

/** Runs work that yields between its parts, and lets the event loop run in between. */
export async function inSlices<T>(work: Generator<void, T>): Promise<T> {
  running++;
  try {
    for (;;) {
      const until = performance.now() + SLICE_MS / running;
      do {
        const { done, value } = work.next();
        if (done === true) return value;
      } while (performance.now() < until);
      await new Promise((resolve) => setImmediate(resolve));
    }
  } finally {
    running--;
  }
}

/** Runs small work in one go. */
export function atOnce<T>(work: Generator<void, T>): T {
  for (;;) {
    const { done, value } = work.next();
    if (done === true) return value;
  }
}
