/** Index of the last of `count` keys that is at most `value`; -1 when all are above it. The keys ascend; of equal ones it is the last. */
export function lastAtMost(count: number, keyAt: (index: number) => number, value: number): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (keyAt(middle) <= value) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
