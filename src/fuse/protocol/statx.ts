import type { AttrReply } from '../filesystem.ts';
import { BLOCK_SIZE, fileMode, sectors, writeTimes } from './attr.ts';
import { writeTime, writeU64 } from './fields.ts';
import { REPLY_BODY, replyTo } from './reply.ts';
import type { Request } from './request.ts';

/** sizeof(struct fuse_statx_out): 32 bytes and a struct statx of 256 (7.39). */
const STATX_OUT = 288;
/** STATX_BASIC_STATS: everything that stat(2) reports. A checkpoint keeps no birth times, so STATX_BTIME is not included. */
const STATX_BASIC_STATS = 0x7ff;

export function encodeStatx(request: Request, answer: AttrReply): Buffer {
  //   0  attr_valid  u64, seconds; nanoseconds at 8
  //  12  flags       u32, zero
  //  16  spare       u64[2], zero
  //  32  stx_mask    u32
  //  36  stx_blksize u32
  //  40  stx_attributes u64, zero
  //  48  stx_nlink   u32, stx_uid 52, stx_gid 56, stx_mode u16 60
  //  64  stx_ino     u64, stx_size 72, stx_blocks 80, stx_attributes_mask 88
  //  96  stx_atime   i64 seconds, u32 nanoseconds, u32 reserved
  // 112  stx_btime, 128 stx_ctime, 144 stx_mtime likewise
  // 160  stx_rdev_major u32 …: zero
  const { attr } = answer;
  const reply = replyTo(request, STATX_OUT);
  const at = REPLY_BODY;
  writeTime(reply, answer.attrTimeoutMs, at, at + 8);
  reply.writeUInt32LE(STATX_BASIC_STATS, at + 32);
  reply.writeUInt32LE(BLOCK_SIZE, at + 36);
  reply.writeUInt32LE(attr.nlink, at + 48);
  reply.writeUInt32LE(attr.uid, at + 52);
  reply.writeUInt32LE(attr.gid, at + 56);
  reply.writeUInt16LE(fileMode(attr), at + 60);
  writeU64(reply, attr.nodeid, at + 64);
  writeU64(reply, attr.size, at + 72);
  writeU64(reply, sectors(attr), at + 80);
  writeTimes(reply, attr, {
    atime: [at + 96, at + 104],
    ctime: [at + 128, at + 136],
    mtime: [at + 144, at + 152],
  });
  return reply;
}
