/**
 * Which files of a mount become files of its kernel view. Each place where tensors begin within a block needs a loop device of its own:
 * torch aligns tensors to 64 bytes, which makes 8 places, safetensors to 8, which makes 64. The devices with the most bytes are taken; the
 * other files are served by the data plane.
 */
import { type FileRanges, FileRangesBuilder } from './file-ranges.ts';
import { BLOCK_BITS, deviceBegin, WINDOW_BYTES } from './shifted-devices.ts';

export interface SelectionLimits {
  readonly devices: number;
  /** A device is worth it for this many bytes. */
  readonly leastDeviceBytes: number;
  /** Largest checkpoint file. */
  readonly mostFileBytes: number;
  /** How many files that reach the end of the checkpoint are taken: the longest. */
  readonly endFiles: number;
}

export const LIMITS: SelectionLimits = {
  // All places of safetensors. A machine has them in the kernel's memory, some 100 KiB each, with a thread for the reads of each.
  devices: 64,
  // Reading them through the data plane takes less time than attaching a device.
  leastDeviceBytes: 2 ** 20,
  // The largest file of ext4, and far below the 2^53 bytes up to which offsets are exact.
  mostFileBytes: 2 ** 44,
  // Each has up to 16,384 small chunks, of which the image needs an index of 8 bytes. Real checkpoints have two or three: the last tensor, and the
  // exported file.
  endFiles: 16,
};

/** A file that ends further from the end of the checkpoint never needs small chunks: two pages. */
const END_BYTES = 8192;

/** Files between two yields. */
const SLICE = 1024;

/** `ranges` may be anything that a checkpoint claims. Yields now and then. */
export function* selectRanges(
  { nodeids, offsets, lengths }: FileRanges,
  fileBytes: number,
  limits: SelectionLimits = LIMITS,
): Generator<void, FileRanges> {
  const selected = new FileRangesBuilder();
  if (!(fileBytes <= limits.mostFileBytes)) return selected.finish();
  const bytesOn = new Map<number, number>();
  for (let i = 0; i < nodeids.length; i++) {
    const offset = offsets[i] as number;
    const length = lengths[i] as number;
    if (isInside(offset, length, fileBytes)) {
      for (let from = 0; from < length; from += WINDOW_BYTES) {
        const begin = deviceBegin(offset + from, BLOCK_BITS);
        bytesOn.set(begin, (bytesOn.get(begin) ?? 0) + Math.min(WINDOW_BYTES, length - from));
      }
    }
    if (i % SLICE === 0) yield;
  }
  const chosen = new Set(
    [...bytesOn]
      .filter(([, bytes]) => bytes >= limits.leastDeviceBytes)
      .sort(([, one], [, other]) => other - one)
      .slice(0, limits.devices)
      .map(([begin]) => begin),
  );
  const taken = new Uint8Array(nodeids.length);
  const atEnd: number[] = [];
  for (let i = 0; i < nodeids.length; i++) {
    const offset = offsets[i] as number;
    const length = lengths[i] as number;
    if (isInside(offset, length, fileBytes) && liesOn(chosen, offset, length)) {
      if (offset + length > fileBytes - END_BYTES) atEnd.push(i);
      else taken[i] = 1;
    }
    if (i % SLICE === 0) yield;
  }
  atEnd.sort((one, other) => (lengths[other] as number) - (lengths[one] as number));
  for (const i of atEnd.slice(0, limits.endFiles)) taken[i] = 1;
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
