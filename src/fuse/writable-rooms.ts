import { errno, MlfsError, messageOf } from '../errors.ts';
import type { DirectoryInode, FileInode, Inode } from '../inode.ts';
import type { AttributeChanges } from './attribute-changes.ts';
import type { Attributes } from './attributes.ts';
import type { Coherence } from './coherence.ts';
import type { DirectoryListings } from './directory-listing.ts';
import { FewLines } from './few-lines.ts';
import type { Invalidation, RequestContext } from './filesystem.ts';
import type { Inodes } from './inodes.ts';
import { O_TRUNC, O_WRONLY } from './open-policy.ts';
import { permits, W_OK, X_OK } from './permission.ts';
import { S_IFREG } from './protocol/attr.ts';
import type { RemovedName, RemovedNames } from './removed-names.ts';
import { replaceContent } from './replacement.ts';
import { isScratch, type ScratchFile, ScratchFiles } from './scratch-files.ts';
import type { ScratchContent } from './staged-replacement.ts';
import type { Supply } from './supplies.ts';

/** S_IFMT: the file type bits of a mode. */
const FILE_TYPE = 0o170000;

export interface WritableRoomsOptions {
  readonly inodes: Inodes;
  readonly attributes: Attributes;
  readonly changes: AttributeChanges;
  readonly listings: DirectoryListings;
  readonly coherence: Coherence;
  /** Makes a nameless file on a user's account. */
  readonly makeScratch: (uid: number) => ScratchContent;
  /** Limits the number of scratch files and folders. */
  readonly names: Supply;
  /** Throws if the file may not be opened with these flags. */
  readonly requireOpen: (inode: FileInode, flags: number) => void;
  /** Names of the tree that were removed and not made again. */
  readonly hidden: RemovedNames;
  /** The last name of a file was removed. */
  readonly removed: (inode: FileInode) => void;
  /** A scratch file or folder got a name in the folder, or lost one. */
  readonly namesChanged: (directory: DirectoryInode) => void;
  /** Tells the kernel what changed without it. */
  readonly tellKernel: (invalidations: readonly Invalidation[]) => void;
  readonly log: (message: string) => void;
}

/** Decides who may make, move and remove names, and where; ScratchFiles does it. */
export class WritableRooms {
  readonly #options: WritableRoomsOptions;
  readonly #scratch: ScratchFiles;
  readonly #refusals: FewLines;
  readonly #returns: FewLines;

