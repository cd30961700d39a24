import { readU64 } from './fields.ts';
import { encodeName } from './name-bytes.ts';
import { BODY, type Request } from './request.ts';

/** MKNOD. */
export function decodeMknod(request: Request): { readonly mode: number; readonly name: string } {
  //  0  mode     u32, file type included
  //  4  rdev     u32
  //  8  umask    u32, which the kernel has applied
  // 12  padding  u32
  // 16  name
  request.require(16, 'fuse_mknod_in');
  return { mode: request.message.readUInt32LE(BODY), name: request.name(BODY + 16) };
}

/** MKDIR. */
export function decodeMkdir(request: Request): { readonly mode: number; readonly name: string } {
  //  0  mode   u32
  //  4  umask  u32, which the kernel has applied
  //  8  name
  request.require(8, 'fuse_mkdir_in');
  return { mode: request.message.readUInt32LE(BODY), name: request.name(BODY + 8) };
}

/** CREATE. */
export function decodeCreate(request: Request): {
  readonly flags: number;
  readonly mode: number;
  readonly name: string;
} {
  //  0  flags       u32, open(2)'s
  //  4  mode        u32
  //  8  umask       u32, which the kernel has applied
  // 12  open_flags  u32
  // 16  name
  request.require(16, 'fuse_create_in');
  const { message } = request;
  return {
    flags: message.readUInt32LE(BODY),
    mode: message.readUInt32LE(BODY + 4),
    name: request.name(BODY + 16),
  };
}

/** UNLINK and RMDIR. */
export function decodeRemoved(request: Request): string {
  // 0  name
  return request.name(BODY);
}

export interface RenameRequest {
  readonly name: string;
  readonly newParent: number;
  readonly newName: string;
  /** renameat2(2)'s. */
  readonly flags: number;
}

/** RENAME: fuse_rename_in has the new parent alone. */
export function decodeRename(request: Request): RenameRequest {
  // 0  newdir  u64
  // 8  name, then the new name
  request.require(8, 'fuse_rename_in');
  return decodeRenameFrom(request, 8, 0);
}

/** RENAME2. */
export function decodeRename2(request: Request): RenameRequest {
  //  0  newdir   u64
  //  8  flags    u32
  // 12  padding  u32
  // 16  name, then the new name
  request.require(16, 'fuse_rename2_in');
  return decodeRenameFrom(request, 16, request.message.readUInt32LE(BODY + 8));
}

function decodeRenameFrom(request: Request, structBytes: number, flags: number): RenameRequest {
  const at = BODY + structBytes;
  const name = request.name(at);
  return {
    name,
    newParent: readU64(request.message, BODY, 'newdir'),
    newName: request.name(at + encodeName(name).byteLength + 1),
    flags,
  };
}
