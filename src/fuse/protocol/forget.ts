import { readU64 } from './fields.ts';
import { BODY, type Request } from './request.ts';

/** How many references to the request's nodeid the kernel dropped. */
export function decodeForget(request: Request): number {
  // 0  nlookup  u64
  request.require(8, 'fuse_forget_in');
  return readU64(request.message, BODY, 'fuse_forget_in.nlookup');
}

/** Each nodeid, and how many references to it the kernel dropped. */
export function* decodeBatchForget(request: Request): Generator<readonly [nodeid: number, count: number]> {
  // 0  count  u32
  // 8  then for each: nodeid u64, nlookup u64
  request.require(8, 'fuse_batch_forget_in');
  const count = request.message.readUInt32LE(BODY);
  request.require(8 + count * 16, `fuse_batch_forget_in and ${count} of fuse_forget_one`);
  for (let at = BODY + 8; at < BODY + 8 + count * 16; at += 16) {
    const nodeid = readU64(request.message, at, 'fuse_forget_one.nodeid');
    yield [nodeid, readU64(request.message, at + 8, 'fuse_forget_one.nlookup')];
  }
}
