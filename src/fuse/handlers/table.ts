import { type ErrnoName, errno } from '../../errors.ts';
import { OPCODE_LIMIT, OPCODES, type OpcodeName } from '../protocol/opcodes.ts';
import { access, getattr, getxattr, listxattr, setattr, statfs, statx } from './attributes.ts';
import { destroy, init } from './connection.ts';
import { opendir, readdir, readdirplus, releasedir } from './directories.ts';
import { fallocate, flush, fsync, lseek, open, read, release, sync, write } from './files.ts';
import type { Handler } from './handler.ts';
import { batchForget, forget, lookup } from './names.ts';
import { create, mkdir, mknod, never, rename, rename2, rmdir, unlink } from './scratch.ts';

const HANDLERS: Partial<Record<OpcodeName, Handler>> = {
  INIT: init,
  DESTROY: destroy,
  LOOKUP: lookup,
  FORGET: forget,
  BATCH_FORGET: batchForget,
  GETATTR: getattr,
  SETATTR: setattr,
  STATX: statx,
  ACCESS: access,
  STATFS: statfs,
  GETXATTR: getxattr,
  LISTXATTR: listxattr,
  OPENDIR: opendir,
  READDIR: readdir,
  READDIRPLUS: readdirplus,
  RELEASEDIR: releasedir,
  OPEN: open,
  READ: read,
  WRITE: write,
  FLUSH: flush,
  RELEASE: release,
  FSYNC: fsync,
  LSEEK: lseek,
  FALLOCATE: fallocate,
  FSYNCDIR: sync,
  SYNCFS: sync,
  CREATE: create,
  MKNOD: mknod,
  MKDIR: mkdir,
  UNLINK: unlink,
  RMDIR: rmdir,
  RENAME: rename,
  RENAME2: rename2,
  LINK: never('link'),
  SYMLINK: never('symlink'),
  TMPFILE: never('tmpfile'),
  SETXATTR: never('setxattr'),
  REMOVEXATTR: never('removexattr'),
  // The kernel sends pages only after a request for them, and MLFS sends none.
  NOTIFY_REPLY: () => undefined,
};

/**
 * Refused whatever the arguments. An opcode in neither table is ENOSYS, which tells the kernel not to ask again: IOCTL is then ENOTTY for the
 * caller, POLL is always ready, COPY_FILE_RANGE is a plain copy, and the kernel handles locks itself.
 */
const REFUSED: Partial<Record<OpcodeName, ErrnoName>> = {
  // A mount has no symbolic links.
  READLINK: 'EINVAL',
};

const TABLE: readonly Handler[] = Array.from({ length: OPCODE_LIMIT }, (_, opcode) => {
  const name = (Object.keys(OPCODES) as OpcodeName[]).find((candidate) => OPCODES[candidate] === opcode);
  return (name && HANDLERS[name]) ?? refusal((name && REFUSED[name]) ?? 'ENOSYS');
});

/** Opcodes that the kernel expects no reply to, not even a refusal. */
export const WITHOUT_REPLY: ReadonlySet<number> = new Set([
  OPCODES.FORGET,
  OPCODES.BATCH_FORGET,
  OPCODES.NOTIFY_REPLY,
]);

export function handlerOf(opcode: number): Handler {
  return TABLE[opcode] ?? unknownOpcode;
}

const unknownOpcode: Handler = refusal('ENOSYS');

function refusal(name: ErrnoName): Handler {
  return () => {
    throw errno(name);
  };
}
