import { errno } from '../errors.ts';
import type { FileInode } from '../inode.ts';
import { replacedImage, writerOf } from './replacement.ts';

/** open(2) flags, from asm-generic/fcntl.h of Linux. */
export const O_ACCMODE = 0o3;
export const O_RDONLY = 0o0;
export const O_WRONLY = 0o1;
export const O_EXCL = 0o200;
export const O_TRUNC = 0o1000;
export const O_APPEND = 0o2000;
/** Each write is durable when it returns; O_SYNC includes it. */
export const O_DSYNC = 0o10000;

/**
 * How one OPEN is served:
 * - read: the inode alone is enough. The data plane reads extents, a function makes other bytes.
 * - document: the bytes are made now and belong to this handle.
 * - append: every write is added at the end, and every read asks the server.
 * - command: each line that is written is carried out.
 * - write: in place.
 * - replace: into a staged copy, because the open truncated the file.
 * - edit: into a staged copy of the present text, because the whole text is parsed at close.
 * - cut: in place, after the file was truncated.
 */
export interface OpenPolicy {
  readonly serve: 'read' | 'document' | 'append' | 'command' | 'write' | 'replace' | 'edit' | 'cut';
  /** keep: the kernel's pages stay valid across opens. direct: other readers do not see what the handle reads and writes. */
  readonly caching: 'keep' | 'direct';
}

const DIRECT_READ: OpenPolicy = { serve: 'read', caching: 'direct' };
const READ: OpenPolicy = { serve: 'read', caching: 'keep' };
const DOCUMENT: OpenPolicy = { serve: 'document', caching: 'direct' };
const APPEND: OpenPolicy = { serve: 'append', caching: 'direct' };
const COMMAND: OpenPolicy = { serve: 'command', caching: 'direct' };
const WRITE: OpenPolicy = { serve: 'write', caching: 'keep' };
const REPLACE: OpenPolicy = { serve: 'replace', caching: 'direct' };
const EDIT: OpenPolicy = { serve: 'edit', caching: 'direct' };
const CUT: OpenPolicy = { serve: 'cut', caching: 'keep' };

/**
 * The one place that decides how an OPEN is served. Throws EROFS on a read-only mount, and EPERM for writing a file that cannot be written.
 */
export function openPolicy(inode: FileInode, flags: number, mountIsReadOnly: boolean): OpenPolicy {
  const { content } = inode;
  const writes = (flags & O_ACCMODE) !== O_RDONLY;
  const cuts = (flags & O_TRUNC) !== 0;
  if ((writes || cuts) && mountIsReadOnly) throw errno('EROFS');
  switch (content.kind) {
    case 'command':
      return COMMAND;
    case 'snapshot':
      if (!writes && !cuts) return DOCUMENT;
      if (replacedImage(inode) === undefined) throw errno('EPERM');
      return cuts ? REPLACE : EDIT;
    case 'live':
      if (!writes) return DIRECT_READ;
      // A log only grows: `>` must not remove lines of others.
      if (content.appender === undefined || cuts) throw errno('EPERM');
      return APPEND;
    case 'stored':
      if (!writes) return READ;
      return cuts ? CUT : WRITE;
    default:
      if (!writes) return READ;
      if (cuts ? replacedImage(inode) === undefined : writerOf(inode) === undefined) throw errno('EPERM');
      return cuts ? REPLACE : WRITE;
  }
}
