/**
 * Puts a tree into the native inode table, so that LOOKUP, GETATTR, READDIR and OPEN of it do not come to JavaScript: all inodes whose
 * answers are known before anybody asks, documents with the size that they had last, and the names in their folders.
 *
 * Invariants:
 * - A row is there before the kernel gets its first reference to the inode: at the mount, or when the folder in which it lies is first asked for.
 * - What changes by itself (logs, other documents, files that are laid out later) has no row, and the listing of its folder is not complete:
 *   requests about it come to JavaScript.
 * - A folder with scratch files, or with hidden names, has no listing. It is listed again some time after the last of them is gone.
 * - A change of an inode's attributes is in the table before the request that made it is answered.
 */
import { messageOf } from '../errors.ts';
import {
  type DirectoryInode,
  describeFile,
  describeFolder,
  FIRST_SCRATCH_NODEID,
  type Inode,
  type InodeTree,
  type KnownInode,
  ROOT_NODEID,
  unknownInode,
} from '../inode.ts';
import type { Image } from '../storage/image.ts';
import { INODE, LISTING } from '../storage/native.ts';
import type { AttributeChanges } from './attribute-changes.ts';
import { type Attributes, FIXED_MS } from './attributes.ts';
import type { Attr } from './filesystem.ts';
import { ListingBatch, nanosecondsWithin, RowBatch } from './inode-batches.ts';
import type { NativeInodes } from './native-inodes.ts';
import { fileMode } from './protocol/attr.ts';
import type { RemovedNames } from './removed-names.ts';

export interface PublishedTreeOptions {
  readonly attributes: Attributes;
  readonly changes: AttributeChanges;
  readonly hidden: RemovedNames;
  readonly uid: number;
  readonly gid: number;
  readonly readOnly: boolean;
  /** Whether the present tree put in an inode of its own accord. */
  readonly isKnown: (nodeid: number) => boolean;
  /** Whether an inode is of the present tree. */
  readonly isPresent: (nodeid: number) => boolean;
  /** The object of an inode, if there is one. */
  readonly made: (nodeid: number) => Inode | undefined;
  /** Receives a line when something could not be put in. */
  readonly log: (message: string) => void;
}

interface Batches {
  readonly rows: RowBatch;
  readonly listings: ListingBatch;
}

/** How often it is looked whether folders have only their own names again: editors make and remove several files one after the other. */
const SETTLED_MS = 1000;

