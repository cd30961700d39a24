import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  encodeInvalidateEntry,
  encodeInvalidateInode,
  encodeStore,
} from '../../../../src/fuse/protocol/notify.ts';
import { OFFSET, SIZE } from './linux-layout.ts';

/** enum fuse_notify_code of linux/fuse.h. */
const FUSE_NOTIFY_INVAL_INODE = 2;
const FUSE_NOTIFY_INVAL_ENTRY = 3;
const FUSE_NOTIFY_STORE = 4;

function bodyOfNotification(message: Buffer, code: number): Buffer {
  assert.equal(message.readUInt32LE(0), message.length);
  assert.equal(message.readInt32LE(OFFSET['fuse_out_header.error']), code);
  assert.equal(message.readBigUInt64LE(OFFSET['fuse_out_header.unique']), 0n);
  return message.subarray(SIZE.fuse_out_header);
}

test('invalidated pages are named by inode, offset and length, beyond 32 bits too', () => {
  const message = encodeInvalidateInode(2 ** 33 + 5, 2 ** 40 + 4096, 2 ** 34 + 1);
  const body = bodyOfNotification(message, FUSE_NOTIFY_INVAL_INODE);
  assert.equal(body.length, SIZE.fuse_notify_inval_inode_out);
  assert.equal(body.readBigUInt64LE(0), 2n ** 33n + 5n);
  assert.equal(body.readBigInt64LE(OFFSET['fuse_notify_inval_inode_out.off']), 2n ** 40n + 4096n);
  assert.equal(body.readBigInt64LE(OFFSET['fuse_notify_inval_inode_out.len']), 2n ** 34n + 1n);
});

test('an invalidated entry is named in bytes, and ends with a zero byte that is not counted', () => {
  const name = 'grüße.bin';
  const message = encodeInvalidateEntry(2 ** 33, name);
  const body = bodyOfNotification(message, FUSE_NOTIFY_INVAL_ENTRY);
  const bytes = Buffer.byteLength(name);
  assert.equal(body.length, SIZE.fuse_notify_inval_entry_out + bytes + 1);
  assert.equal(body.readBigUInt64LE(0), 2n ** 33n);
  assert.equal(body.readUInt32LE(OFFSET['fuse_notify_inval_entry_out.namelen']), bytes);
  assert.equal(body.subarray(SIZE.fuse_notify_inval_entry_out, -1).toString(), name);
  assert.equal(body.at(-1), 0);
});

test('stored bytes follow their inode, offset and size', () => {
  const message = encodeStore(2 ** 33 + 5, 2 ** 40 + 3, Uint8Array.of(7, 8, 9));
  const body = bodyOfNotification(message, FUSE_NOTIFY_STORE);
  assert.equal(body.readBigUInt64LE(0), 2n ** 33n + 5n);
  assert.equal(body.readBigUInt64LE(OFFSET['fuse_notify_store_out.offset']), 2n ** 40n + 3n);
  assert.equal(body.readUInt32LE(OFFSET['fuse_notify_store_out.size']), 3);
  assert.deepEqual([...body.subarray(SIZE.fuse_notify_store_out)], [7, 8, 9]);
});
