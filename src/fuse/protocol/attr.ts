import type { Attr, AttrReply, Entry } from '../filesystem.ts';
import { writeExactTime, writeTime, writeU64 } from './fields.ts';
import { OPEN_OUT, type OpenedHow, writeOpen } from './file-io.ts';
import { REPLY_BODY, replyTo } from './reply.ts';
import type { Request } from './request.ts';

/** sizeof(struct fuse_entry_out). */
export const ENTRY_OUT = 128;
/** sizeof(struct fuse_attr_out). */
const ATTR_OUT = 104;

/** File type bits of st_mode. */
const S_IFDIR = 0o040000;
export const S_IFREG = 0o100000;

/** st_blksize is the kernel's page: larger values change how it keeps partial pages, and tools choose their own sizes. */
export const BLOCK_SIZE = 4096;
/** The unit of st_blocks, in bytes. */
const SECTOR = 512;

export function fileMode(attr: Attr): number {
  return (attr.kind === 'directory' ? S_IFDIR : S_IFREG) | attr.mode;
}

/** st_blocks. */
export function sectors({ size, blocks }: Attr): number {
  return blocks ?? Math.ceil(size / SECTOR);
}

/** Writes the three times, each as seconds and nanoseconds at the given places. */
export function writeTimes(reply: Buffer, attr: Attr, at: Record<'atime' | 'mtime' | 'ctime', Place>): void {
  const { exactTimes: exact, mtimeMs } = attr;
  if (exact === undefined) {
    writeTime(reply, attr.atimeMs ?? mtimeMs, ...at.atime);
    writeTime(reply, mtimeMs, ...at.mtime);
    writeTime(reply, attr.ctimeMs ?? mtimeMs, ...at.ctime);
  } else {
    writeExactTime(reply, exact.atimeNs, ...at.atime);
    writeExactTime(reply, exact.mtimeNs, ...at.mtime);
    writeExactTime(reply, exact.ctimeNs, ...at.ctime);
  }
}

type Place = readonly [secondsAt: number, nanosecondsAt: number];

/** Writes struct fuse_attr at `at`. The bytes there must be zero. */
function writeAttr(reply: Buffer, at: number, attr: Attr): void {
  //  0  ino        u64
  //  8  size       u64
  // 16  blocks     u64
  // 24  atime      u64, mtime 32, ctime 40
  // 48  atimensec  u32, mtimensec 52, ctimensec 56
  // 60  mode       u32
  // 64  nlink      u32
  // 68  uid        u32
  // 72  gid        u32
  // 76  rdev       u32, zero
  // 80  blksize    u32
  // 84  flags      u32, zero
  writeU64(reply, attr.nodeid, at);
  writeU64(reply, attr.size, at + 8);
  writeU64(reply, sectors(attr), at + 16);
  writeTimes(reply, attr, {
    atime: [at + 24, at + 48],
    mtime: [at + 32, at + 52],
    ctime: [at + 40, at + 56],
  });
  reply.writeUInt32LE(fileMode(attr), at + 60);
  reply.writeUInt32LE(attr.nlink, at + 64);
  reply.writeUInt32LE(attr.uid, at + 68);
  reply.writeUInt32LE(attr.gid, at + 72);
  reply.writeUInt32LE(BLOCK_SIZE, at + 80);
}

/** Writes struct fuse_entry_out at `at`. The bytes there must be zero. */
export function writeEntry(reply: Buffer, at: number, entry: Entry): void {
  //  0  nodeid            u64
  //  8  generation        u64, zero: a nodeid is never reused
  // 16  entry_valid       u64, seconds; nanoseconds at 32
  // 24  attr_valid        u64, seconds; nanoseconds at 36
  // 40  attr              struct fuse_attr
  writeU64(reply, entry.attr.nodeid, at);
  writeTime(reply, entry.entryTimeoutMs, at + 16, at + 32);
  writeTime(reply, entry.attrTimeoutMs, at + 24, at + 36);
  writeAttr(reply, at + 40, entry.attr);
}

export function encodeEntry(request: Request, entry: Entry): Buffer {
  const reply = replyTo(request, ENTRY_OUT);
  writeEntry(reply, REPLY_BODY, entry);
  return reply;
}

/** CREATE is answered with fuse_entry_out followed by fuse_open_out. */
export function encodeCreated(request: Request, entry: Entry, handle: number, how: OpenedHow): Buffer {
  const reply = replyTo(request, ENTRY_OUT + OPEN_OUT);
  writeEntry(reply, REPLY_BODY, entry);
  writeOpen(reply, REPLY_BODY + ENTRY_OUT, handle, how);
  return reply;
}

/** "There is no such name, and do not ask again for this time": an entry whose nodeid is 0. */
export function encodeAbsent(request: Request, entryTimeoutMs: number): Buffer {
  const reply = replyTo(request, ENTRY_OUT);
  writeTime(reply, entryTimeoutMs, REPLY_BODY + 16, REPLY_BODY + 32);
  return reply;
}

export function encodeAttr(request: Request, answer: AttrReply): Buffer {
  //  0  attr_valid       u64, seconds
  //  8  attr_valid_nsec  u32
  // 12  dummy            u32
  // 16  attr             struct fuse_attr
  const reply = replyTo(request, ATTR_OUT);
  writeTime(reply, answer.attrTimeoutMs, REPLY_BODY, REPLY_BODY + 8);
  writeAttr(reply, REPLY_BODY + 16, answer.attr);
  return reply;
}
