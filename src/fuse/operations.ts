import { errno } from '../errors.ts';
import type { LiveContent } from '../storage/content.ts';
import type { DirectoryInode, FileInode, Inode, InodeTree } from '../tree/inode.ts';
import { DirectoryListings } from './directory-listing.ts';
import type {
  AbsentEntry,
  Attr,
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
import { readExtents } from './read-extents.ts';
import { Snapshots } from './snapshots.ts';

export interface TreeFilesystemOptions {
  /** Whether appending to the log is refused too. */
  readonly readOnly: boolean;
  /** Who owns every inode; the process's own ids when absent. */
  readonly uid?: number;
  readonly gid?: number;
}

/**
 * A day. Names, sizes and bytes of a checkpoint's files do not change while it is mounted; should one change, the kernel
 * is told and does not wait for a timeout.
 */
const FIXED_MS = 24 * 60 * 60 * 1000;

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
  readonly #uid: number;
  readonly #gid: number;
  readonly #listings = new DirectoryListings();
  readonly #snapshots = new Snapshots();
  readonly #counters = { opens_total: 0, read_bytes_total: 0, append_bytes_total: 0 };

  constructor(tree: InodeTree, options: TreeFilesystemOptions) {
    this.#tree = tree;
    this.#readOnly = options.readOnly;
    this.#uid = options.uid ?? process.getuid?.() ?? 0;
    this.#gid = options.gid ?? process.getgid?.() ?? 0;
  }

  /** What was read and appended through JavaScript; reads of the data plane are in the transport's counters. */
  counters(): Readonly<Record<string, number>> {
    return { ...this.#counters };
  }

  lookup(parent: number, name: string): Entry | AbsentEntry {
    const child = this.#directory(parent).children.get(name);
    return child === undefined ? ABSENT : this.#entry(child);
  }

  forget(): void {
    // The tree holds its inodes as long as it lives.
  }

  getattr(nodeid: number, context: RequestContext): MaybePromise<AttrReply> {
    const inode = this.#inode(nodeid);
    if (inode.kind === 'directory' || inode.content.kind !== 'snapshot') return this.#entry(inode);
    const current = this.#snapshots.current(nodeid, inode.content);
    return interruptible(
      current.then(() => this.#entry(inode)),
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
    const size = content.kind === 'live' ? content.size() : content.size;
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
      this.#entry(inode),
    );
  }

  access(nodeid: number, mask: number, context: RequestContext): void {
    const attr = this.#attr(this.#inode(nodeid));
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
        : content.kind === 'live'
          ? content.size()
          : content.size;
    if (offset >= size) throw errno('ENXIO');
    return whence === SEEK_DATA ? offset : size;
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

  /** An entry is an AttrReply too. */
  #entry(inode: Inode): Entry {
    const changes =
      inode.kind === 'file' && (inode.content.kind === 'snapshot' || inode.content.kind === 'live');
    return { attr: this.#attr(inode), entryTimeoutMs: FIXED_MS, attrTimeoutMs: changes ? 0 : FIXED_MS };
  }

  #attr(inode: Inode): Attr {
    let size = 0;
    let { mtimeMs } = inode;
    let nlink = DIRECTORY_LINKS;
    if (inode.kind === 'file') {
      const { content } = inode;
      nlink = inode.nlink;
      if (content.kind === 'live') {
        size = content.size();
        mtimeMs = Date.now();
      } else if (content.kind === 'snapshot') {
        const known = this.#snapshots.known(inode.nodeid);
        size = known?.size ?? 0;
        mtimeMs = known?.madeMs ?? mtimeMs;
      } else {
        size = content.size;
      }
    }
    const { nodeid, kind, mode } = inode;
    return { nodeid, kind, mode, nlink, uid: this.#uid, gid: this.#gid, size, mtimeMs };
  }

  #counted(bytes: Uint8Array): Uint8Array {
    this.#counters.read_bytes_total += bytes.byteLength;
    return bytes;
  }
}

const ABSENT: AbsentEntry = { absent: true, entryTimeoutMs: FIXED_MS };
const NO_BYTES = new Uint8Array(0);

/** "Subdirectories are not counted", as btrfs has it: `find` then looks at each entry's type instead. */
const DIRECTORY_LINKS = 1;

/** f_bsize: large enough that the blocks of 16 PiB fit into the 32 bits that one of the transports has for them. */
const STATFS_BLOCK = 4 * 1024 * 1024;
const NAME_MAX = 255;
