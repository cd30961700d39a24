import { errno } from '../../errors.ts';
import { REPLY_BODY, replyTo, replyWith } from './reply.ts';
import { BODY, type Request } from './request.ts';

/** GETXATTR and LISTXATTR start with the size of the caller's buffer; 0 asks for the size that is needed. */
export function decodeXattrRoom(request: Request): number {
  // 0  size  u32
  request.require(8, 'fuse_getxattr_in');
  return request.message.readUInt32LE(BODY);
}

/** The name of GETXATTR. */
export function decodeXattrName(request: Request): string {
  return request.name(BODY + 8);
}

/** The names of LISTXATTR as the kernel expects them, each followed by NUL. */
export function encodeXattrNames(names: readonly string[]): Buffer {
  return Buffer.from(names.map((name) => `${name}\0`).join(''), 'utf8');
}

/** Throws ERANGE if the caller's buffer is too small. */
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
