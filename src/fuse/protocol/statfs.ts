import type { Statfs } from '../filesystem.ts';
import { writeU64 } from './fields.ts';
import { REPLY_BODY, replyTo } from './reply.ts';
import type { Request } from './request.ts';

export function encodeStatfs(request: Request, statfs: Statfs): Buffer {
  //  0  blocks   u64
  //  8  bfree    u64
  // 16  bavail   u64
  // 24  files    u64
  // 32  ffree    u64
  // 40  bsize    u32
  // 44  namelen  u32
  // 48  frsize   u32
  const reply = replyTo(request, 80);
  writeU64(reply, statfs.blocks, REPLY_BODY);
  writeU64(reply, statfs.blocksFree, REPLY_BODY + 8);
  writeU64(reply, statfs.blocksAvailable, REPLY_BODY + 16);
  writeU64(reply, statfs.files, REPLY_BODY + 24);
  writeU64(reply, statfs.filesFree, REPLY_BODY + 32);
  reply.writeUInt32LE(statfs.blockSize, REPLY_BODY + 40);
  reply.writeUInt32LE(statfs.nameMax, REPLY_BODY + 44);
  reply.writeUInt32LE(statfs.blockSize, REPLY_BODY + 48);
  return reply;
}
