import { type ErrnoName, errno } from '../errors.ts';
import type { Content, LiveContent } from '../storage/content.ts';
import type { DirectoryInode, FileInode, Inode, InodeTree } from '../tree/inode.ts';
import { AttributeChanges } from './attribute-changes.ts';
import { Attributes } from './attributes.ts';
import { Coherence } from './coherence.ts';
import { CommandTranscript } from './command-transcript.ts';
import { DirectoryListings } from './directory-listing.ts';
import type {
  AbsentEntry,
  AttrChange,
  AttrReply,
  DirectoryEntry,
  Entry,
  Filesystem,
  Invalidation,
  MaybePromise,
  NeverDone,
  Notifier,
  OpenReply,
  RequestContext,
  Statfs,
} from './filesystem.ts';
import { Inodes } from './inodes.ts';
import { interruptible } from './interruptible.ts';
import { Invalidations } from './invalidation.ts';
import { OpenHandles } from './open-handles.ts';
import { O_ACCMODE, O_EXCL, O_RDONLY, type OpenPolicy, openPolicy } from './open-policy.ts';
import { mayChange, permits, R_OK, W_OK, X_OK } from './permission.ts';
import { S_IFREG } from './protocol/attr.ts';
import { NAME_MAX } from './protocol/request.ts';
import { readExtents } from './read-extents.ts';
import { replaceContent } from './replacement.ts';
import { isScratch, type ScratchFile, ScratchFiles } from './scratch-files.ts';
import { Snapshots } from './snapshots.ts';
import type { ScratchContent } from './staged-replacement.ts';
import { Writing } from './writing.ts';

export interface TreeFilesystemOptions {
  /** Whether everything that changes anything is refused. */
  readonly readOnly: boolean;
  /** Who owns every inode; the process's own ids when absent. */
  readonly uid?: number;
  readonly gid?: number;
  /** Makes acknowledged edits durable. */
  readonly flush?: () => Promise<void>;
  /** A nameless file for a staged replacement or a scratch file. Without it there are none. */
  readonly makeScratch?: () => ScratchContent;
  /** Takes a line that says why something was refused or dropped. */
  readonly log?: (message: string) => void;
}

/** Positions of lseek(2) that a filesystem answers. */
const SEEK_DATA = 3;
const SEEK_HOLE = 4;

/** No handle: the inode says all that is needed. */
const NO_HANDLE = 0;

/** S_IFMT: the file type bits of a mode. */
const FILE_TYPE = 0o170000;

/**
 * The tree of inodes as a Filesystem: finds the inode and hands the rest on, bytes to Writing, names to ScratchFiles, what the kernel must hear
 * to Coherence.
 *
 * Invariants:
 * - What is known at once is answered at once; only bytes and documents are waited for, and waiting for what is only read can be
 *   interrupted. What changes something is not interruptible: it happens or it does not.
 * - A read returns fewer bytes than asked for only at the end of the file.
 * - On a read-only mount every change is EROFS.
 */
export class TreeFilesystem implements Filesystem {
  readonly #readOnly: boolean;
  readonly #log: (message: string) => void;
  readonly #flush: () => Promise<void>;
  readonly #inodes: Inodes;
  readonly #handles = new OpenHandles();
  readonly #listings = new DirectoryListings();
  readonly #snapshots = new Snapshots(this.#handles);
  readonly #changes = new AttributeChanges();
  readonly #attributes: Attributes;
  readonly #invalidations: Invalidations;
  readonly #coherence: Coherence;
  readonly #writing: Writing;
  readonly #scratch: ScratchFiles;
  /** What descriptors of command files have said, by inode: the latest that is open. */
  readonly #transcripts = new Map<FileInode, CommandTranscript>();
  /** Inodes with a name in a writable folder, as far as anybody has seen them. */
  readonly #inWritableRoom = new Set<number>();
  #namesVersion = 0;
  readonly #counters = { opens_total: 0, read_bytes_total: 0, write_bytes_total: 0, append_bytes_total: 0 };