export class PublishedTree {
  readonly #options: PublishedTreeOptions;
  #table: NativeInodes | undefined;
  /** For what is put in within one turn of the event loop: thousands of folders are put in one by one, and the batches have large buffers. */
  #batches: Batches | undefined;
  /** Folders whose listings were withdrawn because names in them changed. */
  readonly #unsettled = new Set<DirectoryInode>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: PublishedTreeOptions) {
    this.#options = options;
  }

  /** The table, if the transport has one. */
  get table(): NativeInodes | undefined {
    return this.#table;
  }

  attach(table: NativeInodes): void {
    const { uid, gid, readOnly } = this.#options;
    this.#table = table;
    this.#batches = { rows: new RowBatch(table), listings: new ListingBatch(table) };
    table.setDefaults({ uid, gid, readOnly, keepMs: FIXED_MS });
  }

  /** Whether the kernel's references to an inode are counted in the table. */
  counts(nodeid: number): boolean {
    return this.#table !== undefined && nodeid < this.#table.limit && this.#table.references(nodeid) > 0;
  }

  /** The inodes to which the kernel got first references without JavaScript since the last call. */
  news(): Iterable<number> {
    return this.#table?.takeRemembered() ?? [];
  }

  /**
   * Puts in everything that is known of a tree except its root. Yields between parts. A tree that cannot be put in is served without the table.
   */
  *publish(tree: InodeTree): Generator<void> {
    const table = this.#table;
    if (table === undefined || tree.nextNodeid > table.limit) return;
    try {
      yield* this.#publish(tree, table);
    } catch (cause) {
      this.#failed(cause);
      table.withdrawAll(tree.firstNodeid, tree.nextNodeid - tree.firstNodeid);
      table.hold(tree, new Set());
    }
  }

  *#publish(tree: InodeTree, table: NativeInodes): Generator<void> {
    const images = new Map<Image, number>();
    const rows = new RowBatch(table);
    const { changes } = this.#options;
    const mtimeMs = changes.mtimeMs(NO_NODEID, tree.mtimeMs);
    let room = '';
    let number = table.roomNumber(room);
    yield* tree.known((inode) => {
      if (inode.room !== room) {
        room = inode.room;
        number = table.roomNumber(room);
      }
      this.#addRow(rows, inode, number, mtimeMs, (image) => fileIn(table, images, tree, image));
    });
    rows.flush();
    const listings = new ListingBatch(table);
    yield* tree.listings({
      folder: (nodeid, count, complete) => listings.folder(nodeid, complete ? ALL_NAMES : 0, count),
      entry: (name, nodeid) => listings.add(name, nodeid),
    });
    listings.flush();
  }

  /**
   * Puts in the root of a tree: from now on its names lead to it. The listing is not complete: other file systems are joined at the root, and
   * a later tree may have other rooms.
   */
  publishRoot({ root }: InodeTree): void {
    const table = this.#table;
    if (table === undefined || this.#batches === undefined) return;
    try {
      this.#publishRoot(root, table, this.#batches);
    } catch (cause) {
      this.#failed(cause);
      // The names of a former tree.
      table.withdrawListing(ROOT_NODEID);
    }
  }

  #publishRoot(root: DirectoryInode, table: NativeInodes, { rows, listings }: Batches): void {
    const { changes } = this.#options;
    const inode = describe(root) as KnownInode;
    this.#addRow(rows, inode, table.roomNumber(''), changes.mtimeMs(ROOT_NODEID, root.mtimeMs), NO_FILE);
    rows.flush();
    if (changes.of(ROOT_NODEID) !== undefined) this.changed(ROOT_NODEID, () => root);
    listings.folder(ROOT_NODEID, 0, root.children.size);
    for (const [name, { nodeid }] of root.children) listings.add(name, nodeid);
    listings.flush();
  }

  /** Sends everything about a former tree to JavaScript. Its references stay counted. Yields between parts. */
  *withdraw(tree: InodeTree): Generator<void> {
    const table = this.#table;
    if (table === undefined || tree.nextNodeid > table.limit) return;
    let nodeids: number[] = [];
    const flush = () => {
      table.withdrawInodes(Float64Array.from(nodeids));
      nodeids = [];
    };
    for (let nodeid = tree.firstNodeid; nodeid < tree.nextNodeid; nodeid++) {
      nodeids.push(nodeid);
      if (nodeids.length < NODEIDS_A_SLICE) continue;
      flush();
      yield;
    }
    flush();
    table.hold(tree, new Set());
  }

  /** No request can name an inode of this tree any more. */
  drop(tree: InodeTree): void {
    const table = this.#table;
    if (table === undefined || tree.nextNodeid > table.limit) return;
    table.withdrawAll(tree.firstNodeid, tree.nextNodeid - tree.firstNodeid);
  }

  /** Puts in a folder that is filled when somebody looks into it, and what comes after it. */
  entered(directory: DirectoryInode, room: (nodeid: number) => string): void {
    const table = this.#table;
    if (table === undefined || directory.tellAhead === undefined || this.#batches === undefined) return;
    if (directory.nodeid >= table.limit) return;
    const { rows, listings } = this.#batches;
    const { changes, made } = this.#options;
    const differ: Inode[] = [];
    let isListed = true;
    try {
      const number = table.roomNumber(room(directory.nodeid));
      directory.tellAhead({
        inode: (known) => {
          const { nodeid, asks } = known;
          const object = made(nodeid);
          const differs = object !== undefined && changes.of(nodeid) !== undefined;
          // An inode with names in several folders may have a row, and a reader must not see it without the changes.
          if (differs && this.changed(nodeid, () => object)) return;
          this.#addRow(rows, known, number, changes.mtimeMs(nodeid, directory.mtimeMs), NO_FILE);
          if (differs || (object !== undefined && asks)) differ.push(object);
        },
        folder: (nodeid, count, complete) => {
          isListed = !this.#isUnsettled(nodeid);
          if (isListed) listings.folder(nodeid, complete ? ALL_NAMES : 0, count);
        },
        entry: (name, nodeid) => {
          if (isListed) listings.add(name, nodeid);
        },
      });
      rows.flush();
      for (const object of differ) this.changed(object.nodeid, () => object);
      listings.flush();
    } catch (cause) {
      // What has no row or no listing is JavaScript's to answer.
      this.#failed(cause);
      rows.drop();
      listings.drop();
    }
  }

  /** The attributes of an inode changed. Returns false if it has no row. Never throws: the change is made, whatever the table holds. */
  changed(nodeid: number, find: () => Inode | undefined): boolean {
    const table = this.#table;
    if (table === undefined || nodeid >= table.limit) return false;
    const object = find();
    if (object === undefined) return false;
    const attr = this.#options.attributes.attr(object);
    const { mode, uid, gid, size } = attr;
    const times = timesOf(attr);
    if (times.every(Number.isSafeInteger)) {
      try {
        return table.changeInode(attr.nodeid, mode, uid, gid, size, times);
      } catch (cause) {
        this.#failed(cause);
      }
    }
    // JavaScript answers with the exact time.
    table.withdrawInodes(Float64Array.of(attr.nodeid));
    return true;
  }

  /** A name in a folder appeared or disappeared. */
  namesChanged(directory: DirectoryInode): void {
    const table = this.#table;
    if (table === undefined || directory.nodeid >= table.limit) return;
    // Requests about a former tree are not answered from the table.
    if (this.#unsettled.has(directory) || !this.#options.isPresent(directory.nodeid)) return;
    this.#unsettled.add(directory);
    table.withdrawListing(directory.nodeid);
    this.#timer ??= setTimeout(() => this.#settle(), SETTLED_MS).unref();
  }

  /** Another tree is shown: nothing of the former one is listed again. */
  forgetNames(): void {
    this.#unsettled.clear();
  }

  #failed(cause: unknown): void {
    this.#options.log(
      `the inode table could not be filled, requests take the slower way: ${messageOf(cause)}`,
    );
  }

  #isUnsettled(nodeid: number): boolean {
    for (const directory of this.#unsettled) if (directory.nodeid === nodeid) return true;
    return false;
  }

  #settle(): void {
    this.#timer = undefined;
    for (const directory of this.#unsettled) {
      const { children, fixedNames } = directory;
      if (this.#options.hidden.hiddenIn(directory) !== undefined || children.size !== fixedNames) continue;
      this.#unsettled.delete(directory);
      this.#list(directory);
    }
    if (this.#unsettled.size > 0) this.#timer = setTimeout(() => this.#settle(), SETTLED_MS).unref();
  }

  #list({ nodeid, children }: DirectoryInode): void {
    if (this.#batches === undefined) return;
    const { listings } = this.#batches;
    const isComplete =
      nodeid !== ROOT_NODEID && [...children.values()].every((child) => this.#isKnown(child));
    listings.folder(nodeid, isComplete ? ALL_NAMES : 0, children.size);
    for (const [name, child] of children) listings.add(name, child.nodeid);
    try {
      listings.flush();
    } catch (cause) {
      // The folder stays without a listing.
      this.#failed(cause);
    }
  }

  #isKnown(inode: Inode): boolean {
    if (inode.nodeid >= FIRST_SCRATCH_NODEID) return false;
    return this.#options.isKnown(inode.nodeid) || describe(inode) !== undefined;
  }

  #addRow(
    rows: RowBatch,
    inode: KnownInode,
    room: number,
    mtimeMs: number,
    fileOf: (image: Image) => number,
  ): void {
    const {
      nodeid,
      isDirectory,
      mode,
      nlink,
      size,
      parent,
      image,
      offset,
      readable,
      follows,
      hasXattrs,
      asks,
    } = inode;
    const flags =
      (readable ? INODE.READABLE : 0) |
      (follows && !this.#options.readOnly ? INODE.TELL : 0) |
      (hasXattrs ? 0 : INODE.NO_XATTRS) |
      (asks ? INODE.ASK : 0);
    const type = fileMode({ kind: isDirectory ? 'directory' : 'file', mode } as Attr);
    const file = image === undefined ? -1 : fileOf(image);
    rows.add(nodeid, type, nlink, size, mtimeMs, parent, flags, room, file, file < 0 ? 0 : offset);
  }
}

