/**
 * Messages that a server sends without a request: struct fuse_out_header with unique 0, and the notification's code in the place of a reply's
 * error.
 */

/** `enum fuse_notify_code` of linux/fuse.h. */
const NOTIFY_INVAL_INODE = 2;
const NOTIFY_INVAL_ENTRY = 3;
const NOTIFY_STORE = 4;

/** sizeof(struct fuse_out_header). */
const HEADER = 16;

/**
 * The kernel drops its attributes of an inode, and its pages of [offset, offset + length), or to the end if length is 0. It writes dirty
 * pages first.
 */
export function encodeInvalidateInode(nodeid: number, offset: number, length: number): Buffer {
  //  0  len     u32
  //  4  code    i32
  //  8  unique  u64   0
  // 16  ino     u64
  // 24  off     i64
  // 32  len     i64
  const message = notification(NOTIFY_INVAL_INODE, 24);
  message.writeBigUInt64LE(BigInt(nodeid), HEADER);
  message.writeBigInt64LE(BigInt(offset), HEADER + 8);
  message.writeBigInt64LE(BigInt(length), HEADER + 16);
  return message;
}

/** The kernel looks the name up again at its next use, and everything below it. */
export function encodeInvalidateEntry(parent: number, name: string): Buffer {
  // 16  parent   u64
  // 24  namelen  u32
  // 28  flags    u32   0
  // 32  name, and a zero byte that namelen does not count
  const bytes = Buffer.from(name);
  const message = notification(NOTIFY_INVAL_ENTRY, 16 + bytes.byteLength + 1);
  message.writeBigUInt64LE(BigInt(parent), HEADER);
  message.writeUInt32LE(bytes.byteLength, HEADER + 8);
  bytes.copy(message, HEADER + 16);
  return message;
}

/** The kernel takes these bytes as the contents of its pages at `offset`; if it believed that the file was shorter, the file now ends after them. */
export function encodeStore(nodeid: number, offset: number, bytes: Uint8Array): Buffer {
  // 16  nodeid   u64
  // 24  offset   u64
  // 32  size     u32
  // 36  padding  u32
  // 40  the bytes
  const message = notification(NOTIFY_STORE, 24 + bytes.byteLength);
  message.writeBigUInt64LE(BigInt(nodeid), HEADER);
  message.writeBigUInt64LE(BigInt(offset), HEADER + 8);
  message.writeUInt32LE(bytes.byteLength, HEADER + 16);
  message.set(bytes, HEADER + 24);
  return message;
}

function notification(code: number, bodyBytes: number): Buffer {
  const message = Buffer.alloc(HEADER + bodyBytes);
  message.writeUInt32LE(message.byteLength, 0);
  message.writeInt32LE(code, 4);
  return message;
}
