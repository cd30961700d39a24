import type { Statfs } from '../filesystem.ts';
import { writeU64 } from './fields.ts';
import { REPLY_BODY, replyTo } from './reply.ts';
import type { Request } from './request.ts';

export function encodeStatfs(request: Request, statfs: Statfs): Buffer {
  const reply = replyTo(request, STATFS_OUT);
  writeStatfs(reply, REPLY_BODY, statfs);
  return reply;
}

/** The body of the reply. */
export function statfsBody(statfs: Statfs): Buffer {
  const body = Buffer.alloc(STATFS_OUT);
  writeStatfs(body, 0, statfs);
  return body;
}

/** sizeof(struct fuse_statfs_out). */
const STATFS_OUT = 80;

function writeStatfs(reply: Buffer, at: number, statfs: Statfs): void {
  //  0  blocks   u64
  //  8  bfree    u64
  // 16  bavail   u64
  // 24  files    u64
  // 32  ffree    u64
  // 40  bsize    u32
  // 44  namelen  u32
  // 48  frsize   u32
  writeU64(reply, statfs.blocks, at);
  writeU64(reply, statfs.blocksFree, at + 8);
  writeU64(reply, statfs.blocksAvailable, at + 16);
  writeU64(reply, statfs.files, at + 24);
  writeU64(reply, statfs.filesFree, at + 32);
  reply.writeUInt32LE(statfs.blockSize, at + 40);
  reply.writeUInt32LE(statfs.nameMax, at + 44);
  reply.writeUInt32LE(statfs.blockSize, at + 48);
}
