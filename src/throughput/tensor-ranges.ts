import { isContiguous } from '../checkpoint/tensor.ts';

/** A tensor whose bytes can be read in two ways: at `offset` of the checkpoint, and as the whole `file` in a mount. */
export interface TensorRange {
  /** Path from the root of the mount, `/model/fc/weight.bin`. */
  readonly file: string;
  readonly offset: number;
  readonly length: number;
}

/** The fields used here of a line of /sys/tensors.json. */
interface TensorLine {
  readonly file: string | null;
  readonly file_offset: number | null;
  readonly nbytes: number;
  readonly shape: readonly number[];
  readonly stride: readonly number[];
}

/**
 * Chooses the tensors to read, the largest first, up to `budgetBytes` in total. Strided, compressed and empty tensors are left out, because their
 * bytes are not a single range of the checkpoint with which a read could be compared.
 */
export function chooseRanges(tensorsJson: string, budgetBytes: number): TensorRange[] {
  const seen = new Set<string>();
  const candidates = (JSON.parse(tensorsJson) as TensorLine[]).flatMap((line): TensorRange[] => {
    const { file, file_offset: offset, nbytes: length } = line;
    // The line that counts omitted tensors has no file.
    if (typeof file !== 'string' || offset === null || length === 0 || seen.has(file) || !isContiguous(line))
      return [];
    seen.add(file);
    return [{ file, offset, length }];
  });
  candidates.sort((a, b) => b.length - a.length || a.offset - b.offset);
  const chosen: TensorRange[] = [];
  let total = 0;
  for (const range of candidates) {
    if (total >= budgetBytes) break;
    const length = Math.min(range.length, budgetBytes - total);
    chosen.push({ ...range, length });
    total += length;
  }
  return chosen;
}
