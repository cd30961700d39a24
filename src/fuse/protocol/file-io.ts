import { errno } from '../../errors.ts';
import { readPosition, readU64, writeU64 } from './fields.ts';
import { REPLY_BODY, replyTo } from './reply.ts';
import { BODY, type Request } from './request.ts';

/** Bits of fuse_open_out.open_flags (FOPEN_*). */
export const FOPEN = {
  DIRECT_IO: 1 << 0,
  KEEP_CACHE: 1 << 1,
  CACHE_DIR: 1 << 3,
  /** No FLUSH when a descriptor is closed (7.35). Older kernels ignore it and send one. */
  NOFLUSH: 1 << 5,
  /** The kernel reads and writes the file of `backing_id` (7.40). Not with KEEP_CACHE. */
  PASSTHROUGH: 1 << 7,
} as const;

/** The open(2) flags of OPEN and OPENDIR. */
export function decodeOpen(request: Request): number {
  // 0  flags       u32
  // 4  open_flags  u32
  request.require(8, 'fuse_open_in');
  return request.message.readUInt32LE(BODY);
}

/** sizeof(struct fuse_open_out). */
export const OPEN_OUT = 16;

/** Writes struct fuse_open_out at `at`. The bytes there must be zero. */
export function writeOpen(reply: Buffer, at: number, handle: number, how: OpenedHow): void {
  //  0  fh          u64
  //  8  open_flags  u32
  // 12  backing_id  i32, with FOPEN_PASSTHROUGH (7.40)
  writeU64(reply, handle, at);
  reply.writeUInt32LE(how.flags, at + 8);
  reply.writeInt32LE(how.backing ?? 0, at + 12);
}

/** How the kernel serves an open file: FOPEN bits, and the id of the file that it reads and writes itself. */
export interface OpenedHow {
  readonly flags: number;
  readonly backing?: number;
}

export function encodeOpen(request: Request, handle: number, how: OpenedHow): Buffer {
  const reply = replyTo(request, OPEN_OUT);
  writeOpen(reply, REPLY_BODY, handle, how);
  return reply;
}

export interface ReadRequest {
  readonly handle: number;
  readonly offset: number;
  readonly length: number;
}

/** READ, READDIR and READDIRPLUS. The body of a reply may have at most `length` bytes. */
export function decodeRead(request: Request): ReadRequest {
  //  0  fh          u64
  //  8  offset      u64
  // 16  size        u32
  // 20  read_flags  u32
  // 24  lock_owner  u64
  // 32  flags       u32
  request.require(40, 'fuse_read_in');
  const { message } = request;
  return {
    handle: readU64(message, BODY, 'fuse_read_in.fh'),
    offset: readPosition(message, BODY + 8),
    length: message.readUInt32LE(BODY + 16),
  };
}

export interface WriteRequest {
  readonly handle: number;
  readonly offset: number;
  /** A view of the message. */
  readonly bytes: Uint8Array;
}

/** Throws EFBIG for an offset that no file can have. */
export function decodeWrite(request: Request): WriteRequest {
  //  0  fh           u64
  //  8  offset       u64
  // 16  size         u32
  // 20  write_flags  u32
  // 24  lock_owner   u64
  // 32  flags        u32
  // 40  the bytes
  request.require(40, 'fuse_write_in');
  const { message } = request;
  const size = message.readUInt32LE(BODY + 16);
  request.require(40 + size, `fuse_write_in and ${size} bytes`);
  const offset = readPosition(message, BODY + 8);
  if (offset === Number.MAX_SAFE_INTEGER) throw errno('EFBIG');
  return {
    handle: readU64(message, BODY, 'fuse_write_in.fh'),
    offset,
    bytes: message.subarray(BODY + 40, BODY + 40 + size),
  };
}

export function encodeWritten(request: Request, count: number): Buffer {
  // 0  size  u32
  const reply = replyTo(request, 8);
  reply.writeUInt32LE(count, REPLY_BODY);
  return reply;
}

/** RELEASE (24 bytes), FLUSH (24) and FSYNC (16) all begin with the handle. */
export function decodeHandle(request: Request, structBytes: number, structName: string): number {
  request.require(structBytes, structName);
  return readU64(request.message, BODY, `${structName}.fh`);
}

/** fuse_fsync_in.fsync_flags, bit 0: the data only. */
export function decodeDatasync(request: Request): boolean {
  return (request.message.readUInt32LE(BODY + 8) & 1) !== 0;
}

export interface FallocateRequest {
  readonly handle: number;
  readonly offset: number;
  readonly length: number;
  /** FALLOC_FL_* of fallocate(2). */
  readonly mode: number;
}

/** Throws EFBIG for a range that no file can have. */
export function decodeFallocate(request: Request): FallocateRequest {
  //  0  fh       u64
  //  8  offset   u64
  // 16  length   u64
  // 24  mode     u32
  // 28  padding  u32
  request.require(32, 'fuse_fallocate_in');
  const { message } = request;
  const offset = readPosition(message, BODY + 8);
  const length = readPosition(message, BODY + 16);
  if (!Number.isSafeInteger(offset + length)) throw errno('EFBIG');
  return {
    handle: readU64(message, BODY, 'fuse_fallocate_in.fh'),
    offset,
    length,
    mode: message.readUInt32LE(BODY + 24),
  };
}

export interface LseekRequest {
  readonly handle: number;
  readonly offset: number;
  readonly whence: number;
}

export function decodeLseek(request: Request): LseekRequest {
  //  0  fh      u64
  //  8  offset  u64
  // 16  whence  u32
  request.require(24, 'fuse_lseek_in');
  const { message } = request;
  return {
    handle: readU64(message, BODY, 'fuse_lseek_in.fh'),
    offset: readPosition(message, BODY + 8),
    whence: message.readUInt32LE(BODY + 16),
  };
}
