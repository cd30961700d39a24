import { writeU64 } from './fields.ts';
import type { Request } from './request.ts';

/** sizeof(struct fuse_out_header): where a reply's body starts. */
export const REPLY_BODY = 16;

/** A whole reply with its header, the body zeroed for the encoder to fill. */
export function replyTo(request: Request, bodyBytes: number): Buffer {
  return writeHeader(Buffer.alloc(REPLY_BODY + bodyBytes), request.message, 0);
}

/** A reply whose body is these bytes. */
export function replyWith(request: Request, body: Uint8Array): Buffer {
  const reply = writeHeader(Buffer.allocUnsafe(REPLY_BODY + body.byteLength), request.message, 0);
  reply.set(body, REPLY_BODY);
  return reply;
}

/** A refusal. `message` needs no more than a header; `errno` is a positive number. */
export function errorReply(message: Buffer, errno: number): Buffer {
  return writeHeader(Buffer.allocUnsafe(REPLY_BODY), message, errno);
}

/** Cuts a reply that was made with spare room. */
export function shortened(reply: Buffer, bodyBytes: number): Buffer {
  reply.writeUInt32LE(REPLY_BODY + bodyBytes, 0);
  return reply.subarray(0, REPLY_BODY + bodyBytes);
}

/** A reply whose body is one number, as LSEEK's is. */
export function replyNumber(request: Request, value: number): Buffer {
  const reply = replyTo(request, 8);
  writeU64(reply, value, REPLY_BODY);
  return reply;
}

function writeHeader(reply: Buffer, message: Buffer, errno: number): Buffer {
  //  0  len     u32
  //  4  error   i32, 0 or the negative errno
  //  8  unique  u64, as the request has it
  reply.writeUInt32LE(reply.length, 0);
  reply.writeInt32LE(-errno, 4);
  message.copy(reply, 8, 8, 16);
  return reply;
}
