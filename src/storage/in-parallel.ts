/**
 * Runs `task` for every item, which is taken when its turn comes, at most `width` at a time, and rejects with the first failure after the running ones have settled. 64
 * concurrent preads keep libuv's threads busy: 20,000 take some 30 ms, and 200 ms one by one.
 */
export async function inParallel<T>(
  items: Iterable<T>,
  width: number,
  task: (item: T) => Promise<void>,
): Promise<void> {
  const iterator = items[Symbol.iterator]();
  let failure: { cause: unknown } | undefined;
  const worker = async () => {
    while (failure === undefined) {
      const next = iterator.next();
      if (next.done === true) return;
      try {
        await task(next.value);
      } catch (cause) {
        failure ??= { cause };
      }
    }
  };
  await Promise.all(Array.from({ length: width }, worker));
  if (failure !== undefined) throw (failure as { cause: unknown }).cause;
}
