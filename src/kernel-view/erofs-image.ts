/**
 * An EROFS image whose files are byte ranges of another file, the checkpoint. Nothing of the checkpoint is copied except what no device can
 * show: the image has some 100 bytes for each file, and each file lies on a device that begins where its blocks are aligned
 * (shifted-devices.ts). A file's name is its nodeid in hexadecimal, so no name of a checkpoint is in it.
 *
 *   0                1024         1152                   metadata                    directory              copies
 *   ├────────────────┼────────────┼──────────────────────┼───────────────────────────┼──────────────────────┤
 *     empty            superblock   a slot for each device  root inode, file inodes     entries, block by block
 *                                                           with indexes of chunks
 *
 * A block device has whole sectors and is read by pages. So what lies behind the last whole page of a device cannot be read through it: a
 * file that reaches there gets small chunks, and the chunks that do are copied into the image when it is attached.
 *
 * Invariants: devices are numbered from 1 in ascending order of their beginning; an inode does not cross a block; every index lies within the
 * 32 bits of a block number; the same ranges make the same bytes.
 */
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
  readonly bytes: Uint8Array;
  /** Offset of the checkpoint at which each device begins, in the order of the devices. */
  readonly begins: Float64Array;
  /** (offset in the image, offset in the checkpoint, length) of bytes to copy into the image. */
  readonly copies: Float64Array;
}

export interface ErofsImageOptions {
  /** Size of a block as a power of two. */
  readonly blockBits?: number;
}

const PAGE_BYTES = 4096;
/** A file that reaches the end has at most this many chunks of the smallest size that allows it: 128 KiB of indexes. */
const MOST_CHUNK_BITS = 14;
/** Files between two yields. */
const SLICE = 512;
const NAME_DIGITS = 8;

/** `.` and `..` sort before every name. */
const DOTS = ['.', '..'] as const;
const DOT = 0x2e;