  constructor(tree: InodeTree, options: TreeFilesystemOptions) {
    this.#readOnly = options.readOnly;
    this.#log = options.log ?? (() => undefined);
    this.#flush = options.flush ?? (() => Promise.resolve());
    this.#inodes = new Inodes(tree);
    this.#invalidations = new Invalidations(this.#log);
    this.#coherence = new Coherence(this.#invalidations, this.#changes);
    this.#attributes = new Attributes({
      uid: options.uid ?? process.getuid?.() ?? 0,
      gid: options.gid ?? process.getgid?.() ?? 0,
      inodes: this.#inodes,
      snapshots: this.#snapshots,
      changes: this.#changes,
      kept: () => this.#readOnly || this.#invalidations.connected,
      commandSize: (inode) => this.#transcripts.get(inode)?.size ?? 0,
    });
    const makeScratch = options.makeScratch ?? noScratch;
    this.#writing = new Writing({
      coherence: this.#coherence,
      attributes: this.#changes,
      makeScratch,
      flush: this.#flush,
      log: this.#log,
      pathOf: (inode) => this.#inodes.pathOf(inode),
    });
    this.#scratch = new ScratchFiles(this.#inodes, {
      makeScratch,
      replace: (target, source) => this.#renameOver(target, source),
      changed: (directory) => {
        this.#listings.changed(directory);
        this.#changes.touch(directory);
      },
    });
  }

  /** What was read and written through JavaScript; reads of the data plane are in the transport's counters. */
  counters(): Readonly<Record<string, number>> {
    return { ...this.#counters };
  }

  get namesVersion(): number {
    return this.#namesVersion;
  }

  connect(notifier: Notifier): void {
    this.#invalidations.connect(notifier);
  }

  /**
   * Shows another tree from now on. Its nodeids are others than those of the trees before it, which live on for who holds their inodes.
   * Resolves when the kernel has dropped the old names.
   */
  async replaceTree(tree: InodeTree): Promise<void> {
    const names = new Set([...this.#inodes.root.children.keys(), ...tree.root.children.keys()]);
    this.#inodes.replace(tree);
    this.#namesVersion++;
    const root = { nodeid: 1, offset: 0, length: 0 };
    const invalidations: Invalidation[] = [{ kind: 'pages', ...root }];
    for (const name of names) invalidations.push({ kind: 'name', parent: root.nodeid, name });
    await this.#invalidations.settle(this.#invalidations.send(invalidations));
  }

  remember(nodeid: number): void {
    this.#inodes.remember(nodeid);
    const inode = this.#inodes.find(nodeid);
    if (inode?.kind === 'file' && !this.#readOnly) this.#coherence.remember(inode);
  }

  forget(nodeid: number): void {
    const inode = this.#inodes.find(nodeid);
    if (inode?.kind === 'file') this.#coherence.forget(inode);
    this.#inodes.forget(nodeid);
  }

  lookup(parent: number, name: string): Entry | AbsentEntry {
    const directory = this.#inodes.directory(parent);
    const child = directory.children.get(name);
    return child === undefined ? this.#attributes.absent(directory) : this.#entryIn(directory, child);
  }

  getattr(nodeid: number, context: RequestContext): MaybePromise<AttrReply> {
    const inode = this.#inodes.inode(nodeid);
    if (inode.kind === 'directory' || inode.content.kind !== 'snapshot') return this.#attributes.entry(inode);
    const current = this.#snapshots.current(nodeid, inode.content);
    return interruptible(
      current.then(() => this.#attributes.entry(inode)),
      context.signal,
    );
  }

  async setattr(nodeid: number, change: AttrChange, context: RequestContext): Promise<AttrReply> {
    const inode = this.#inodes.inode(nodeid);
    this.#refuseReadOnly();
    if (change.size === undefined) {
      if (!this.#isInWritableRoom(inode)) throw errno('EPERM');
      if (!mayChange(this.#attributes.attr(inode), change, context)) throw errno('EPERM');
      this.#changes.apply(inode.nodeid, change);
    } else {
      if (inode.kind === 'directory') throw errno('EISDIR');
      const handle = this.#handles.writing(change.handle ?? NO_HANDLE);
      if (handle === undefined) this.#require(inode, W_OK, context);
      await this.#writing.resize(inode, handle, change.size);
    }
    return this.#attributes.entry(inode);
  }

  open(nodeid: number, flags: number, context: RequestContext): MaybePromise<OpenReply> {
    const inode = this.#inodes.file(nodeid);
    const policy = this.#policy(inode, flags);
    this.#require(inode, accessOf(flags), context);
    this.#counters.opens_total++;
    this.#scratch.opened(inode);
    const { content } = inode;
    switch (policy.serve) {
      case 'read':
      case 'append':
        return {
          handle: NO_HANDLE,
          caching: policy.caching,
          ...(content.kind === 'extents' ? { extents: content.extents } : {}),
        };
      case 'document':
        return this.#openDocument(inode, policy, context);
      case 'command': {
        const transcript = new CommandTranscript();
        this.#transcripts.set(inode, transcript);
        return { handle: this.#handles.add({ kind: 'command', transcript }), caching: policy.caching };
      }
      default:
        return this.#writing.open(inode, flags, policy).then((handle) => ({
          handle: this.#handles.add(handle),
          caching: policy.caching,
        }));
    }
  }

  read(
    nodeid: number,
    handle: number,
    offset: number,
    length: number,
    context: RequestContext,
  ): MaybePromise<Uint8Array> {
    const { content } = this.#inodes.file(nodeid);
    if (content.kind === 'snapshot') {
      return this.#counted(this.#handles.document(handle).bytes.subarray(offset, offset + length));
    }
    if (content.kind === 'command') {
      return this.#counted(this.#handles.command(handle).transcript.read(offset, length));
    }
    const stage = this.#handles.writing(handle)?.stage;
    if (stage !== undefined) return stage.read(offset, length).then((bytes) => this.#counted(bytes));
    const available = Math.min(length, sizeOf(content) - offset);
    if (available <= 0) return NO_BYTES;
    const bytes =
      content.kind === 'extents'
        ? readExtents(content.extents, offset, available)
        : content.read(offset, available);
    return interruptible(bytes, context.signal).then((read) => this.#counted(read));
  }

  async write(nodeid: number, handle: number, offset: number, bytes: Uint8Array): Promise<number> {
    this.#refuseReadOnly();
    const inode = this.#inodes.file(nodeid);
    const { content } = inode;
    if (content.kind === 'live') return this.#append(content, bytes);
    if (content.kind === 'command') {
      await this.#handles.command(handle).transcript.say(content, offset, bytes);
      await this.#coherence.settled();
      return bytes.byteLength;
    }
    const count = await this.#writing.write(inode, this.#handles.writing(handle), offset, bytes);
    this.#counters.write_bytes_total += count;
    return count;
  }

  flush(nodeid: number, handle: number): MaybePromise<void> {
    this.#inodes.inode(nodeid);
    const writing = this.#handles.writing(handle);
    return writing === undefined ? undefined : this.#writing.close(writing);
  }

  async release(nodeid: number, handle: number): Promise<void> {
    const open = this.#handles.remove(handle);
    const inode = this.#inodes.find(nodeid);
    if (open?.kind === 'document') this.#snapshots.released(nodeid);
    if (open?.kind === 'command') {
      for (const [file, transcript] of this.#transcripts) {
        if (transcript === open.transcript) this.#transcripts.delete(file);
      }
    }
    if (open?.kind === 'writing') await this.#writing.release(open);
    await this.#scratch.released(inode);
  }

  fsync(nodeid: number, handle: number): MaybePromise<void> {
    const inode = this.#inodes.inode(nodeid);
    if (this.#readOnly) return undefined;
    if (inode.kind === 'directory') return this.#flush();
    if (inode.content.kind === 'command') return inode.content.sync();
    return this.#writing.sync(inode, this.#handles.writing(handle));
  }

  sync(): MaybePromise<void> {
    return this.#readOnly ? undefined : this.#flush();
  }

  fallocate(
    nodeid: number,
    handle: number,
    range: { readonly offset: number; readonly length: number; readonly mode: number },
  ): Promise<void> {
    this.#refuseReadOnly();
    return this.#writing.allocate(this.#inodes.file(nodeid), this.#handles.writing(handle), range);
  }

  readdir(nodeid: number, offset: number): Iterable<DirectoryEntry> {
    const directory = this.#inodes.directory(nodeid);
    const parent = this.#inodes.directory(directory === this.#inodes.root ? 1 : directory.parent);
    return this.#listings.entries(directory, parent, offset, (inode) => this.#entryIn(directory, inode));
  }

  access(nodeid: number, mask: number, context: RequestContext): void {
    const inode = this.#inodes.inode(nodeid);
    if ((mask & W_OK) !== 0 && this.#readOnly) throw errno('EROFS');
    this.#require(inode, mask, context);
  }

  statfs(): Statfs {
    const { totalBytes, inodeCount } = this.#inodes.tree;
    return {
      blockSize: STATFS_BLOCK,
      blocks: Math.ceil(totalBytes / STATFS_BLOCK),
      blocksFree: 0,
      files: inodeCount,
      nameMax: NAME_MAX,
    };
  }

  /**
   * Outside `user.` the answer is "not supported" and not "no such attribute": `ls -l` then asks once for the mount, and not for
   * every file (security.selinux, system.posix_acl_access).
   */
  getxattr(nodeid: number, name: string): Uint8Array {
    if (!name.startsWith('user.')) throw errno('EOPNOTSUPP');
    const value = this.#inodes.inode(nodeid).xattrs?.get(name);
    if (value === undefined) throw errno('ENODATA');
    return Buffer.from(value, 'utf8');
  }

  listxattr(nodeid: number): readonly string[] {
    return [...(this.#inodes.inode(nodeid).xattrs?.keys() ?? [])];
  }

  /** Every byte is data: a hole of the checkpoint file is zeroes that somebody saved. */
  lseek(nodeid: number, handle: number, offset: number, whence: number): number {
    if (whence !== SEEK_DATA && whence !== SEEK_HOLE) throw errno('EINVAL', `lseek whence ${whence}`);
    const inode = this.#inodes.file(nodeid);
    const { content } = inode;
    const size =
      content.kind === 'snapshot'
        ? this.#handles.document(handle).bytes.byteLength
        : content.kind === 'command'
          ? this.#handles.command(handle).transcript.size
          : (this.#handles.writing(handle)?.stage?.size() ?? sizeOf(content));
    if (offset >= size) throw errno('ENXIO');
    return whence === SEEK_DATA ? offset : size;
  }

  async create(
    parent: number,
    name: string,
    _mode: number,
    flags: number,
    context: RequestContext,
  ): Promise<{ readonly entry: Entry; readonly opened: OpenReply }> {
    const directory = this.#roomFor(parent, context);
    const there = directory.children.get(name);
    if (there !== undefined && (flags & O_EXCL) !== 0) throw errno('EEXIST');
    const inode = there ?? this.#scratch.create(directory, name);
    if (there === undefined) this.#own(inode, context);
    const opened = await this.open(inode.nodeid, flags, context);
    return { entry: this.#entryIn(directory, inode), opened };
  }

  mknod(parent: number, name: string, mode: number, context: RequestContext): Entry {
    const directory = this.#roomFor(parent, context);
    const type = mode & FILE_TYPE;
    if (type !== S_IFREG && type !== 0) throw errno('EPERM', 'devices, pipes and sockets have no place here');
    const inode = this.#scratch.create(directory, name);
    this.#own(inode, context);
    return this.#entryIn(directory, inode);
  }

  mkdir(parent: number, name: string, mode: number, context: RequestContext): Entry {
    const directory = this.#roomFor(parent, context);
    const inode = this.#scratch.mkdir(directory, name, mode);
    this.#own(inode, context);
    return this.#entryIn(directory, inode);
  }

  unlink(parent: number, name: string, context: RequestContext): void {
    this.#scratch.unlink(this.#roomFor(parent, context), name);
  }

  rmdir(parent: number, name: string, context: RequestContext): void {
    this.#scratch.rmdir(this.#roomFor(parent, context), name);
  }

  rename(
    parent: number,
    name: string,
    newParent: number,
    newName: string,
    flags: number,
    context: RequestContext,
  ): Promise<void> {
    const from = this.#roomFor(parent, context);
    return this.#scratch.rename(from, name, this.#roomFor(newParent, context), newName, flags);
  }

  refusal(operation: NeverDone): ErrnoName {
    if (this.#readOnly) return 'EROFS';
    return operation === 'link' || operation === 'symlink' ? 'EPERM' : 'EOPNOTSUPP';
  }

  #policy(inode: FileInode, flags: number): OpenPolicy {
    try {
      return openPolicy(inode, flags, this.#readOnly);
    } catch (refusal) {
      if (!this.#readOnly && (inode.content.kind === 'extents' || inode.content.kind === 'rendered')) {
        this.#log(
          `${this.#inodes.pathOf(inode)}: cannot be written: its bytes have no place of their own in the file`,
        );
      }
      throw refusal;
    }
  }

  #openDocument(inode: FileInode, { caching }: OpenPolicy, context: RequestContext): Promise<OpenReply> {
    const { nodeid, content } = inode;
    const opened = this.#snapshots.open(nodeid, content as Content & { kind: 'snapshot' });
    return interruptible(opened, context.signal).then(
      (handle) => ({ handle, caching }),
      (cause) => {
        // Nobody will release what an interrupted open still makes.
        opened.then((handle) => this.release(nodeid, handle)).catch(() => undefined);
        throw cause;
      },
    );
  }

  /** Appends, wherever the offset points: two writers of one log must not overwrite each other. */
  async #append(content: LiveContent, bytes: Uint8Array): Promise<number> {
    if (content.append === undefined) throw errno('EPERM');
    await content.append(bytes);
    this.#counters.append_bytes_total += bytes.byteLength;
    return bytes.byteLength;
  }

  /** A scratch file is renamed over a file of the tree: it becomes that file's bytes and is from then on another name of it. */
  async #renameOver(target: FileInode, source: ScratchFile): Promise<void> {
    try {
      this.#policy(target, REPLACING);
      await replaceContent(target, source.own, this.#coherence);
    } catch (refusal) {
      const why = refusal instanceof Error ? refusal.message : String(refusal);
      this.#log(`${this.#inodes.pathOf(target)}: not replaced by the file that was renamed over it: ${why}`);
      throw refusal;
    }
    if (target.content.kind === 'stored') {
      this.#changes.touch(target);
      await this.#coherence.drop(target);
    }
    // Who still holds the scratch file sees the other's bytes, which a fill made different from its own.
    this.#coherence.forget(source);
    source.became = target;
    this.#coherence.remember(source);
    await this.#coherence.drop(source);
  }

  #entryIn(directory: DirectoryInode, inode: Inode): Entry {
    if (directory.writable === true) this.#inWritableRoom.add(inode.nodeid);
    return this.#attributes.entry(inode);
  }

  #isInWritableRoom(inode: Inode): boolean {
    if (inode.kind === 'directory') return inode.writable === true;
    return isScratch(inode) || this.#inWritableRoom.has(inode.nodeid);
  }

  /** A folder that the caller may change. */
  #roomFor(nodeid: number, context: RequestContext): DirectoryInode {
    this.#refuseReadOnly();
    const directory = this.#inodes.directory(nodeid);
    if (directory.writable !== true) throw errno('EACCES');
    this.#require(directory, W_OK | X_OK, context);
    return directory;
  }

  #own(inode: Inode, { uid, gid }: RequestContext): void {
    this.#changes.apply(inode.nodeid, { uid, gid });
  }

  #require(inode: Inode, mask: number, context: RequestContext): void {
    if (!permits(this.#attributes.attr(inode), mask, context)) throw errno('EACCES');
  }

  #refuseReadOnly(): void {
    if (this.#readOnly) throw errno('EROFS');
  }

  #counted(bytes: Uint8Array): Uint8Array {
    this.#counters.read_bytes_total += bytes.byteLength;
    return bytes;
  }
}

/** What a rename over a file asks for: O_WRONLY | O_TRUNC. */
const REPLACING = 0o1001;

/** access(2)'s mask for open(2)'s flags. */
function accessOf(flags: number): number {
  const mode = flags & O_ACCMODE;
  if (mode === O_RDONLY) return R_OK;
  return mode === 1 ? W_OK : R_OK | W_OK;
}

function noScratch(): never {
  throw errno('EROFS', 'there is no place for scratch files');
}

function sizeOf(content: Exclude<Content, { kind: 'snapshot' | 'command' }>): number {
  return typeof content.size === 'function' ? content.size() : content.size;
}

const NO_BYTES = new Uint8Array(0);

/** f_bsize: large enough that the blocks of 16 PiB fit into the 32 bits that one of the transports has for them. */
const STATFS_BLOCK = 4 * 1024 * 1024;
