import { MlfsError } from '../../errors.ts';
import { REPLY_BODY, replyTo } from './reply.ts';
import { BODY, type Request } from './request.ts';

/** FUSE_KERNEL_VERSION. */
export const MAJOR = 7;
/** The newest minor version whose changelog was read; a newer kernel lowers its own to this one. */
export const NEWEST_MINOR = 45;
/** Linux 5.4. In older versions structs had other sizes, which are not decoded here. */
const OLDEST_MINOR = 31;

/** Bits of the INIT flags: the lower 32 are in `flags`, the upper 32 in `flags2`. Only the bits that MLFS uses. */
export const INIT_FLAGS = {
  ASYNC_READ: 1n << 0n,
  ATOMIC_O_TRUNC: 1n << 3n,
  BIG_WRITES: 1n << 5n,
  DO_READDIRPLUS: 1n << 13n,
  READDIRPLUS_AUTO: 1n << 14n,
  ASYNC_DIO: 1n << 15n,
  PARALLEL_DIROPS: 1n << 18n,
  HANDLE_KILLPRIV: 1n << 19n,
  MAX_PAGES: 1n << 22n,
  NO_OPENDIR_SUPPORT: 1n << 24n,
  EXPLICIT_INVAL_DATA: 1n << 25n,
  HANDLE_KILLPRIV_V2: 1n << 28n,
  INIT_EXT: 1n << 30n,
  DIRECT_IO_ALLOW_MMAP: 1n << 36n,
  /** Since 7.40. */
  PASSTHROUGH: 1n << 37n,
} as const;

/**
 * With this many background requests the kernel stops readahead (fuse_readahead). The real limit on the queue is that few requests are
 * admitted: a reader waits for a place in it, and its readahead is not cut.
 */
const NEVER_CONGESTED = 0xffff;

export interface InitRequest {
  readonly major: number;
  readonly minor: number;
  readonly maxReadaheadBytes: number;
  /** What the kernel supports. */
  readonly flags: bigint;
}

/** What both sides do from now on. */
export interface Negotiated {
  readonly minor: number;
  readonly flags: bigint;
  readonly maxReadaheadBytes: number;
  readonly maxWriteBytes: number;
  /** Largest READ or WRITE in pages. */
  readonly maxPages: number;
  /** Maximum number of readahead and asynchronous direct requests in the queue or being served. */
  readonly maxBackground: number;
}

export function decodeInit(request: Request): InitRequest {
  // 40  major          u32
  // 44  minor          u32
  // 48  max_readahead  u32
  // 52  flags          u32
  // 56  flags2         u32, if INIT_EXT is among the flags (7.36)
  request.require(16, 'fuse_init_in');
  const { message } = request;
  let flags = BigInt(message.readUInt32LE(BODY + 12));
  if ((flags & INIT_FLAGS.INIT_EXT) !== 0n) {
    request.require(20, 'fuse_init_in');
    flags |= BigInt(message.readUInt32LE(BODY + 16)) << 32n;
  }
  return {
    major: message.readUInt32LE(BODY),
    minor: message.readUInt32LE(BODY + 4),
    maxReadaheadBytes: message.readUInt32LE(BODY + 8),
    flags,
  };
}

/**
 * Maximum depth of stacked file systems below files that the kernel serves itself, this one included: 1 means that the files are on a plain
 * file system (ext4, xfs, btrfs, tmpfs), and allows an overlay on top of the mount. The kernel allows at most 2.
 */
const MAX_STACK_DEPTH = 1;

/** sizeof(struct fuse_init_out). */
const INIT_OUT = 64;

export function encodeInit(request: Request, negotiated: Negotiated): Buffer {
  // 16  major                 u32
  // 20  minor                 u32
  // 24  max_readahead         u32
  // 28  flags                 u32
  // 32  max_background        u16
  // 34  congestion_threshold  u16
  // 36  max_write             u32
  // 40  time_gran             u32, nanoseconds
  // 44  max_pages             u16
  // 46  map_alignment         u16
  // 48  flags2                u32
  // 52  max_stack_depth       u32, with PASSTHROUGH
  // 56  request_timeout       u16, unused: zero
  const reply = replyTo(request, INIT_OUT);
  reply.writeUInt32LE(MAJOR, REPLY_BODY);
  reply.writeUInt32LE(negotiated.minor, REPLY_BODY + 4);
  reply.writeUInt32LE(negotiated.maxReadaheadBytes, REPLY_BODY + 8);
  reply.writeUInt32LE(Number(negotiated.flags & 0xffff_ffffn), REPLY_BODY + 12);
  reply.writeUInt16LE(negotiated.maxBackground, REPLY_BODY + 16);
  reply.writeUInt16LE(NEVER_CONGESTED, REPLY_BODY + 18);
  reply.writeUInt32LE(negotiated.maxWriteBytes, REPLY_BODY + 20);
  reply.writeUInt32LE(1, REPLY_BODY + 24);
  reply.writeUInt16LE(negotiated.maxPages, REPLY_BODY + 28);
  reply.writeUInt32LE(Number(negotiated.flags >> 32n), REPLY_BODY + 32);
  if ((negotiated.flags & INIT_FLAGS.PASSTHROUGH) !== 0n) {
    reply.writeUInt32LE(MAX_STACK_DEPTH, REPLY_BODY + 36);
  }
  return reply;
}

/** Asks a kernel with a larger major version to use this one: it sends INIT again. */
export function encodeMajor(request: Request): Buffer {
  const reply = replyTo(request, INIT_OUT);
  reply.writeUInt32LE(MAJOR, REPLY_BODY);
  reply.writeUInt32LE(NEWEST_MINOR, REPLY_BODY + 4);
  return reply;
}

/** Throws EPROTO for a kernel that is too old. */
export function requireVersion(init: InitRequest): void {
  if (init.major < MAJOR || (init.major === MAJOR && init.minor < OLDEST_MINOR)) {
    throw new MlfsError(
      'ERR_MLFS_FUSE',
      `the kernel speaks FUSE ${init.major}.${init.minor}; ${MAJOR}.${OLDEST_MINOR} (Linux 5.4) or newer is needed`,
      { errno: 'EPROTO' },
    );
  }
}
