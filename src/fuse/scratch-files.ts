/**
 * Names that are not tensors: files that editors, rsync and sed make beside a file before they rename them over it. They are made in writable
 * folders, live in memory and nameless files, and end with the mount. The inventory of the checkpoint is fixed: its own names are neither
 * removed nor moved here (removed-names.ts hides some for a while).
 */
import { errno, type MlfsError } from '../errors.ts';
import type { DirectoryInode, FileInode, Inode } from '../inode.ts';
import type { Content } from '../storage/content.ts';
import type { Inodes } from './inodes.ts';
import { hasRawBytes } from './protocol/name-bytes.ts';
import type { RemovedNames } from './removed-names.ts';
import { refusesTarget } from './rename-flags.ts';
import type { ScratchContent } from './staged-replacement.ts';
import type { Supply } from './supplies.ts';

/**
 * Used whatever mode was requested: an editor that sees its own file with other permissions than the original's (vim) writes into the
 * original, and does not try to rename it.
 */
const SCRATCH_MODE = 0o600;

export class ScratchFile implements FileInode {
  readonly kind = 'file';
  readonly nodeid: number;
  readonly mode = SCRATCH_MODE;
  readonly mtimeMs = Date.now();
  nlink = 1;
  /** Number of open descriptors. */
  opens = 0;
  readonly own: ScratchContent;
  /** The user who made it. */
  readonly uid: number;
  /** The file whose bytes it became, by a rename over it. */
  became: FileInode | undefined = undefined;

  constructor(nodeid: number, own: ScratchContent, uid: number) {
    this.nodeid = nodeid;
    this.own = own;
    this.uid = uid;
  }

  get content(): Content {
    return this.became?.content ?? this.own;
  }
}

export class ScratchFolder implements DirectoryInode {
  readonly kind = 'directory';
  readonly nodeid: number;
  readonly mode: number;
  readonly mtimeMs = Date.now();
  readonly writable = true;
  readonly children = new Map<string, Inode>();
  parent: number;
  /** The user who made it. */
  readonly uid: number;
  /** It has no name any more. */
  gone = false;

  constructor(nodeid: number, mode: number, parent: number, uid: number) {
    this.nodeid = nodeid;
    this.mode = mode;
    this.parent = parent;
    this.uid = uid;
  }
}

export function isScratch(inode: Inode): inode is ScratchFile | ScratchFolder {
  return inode instanceof ScratchFile || inode instanceof ScratchFolder;
}

export interface ScratchFilesOptions {
  readonly makeScratch: (uid: number) => ScratchContent;
  /** A scratch file or folder holds one name from its creation until nothing is left of it. */
  readonly names: Supply;
  /** Names of the tree that are hidden because their files wait to be replaced. */
  readonly hidden: RemovedNames;
  /** The refusal for a name of the tree. */
  readonly fixed: (directory: DirectoryInode, name: string) => MlfsError;
  /** Replaces the bytes of a file of the tree with those of a scratch file. From then on the scratch file is another name of it. */
  readonly replace: (target: FileInode, source: ScratchFile) => Promise<void>;
  /** A folder has a new entry with this name, at the end of its entries. */
  readonly linked: (directory: DirectoryInode, name: string, inode: Inode) => void;
  /** The entry is gone. */
  readonly unlinked: (directory: DirectoryInode, name: string) => void;
  /** The inode is not used any more: everything that was kept about it can be dropped. */
  readonly removed: (inode: ScratchFile | ScratchFolder) => void;
}

export class ScratchFiles {
  readonly #inodes: Inodes;
  readonly #options: ScratchFilesOptions;

  constructor(inodes: Inodes, options: ScratchFilesOptions) {
    this.#inodes = inodes;
    this.#options = options;
  }

  /** Throws EEXIST, EACCES, ENOSPC. */
  create(parent: DirectoryInode, name: string, uid: number): ScratchFile {
    this.#requireRoom(parent, name);
    const { makeScratch, names } = this.#options;
    names.take(uid, 1, 'ENOSPC');
    const inode = this.#inodes.addScratch((nodeid) => new ScratchFile(nodeid, makeScratch(uid), uid));
    this.#link(parent, name, inode);
    return inode;
  }

