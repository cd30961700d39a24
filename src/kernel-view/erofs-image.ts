/**
 * An EROFS image whose files are byte ranges of another file, the checkpoint. Nothing of the checkpoint is copied except what no device can
 * show: the image has some 100 bytes for each file, and each file lies on a device that begins where its blocks are aligned
 * (shifted-devices.ts). A file's name is its nodeid in hexadecimal, so no name of a checkpoint is in it.
 *
 *   0                1024         1152                   metadata                    directory               copies
 *   ├────────────────┼────────────┼──────────────────────┼───────────────────────────┼───────────────────────┼─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─┤
 *     empty            superblock   a slot for each device  root inode, file inodes     entries, block by block  ends of files that
 *                                                           with indexes of chunks                               reach the end
 *
 * The copies are not in `bytes`: whoever attaches the image reads them from the checkpoint (chunk-layout.ts says why there are any).
 *
 * Invariants: devices are numbered from 1 in ascending order of their beginning; an inode does not cross a block; every index lies within the
 * 32 bits of a block number; the same ranges make the same bytes.
 */
import { ChunkLayout, PAGE_BYTES, roundUp } from './chunk-layout.ts';
import {
  DEVICE_SLOT_BYTES,
  DIRENT_BYTES,
  EXTENDED_INODE_BYTES,
  FILE_TYPE,
  FOLDER_TYPE,
  INDEX_BYTES,
  INODE_SLOT_BYTES,
  inodeBytes,
  SUPERBLOCK_AT,
  SUPERBLOCK_BYTES,
  writeDeviceSlot,
  writeDirent,
  writeFileInode,
  writeIndex,
  writeRootInode,
  writeSuperblock,
} from './erofs-format.ts';
import { type FileRanges, rangeCount } from './file-ranges.ts';
import { BLOCK_BITS, deviceBegin, WINDOW_BYTES } from './shifted-devices.ts';

export interface ErofsImage {
  /** The image without its copies. */
  readonly bytes: Uint8Array;
  /** Offset of the checkpoint at which each device begins, in the order of the devices. */
  readonly begins: Float64Array;
  /** (offset in the image, offset in the checkpoint, length) of bytes to copy behind `bytes`. The image ends with the page of the last one. */
  readonly copies: Float64Array;
}

export interface ErofsImageOptions {
  /** Size of a block as a power of two. */
  readonly blockBits?: number;
}

/** Files or indexes between two yields: well below a millisecond. */
const SLICE = 4096;
const NAME_DIGITS = 8;

/** `.` and `..` sort before every name. */
const DOTS = ['.', '..'] as const;
const DOT = 0x2e;

/** Builds the image of ranges that `selectRanges` has checked. Yields after each SLICE of work. */
export function* erofsImage(
  ranges: FileRanges,
  fileBytes: number,
  { blockBits = BLOCK_BITS }: ErofsImageOptions = {},
): Generator<void, ErofsImage> {
  const layout = new ChunkLayout(fileBytes, blockBits);
  const begins = yield* deviceBegins(ranges, layout);
  const plan = yield* planImage(ranges, layout, begins.length);
  const bytes = new Uint8Array(plan.copiesAt);
  const image = new DataView(bytes.buffer);
  const blockBytes = 2 ** blockBits;

  writeSuperblock(image, {
    blockBits,
    inodes: rangeCount(ranges) + 1,
    blocks: (plan.copiesAt + plan.copyBytes) / blockBytes,
    metadataBlock: plan.metadataAt / blockBytes,
    rootNid: 0,
    devices: begins.length,
  });
  for (const [index, begin] of begins.entries()) {
    writeDeviceSlot(image, index, Math.min(Math.floor((fileBytes - begin) / blockBytes), 0xffffffff));
  }
  writeRootInode(image, plan.metadataAt, plan.directoryBytes, plan.directoryAt / blockBytes);
  const copies = yield* writeFiles(image, ranges, layout, plan, begins);
  yield* writeDirectory(image, bytes, ranges, plan, blockBytes);
  return { bytes, begins, copies };
}

function* deviceBegins({ offsets, lengths }: FileRanges, layout: ChunkLayout): Generator<void, Float64Array> {
  const begins = new Set<number>();
  for (let i = 0; i < offsets.length; i++) {
    const offset = offsets[i] as number;
    const end = offset + (lengths[i] as number);
    for (let at = offset; at < end; at += WINDOW_BYTES) begins.add(deviceBegin(at, layout.blockBits));
    if (i % SLICE === 0) yield;
  }
  return Float64Array.from(begins).sort();
}

interface Plan {
  readonly metadataAt: number;
  /** Offsets of the inodes in the metadata area. */
  readonly inodesAt: Float64Array;
  readonly chunkBits: Uint8Array;
  readonly directoryAt: number;
  readonly directoryBytes: number;
  readonly copiesAt: number;
  readonly copyBytes: number;
}