const ALL_NAMES = LISTING.COMPLETE | LISTING.ABSENCE_LASTS;
const NODEIDS_A_SLICE = 1024;
/** No inode: of it only the times that hold for all are asked. */
const NO_NODEID = 0;
const NO_FILE = () => -1;

function fileIn(table: NativeInodes, images: Map<Image, number>, owner: object, image: Image): number {
  let file = images.get(image);
  if (file === undefined) {
    // Images without a descriptor are read through JavaScript.
    file = image.base.fd === undefined ? -1 : table.fileOf(image);
    images.set(image, file);
    if (file >= 0) table.hold(owner, new Set([...images].flatMap(([one, at]) => (at < 0 ? [] : [one]))));
  }
  return file;
}

/** What is known of an inode that has an object. */
function describe(inode: Inode): KnownInode | undefined {
  const known = unknownInode(inode.nodeid);
  if (inode.kind === 'directory') {
    describeFolder(inode.mode, inode.parent, known);
    return known;
  }
  known.nlink = inode.nlink;
  return describeFile(inode, known) ? known : undefined;
}

const NANOSECONDS = 1_000_000_000n;

/** Seconds and nanoseconds of the three times, as protocol/attr.ts writes them. */
function timesOf({ mtimeMs, atimeMs = mtimeMs, ctimeMs = mtimeMs, exactTimes }: Attr): Float64Array {
  const times = new Float64Array(6);
  if (exactTimes !== undefined) {
    const { atimeNs, mtimeNs, ctimeNs } = exactTimes;
    for (const [at, ns] of [atimeNs, mtimeNs, ctimeNs].entries()) {
      const within = ((ns % NANOSECONDS) + NANOSECONDS) % NANOSECONDS;
      times[at * 2] = Number((ns - within) / NANOSECONDS);
      times[at * 2 + 1] = Number(within);
    }
    return times;
  }
  for (const [at, ms] of [atimeMs, mtimeMs, ctimeMs].entries()) {
    const seconds = Math.floor(ms / 1000);
    times[at * 2] = seconds;
    times[at * 2 + 1] = nanosecondsWithin(ms, seconds);
  }
  return times;
}
