/**
 * Which files of a mount become files of its kernel view: files of at least 1 MiB, on the devices with the most bytes. Each place where tensors
 * begin within a block needs a loop device of its own: torch aligns tensors to 64 bytes, which makes 8 places, safetensors to 8, which makes 64.
 * The other files are served by the data plane.
 */
import { ChunkLayout } from './chunk-layout.ts';
import { type FileRanges, FileRangesBuilder } from './file-ranges.ts';
import { BLOCK_BITS, deviceBegin, WINDOW_BYTES } from './shifted-devices.ts';

export interface SelectionLimits {
  readonly devices: number;
  /** Smallest file of a view. */
  readonly leastFileBytes: number;
  /** Largest checkpoint file. */
  readonly mostFileBytes: number;
  /** Bytes of the image for the indexes and copies of files that reach the end of the checkpoint. */
  readonly endBytes: number;
}

export const LIMITS: SelectionLimits = {
  // All places of safetensors. A machine has them in the kernel's memory, some 100 KiB each, with a thread for the reads of each.
  devices: 64,
  // Opening, reading and closing a smaller file takes less time through the data plane (docs/PERFORMANCE.md).
  leastFileBytes: 2 ** 20,
  // The largest file of ext4, and far below the 2^53 bytes up to which offsets are exact.
  mostFileBytes: 2 ** 44,
  // Enough for the two that real checkpoints have, the last tensor and the exported file: one of 16 TiB takes 16 to 25 MiB.
  endBytes: 32 * 2 ** 20,
};

/** Files between two yields: each has at most 16 windows. */
const SLICE = 512;

/** `ranges` may be anything that a checkpoint claims. Yields now and then. */
export function* selectRanges(
  { nodeids, offsets, lengths }: FileRanges,
  fileBytes: number,
  limits: SelectionLimits = LIMITS,
): Generator<void, FileRanges> {
  const selected = new FileRangesBuilder();
  if (!(fileBytes <= limits.mostFileBytes)) return selected.finish();
  const mayBeIn = (offset: number, length: number) =>
    length >= limits.leastFileBytes && isInside(offset, length, fileBytes);
  const bytesOn = new Map<number, number>();
  for (let i = 0; i < nodeids.length; i++) {
    const offset = offsets[i] as number;
    const length = lengths[i] as number;
    if (mayBeIn(offset, length)) {
      for (let from = 0; from < length; from += WINDOW_BYTES) {
        const begin = deviceBegin(offset + from, BLOCK_BITS);
        bytesOn.set(begin, (bytesOn.get(begin) ?? 0) + Math.min(WINDOW_BYTES, length - from));
      }
    }
    if (i % SLICE === 0) yield;
  }
  const chosen = new Set(
    [...bytesOn]
      .sort(([, one], [, other]) => other - one)
      .slice(0, limits.devices)
      .map(([begin]) => begin),
  );
  const layout = new ChunkLayout(fileBytes);
  const taken = new Uint8Array(nodeids.length);
  const atEnd = new LongestFirst();
  for (let i = 0; i < nodeids.length; i++) {
    const offset = offsets[i] as number;
    const length = lengths[i] as number;
    if (mayBeIn(offset, length) && liesOn(chosen, offset, length)) {
      if (layout.reachesEnd(offset, length)) atEnd.add(i, length);
      else taken[i] = 1;
    }
    if (i % SLICE === 0) yield;
  }
  let endBytes = limits.endBytes;
  let looked = 0;
  for (const i of atEnd) {
    const bytes = layout.imageBytes(offsets[i] as number, lengths[i] as number);
    if (bytes <= endBytes) {
      endBytes -= bytes;
      taken[i] = 1;
    }
    if (++looked % SLICE === 0) yield;
  }
  for (let i = 0; i < nodeids.length; i++) {
    if (taken[i] === 1) selected.add(nodeids[i] as number, offsets[i] as number, lengths[i] as number);
    if (i % SLICE === 0) yield;
  }
  return selected.finish();
}

/** Whether all devices on which a range lies are chosen. */
function liesOn(chosen: ReadonlySet<number>, offset: number, length: number): boolean {
  for (let from = 0; from < length; from += WINDOW_BYTES) {
    if (!chosen.has(deviceBegin(offset + from, BLOCK_BITS))) return false;
  }
  return true;
}

function isInside(offset: number, length: number, fileBytes: number): boolean {
  if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length)) return false;
  return offset >= 0 && length > 0 && length <= fileBytes && offset <= fileBytes - length;
}

/** The longest files first, to a factor of two: a checkpoint may claim so many that sorting them would hold the event loop. */
class LongestFirst {
  readonly #bySize: number[][] = [];

  add(file: number, length: number): void {
    const size = Math.floor(Math.log2(length));
    this.#bySize[size] ??= [];
    this.#bySize[size].push(file);
  }

  *[Symbol.iterator](): Generator<number> {
    for (let size = this.#bySize.length - 1; size >= 0; size--) yield* this.#bySize[size] ?? [];
  }
}