function* planImage(ranges: FileRanges, layout: ChunkLayout, devices: number): Generator<void, Plan> {
  const blockBytes = 2 ** layout.blockBits;
  const count = rangeCount(ranges);
  const inodesAt = new Float64Array(count);
  const chunkBits = new Uint8Array(count);
  const metadataAt = roundUp(SUPERBLOCK_AT + SUPERBLOCK_BYTES + devices * DEVICE_SLOT_BYTES, blockBytes);
  let at = EXTENDED_INODE_BYTES;
  let copyBytes = 0;
  for (let i = 0; i < count; i++) {
    const offset = ranges.offsets[i] as number;
    const length = ranges.lengths[i] as number;
    const bits = layout.chunkBits(offset, length);
    const chunks = Math.ceil(length / 2 ** (bits + layout.blockBits));
    const head = inodeBytes(length);
    at = roundUp(at, INODE_SLOT_BYTES);
    if ((at % blockBytes) + head > blockBytes) at = roundUp(at, blockBytes);
    inodesAt[i] = at;
    chunkBits[i] = bits;
    at += head + chunks * INDEX_BYTES;
    copyBytes += roundUp(length - layout.copiedFrom(offset, length, bits), PAGE_BYTES);
    if (i % SLICE === 0) yield;
  }
  const directoryAt = metadataAt + roundUp(at, blockBytes);
  const perBlock = entriesPerBlock(blockBytes);
  const entries = count + DOTS.length;
  const lastEntries = entries - Math.floor((entries - 1) / perBlock) * perBlock;
  const directoryBlocks = Math.ceil(entries / perBlock);
  const lastBytes = lastEntries * (DIRENT_BYTES + NAME_DIGITS) - (directoryBlocks === 1 ? SHORTER_DOTS : 0);
  return {
    metadataAt,
    inodesAt,
    chunkBits,
    directoryAt,
    directoryBytes: (directoryBlocks - 1) * blockBytes + lastBytes,
    copiesAt: roundUp(directoryAt + directoryBlocks * blockBytes, PAGE_BYTES),
    copyBytes,
  };
}

/** What `.` and `..` lack of a whole name. */
const SHORTER_DOTS = 2 * NAME_DIGITS - 3;

function entriesPerBlock(blockBytes: number): number {
  return Math.floor(blockBytes / (DIRENT_BYTES + NAME_DIGITS));
}

function* writeFiles(
  image: DataView,
  ranges: FileRanges,
  layout: ChunkLayout,
  plan: Plan,
  begins: Float64Array,
): Generator<void, Float64Array> {
  const blockBytes = 2 ** layout.blockBits;
  const deviceOf = new Map(Array.from(begins, (begin, index) => [begin, index + 1]));
  const copies: number[] = [];
  let copyAt = plan.copiesAt;
  let written = 0;
  for (let i = 0; i < ranges.nodeids.length; i++) {
    const offset = ranges.offsets[i] as number;
    const length = ranges.lengths[i] as number;
    const bits = plan.chunkBits[i] as number;
    const chunkBytes = 2 ** bits * blockBytes;
    const at = plan.metadataAt + (plan.inodesAt[i] as number);
    // Inode numbers are for statx of the view's own files, which nobody sees; the root's is 1.
    writeFileInode(image, at, { number: i + 2, size: length, chunkBits: bits });
    let indexAt = at + inodeBytes(length);
    const copiedFrom = layout.copiedFrom(offset, length, bits);
    for (let window = 0; window < copiedFrom; window += WINDOW_BYTES) {
      const begin = deviceBegin(offset + window, layout.blockBits);
      const device = deviceOf.get(begin) as number;
      const end = Math.min(copiedFrom, window + WINDOW_BYTES);
      for (let from = window; from < end; from += chunkBytes, indexAt += INDEX_BYTES) {
        writeIndex(image, indexAt, device, (offset + from - begin) / blockBytes);
        if (++written % SLICE === 0) yield;
      }
    }
    if (copiedFrom < length) copies.push(copyAt, offset + copiedFrom, length - copiedFrom);
    for (let from = copiedFrom; from < length; from += chunkBytes, indexAt += INDEX_BYTES) {
      writeIndex(image, indexAt, 0, copyAt / blockBytes);
      copyAt += roundUp(Math.min(chunkBytes, length - from), PAGE_BYTES);
      if (++written % SLICE === 0) yield;
    }
  }
  return Float64Array.from(copies);
}

function* writeDirectory(
  image: DataView,
  bytes: Uint8Array,
  { nodeids }: FileRanges,
  plan: Plan,
  blockBytes: number,
): Generator<void, void> {
  const perBlock = entriesPerBlock(blockBytes);
  const entries = nodeids.length + DOTS.length;
  for (let first = 0, blockAt = plan.directoryAt; first < entries; first += perBlock, blockAt += blockBytes) {
    const inBlock = Math.min(perBlock, entries - first);
    let nameAt = inBlock * DIRENT_BYTES;
    for (let i = 0; i < inBlock; i++) {
      const dots = DOTS[first + i];
      const file = first + i - DOTS.length;
      const nid = dots === undefined ? (plan.inodesAt[file] as number) / INODE_SLOT_BYTES : 0;
      writeDirent(
        image,
        blockAt + i * DIRENT_BYTES,
        nid,
        nameAt,
        dots === undefined ? FILE_TYPE : FOLDER_TYPE,
      );
      if (dots === undefined) {
        nameAt += writeName(bytes, blockAt + nameAt, nodeids[file] as number);
      } else {
        bytes.fill(DOT, blockAt + nameAt, blockAt + nameAt + dots.length);
        nameAt += dots.length;
      }
    }
    if ((first / perBlock) % 16 === 0) yield;
  }
}

/** Writes the name of an inode's file, as native/view_opens.cc looks it up: eight hexadecimal digits. Returns its length. */
function writeName(bytes: Uint8Array, at: number, nodeid: number): number {
  for (let digit = NAME_DIGITS - 1, rest = nodeid; digit >= 0; digit--, rest >>>= 4) {
    bytes[at + digit] = HEX_DIGITS.charCodeAt(rest & 15);
  }
  return NAME_DIGITS;
}

const HEX_DIGITS = '0123456789abcdef';
