import type { DirectoryEntry } from '../filesystem.ts';
import { ENTRY_OUT, fileMode, writeEntry } from './attr.ts';
import { writeU64 } from './fields.ts';
import { encodeName } from './name-bytes.ts';
import { REPLY_BODY, replyTo, shortened } from './reply.ts';
import type { Request } from './request.ts';

/** offsetof(struct fuse_dirent, name). */
const DIRENT = 24;

/**
 * Writes struct fuse_dirent at `at` and returns where the next record begins, or 0 when it does not fit. The bytes
 * there must be zero.
 */
function writeDirent(reply: Buffer, at: number, entry: DirectoryEntry): number {
  //  0  ino      u64
  //  8  off      u64, where to go on after this entry
  // 16  namelen  u32
  // 20  type     u32, the type bits of the mode (DT_*)
  // 24  name, then zeroes up to a multiple of 8
  const name = encodeName(entry.name);
  const end = at + align8(DIRENT + name.byteLength);
  if (end > reply.length) return 0;
  writeU64(reply, entry.entry.attr.nodeid, at);
  writeU64(reply, entry.offset, at + 8);
  reply.writeUInt32LE(name.byteLength, at + 16);
  reply.writeUInt32LE(fileMode(entry.entry.attr) >> 12, at + 20);
  name.copy(reply, at + DIRENT);
  return end;
}

/** As many entries as fit in `length` bytes. None means the end of the directory. */
export function encodeReaddir(request: Request, entries: Iterable<DirectoryEntry>, length: number): Buffer {
  const reply = replyTo(request, length);
  let at = REPLY_BODY;
  for (const entry of entries) {
    const next = writeDirent(reply, at, entry);
    if (next === 0) break;
    at = next;
  }
  return shortened(reply, at - REPLY_BODY);
}

/**
 * As many entries as fit, each with its attributes: struct fuse_direntplus is a fuse_entry_out and a fuse_dirent.
 * `onReference` gets the nodeids to which the kernel now holds one more reference. `.`, `..` and entries of which only the name is known have
 * nodeid 0 in their fuse_entry_out: the kernel then takes no reference, and looks the name up when it needs more.
 */
export function encodeReaddirplus(
  request: Request,
  entries: Iterable<DirectoryEntry>,
  length: number,
  onReference: (nodeid: number) => void,
): Buffer {
  const reply = replyTo(request, length);
  let at = REPLY_BODY;
  for (const entry of entries) {
    if (at + ENTRY_OUT + DIRENT > reply.length) break;
    const next = writeDirent(reply, at + ENTRY_OUT, entry);
    if (next === 0) break;
    if (entry.nameOnly !== true && entry.name !== '.' && entry.name !== '..') {
      writeEntry(reply, at, entry.entry);
      onReference(entry.entry.attr.nodeid);
    }
    at = next;
  }
  return shortened(reply, at - REPLY_BODY);
}

/** FUSE_DIRENT_ALIGN. Both header sizes are multiples of 8 already. */
function align8(bytes: number): number {
  return Math.ceil(bytes / 8) * 8;
}