  constructor(options: WritableRoomsOptions) {
    this.#options = options;
    this.#refusals = new FewLines(options.log);
    this.#returns = new FewLines(options.log);
    this.#scratch = new ScratchFiles(options.inodes, {
      makeScratch: options.makeScratch,
      names: options.names,
      hidden: options.hidden,
      fixed: (directory, name) => this.#fixed(directory, name),
      replace: (target, source) => this.#renameOver(target, source),
      linked: (directory, name, inode) => {
        options.listings.added(directory, name, inode);
        options.namesChanged(directory);
        options.changes.touch(directory);
      },
      unlinked: (directory, name) => {
        options.listings.removed(directory, name);
        options.namesChanged(directory);
        options.changes.touch(directory);
      },
      removed: (inode) => {
        options.changes.forget(inode.nodeid);
        if (inode.kind === 'file') options.coherence.forget(inode);
      },
    });
  }

  has(inode: Inode): boolean {
    if (inode.kind === 'directory') return inode.writable === true;
    return isScratch(inode) || this.#options.inodes.isInWritableFolder(inode.nodeid);
  }

  /** A new file; undefined if the name exists. */
  create(parent: number, name: string, context: RequestContext): ScratchFile | undefined {
    const directory = this.#roomFor(parent, context);
    if (this.#options.hidden.child(directory, name) !== undefined) return undefined;
    return this.#owned(this.#scratch.create(directory, name, context.uid), context);
  }

  mknod(parent: number, name: string, mode: number, context: RequestContext): Inode {
    const directory = this.#roomFor(parent, context);
    const type = mode & FILE_TYPE;
    if (type !== S_IFREG && type !== 0) throw errno('EPERM', 'devices, pipes and sockets have no place here');
    return this.#owned(this.#scratch.create(directory, name, context.uid), context);
  }

  mkdir(parent: number, name: string, mode: number, context: RequestContext): Inode {
    return this.#owned(this.#scratch.mkdir(this.#roomFor(parent, context), name, mode, context.uid), context);
  }

  /**
   * The file whose name was removed, which is seen again: who makes the name replaces the file. Undefined when there is none. Throws EACCES when
   * the caller may not write it.
   */
  takeUp(parent: number, name: string, context: RequestContext): FileInode | undefined {
    const { hidden } = this.#options;
    const directory = this.#roomFor(parent, context);
    const inode = hidden.waiting(directory, name);
    if (inode === undefined) return undefined;
    this.#requireWritable(inode, context);
    hidden.show(directory, name);
    return inode;
  }

  unlink(parent: number, name: string, context: RequestContext): void {
    const { hidden, changes } = this.#options;
    const directory = this.#roomFor(parent, context);
    const inode = hidden.child(directory, name);
    if (inode?.kind !== 'file' || isScratch(inode)) {
      this.#scratch.unlink(directory, name);
      return;
    }
    try {
      this.#requireWritable(inode, context);
    } catch (refusal) {
      // Of a file that nobody can write the log says so already.
      if (refusal instanceof MlfsError && refusal.errno === 'EACCES') this.#sayProtected(directory, name);
      throw refusal;
    }
    if (hidden.hide(directory, name)) this.#options.removed(inode);
    changes.touch(directory);
  }

  rmdir(parent: number, name: string, context: RequestContext): void {
    const { hidden } = this.#options;
    const directory = this.#roomFor(parent, context);
    const inode = hidden.child(directory, name);
    // Whoever removes the folder, too, does not mean to replace what is in it.
    if (inode?.kind === 'directory' && hidden.showAll(inode) > 0) this.#tellKernel([inode]);
    this.#scratch.rmdir(directory, name);
  }

  /** Throws EACCES, too, for a name that another user removed of a file that the caller may not write. */
  async rename(
    from: { readonly parent: number; readonly name: string },
    to: { readonly parent: number; readonly name: string },
    flags: number,
    context: RequestContext,
  ): Promise<void> {
    const parent = this.#roomFor(from.parent, context);
    const newParent = this.#roomFor(to.parent, context);
    const removed = this.#options.hidden.waiting(newParent, to.name);
    if (removed !== undefined) this.#requireWritable(removed, context);
    return this.#scratch.rename(parent, from.name, newParent, to.name, flags);
  }

  opened(inode: Inode): void {
    this.#scratch.opened(inode);
  }

  released(inode: Inode | undefined): Promise<void> {
    return this.#scratch.released(inode);
  }

  /** The kernel does not refer to the folder any more. */
  forgotten(inode: DirectoryInode): void {
    this.#scratch.forgotten(inode);
  }

  /** Removed names that came back because no file was made in time. */
  returned(names: readonly RemovedName[]): void {
    this.#tellKernel(new Set(names.map(({ directory }) => directory)));
    for (const { directory, name } of names) {
      this.#returns.say(
        () =>
          `${this.#pathIn(directory, name)}: was removed and not replaced: it is there again. ` +
          'What a checkpoint holds cannot be removed',
      );
    }
  }

  /** What it keeps of folders whose listings changed. Names that come and go have no time to be kept. */
  #tellKernel(directories: Iterable<DirectoryInode>): void {
    const { changes, inodes, tellKernel } = this.#options;
    const invalidations: Invalidation[] = [];
    for (const directory of directories) {
      changes.touch(directory);
      invalidations.push({ kind: 'pages', nodeid: inodes.nodeidOf(directory), offset: 0, length: 0 });
    }
    tellKernel(invalidations);
  }

  /** The inventory of a checkpoint is fixed: says what is done instead. */
  #fixed(directory: DirectoryInode, name: string): MlfsError {
    this.#refusals.say(
      () =>
        `${this.#pathIn(directory, name)}: cannot be removed or moved. To replace the bytes of a tensor, write a file of its size over it ` +
        '(cp, tar, rsync --inplace)',
    );
    return errno('EPERM', 'what the checkpoint holds cannot be removed or moved');
  }

  #sayProtected(directory: DirectoryInode, name: string): void {
    this.#refusals.say(
      () =>
        `${this.#pathIn(directory, name)}: cannot be removed by who may not write it. To replace the bytes of a tensor, make it writable ` +
        '(chmod u+w) and write a file of its size over it (cp, tar, rsync --inplace)',
    );
  }

  /** Throws EPERM for a file that cannot be replaced, EACCES when the caller may not. */
  #requireWritable(inode: FileInode, context: RequestContext): void {
    this.#options.requireOpen(inode, O_WRONLY | O_TRUNC);
    if (!permits(this.#options.attributes.attr(inode), W_OK, context)) throw errno('EACCES');
  }

  #pathIn(directory: DirectoryInode, name: string): string {
    return `${this.#options.inodes.pathOf(directory)}/${name}`;
  }

  /** A folder that the caller may change. */
  #roomFor(nodeid: number, context: RequestContext): DirectoryInode {
    const directory = this.#options.inodes.directory(nodeid);
    const attr = this.#options.attributes.attr(directory);
    if (directory.writable !== true || !permits(attr, W_OK | X_OK, context)) throw errno('EACCES');
    return directory;
  }

  #owned<T extends Inode>(inode: T, { uid, gid }: RequestContext): T {
    this.#options.changes.apply(inode.nodeid, { uid, gid });
    return inode;
  }

  /** A scratch file is renamed over a file of the tree: its bytes replace the file's, and from then on it is another name of it. */
  async #renameOver(target: FileInode, source: ScratchFile): Promise<void> {
    const { coherence, changes, requireOpen, log, inodes } = this.#options;
    try {
      requireOpen(target, O_WRONLY | O_TRUNC);
      await replaceContent(target, source.own, coherence);
    } catch (refusal) {
      const why = messageOf(refusal);
      log(`${inodes.pathOf(target)}: not replaced by the file that was renamed over it: ${why}`);
      throw refusal;
    }
    if (target.content.kind === 'stored') {
      changes.touch(target);
      await coherence.drop(target);
    }
    // A rename keeps the attributes of the scratch file: its times, and changes by chmod and chown.
    changes.inherit(target.nodeid, source);
    // A program that still has the scratch file open sees the file's bytes, which differ from its own if a number filled the tensor.
    coherence.forget(source);
    source.became = target;
    coherence.remember(source);
    await coherence.drop(source);
  }
}
