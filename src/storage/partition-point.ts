/**
 * The first index from 0 to `length` for which `beyond` is true; `length` when there is none. `beyond` must be false up to some index and
 * true from there on.
 */
export function partitionPoint(length: number, beyond: (index: number) => boolean): number {
  let low = 0;
  let high = length;
  while (low < high) {
    const middle = low + Math.floor((high - low) / 2);
    if (beyond(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}
