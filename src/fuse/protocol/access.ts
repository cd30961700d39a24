import { BODY, type Request } from './request.ts';

/** The mask of access(2): R_OK 4, W_OK 2, X_OK 1. */
export function decodeAccess(request: Request): number {
  // 0  mask  u32
  request.require(8, 'fuse_access_in');
  return request.message.readUInt32LE(BODY);
}
