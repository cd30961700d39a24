import { errno } from '../errors.ts';
import type { Content, LiveContent } from '../storage/content.ts';
import type { DirectoryInode, FileInode, Inode, InodeTree } from '../tree/inode.ts';
import { ABSENT, Attributes } from './attributes.ts';
import { DirectoryListings } from './directory-listing.ts';
import type {
  AbsentEntry,
  AttrChange,
  AttrReply,
  DirectoryEntry,
  Entry,
  Filesystem,
  MaybePromise,
  OpenReply,
  RequestContext,
  Statfs,
} from './filesystem.ts';
import { interruptible } from './interruptible.ts';
import { openPolicy } from './open-policy.ts';
import { permits, W_OK } from './permission.ts';
import { NAME_MAX } from './protocol/request.ts';
import { readExtents } from './read-extents.ts';
import { Snapshots } from './snapshots.ts';

export interface TreeFilesystemOptions {
  /** Whether appending to the log is refused too. */
  readonly readOnly: boolean;
  /** Who owns every inode; the process's own ids when absent. */
  readonly uid?: number;
  readonly gid?: number;
}

/** Positions of lseek(2) that a filesystem answers. */
const SEEK_DATA = 3;
const SEEK_HOLE = 4;

/** No handle: the inode says all that is needed to read. */
const NO_HANDLE = 0;

/**
 * The tree of inodes as a Filesystem. Names never change, so that every name and the absence of every other may be kept
 * by the kernel; attributes may be kept unless the content is made on demand (snapshot) or grows (live).
 *
 * Invariants:
 * - What is known at once is answered at once; only bytes and documents are waited for, and the waiting can be
 *   interrupted. Appends are not interruptible: they happen or they do not.
 * - A read returns fewer bytes than asked for only at the end of the file.
 */
export class TreeFilesystem implements Filesystem {
  readonly #tree: InodeTree;
  readonly #readOnly: boolean;
  readonly #listings = new DirectoryListings();
  readonly #snapshots = new Snapshots();
  readonly #attributes: Attributes;
  readonly #counters = { opens_total: 0, read_bytes_total: 0, append_bytes_total: 0 };

  constructor(tree: InodeTree, options: TreeFilesystemOptions) {
    this.#tree = tree;
    this.#readOnly = options.readOnly;
    const uid = options.uid ?? process.getuid?.() ?? 0;
    const gid = options.gid ?? process.getgid?.() ?? 0;
    this.#attributes = new Attributes(uid, gid, this.#snapshots);
  }

