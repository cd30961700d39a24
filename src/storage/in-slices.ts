/** Maximum time of a slice: nothing else of the mount waits longer, however many documents are being made. */
const SLICE_MS = 8;

/** Number of running works, which share the slice. */
let running = 0;

/**
 * Runs work that yields between its parts, and lets the event loop run in between. With `isGivenUp`, the work is ended between two slices when
 * that says so (its `finally` blocks run), and the result is undefined.
 */
export async function inSlices<T>(work: Generator<void, T>): Promise<T>;
export async function inSlices<T>(work: Generator<void, T>, isGivenUp: () => boolean): Promise<T | undefined>;
export async function inSlices<T>(
  work: Generator<void, T>,
  isGivenUp: () => boolean = () => false,
): Promise<T | undefined> {
  running++;
  try {
    while (!isGivenUp()) {
      const until = performance.now() + SLICE_MS / running;
      do {
        const { done, value } = work.next();
        if (done === true) return value;
      } while (performance.now() < until);
      await new Promise((resolve) => setImmediate(resolve));
    }
    work.return(undefined as T);
    return undefined;
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
