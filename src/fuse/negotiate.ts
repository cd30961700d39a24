import type { DispatcherLimits } from './hooks.ts';
import { INIT_FLAGS, type InitRequest, NEWEST_MINOR, type Negotiated } from './protocol/init.ts';

/** The features that MLFS requests if the kernel has them, each with a reason. */
const WANTED =
  // Readahead sends several READs at once: this keeps the data plane's threads busy.
  INIT_FLAGS.ASYNC_READ |
  // One direct read or write becomes several concurrent requests.
  INIT_FLAGS.ASYNC_DIO |
  // READ and WRITE of more than 32 pages.
  INIT_FLAGS.MAX_PAGES |
  INIT_FLAGS.BIG_WRITES |
  // A listing includes the attributes, so that `ls -l` and `find -size` do not ask for each file. AUTO omits them if the caller does not use
  // them.
  INIT_FLAGS.DO_READDIRPLUS |
  INIT_FLAGS.READDIRPLUS_AUTO |
  // OPEN passes O_TRUNC: the handle then starts a replacement. A SETATTR before or after the open would look like a truncation.
  INIT_FLAGS.ATOMIC_O_TRUNC |
  // Lookups and listings of one directory can run concurrently: each is answered from one state of it.
  INIT_FLAGS.PARALLEL_DIROPS |
  // No set-user-id bits have to be dropped at a write: they are never kept, and a file in /activations that has them on disk loses them when
  // it is opened for writing. V2 lets the kernel remember that; otherwise it asks for security.capability before every write.
  INIT_FLAGS.HANDLE_KILLPRIV |
  INIT_FLAGS.HANDLE_KILLPRIV_V2 |
  // OPENDIR answers ENOSYS: the kernel then opens directories itself and caches listings.
  INIT_FLAGS.NO_OPENDIR_SUPPORT |
  // MLFS tells the kernel when cached pages are wrong. AUTO_INVAL_DATA would ask for the attributes at reads, and drop all pages of a file
  // when its mtime changed.
  INIT_FLAGS.EXPLICIT_INVAL_DATA |
  // Files that are opened direct (status, metrics, the log) can be mapped, too: Python's mmap requests a shared mapping.
  INIT_FLAGS.DIRECT_IO_ALLOW_MMAP |
  // Flags above bit 31 are used.
  INIT_FLAGS.INIT_EXT;

/** The agreement with the kernel: only flags that the kernel has, and the smaller limit of both sides. */
export function negotiate(init: InitRequest, limits: DispatcherLimits): Negotiated {
  return {
    minor: Math.min(init.minor, NEWEST_MINOR),
    flags: init.flags & (limits.passthrough === true ? WANTED | INIT_FLAGS.PASSTHROUGH : WANTED),
    maxReadaheadBytes: Math.min(init.maxReadaheadBytes, limits.maxReadaheadBytes),
    maxWriteBytes: limits.maxWriteBytes,
    maxPages: limits.maxPages,
    maxBackground: limits.maxBackground,
  };
}
