import { type ErrnoName, errno } from '../errors.ts';
import { type DirectoryInode, type FileInode, type Inode, type InodeTree, ROOT_NODEID } from '../inode.ts';
import type { Layout } from '../storage/content.ts';
import { atOnce, inSlices } from '../storage/in-slices.ts';
import { AttributeChanges } from './attribute-changes.ts';
import { ABSENT_NOW, Attributes, pendingLayout } from './attributes.ts';
import { ClaimedScratch } from './claimed-scratch.ts';
import { Coherence } from './coherence.ts';
import { DirectoryListings } from './directory-listing.ts';
import { xattrNames, xattrOf } from './extended-attributes.ts';
import type {
  AbsentEntry,
  AttrChange,
  AttrReply,
  DirectoryEntry,
  Entry,
  Filesystem,
  Invalidation,
  MaybePromise,
  NativeWrites,
  NeverDone,
  Notifier,
  OpenReply,
  RequestContext,
  Statfs,
} from './filesystem.ts';
import { Inodes } from './inodes.ts';
import { interruptible } from './interruptible.ts';
import { Invalidations } from './invalidation.ts';
import type { NativeInodes } from './native-inodes.ts';
import { isDocument, NO_HANDLE, OpenFiles } from './open-files.ts';
import { OpenHandles } from './open-handles.ts';
import { OpenNotices } from './open-notices.ts';
import { O_EXCL, O_TRUNC, type OpenPolicy } from './open-policy.ts';
import { accessOf, permits, refusalOfChange, W_OK } from './permission.ts';
import { statfsBody } from './protocol/statfs.ts';
import { PublishedTree } from './published-tree.ts';
import { RemovedNames } from './removed-names.ts';
import { isScratch } from './scratch-files.ts';
import { Snapshots } from './snapshots.ts';
import type { ScratchContent } from './staged-replacement.ts';
import { statfsOf } from './statfs-of.ts';
import { makeSupplies, type Supplies } from './supplies.ts';
import { WritableRooms } from './writable-rooms.ts';
import { Writing } from './writing.ts';

export interface TreeFilesystemOptions {
  /** Whether every change is refused. */
  readonly readOnly: boolean;
  /** The owner of every inode; default: the process's own ids. */
  readonly uid?: number;
  readonly gid?: number;
  /** Whether users other than the one who mounted may enter (allow_other). */
  readonly shared?: boolean;
  /** Makes acknowledged edits durable. */
  readonly flush?: () => Promise<void>;
  /** Makes a nameless file for a staged replacement or a scratch file. Without it there are none. */
  readonly makeScratch?: () => ScratchContent;
  /** How many bytes may still be written, for statfs; none if absent. */
  readonly freeBytes?: () => Promise<number>;
  /** The supplies of descriptors and memory that users share; default: supplies of its own. */
  readonly supplies?: Supplies;
  /** Receives a line with the reason of a refusal. */
  readonly log?: (message: string) => void;
}

/**
 * The tree of inodes as a Filesystem. It finds the inode, checks whether the caller may, and passes the request on: open files to OpenFiles,
 * changes of bytes to Writing, names to WritableRooms, news for the kernel to Coherence.
 *
 * Invariants:
 * - An answer that is known is sent at once; only bytes and documents are waited for, and waiting for a read can be interrupted. A change is
 *   not interruptible: it happens as a whole or not at all.
 * - A read returns fewer bytes than asked for only at the end of the file.
 * - On a read-only mount every change is EROFS.
 */
