import { errno } from '../../errors.ts';
import { REPLY_BODY, replyTo, replyWith } from './reply.ts';
import { BODY, type Request } from './request.ts';

/** GETXATTR and LISTXATTR begin with how many bytes the caller has room for; 0 asks how many are needed. */
export function decodeXattrRoom(request: Request): number {
  // 0  size  u32
  request.require(8, 'fuse_getxattr_in');
  return request.message.readUInt32LE(BODY);
}

/** The name of GETXATTR. */
export function decodeXattrName(request: Request): string {
  return request.name(BODY + 8);
}

/** The names of LISTXATTR as the kernel wants them, each with a NUL. */
export function encodeXattrNames(names: readonly string[]): Buffer {
  return Buffer.from(names.map((name) => `${name}\0`).join(''), 'utf8');
}

/** Throws ERANGE when the caller has too little room. */
export function encodeXattr(request: Request, value: Uint8Array, room: number): Buffer {
  if (room === 0) {
    // 0  size  u32
    const reply = replyTo(request, 8);
    reply.writeUInt32LE(value.byteLength, REPLY_BODY);
    return reply;
  }
  if (value.byteLength > room) throw errno('ERANGE');
  return replyWith(request, value);
}
