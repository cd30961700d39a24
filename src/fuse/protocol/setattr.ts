import { errno } from '../../errors.ts';
import type { AttrChange } from '../filesystem.ts';
import { readExactTime, readPosition, readU64 } from './fields.ts';
import { BODY, type Request } from './request.ts';

/** Bits of fuse_setattr_in.valid (FATTR_*): the fields that have a value. */
const VALID = {
  MODE: 1 << 0,
  UID: 1 << 1,
  GID: 1 << 2,
  SIZE: 1 << 3,
  ATIME: 1 << 4,
  MTIME: 1 << 5,
  FH: 1 << 6,
  ATIME_NOW: 1 << 7,
  MTIME_NOW: 1 << 8,
} as const;

/** The permission bits of a mode. */
const PERMISSIONS = 0o7777;

/** Throws EFBIG for a size that no file can have. */
export function decodeSetattr(request: Request): AttrChange {
  //  0  valid      u32
  //  8  fh         u64
  // 16  size       u64
  // 24  lock_owner u64
  // 32  atime      i64, mtime 40, ctime 48
  // 56  atimensec  u32, mtimensec 60, ctimensec 64
  // 68  mode       u32
  // 76  uid        u32
  // 80  gid        u32
  request.require(88, 'fuse_setattr_in');
  const { message } = request;
  const valid = message.readUInt32LE(BODY);
  const change: { -readonly [field in keyof AttrChange]: AttrChange[field] } = {};
  if (valid & VALID.FH) change.handle = readU64(message, BODY + 8, 'fuse_setattr_in.fh');
  if (valid & VALID.SIZE) {
    change.size = readPosition(message, BODY + 16);
    if (change.size === Number.MAX_SAFE_INTEGER) throw errno('EFBIG');
  }
  if (valid & VALID.ATIME) {
    change.atime = valid & VALID.ATIME_NOW ? 'now' : readExactTime(message, BODY + 32, BODY + 56);
  }
  if (valid & VALID.MTIME) {
    change.mtime = valid & VALID.MTIME_NOW ? 'now' : readExactTime(message, BODY + 40, BODY + 60);
  }
  if (valid & VALID.MODE) change.mode = message.readUInt32LE(BODY + 68) & PERMISSIONS;
  if (valid & VALID.UID) change.uid = message.readUInt32LE(BODY + 76);
  if (valid & VALID.GID) change.gid = message.readUInt32LE(BODY + 80);
  return change;
}
