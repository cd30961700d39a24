import type { ByteSource } from './storage/byte-source.ts';
import type { Content } from './storage/content.ts';
import type { ImageUpdate } from './storage/image.ts';

/** The root directory's nodeid, by FUSE's convention (FUSE_ROOT_ID). */
export const ROOT_NODEID = 1;

/**
 * Scratch inodes are numbered from here, the trees' below it: a tree that comes later begins above all those before it. Within 32 bits,
 * which is what one of the transports has for an inode's number.
 */
export const FIRST_SCRATCH_NODEID = 2 ** 31;

export type Inode = FileInode | DirectoryInode;

interface InodeBase {
  /** Dense, from 1; never reused within a mount. */
  readonly nodeid: number;
  /** Permission bits only. */
  readonly mode: number;
  readonly mtimeMs: number;
  /** Attributes in the user.mlfs namespace, `user.mlfs.dtype` → `float32`. */
  readonly xattrs?: ReadonlyMap<string, string>;
}

export interface FileInode extends InodeBase {
  readonly kind: 'file';
  /** How many names lead here: tied tensors are one inode. */
  nlink: number;
  readonly content: Content;
  /** Present on tensors: the bytes of one element of this value; undefined for a text that is no number of the dtype. */
  readonly element?: (number: string) => Uint8Array | undefined;
  /**
   * Present where the bytes of a replacement are not the content's own (a text that is parsed, a header that may differ): takes them as
   * part of an update. Throws MlfsError with EINVAL and the reason, with its line and column; then the update changes nothing.
   */
  readonly replace?: ((staged: ByteSource, update: ImageUpdate) => Promise<void>) | undefined;
}

export interface DirectoryInode extends InodeBase {
  readonly kind: 'directory';
  /** nodeid of the parent; the root's is its own. */
  readonly parent: number;
  readonly children: Map<string, Inode>;
  /** Nobody has looked into it yet: asking for its children makes them. Walks that only search pass it by. */
  readonly unmade?: boolean;
  /** Whether scratch files may be made here. */
  readonly writable?: boolean;
}

/** The inodes of one mount. */
export interface InodeTree {
  readonly root: DirectoryInode;
  get(nodeid: number): Inode | undefined;
  readonly inodeCount: number;
  /** Above every nodeid of this tree but the root's: where a tree that comes after it may begin. */
  readonly nextNodeid: number;
  /** The folder at the root that an inode of this tree was made for; one with several names has one room. */
  roomOf(nodeid: number): string;
  /** Sum of file sizes that are fixed, for statfs. */
  readonly totalBytes: number;
}