  /** What was read and appended through JavaScript; reads of the data plane are in the transport's counters. */
  counters(): Readonly<Record<string, number>> {
    return { ...this.#counters };
  }

  lookup(parent: number, name: string): Entry | AbsentEntry {
    const child = this.#directory(parent).children.get(name);
    return child === undefined ? ABSENT : this.#attributes.entry(child);
  }

  forget(): void {
    // The tree holds its inodes as long as it lives.
  }

  getattr(nodeid: number, context: RequestContext): MaybePromise<AttrReply> {
    const inode = this.#inode(nodeid);
    if (inode.kind === 'directory' || inode.content.kind !== 'snapshot') return this.#attributes.entry(inode);
    const current = this.#snapshots.current(nodeid, inode.content);
    return interruptible(
      current.then(() => this.#attributes.entry(inode)),
      context.signal,
    );
  }

  setattr(nodeid: number, change: AttrChange): never {
    const inode = this.#inode(nodeid);
    // `> fuse.log` truncates before it writes.
    const truncatesLog = change.size !== undefined && inode.kind === 'file' && inode.content.kind === 'live';
    throw errno(truncatesLog && !this.#readOnly ? 'EPERM' : 'EROFS');
  }

  open(nodeid: number, flags: number, context: RequestContext): MaybePromise<OpenReply> {
    const { content } = this.#file(nodeid);
    const { caching } = openPolicy(content, flags, this.#readOnly);
    this.#counters.opens_total++;
    if (content.kind === 'extents') return { handle: NO_HANDLE, caching, extents: content.extents };
    if (content.kind !== 'snapshot') return { handle: NO_HANDLE, caching };
    const opened = this.#snapshots.open(nodeid, content);
    return interruptible(opened, context.signal).then(
      (handle) => ({ handle, caching }),
      (cause) => {
        // Nobody will release what an interrupted open still makes.
        opened.then((handle) => this.#snapshots.release(nodeid, handle)).catch(() => undefined);
        throw cause;
      },
    );
  }

  read(
    nodeid: number,
    handle: number,
    offset: number,
    length: number,
    context: RequestContext,
  ): MaybePromise<Uint8Array> {
    const { content } = this.#file(nodeid);
    if (content.kind === 'snapshot') {
      return this.#counted(this.#snapshots.bytes(handle).subarray(offset, offset + length));
    }
    if (content.kind === 'command') return NO_BYTES;
    const size = sizeOf(content);
    const available = Math.min(length, size - offset);
    if (available <= 0) return NO_BYTES;
    const bytes =
      content.kind === 'extents'
        ? readExtents(content.extents, offset, available)
        : content.read(offset, available);
    return interruptible(bytes, context.signal).then((read) => this.#counted(read));
  }

  /** Appends, wherever the offset points: two writers of one log must not overwrite each other. */
  write(nodeid: number, _handle: number, _offset: number, bytes: Uint8Array): Promise<number> {
    const { content } = this.#file(nodeid);
    const { append } = content as Partial<LiveContent>;
    if (append === undefined || this.#readOnly) throw errno('EROFS');
    return append.call(content as LiveContent, bytes).then(() => {
      this.#counters.append_bytes_total += bytes.byteLength;
      return bytes.byteLength;
    });
  }

  flush(nodeid: number): void {
    this.#inode(nodeid);
  }

  release(nodeid: number, handle: number): void {
    this.#snapshots.release(nodeid, handle);
  }

  fsync(nodeid: number): void {
    this.#inode(nodeid);
  }

  readdir(nodeid: number, offset: number): Iterable<DirectoryEntry> {
    const directory = this.#directory(nodeid);
    return this.#listings.entries(directory, this.#directory(directory.parent), offset, (inode) =>
      this.#attributes.entry(inode),
    );
  }

  access(nodeid: number, mask: number, context: RequestContext): void {
    const attr = this.#attributes.attr(this.#inode(nodeid));
    if ((mask & W_OK) !== 0 && this.#readOnly) throw errno('EROFS');
    if (!permits(attr, mask, context)) throw errno('EACCES');
  }

  statfs(): Statfs {
    return {
      blockSize: STATFS_BLOCK,
      blocks: Math.ceil(this.#tree.totalBytes / STATFS_BLOCK),
      blocksFree: 0,
      files: this.#tree.inodeCount,
      nameMax: NAME_MAX,
    };
  }

  /**
   * Outside `user.` the answer is "not supported" and not "no such attribute": `ls -l` then asks once for the mount, and not for
   * every file (security.selinux, system.posix_acl_access).
   */
  getxattr(nodeid: number, name: string): Uint8Array {
    if (!name.startsWith('user.')) throw errno('EOPNOTSUPP');
    const value = this.#inode(nodeid).xattrs?.get(name);
    if (value === undefined) throw errno('ENODATA');
    return Buffer.from(value, 'utf8');
  }

  listxattr(nodeid: number): readonly string[] {
    return [...(this.#inode(nodeid).xattrs?.keys() ?? [])];
  }

  /** Every byte is data: a hole of the checkpoint file is zeroes that somebody saved. */
  lseek(nodeid: number, handle: number, offset: number, whence: number): number {
    if (whence !== SEEK_DATA && whence !== SEEK_HOLE) throw errno('EINVAL', `lseek whence ${whence}`);
    const { content } = this.#file(nodeid);
    const size =
      content.kind === 'snapshot'
        ? this.#snapshots.bytes(handle).byteLength
        : content.kind === 'command'
          ? 0
          : sizeOf(content);
    if (offset >= size) throw errno('ENXIO');
    return whence === SEEK_DATA ? offset : size;
  }

  create(): never {
    throw errno('EROFS');
  }

  mkdir(): never {
    throw errno('EROFS');
  }

  unlink(): never {
    throw errno('EROFS');
  }

  rmdir(): never {
    throw errno('EROFS');
  }

  rename(): never {
    throw errno('EROFS');
  }

  connect(): void {
    // Nothing changes yet.
  }

  #inode(nodeid: number): Inode {
    const inode = this.#tree.get(nodeid);
    if (inode === undefined) throw errno('ESTALE', `there is no inode ${nodeid}`);
    return inode;
  }

  #file(nodeid: number): FileInode {
    const inode = this.#inode(nodeid);
    if (inode.kind === 'directory') throw errno('EISDIR');
    return inode;
  }

  #directory(nodeid: number): DirectoryInode {
    const inode = this.#inode(nodeid);
    if (inode.kind !== 'directory') throw errno('ENOTDIR');
    return inode;
  }

  #counted(bytes: Uint8Array): Uint8Array {
    this.#counters.read_bytes_total += bytes.byteLength;
    return bytes;
  }
}

function sizeOf(content: Exclude<Content, { kind: 'snapshot' | 'command' }>): number {
  return typeof content.size === 'function' ? content.size() : content.size;
}

const NO_BYTES = new Uint8Array(0);

/** f_bsize: large enough that the blocks of 16 PiB fit into the 32 bits that one of the transports has for them. */
const STATFS_BLOCK = 4 * 1024 * 1024;
