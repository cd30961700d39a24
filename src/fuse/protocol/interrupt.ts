import { BODY, type Request } from './request.ts';

/** The request that is to be interrupted. */
export function decodeInterrupt(request: Request): bigint {
  // 0  unique  u64
  request.require(8, 'fuse_interrupt_in');
  return request.message.readBigUInt64LE(BODY);
}