  /** Throws EEXIST, EACCES, ENOSPC. */
  mkdir(parent: DirectoryInode, name: string, mode: number, uid: number): ScratchFolder {
    this.#requireRoom(parent, name);
    this.#options.names.take(uid, 1, 'ENOSPC');
    const inode = this.#inodes.addScratch(
      (nodeid) => new ScratchFolder(nodeid, mode & 0o777, parent.nodeid, uid),
    );
    this.#link(parent, name, inode);
    return inode;
  }

  unlink(parent: DirectoryInode, name: string): void {
    const inode = this.#childOf(parent, name);
    if (inode.kind === 'directory') throw errno('EISDIR');
    if (!(inode instanceof ScratchFile)) throw this.#options.fixed(parent, name);
    this.#unlink(parent, name);
    this.#drop(inode);
  }

  rmdir(parent: DirectoryInode, name: string): void {
    const inode = this.#childOf(parent, name);
    if (inode.kind !== 'directory') throw errno('ENOTDIR');
    if (!(inode instanceof ScratchFolder)) throw this.#options.fixed(parent, name);
    if (inode.children.size > 0) throw errno('ENOTEMPTY');
    this.#unlink(parent, name);
    this.#left(inode);
  }

  async rename(
    parent: DirectoryInode,
    name: string,
    newParent: DirectoryInode,
    newName: string,
    flags: number,
  ): Promise<void> {
    const isNew = refusesTarget(flags);
    const inode = this.#childOf(parent, name);
    if (!isScratch(inode)) throw this.#options.fixed(parent, name);
    if (newParent.writable !== true) throw errno('EACCES');
    requireText(newName);
    const { hidden } = this.#options;
    const target = newParent.children.get(newName);
    if (target === inode) return;
    if (target !== undefined) {
      // A hidden file is replaced or refuses it; either way it is seen again.
      if (isNew && hidden.child(newParent, newName) !== undefined) throw errno('EEXIST');
      hidden.show(newParent, newName);
      await this.#makeWay(inode, target);
      // Moving the bytes took time: the names may have changed.
      if (parent.children.get(name) !== inode) throw errno('ENOENT');
    }
    this.#unlink(parent, name);
    if (target !== undefined && !isScratch(target)) {
      // The name keeps its inode, and the scratch file has no name any more.
      this.#drop(inode as ScratchFile);
      return;
    }
    if (target instanceof ScratchFile) this.#drop(target);
    if (target instanceof ScratchFolder) this.#left(target);
    this.#link(newParent, newName, inode);
    if (inode instanceof ScratchFolder) inode.parent = newParent.nodeid;
  }

  opened(inode: Inode): void {
    if (inode instanceof ScratchFile) inode.opens++;
  }

  async released(inode: Inode | undefined): Promise<void> {
    if (!(inode instanceof ScratchFile)) return;
    inode.opens--;
    await this.#closeUnused(inode);
  }

  /** The kernel does not refer to it any more. */
  forgotten(inode: DirectoryInode): void {
    if (inode instanceof ScratchFolder && inode.gone) this.#remove(inode);
  }

  async #makeWay(inode: ScratchFile | ScratchFolder, target: Inode): Promise<void> {
    if (inode instanceof ScratchFolder) {
      if (target.kind !== 'directory') throw errno('ENOTDIR');
      if (target.children.size > 0 || !isScratch(target)) throw errno('ENOTEMPTY');
      return;
    }
    if (target.kind === 'directory') throw errno('EISDIR');
    if (target instanceof ScratchFile) return;
    await this.#options.replace(target, inode);
  }

  /** Throws EEXIST for a hidden name, too, which is seen again: only a file can replace a file. */
  #requireRoom(parent: DirectoryInode, name: string): void {
    if (parent.children.has(name)) {
      this.#options.hidden.show(parent, name);
      throw errno('EEXIST');
    }
    if (parent.writable !== true) throw errno('EACCES');
    requireText(name);
  }

  #childOf(parent: DirectoryInode, name: string): Inode {
    const child = this.#options.hidden.child(parent, name);
    if (child === undefined) throw errno('ENOENT');
    return child;
  }

  #link(parent: DirectoryInode, name: string, inode: Inode): void {
    // At the end of the listing, even if it replaces another entry.
    parent.children.delete(name);
    parent.children.set(name, inode);
    this.#options.linked(parent, name, inode);
  }

  #unlink(parent: DirectoryInode, name: string): void {
    parent.children.delete(name);
    this.#options.unlinked(parent, name);
  }

  /** The file has no name any more; its bytes stay for its open descriptors. */
  #drop(inode: ScratchFile): void {
    inode.nlink = 0;
    // A file whose close failed is abandoned.
    this.#closeUnused(inode).catch(() => undefined);
  }

  async #closeUnused(inode: ScratchFile): Promise<void> {
    if (inode.nlink > 0 || inode.opens > 0) return;
    this.#remove(inode);
    await inode.own.close();
  }

  /** The folder has no name any more; it stays for processes that have it as working folder. */
  #left(inode: ScratchFolder): void {
    inode.gone = true;
    if (!this.#inodes.isReferenced(inode.nodeid)) this.#remove(inode);
  }

  #remove(inode: ScratchFile | ScratchFolder): void {
    if (this.#inodes.find(inode.nodeid) !== inode) return;
    this.#inodes.removeScratch(inode.nodeid);
    this.#options.names.give(inode.uid, 1);
    this.#options.removed(inode);
  }
}

/** The checkpoint's folders show only names that JSON, logs and terminals can express. */
function requireText(name: string): void {
  if (hasRawBytes(name)) throw errno('EINVAL', 'the name is not UTF-8');
}