export class TreeFilesystem implements Filesystem {
  readonly #readOnly: boolean;
  readonly #shared: boolean;
  readonly #notices: OpenNotices;
  readonly #flush: () => Promise<void>;
  readonly #freeBytes: (() => Promise<number>) | undefined;
  readonly #inodes: Inodes;
  readonly #listings = new DirectoryListings();
  readonly #changes = new AttributeChanges();
  readonly #hidden = new RemovedNames({
    expired: (names) => this.#rooms.returned(names),
    changed: (directory) => this.#published.namesChanged(directory),
  });
  readonly #published: PublishedTree;
  readonly #snapshots: Snapshots;
  readonly #attributes: Attributes;
  readonly #invalidations: Invalidations;
  readonly #coherence: Coherence;
  readonly #files: OpenFiles;
  readonly #rooms: WritableRooms;
  #nativeWrites: NativeWrites | undefined;
  #namesVersion = 0;

  constructor(tree: InodeTree, options: TreeFilesystemOptions) {
    const { readOnly, log = () => undefined, makeScratch: makeFile = noScratch } = options;
    const supplies = options.supplies ?? makeSupplies(log);
    const makeScratch = (uid: number) => new ClaimedScratch(makeFile(), supplies.descriptors, uid);
    this.#readOnly = readOnly;
    this.#shared = options.shared ?? false;
    this.#flush = options.flush ?? (() => Promise.resolve());
    this.#freeBytes = options.freeBytes;
    const inodes = new Inodes(tree);
    const changes = this.#changes;
    const handles = new OpenHandles(supplies);
    const onMade = (nodeid: number) => this.#published.changed(nodeid, () => inodes.made(nodeid));
    const snapshots = new Snapshots(handles, supplies.openBytes, onMade);
    const invalidations = new Invalidations(log);
    const coherence = new Coherence({
      invalidations,
      attributes: changes,
      plainFiles: () => inodes.tree.plainFiles,
      made: (nodeid) => inodes.made(nodeid),
      plainMtimeMs: () => inodes.tree.mtimeMs,
      takeNews: () => this.takeNews(),
      isReferenced: (nodeid) => inodes.isReferenced(nodeid),
      onRemembered: () => this.#nativeWrites?.noneAlone(),
    });
    const writing = new Writing({
      coherence,
      attributes: changes,
      makeScratch,
      document: ({ nodeid }, content, context) =>
        snapshots.document(content, context).finally(() => onMade(nodeid)),
      flush: this.#flush,
      log,
      pathOf: (inode) => inodes.pathOf(inode),
    });
    this.#inodes = inodes;
    this.#notices = new OpenNotices({ readOnly, log, pathOf: (inode) => inodes.pathOf(inode) });
    this.#snapshots = snapshots;
    this.#invalidations = invalidations;
    this.#coherence = coherence;
    this.#files = new OpenFiles({
      handles,
      snapshots,
      writing,
      coherence,
      changes,
      revokeWrites: (handle) => this.#nativeWrites?.revoke(handle),
    });
    const owner = {
      uid: options.uid ?? process.getuid?.() ?? 0,
      gid: options.gid ?? process.getgid?.() ?? 0,
    };
    this.#attributes = new Attributes({
      ...owner,
      inodes,
      snapshots,
      changes,
      kept: () => readOnly || invalidations.connected,
      commandSize: (inode) => this.#files.commandSize(inode),
    });
    this.#published = new PublishedTree({
      ...owner,
      attributes: this.#attributes,
      changes,
      hidden: this.#hidden,
      readOnly,
      isKnown: (nodeid) => inodes.tree.isKnown(nodeid),
      isPresent: (nodeid) => inodes.tree.has(nodeid),
      made: (nodeid) => inodes.made(nodeid),
      log,
    });
    changes.onChange = (nodeid) => this.#published.changed(nodeid, () => inodes.find(nodeid));
    inodes.countedElsewhere = (nodeid) => this.#published.counts(nodeid);
    inodes.dropped = (former) => this.#published.drop(former);
    this.#rooms = new WritableRooms({
      inodes,
      attributes: this.#attributes,
      changes,
      listings: this.#listings,
      coherence,
      makeScratch,
      names: supplies.scratchNames,
      requireOpen: (inode, flags) => void this.#notices.policy(inode, flags),
      hidden: this.#hidden,
      removed: (inode) => writing.removed(inode),
      namesChanged: (directory) => this.#published.namesChanged(directory),
      tellKernel: (changed) => void invalidations.send(changed),
      log,
    });
  }

  /** Counts what is read and written through JavaScript; reads of the data plane are in the transport's counters. */
  counters(): Readonly<Record<string, number>> {
    return this.#files.counters();
  }

  get namesVersion(): number {
    return this.#namesVersion;
  }

  roomOf(nodeid: number): string {
    return this.#inodes.roomOf(nodeid);
  }

  connect(notifier: Notifier): void {
    this.#invalidations.connect(notifier);
  }

  connectWrites(writes: NativeWrites): void {
    this.#nativeWrites = writes;
  }

  wroteNatively(_nodeid: number, bytes: number): void {
    this.#files.wroteNatively(bytes);
  }

  /** After a discard: resolves when every file shows the bytes of the checkpoint. */
  settled(): Promise<void> {
    return this.#coherence.settled();
  }

  settleWritten(nodeid: number): Promise<void> {
    return this.#coherence.settleNative(nodeid);
  }

  isWrittenAlone(nodeid: number): boolean {
    const inode = this.#inodes.find(nodeid);
    if (inode?.kind !== 'file' || inode.content.kind !== 'extents') return false;
    const [extent] = inode.content.extents;
    return extent?.kind === 'image' && this.#coherence.isAlone(nodeid, extent);
  }

  publishIn(table: NativeInodes): void {
    this.#published.attach(table);
    atOnce(this.#published.publish(this.#inodes.tree));
    this.#published.publishRoot(this.#inodes.tree);
    this.#publishStatfs();
  }

  takeNews(): void {
    for (const nodeid of this.#published.news())
      if (this.#inodes.isReferenced(nodeid)) this.remember(nodeid, true);
  }

  /**
   * Shows another tree from now on. Its nodeids differ from those of earlier trees, which stay for programs that hold their inodes. Resolves
   * when the kernel has dropped the old names.
   */
  async replaceTree(tree: InodeTree): Promise<void> {
    const former = this.#inodes.tree;
    const names = new Set([...former.root.children.keys(), ...tree.root.children.keys()]);
    this.#changes.outdate();
    await inSlices(this.#published.publish(tree));
    this.#inodes.replace(tree);
    this.#published.publishRoot(tree);
    this.#publishStatfs();
    this.#hidden.clear();
    this.#published.forgetNames();
    this.#namesVersion++;
    await inSlices(this.#published.withdraw(former));
    const invalidations: Invalidation[] = [{ kind: 'pages', nodeid: ROOT_NODEID, offset: 0, length: 0 }];
    for (const name of names) invalidations.push({ kind: 'name', parent: ROOT_NODEID, name });
    await this.#invalidations.settle(this.#invalidations.send(invalidations));
  }

  /** Whether anybody can ask for an inode of this tree. */
  serves(tree: InodeTree): boolean {
    return this.#inodes.has(tree);
  }

  remember(nodeid: number, counted = false): void {
    if (!counted) this.#inodes.remember(nodeid);
    // Of plain files there may be no objects.
    if (this.#readOnly || this.#inodes.tree.plainFiles?.has(nodeid) === true) return;
    const inode = this.#inodes.find(nodeid);
    if (inode !== undefined && pendingLayout(inode) === undefined) this.#follow(inode);
  }

  forget(nodeid: number): void {
    // An inode that nobody asked for was never followed.
    const inode = this.#inodes.made(nodeid);
    if (inode?.kind === 'file' && !this.#readOnly) this.#coherence.forget(inode);
    this.#inodes.forget(nodeid);
    if (inode?.kind === 'directory') this.#rooms.forgotten(inode);
  }

  lookup(parent: number, name: string): Entry | AbsentEntry {
    const directory = this.#directory(parent);
    const child = this.#hidden.child(directory, name);
    if (child !== undefined) return this.#attributes.entry(child);
    return directory.children.has(name) ? ABSENT_NOW : this.#attributes.absent(directory);
  }

  getattr(nodeid: number, context: RequestContext): MaybePromise<AttrReply> {
    const inode = this.#inodes.inode(nodeid);
    const layout = pendingLayout(inode);
    if (layout !== undefined) {
      return this.#laidOut(inode, layout, context).then(() => this.#attributes.entry(inode));
    }
    if (!isDocument(inode)) return this.#attributes.entry(inode);
    const current = this.#snapshots.current(nodeid, inode.content, context);
    return interruptible(
      current.then(() => this.#attributes.entry(inode)),
      context.signal,
    );
  }

  async setattr(nodeid: number, change: AttrChange, context: RequestContext): Promise<AttrReply> {
    this.#refuseReadOnly();
    const inode = this.#inodes.inode(nodeid);
    if (change.size === undefined) {
      const before = this.#attributes.attr(inode);
      const refusal = this.#rooms.has(inode) ? refusalOfChange(before, change, context) : 'EPERM';
      if (refusal !== undefined) throw errno(refusal);
      this.#changes.apply(inode.nodeid, change);
      if (this.#shared) this.#notices.tellWhatStaysReadable(inode, before.mode, change.mode);
    } else {
      if (inode.kind === 'directory') throw errno('EISDIR');
      const handle = change.handle ?? NO_HANDLE;
      if (!this.#files.isWriting(handle)) this.#require(inode, W_OK, context);
      await this.#files.resize(inode, handle, change.size);
    }
    return this.#attributes.entry(inode);
  }

  open(nodeid: number, flags: number, context: RequestContext): MaybePromise<OpenReply> {
    const inode = this.#inodes.file(nodeid);
    const policy = this.#notices.policy(inode, flags);
    this.#require(inode, accessOf(flags), context);
    const layout = pendingLayout(inode);
    if (layout === undefined) return this.#open(inode, flags, policy, context);
    return this.#laidOut(inode, layout, context).then(() => this.#open(inode, flags, policy, context));
  }

  #open(
    inode: FileInode,
    flags: number,
    policy: OpenPolicy,
    context: RequestContext,
  ): MaybePromise<OpenReply> {
    const opened = this.#files.open(inode, flags, policy, context);
    this.#rooms.opened(inode);
    if (!(opened instanceof Promise)) return opened;
    return opened.catch(async (cause) => {
      await this.#rooms.released(inode);
      throw cause;
    });
  }

  read(
    nodeid: number,
    handle: number,
    offset: number,
    length: number,
    context: RequestContext,
  ): MaybePromise<Uint8Array> {
    return this.#files.read(this.#inodes.file(nodeid), handle, offset, length, context);
  }

  async write(nodeid: number, handle: number, offset: number, bytes: Uint8Array): Promise<number> {
    this.#refuseReadOnly();
    return this.#files.write(this.#inodes.file(nodeid), handle, offset, bytes);
  }

  flush(nodeid: number, handle: number): MaybePromise<void> {
    this.#inodes.inode(nodeid);
    return this.#files.flush(handle);
  }

  async release(nodeid: number, handle: number): Promise<void> {
    const inode = this.#inodes.find(nodeid);
    try {
      await this.#files.release(nodeid, handle);
    } finally {
      await this.#rooms.released(inode);
    }
  }

  fsync(nodeid: number, handle: number): MaybePromise<void> {
    const inode = this.#inodes.inode(nodeid);
    if (this.#readOnly) return undefined;
    return inode.kind === 'directory' ? this.#flush() : this.#files.sync(inode, handle);
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
    return this.#files.allocate(this.#inodes.file(nodeid), handle, range);
  }

  readdir(nodeid: number, offset: number): Iterable<DirectoryEntry> {
    const directory = this.#directory(nodeid);
    const parent = directory === this.#inodes.root ? directory : this.#inodes.directory(directory.parent);
    const entries = this.#listings.entries(directory, parent, offset, (inode) =>
      this.#attributes.entry(inode),
    );
    const hidden = this.#hidden.hiddenIn(directory);
    return hidden === undefined ? entries : without(hidden, entries);
  }

  access(nodeid: number, mask: number, context: RequestContext): void {
    const inode = this.#inodes.inode(nodeid);
    if ((mask & W_OK) !== 0) this.#refuseReadOnly();
    this.#require(inode, mask, context);
  }

  /** The used space is the tensors' bytes; the free space is what edits may still take. */
  statfs(): MaybePromise<Statfs> {
    if (this.#readOnly || this.#freeBytes === undefined) return statfsOf(this.#inodes.tree, 0);
    return this.#freeBytes().then((free) => statfsOf(this.#inodes.tree, free));
  }

  getxattr(nodeid: number, name: string): Uint8Array {
    return xattrOf(name, () => this.#inodes.inode(nodeid));
  }

  listxattr(nodeid: number): readonly string[] {
    return xattrNames(this.#inodes.inode(nodeid));
  }

  lseek(nodeid: number, handle: number, offset: number, whence: number): number {
    return this.#files.lseek(this.#inodes.file(nodeid), handle, offset, whence);
  }

  async create(
    parent: number,
    name: string,
    _mode: number,
    flags: number,
    context: RequestContext,
  ): Promise<{ readonly entry: Entry; readonly opened: OpenReply }> {
    this.#refuseReadOnly();
    const directory = this.#inodes.directory(parent);
    const removed = this.#rooms.takeUp(parent, name, context);
    if (removed !== undefined) {
      const opened = await this.open(removed.nodeid, flags | O_TRUNC, context);
      return { entry: this.#attributes.entry(removed), opened };
    }
    const made = this.#rooms.create(parent, name, context);
    if (made === undefined && (flags & O_EXCL) !== 0) throw errno('EEXIST');
    const inode = made ?? (directory.children.get(name) as Inode);
    const opened = await this.open(inode.nodeid, flags, context);
    return { entry: this.#attributes.entry(inode), opened };
  }

  mknod(parent: number, name: string, mode: number, context: RequestContext): Entry {
    this.#refuseReadOnly();
    return this.#attributes.entry(this.#rooms.mknod(parent, name, mode, context));
  }

  mkdir(parent: number, name: string, mode: number, context: RequestContext): Entry {
    this.#refuseReadOnly();
    return this.#attributes.entry(this.#rooms.mkdir(parent, name, mode, context));
  }

  unlink(parent: number, name: string, context: RequestContext): void {
    this.#refuseReadOnly();
    this.#rooms.unlink(parent, name, context);
  }

  rmdir(parent: number, name: string, context: RequestContext): void {
    this.#refuseReadOnly();
    this.#rooms.rmdir(parent, name, context);
  }

  rename(
    parent: number,
    name: string,
    newParent: number,
    newName: string,
    flags: number,
    context: RequestContext,
  ): Promise<void> {
    this.#refuseReadOnly();
    return this.#rooms.rename({ parent, name }, { parent: newParent, name: newName }, flags, context);
  }

  refusal(operation: NeverDone): ErrnoName {
    if (this.#readOnly) return 'EROFS';
    return operation === 'link' || operation === 'symlink' ? 'EPERM' : 'EOPNOTSUPP';
  }

  /** Waits until size and extents are known: only then can changes of the bytes be tracked. */
  async #laidOut(inode: Inode, layout: Layout, { signal }: RequestContext): Promise<void> {
    // Also if nobody waits any more: the layout is made nevertheless, and nothing would track it later.
    const made = layout.make().then(() => {
      if (this.#inodes.isReferenced(inode.nodeid)) this.#follow(inode);
    });
    await interruptible(made, signal);
  }

  /** The kernel may keep something of the inode: it is told when the bytes change. */
  #follow(inode: Inode): void {
    if (inode.kind === 'directory' || this.#readOnly) return;
    // Files of the state directory show no bytes of an image.
    if (inode.content.kind !== 'stored' || isScratch(inode)) this.#coherence.remember(inode);
  }

  /** A folder that somebody looks into. */
  #directory(nodeid: number): DirectoryInode {
    const directory = this.#inodes.directory(nodeid);
    // Now and then during a walk: otherwise the first write after it would find them all.
    if (!this.#readOnly) this.takeNews();
    this.#published.entered(directory, (of) => this.#inodes.roomOf(of));
    return directory;
  }

  #publishStatfs(): void {
    if (this.#readOnly) this.#published.table?.setStatfs(statfsBody(statfsOf(this.#inodes.tree, 0)));
  }

  #require(inode: Inode, mask: number, context: RequestContext): void {
    if (!permits(this.#attributes.attr(inode), mask, context)) throw errno('EACCES');
  }

  #refuseReadOnly(): void {
    if (this.#readOnly) throw errno('EROFS');
  }
}

function* without(hidden: ReadonlyMap<string, unknown>, entries: Iterable<DirectoryEntry>) {
  for (const entry of entries) if (!hidden.has(entry.name)) yield entry;
}

function noScratch(): never {
  throw errno('EROFS', 'there is no place for scratch files');
}