/** Builds the image of ranges that `selectRanges` has checked. Yields now and then. */
export function* erofsImage(
  ranges: FileRanges,
  fileBytes: number,
  { blockBits = BLOCK_BITS }: ErofsImageOptions = {},
): Generator<void, ErofsImage> {
  const layout = new ChunkLayout(fileBytes, blockBits);
  const begins = yield* deviceBegins(ranges, layout);
  const plan = yield* planImage(ranges, layout, begins.length);
  const bytes = new Uint8Array(plan.imageBytes);
  const image = new DataView(bytes.buffer);
  const blockBytes = 2 ** blockBits;

  writeSuperblock(image, {
    blockBits,
    inodes: rangeCount(ranges) + 1,
    blocks: plan.imageBytes / blockBytes,
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

/** How a range is cut into chunks. */
class ChunkLayout {
  readonly blockBits: number;
  readonly #fileBytes: number;

  constructor(fileBytes: number, blockBits: number) {
    this.#fileBytes = fileBytes;
    this.blockBits = blockBits;
  }

  begin(offset: number): number {
    return deviceBegin(offset, this.blockBits);
  }

  /** Power of two of the chunk's size in blocks. No chunk is larger than a window. */
  chunkBits(offset: number, length: number): number {
    const whole = bitsToHold(Math.ceil(length / 2 ** this.blockBits));
    const most = Math.log2(WINDOW_BYTES) - this.blockBits;
    if (!this.#reachesEnd(offset, length)) return Math.min(whole, most);
    const page = Math.max(0, Math.log2(PAGE_BYTES) - this.blockBits);
    return Math.min(Math.max(page, whole - MOST_CHUNK_BITS), most);
  }

  /** Whether the bytes [offset, offset + length), which begin a chunk, cannot be read through a device. */
  isCopied(offset: number, length: number): boolean {
    return this.#reachesEnd(offset, length);
  }

  #reachesEnd(offset: number, length: number): boolean {
    // Most ranges end far from there.
    if (offset + length <= this.#fileBytes - 2 * PAGE_BYTES) return false;
    const begin = this.begin(offset);
    const sectors = Math.floor((this.#fileBytes - begin) / 2 ** this.blockBits) * 2 ** this.blockBits;
    return offset + length - begin > Math.floor(sectors / PAGE_BYTES) * PAGE_BYTES;
  }
}

function* deviceBegins({ offsets, lengths }: FileRanges, layout: ChunkLayout): Generator<void, Float64Array> {
  const begins = new Set<number>();
  for (let i = 0; i < offsets.length; i++) {
    const offset = offsets[i] as number;
    const end = offset + (lengths[i] as number);
    for (let at = offset; at < end; at += WINDOW_BYTES) begins.add(layout.begin(at));
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
  readonly imageBytes: number;
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
    const chunkBytes = 2 ** (bits + layout.blockBits);
    const chunks = Math.ceil(length / chunkBytes);
    const head = inodeBytes(length);
    at = roundUp(at, INODE_SLOT_BYTES);
    if ((at % blockBytes) + head > blockBytes) at = roundUp(at, blockBytes);
    inodesAt[i] = at;
    chunkBits[i] = bits;
    at += head + chunks * INDEX_BYTES;
    for (let chunk = chunks - 1; chunk >= 0; chunk--) {
      const from = chunk * chunkBytes;
      const take = Math.min(chunkBytes, length - from);
      if (!layout.isCopied(offset + from, take)) break;
      copyBytes += roundUp(take, PAGE_BYTES);
    }
    if (i % SLICE === 0) yield;
  }
  const directoryAt = metadataAt + roundUp(at, blockBytes);
  const perBlock = entriesPerBlock(blockBytes);
  const entries = count + DOTS.length;
  const lastEntries = entries - Math.floor((entries - 1) / perBlock) * perBlock;
  const directoryBlocks = Math.ceil(entries / perBlock);
  const lastBytes = lastEntries * (DIRENT_BYTES + NAME_DIGITS) - (directoryBlocks === 1 ? SHORTER_DOTS : 0);
  const copiesAt = roundUp(directoryAt + directoryBlocks * blockBytes, PAGE_BYTES);
  return {
    metadataAt,
    inodesAt,
    chunkBits,
    directoryAt,
    directoryBytes: (directoryBlocks - 1) * blockBytes + lastBytes,
    copiesAt,
    copyBytes,
    imageBytes: copiesAt + copyBytes,
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
  for (let i = 0; i < ranges.nodeids.length; i++) {
    const offset = ranges.offsets[i] as number;
    const length = ranges.lengths[i] as number;
    const bits = plan.chunkBits[i] as number;
    const chunkBytes = 2 ** bits * blockBytes;
    const at = plan.metadataAt + (plan.inodesAt[i] as number);
    // Inode numbers are for statx of the view's own files, which nobody sees; the root's is 1.
    writeFileInode(image, at, { number: i + 2, size: length, chunkBits: bits });
    let indexAt = at + inodeBytes(length);
    for (let from = 0; from < length; from += chunkBytes, indexAt += INDEX_BYTES) {
      const place = offset + from;
      const take = Math.min(chunkBytes, length - from);
      if (layout.isCopied(place, take)) {
        writeIndex(image, indexAt, 0, copyAt / blockBytes);
        copies.push(copyAt, place, take);
        copyAt += roundUp(take, PAGE_BYTES);
      } else {
        const begin = layout.begin(place);
        writeIndex(image, indexAt, deviceOf.get(begin) as number, (place - begin) / blockBytes);
      }
    }
    if (i % SLICE === 0) yield;
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

/** The smallest power of two, as its exponent, that is at least `count`. */
function bitsToHold(count: number): number {
  return count <= 2 ** 31 ? (count <= 1 ? 0 : 32 - Math.clz32(count - 1)) : Math.ceil(Math.log2(count));
}

function roundUp(number: number, unit: number): number {
  return Math.ceil(number / unit) * unit;
}
