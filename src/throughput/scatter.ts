const GOLDEN_RATIO = 0.618033988749895;

/**
 * All of 0 … count-1, each once, far from one another: steps by the golden section of the count, made coprime to it. No
 * block comes twice, so no cache on the way is measured instead of the way itself.
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
