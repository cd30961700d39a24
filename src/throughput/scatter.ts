const GOLDEN_RATIO = 0.618033988749895;

/**
 * Yields each of 0 … count-1 once, in an order in which neighbours are far apart: the step is the golden section of the count, made coprime to it.
 * No block is read twice, so that no read is answered by a cache.
 */
export function* scattered(count: number): Generator<number> {
  if (count < 1) return;
  let step = Math.max(1, Math.floor(count * GOLDEN_RATIO));
  while (greatestCommonDivisor(step, count) !== 1) step++;
  let at = 0;
  for (let done = 0; done < count; done++) {
    yield at;
    at = (at + step) % count;
  }
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
