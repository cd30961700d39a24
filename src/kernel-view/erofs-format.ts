/**
 * The on-disk structures of EROFS that an image uses, as in fs/erofs/erofs_fs.h of Linux. All integers are little-endian. The functions
 * write into a zeroed image.
 */

export const SUPERBLOCK_AT = 1024;
export const SUPERBLOCK_BYTES = 128;
export const DEVICE_SLOT_BYTES = 128;
/** A nid is the place of an inode in the metadata area, in units of this size. */
export const INODE_SLOT_BYTES = 32;
export const COMPACT_INODE_BYTES = 32;
export const EXTENDED_INODE_BYTES = 64;
/** Size of an index of a chunk-based inode (erofs_inode_chunk_index). */
export const INDEX_BYTES = 8;
export const DIRENT_BYTES = 12;

const MAGIC = 0xe0f5e1e2;
const INCOMPAT_CHUNKED_FILE = 0x4;
const INCOMPAT_DEVICE_TABLE = 0x8;

/** i_format: bit 0 is 1 for an extended inode, the layout begins at bit 1. */
const EXTENDED = 1;
const LAYOUT_FLAT_PLAIN = 0 << 1;
const LAYOUT_CHUNK_BASED = 4 << 1;
/** Chunk format: the lower five bits are the chunk's size in blocks, as a power of two. */
const CHUNK_INDEXES = 0x20;

const MODE_FILE = 0o100444;
const MODE_FOLDER = 0o040555;

export interface Superblock {
  readonly blockBits: number;
  readonly inodes: number;
  readonly blocks: number;
  readonly metadataBlock: number;
  readonly rootNid: number;
  readonly devices: number;
}

/** erofs_super_block, 128 bytes at 1024. The device table follows it. */
export function writeSuperblock(image: DataView, superblock: Superblock): void {
  const at = SUPERBLOCK_AT;
  image.setUint32(at, MAGIC, true); // magic
  image.setUint8(at + 12, superblock.blockBits); // blkszbits
  image.setUint16(at + 14, superblock.rootNid, true); // root_nid
  image.setBigUint64(at + 16, BigInt(superblock.inodes), true); // inos
  image.setUint32(at + 36, superblock.blocks, true); // blocks
  image.setUint32(at + 40, superblock.metadataBlock, true); // meta_blkaddr
  image.setUint32(at + 80, INCOMPAT_CHUNKED_FILE | INCOMPAT_DEVICE_TABLE, true); // feature_incompat
  image.setUint16(at + 86, superblock.devices, true); // extra_devices
  image.setUint16(at + 88, (at + SUPERBLOCK_BYTES) / DEVICE_SLOT_BYTES, true); // devt_slotoff
}

/** erofs_deviceslot: only the number of blocks, since the devices are named when the image is mounted. */
export function writeDeviceSlot(image: DataView, index: number, blocks: number): void {
  image.setUint32(SUPERBLOCK_AT + SUPERBLOCK_BYTES + index * DEVICE_SLOT_BYTES + 64, blocks, true); // blocks
}

/** Number of bytes of a file's inode, without its indexes. */
export function inodeBytes(size: number): number {
  return size < 2 ** 32 ? COMPACT_INODE_BYTES : EXTENDED_INODE_BYTES;
}

/** A chunk-based file. Its indexes follow. */
export function writeFileInode(
  image: DataView,
  at: number,
  inode: { readonly number: number; readonly size: number; readonly chunkBits: number },
): void {
  const format = inode.chunkBits | CHUNK_INDEXES;
  if (inodeBytes(inode.size) === COMPACT_INODE_BYTES) {
    image.setUint16(at, LAYOUT_CHUNK_BASED, true); // i_format
    image.setUint16(at + 4, MODE_FILE, true); // i_mode
    image.setUint16(at + 6, 1, true); // i_nlink
    image.setUint32(at + 8, inode.size, true); // i_size
    image.setUint16(at + 16, format, true); // i_u.c.format
    image.setUint32(at + 20, inode.number, true); // i_ino
    return;
  }
  image.setUint16(at, LAYOUT_CHUNK_BASED | EXTENDED, true); // i_format
  image.setUint16(at + 4, MODE_FILE, true); // i_mode
  image.setBigUint64(at + 8, BigInt(inode.size), true); // i_size
  image.setUint16(at + 16, format, true); // i_u.c.format
  image.setUint32(at + 20, inode.number, true); // i_ino
  image.setUint32(at + 44, 1, true); // i_nlink
}

/** The root: an extended inode whose entries lie in whole blocks from `block` on. */
export function writeRootInode(image: DataView, at: number, size: number, block: number): void {
  image.setUint16(at, LAYOUT_FLAT_PLAIN | EXTENDED, true); // i_format
  image.setUint16(at + 4, MODE_FOLDER, true); // i_mode
  image.setBigUint64(at + 8, BigInt(size), true); // i_size
  image.setUint32(at + 16, block, true); // i_u.raw_blkaddr
  image.setUint32(at + 20, 1, true); // i_ino
  image.setUint32(at + 44, 2, true); // i_nlink
}

/** erofs_inode_chunk_index: `device` 0 is the image itself. */
export function writeIndex(image: DataView, at: number, device: number, block: number): void {
  image.setUint16(at + 2, device, true); // device_id
  image.setUint32(at + 4, block, true); // blkaddr
}

export const FILE_TYPE = 1;
export const FOLDER_TYPE = 2;

/** erofs_dirent: the names of a block lie behind its entries. */
export function writeDirent(image: DataView, at: number, nid: number, nameAt: number, type: number): void {
  image.setUint32(at, nid, true); // nid, whose upper half stays 0
  image.setUint16(at + 8, nameAt, true); // nameoff
  image.setUint8(at + 10, type); // file_type
}
