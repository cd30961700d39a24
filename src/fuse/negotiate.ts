import type { DispatcherLimits } from './hooks.ts';
import { INIT_FLAGS, type InitRequest, NEWEST_MINOR, type Negotiated } from './protocol/init.ts';

/** What we ask for where the kernel has it, each for a reason. */
const WANTED =
  // Readahead sends several READs at once: what keeps the data plane's threads busy.
  INIT_FLAGS.ASYNC_READ |
  // Several requests at once for one direct read or write.
  INIT_FLAGS.ASYNC_DIO |
  // READ and WRITE of more than 32 pages.
  INIT_FLAGS.MAX_PAGES |
  INIT_FLAGS.BIG_WRITES |
  // A listing brings the attributes along, so that `ls -l` and `find -size` do not ask for each file; AUTO leaves them
  // out where nobody looks at them.
  INIT_FLAGS.DO_READDIRPLUS |
  INIT_FLAGS.READDIRPLUS_AUTO |
  // OPEN says O_TRUNC: the handle then starts a replacement, which a SETATTR before or after it could not be told from a cut.
  INIT_FLAGS.ATOMIC_O_TRUNC |
  // Lookups and listings of one directory need not wait for each other: each is answered from one state of it.
  INIT_FLAGS.PARALLEL_DIROPS |
  // There are no set-user-id bits to drop at a write: they are never kept, and a file in /activations that has them on disk loses them when it
  // is opened for writing. V2 lets the kernel remember that: otherwise it asks for security.capability before every write.
  INIT_FLAGS.HANDLE_KILLPRIV |
  INIT_FLAGS.HANDLE_KILLPRIV_V2 |
  // OPENDIR answers ENOSYS: the kernel then opens directories by itself and caches listings.
  INIT_FLAGS.NO_OPENDIR_SUPPORT |
  // We say when cached pages are wrong. AUTO_INVAL_DATA would ask for the attributes at reads and drop a whole file's
  // pages when its mtime moved.
  INIT_FLAGS.EXPLICIT_INVAL_DATA |
  // Files that are opened direct (status, metrics, the log) can be mapped too: Python's mmap asks for a shared mapping.
  INIT_FLAGS.DIRECT_IO_ALLOW_MMAP |
  // Flags above bit 31 are spoken of.
  INIT_FLAGS.INIT_EXT;

/** Agrees with the kernel: no flag that it does not have, no number above its own or ours. */
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
