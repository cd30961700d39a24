import { errno } from '../errors.ts';
import {
  type DirectoryInode,
  FIRST_SCRATCH_NODEID,
  type FileInode,
  type Inode,
  type InodeTree,
  ROOT_NODEID,
} from '../inode.ts';

/**
 * Every inode that a request may name: the inodes of the tree, scratch files and folders, and the inodes of replaced trees as long as the
 * kernel refers to them. The root is nodeid 1 in every tree.
 *
 * Who counts: the inode table counts the references to inodes that have or had a row, KnownInodes those to all others; here is only which inodes
 * of KnownInodes have any.
 */
export class Inodes {
  #tree: InodeTree;
  #former: InodeTree[] = [];
  readonly #scratch = new Map<number, Inode>();
  #lastScratch = FIRST_SCRATCH_NODEID - 1;
  readonly #referenced = new Set<number>();
  /** Whether the transport counts references of the kernel to an inode. */
  countedElsewhere: (nodeid: number) => boolean = () => false;
  /** A former tree that nobody can ask for any more. */
  dropped: (tree: InodeTree) => void = () => undefined;

  constructor(tree: InodeTree) {
    this.#tree = tree;
  }

  get tree(): InodeTree {
    return this.#tree;
  }

  get root(): DirectoryInode {
    return this.#tree.root;
  }

  /** The former tree is not dropped yet, because its names are still published: see `has`. */
  replace(tree: InodeTree): void {
    this.#former.push(this.#tree);
    this.#tree = tree;
  }

  /** Whether a tree is the present one, or the kernel still refers to one of its inodes. */
  has(tree: InodeTree): boolean {
    if (tree !== this.#tree) this.#dropUnreferenced();
    return tree === this.#tree || this.#former.includes(tree);
  }

  /** The nodeid that the kernel knows for an inode. */
  nodeidOf(inode: Inode): number {
    return inode === this.#tree.root ? ROOT_NODEID : inode.nodeid;
  }

  /** Throws ESTALE. */
  inode(nodeid: number): Inode {
    const inode = this.find(nodeid);
    if (inode === undefined) throw errno('ESTALE', `there is no inode ${nodeid}`);
    return inode;
  }

  find(nodeid: number): Inode | undefined {
    if (nodeid === ROOT_NODEID) return this.#tree.root;
    if (nodeid >= FIRST_SCRATCH_NODEID) return this.#scratch.get(nodeid);
    const current = this.#tree.get(nodeid);
    if (current !== undefined || this.#former.length === 0) return current;
    return this.#former.find((tree) => tree.has(nodeid))?.get(nodeid);
  }

  /** The object of an inode, if somebody has asked for it. */
  made(nodeid: number): Inode | undefined {
    if (nodeid === ROOT_NODEID) return this.#tree.root;
    if (nodeid >= FIRST_SCRATCH_NODEID) return this.#scratch.get(nodeid);
    const current = this.#tree.made(nodeid);
    if (current !== undefined || this.#former.length === 0) return current;
    return this.#former.find((tree) => tree.has(nodeid))?.made(nodeid);
  }

  /** The room of an inode. */
  roomOf(nodeid: number): string {
    if (nodeid >= FIRST_SCRATCH_NODEID) return 'scratch';
    return this.#treeOf(nodeid).roomOf(nodeid);
  }

  /** Whether it has a name in a folder where scratch files can be made. */
  isInWritableFolder(nodeid: number): boolean {
    return this.#treeOf(nodeid).isInWritableFolder(nodeid);
  }

  file(nodeid: number): FileInode {
    const inode = this.inode(nodeid);
    if (inode.kind === 'directory') throw errno('EISDIR');
    return inode;
  }

  directory(nodeid: number): DirectoryInode {
    const inode = this.inode(nodeid);
    if (inode.kind !== 'directory') throw errno('ENOTDIR');
    return inode;
  }

  /** Makes a scratch inode with a new nodeid. */
  addScratch<T extends Inode>(make: (nodeid: number) => T): T {
    const inode = make(++this.#lastScratch);
    this.#scratch.set(inode.nodeid, inode);
    return inode;
  }

  removeScratch(nodeid: number): void {
    this.#scratch.delete(nodeid);
  }

  /** Whether the kernel refers to it. */
  isReferenced(nodeid: number): boolean {
    return this.#referenced.has(nodeid) || this.countedElsewhere(nodeid);
  }

  remember(nodeid: number): void {
    this.#referenced.add(nodeid);
  }

  forget(nodeid: number): void {
    if (this.#referenced.delete(nodeid) && this.#former.length > 0) this.#dropUnreferenced();
  }

  /** The path of an inode by its first name, for messages. */
  pathOf(wanted: Inode): string {
    const search = (directory: DirectoryInode, prefix: string): string | undefined => {
      for (const [name, inode] of directory.children) {
        if (inode === wanted) return prefix + name;
        const below =
          inode.kind === 'directory' && inode.unmade !== true
            ? search(inode, `${prefix}${name}/`)
            : undefined;
        if (below !== undefined) return below;
      }
      return undefined;
    };
    return this.#tree.pathOf(this.nodeidOf(wanted)) ?? search(this.root, '/') ?? `inode ${wanted.nodeid}`;
  }

  #treeOf(nodeid: number): InodeTree {
    if (this.#former.length === 0 || this.#tree.has(nodeid)) return this.#tree;
    return this.#former.find((tree) => tree.has(nodeid)) ?? this.#tree;
  }

  #dropUnreferenced(): void {
    this.#former = this.#former.filter((tree) => {
      if (this.#isUsed(tree)) return true;
      this.dropped(tree);
      return false;
    });
  }

  /**
   * Whether the kernel refers to an inode of a tree. Whoever holds a file holds the folders that lead to it, so of inodes that the transport
   * counts it is enough to look at the folders at the root.
   */
  #isUsed(tree: InodeTree): boolean {
    for (const { nodeid } of tree.root.children.values()) if (this.isReferenced(nodeid)) return true;
    for (const nodeid of this.#referenced) if (nodeid !== ROOT_NODEID && tree.has(nodeid)) return true;
    return false;
  }
}
