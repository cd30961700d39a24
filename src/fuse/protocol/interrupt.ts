import { BODY, type Request } from './request.ts';

/** Which request is to be interrupted. */
export function decodeInterrupt(request: Request): bigint {
  // 0  unique  u64
  request.require(8, 'fuse_interrupt_in');
  return request.message.readBigUInt64LE(BODY);
}
