import { errno } from '../errors.ts';
import type { Stat } from './host-files.ts';

/** A file or folder that a request may name, or the virtual CSV beside an array. */
export interface Node {
  readonly nodeid: number;
  kind: 'file' | 'directory' | 'csv';
  /** Undefined for the root. */
  parent: Node | undefined;
  name: string;
  /** Inode number of the file on disk; 0 for a virtual file. */
  ino: bigint;
  /** It has no name any more. */
  gone: boolean;
  /** Descriptors of the open file; any of them can report its attributes. */
  readonly open: Set<number>;
  /** Names of virtual CSVs in this folder that a user removed. */
  readonly hidden: Set<string>;
}

const ROOT = 1;

/**
 * The nodes that the kernel was told about, by nodeid and by place. A nodeid is never used twice and belongs to one inode on disk: if another
 * file takes the name, the name leads to another node.
 */
export class Nodes {
  readonly root: Node = makeNode(ROOT, 'directory', undefined, '', 0n);
  readonly #byId = new Map<number, Node>([[ROOT, this.root]]);
  readonly #byPlace = new Map<string, Node>();
  #last = ROOT;

  /** Throws ESTALE. */
  get(nodeid: number): Node {
    const node = this.#byId.get(nodeid);
    if (node === undefined) throw errno('ESTALE', `there is no inode ${nodeid}`);
    return node;
  }

  /** Throws ESTALE and ENOTDIR. */
  folder(nodeid: number): Node {
    const node = this.get(nodeid);
    if (node.kind !== 'directory') throw errno('ENOTDIR');
    return node;
  }

  /** The node of the file or folder at that place. */
  at(parent: Node, name: string, kind: Node['kind'], ino: bigint): Node {
    const known = this.known(parent, name);
    if (known !== undefined && known.kind === kind && known.ino === ino) return known;
    if (known !== undefined) this.remove(known);
    const node = makeNode(++this.#last, kind, parent, name, ino);
    this.#byId.set(node.nodeid, node);
    this.#byPlace.set(placeOf(parent, name), node);
    return node;
  }

  known(parent: Node, name: string): Node | undefined {
    return this.#byPlace.get(placeOf(parent, name));
  }

  /** Its name is gone; programs that have it open can go on using it. */
  remove(node: Node): void {
    this.#leavePlace(node);
    node.gone = true;
    if (node.open.size === 0) this.#byId.delete(node.nodeid);
  }

  move(node: Node, parent: Node, name: string): void {
    this.#leavePlace(node);
    node.parent = parent;
    node.name = name;
    this.#byPlace.set(placeOf(parent, name), node);
  }

  /** The kernel does not refer to it any more. */
  forget(nodeid: number): void {
    const node = this.#byId.get(nodeid);
    if (node === undefined || node === this.root || node.open.size > 0 || node.hidden.size > 0) return;
    this.#leavePlace(node);
    this.#byId.delete(nodeid);
  }

  #leavePlace(node: Node): void {
    if (node.parent === undefined) return;
    const place = placeOf(node.parent, node.name);
    if (this.#byPlace.get(place) === node) this.#byPlace.delete(place);
  }
}

function makeNode(
  nodeid: number,
  kind: Node['kind'],
  parent: Node | undefined,
  name: string,
  ino: bigint,
): Node {
  return { nodeid, kind, parent, name, ino, gone: false, open: new Set(), hidden: new Set() };
}

function placeOf(parent: Node, name: string): string {
  return `${parent.nodeid}/${name}`;
}

/** Undefined for anything that is neither a file nor a folder. */
export function kindOf(stat: Stat): 'file' | 'directory' | undefined {
  if (stat.isFile()) return 'file';
  return stat.isDirectory() ? 'directory' : undefined;
}

/** The name of the array whose CSV is called `name`; undefined if `name` cannot be the name of a CSV. */
export function arrayBeside(name: string): string | undefined {
  return name.endsWith('.csv') && name.length > '.csv'.length
    ? `${name.slice(0, -'.csv'.length)}.npy`
    : undefined;
}

/** The name of the CSV beside an array. */
export function csvBeside(name: string): string | undefined {
  return name.endsWith('.npy') && name.length > '.npy'.length
    ? `${name.slice(0, -'.npy'.length)}.csv`
    : undefined;
}
