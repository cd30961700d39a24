import { isContiguous } from '../checkpoint/tensor.ts';

/** A tensor whose bytes can be read both ways: at `offset` of the checkpoint, and as the whole of `file` in a mount. */
export interface TensorRange {
  /** From the root of the mount, `/model/fc/weight.bin`. */
  readonly file: string;
  readonly offset: number;
  readonly length: number;
}

/** The fields of a line of /sys/tensors.json that are needed here. */
interface TensorLine {
  readonly file: string | null;
  readonly file_offset: number | null;
  readonly nbytes: number;
  readonly shape: readonly number[];
  readonly stride: readonly number[];
}

/**
 * Which tensors to read, the largest first, until `budgetBytes` are together. Strided, compressed and empty ones are left
 * out: their bytes are not a run of the checkpoint, so there is nothing to compare with.
 */
export function chooseRanges(tensorsJson: string, budgetBytes: number): TensorRange[] {
  const seen = new Set<string>();
  const candidates = (JSON.parse(tensorsJson) as TensorLine[]).flatMap((line): TensorRange[] => {
    const { file, file_offset: offset, nbytes: length } = line;
    // The line that says that others were left out has no file.
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
