/** The first index from 0 to `length` that is `beyond`, which is false up to some index and true from there on; `length` when none is. */
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
