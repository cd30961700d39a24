/**
 * File systems of their own in folders of the tree's root. The kernel sees one file system, so nodeids are translated: each graft has a range
 * of 2^28 nodeids above all those of the tree, within the 32 bits that one of the transports has. A handle is only used together with its
 * nodeid and is not translated.
 *
 * Invariants: a request goes to exactly one file system; a rename from one to another is EXDEV; what a graft tells the kernel uses the
 * kernel's nodeids; the name of a graft hides the same name of the tree.
 */
import { type ErrnoName, errno } from '../errors.ts';
import type { Metric } from '../telemetry/metrics.ts';
import type {
  AbsentEntry,
  Attr,
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
import { after } from './maybe-promise.ts';
import type { NativeInodes } from './native-inodes.ts';
import { Traffic } from './traffic.ts';

/** A folder at the root that is a file system of its own: its root is nodeid 1, and all of its nodeids and handles are below 2^28. */
export interface Graft {
  readonly name: string;
  readonly filesystem: Filesystem;
  /** The mount is gone: releases everything that it holds. */
  close?(): Promise<void>;
  /** Metrics of the graft itself. */
  metrics?(): Iterable<Metric>;
}

const ROOT = 1;
/** Above scratch files, which are numbered from 2^31. */
const FIRST_GRAFTED = 3 * 2 ** 30;
const RANGE = 2 ** 28;
const MOST_GRAFTS = (2 ** 32 - FIRST_GRAFTED) / RANGE;
/** Listing offsets of the grafts: after everything of the tree. */
const FIRST_OFFSET = 2 ** 40;
/** A day: the name of a graft does not change. */
const NAME_MS = 24 * 60 * 60 * 1000;

/** Joins the tree and other file systems in folders of its root. `traffic` counts reads and writes by room. */
export function joinFilesystems(
  tree: Filesystem,
  grafts: readonly Graft[],
  traffic: Traffic = new Traffic(),
): Filesystem {
  if (grafts.length > MOST_GRAFTS) throw new RangeError(`${grafts.length} file systems cannot be joined`);
  return new JoinedFilesystem(tree, grafts, traffic);
}

/** One of the file systems, and the number that is added to its nodeids. */
interface Part {
  readonly filesystem: Filesystem;
  readonly base: number;
  /** Of a graft. */
  readonly name?: string;
}

class JoinedFilesystem implements Filesystem {
  readonly #tree: Part;
  readonly #grafts: readonly Part[];
  readonly #names: ReadonlyMap<string, number>;
  readonly #traffic: Traffic;

  constructor(tree: Filesystem, grafts: readonly Graft[], traffic: Traffic) {
    this.#traffic = traffic;
    traffic.expect(grafts.map(({ name }) => name));
    this.#tree = { filesystem: tree, base: 0 };
    this.#grafts = grafts.map(({ name, filesystem }, index) => ({
      name,
      filesystem,
      base: FIRST_GRAFTED + index * RANGE,
    }));
    this.#names = new Map(grafts.map(({ name }, index) => [name, index]));
  }

  get namesVersion(): number {
    return this.#parts.reduce((sum, { filesystem }) => sum + filesystem.namesVersion, 0);
  }

  roomOf(nodeid: number): string {
    return this.#of(nodeid).name ?? this.#tree.filesystem.roomOf?.(nodeid) ?? '';
  }

  /** Only the tree: its nodeids are the kernel's. */
  publishIn(table: NativeInodes): void {
    this.#tree.filesystem.publishIn?.(table);
  }

  connectWrites(writes: NativeWrites): void {
    this.#tree.filesystem.connectWrites?.(writes);
  }

  wroteNatively(nodeid: number, bytes: number): void {
    this.#traffic.wrote(this.roomOf(nodeid), bytes);
    this.#tree.filesystem.wroteNatively?.(nodeid, bytes);
  }

  async settleWritten(nodeid: number): Promise<void> {
    await this.#tree.filesystem.settleWritten?.(nodeid);
  }

  isWrittenAlone(nodeid: number): boolean {
    return this.#tree.filesystem.isWrittenAlone?.(nodeid) === true;
  }

  takeNews(): void {
    this.#tree.filesystem.takeNews?.();
  }

  connect(notifier: Notifier): void {
    this.#tree.filesystem.connect(notifier);
    for (const { filesystem, base } of this.#grafts) {
      filesystem.connect({
        invalidate: (invalidations) => notifier.invalidate(invalidations.map((one) => moved(one, base))),
      });
    }
  }

  lookup(parent: number, name: string, context: RequestContext): MaybePromise<Entry | AbsentEntry> {
    const graft = parent === ROOT ? this.#graft(name) : undefined;
    if (graft !== undefined) {
      return after(graft.filesystem.getattr(ROOT, context), (reply) => grafted(graft, reply));
    }
    const { filesystem, base } = this.#of(parent);
    return after(filesystem.lookup(parent - base, name, context), (found) =>
      'absent' in found ? found : entryIn(base, found),
    );
  }

  remember(nodeid: number, counted?: boolean): void {
    const { filesystem, base } = this.#of(nodeid);
    filesystem.remember(nodeid - base, counted);
  }

  forget(nodeid: number): void {
    const { filesystem, base } = this.#of(nodeid);
    filesystem.forget(nodeid - base);
  }

  getattr(nodeid: number, context: RequestContext): MaybePromise<AttrReply> {
    const { filesystem, base } = this.#of(nodeid);
    return after(filesystem.getattr(nodeid - base, context), (reply) => replyIn(base, reply));
  }

  setattr(nodeid: number, change: AttrChange, context: RequestContext): MaybePromise<AttrReply> {
    const { filesystem, base } = this.#of(nodeid);
    return after(filesystem.setattr(nodeid - base, change, context), (reply) => replyIn(base, reply));
  }

  open(nodeid: number, flags: number, context: RequestContext): MaybePromise<OpenReply> {
    const { filesystem, base } = this.#of(nodeid);
    return after(filesystem.open(nodeid - base, flags, context), (opened) => {
      this.#traffic.opened(this.roomOf(nodeid));
      return opened;
    });
  }

  read(
    nodeid: number,
    handle: number,
    offset: number,
    length: number,
    context: RequestContext,
  ): MaybePromise<Uint8Array> {
    const { filesystem, base } = this.#of(nodeid);
    return this.#traffic.reading(this.roomOf(nodeid), () =>
      filesystem.read(nodeid - base, handle, offset, length, context),
    );
  }

  write(
    nodeid: number,
    handle: number,
    offset: number,
    bytes: Uint8Array,
    context: RequestContext,
  ): MaybePromise<number> {
    const { filesystem, base } = this.#of(nodeid);
    return after(filesystem.write(nodeid - base, handle, offset, bytes, context), (count) => {
      this.#traffic.wrote(this.roomOf(nodeid), count);
      return count;
    });
  }

  flush(nodeid: number, handle: number, context: RequestContext): MaybePromise<void> {
    const { filesystem, base } = this.#of(nodeid);
    return filesystem.flush(nodeid - base, handle, context);
  }

  release(nodeid: number, handle: number): MaybePromise<void> {
    const { filesystem, base } = this.#of(nodeid);
    this.#traffic.released(this.roomOf(nodeid));
    return filesystem.release(nodeid - base, handle);
  }

  fsync(nodeid: number, handle: number, datasync: boolean, context: RequestContext): MaybePromise<void> {
    const { filesystem, base } = this.#of(nodeid);
    return filesystem.fsync(nodeid - base, handle, datasync, context);
  }

  readdir(nodeid: number, offset: number, context: RequestContext): MaybePromise<Iterable<DirectoryEntry>> {
    if (nodeid === ROOT) return this.#readRoot(offset, context);
    const { filesystem, base } = this.#of(nodeid);
    const isGraft = base > 0 && nodeid === base + ROOT;
    return after(filesystem.readdir(nodeid - base, offset, context), (entries) =>
      base === 0 ? entries : entriesIn(base, entries, isGraft),
    );
  }

  access(nodeid: number, mask: number, context: RequestContext): MaybePromise<void> {
    const { filesystem, base } = this.#of(nodeid);
    return filesystem.access(nodeid - base, mask, context);
  }

  statfs(context: RequestContext, nodeid: number = ROOT): MaybePromise<Statfs> {
    const { filesystem, base } = this.#of(nodeid);
    return filesystem.statfs(context, nodeid - base);
  }

  getxattr(nodeid: number, name: string, context: RequestContext): MaybePromise<Uint8Array> {
    const { filesystem, base } = this.#of(nodeid);
    return filesystem.getxattr(nodeid - base, name, context);
  }

  listxattr(nodeid: number, context: RequestContext): MaybePromise<readonly string[]> {
    const { filesystem, base } = this.#of(nodeid);
    return filesystem.listxattr(nodeid - base, context);
  }

  lseek(
    nodeid: number,
    handle: number,
    offset: number,
    whence: number,
    context: RequestContext,
  ): MaybePromise<number> {
    const { filesystem, base } = this.#of(nodeid);
    return filesystem.lseek(nodeid - base, handle, offset, whence, context);
  }

  fallocate(
    nodeid: number,
    handle: number,
    range: { readonly offset: number; readonly length: number; readonly mode: number },
    context: RequestContext,
  ): MaybePromise<void> {
    const { filesystem, base } = this.#of(nodeid);
    return filesystem.fallocate(nodeid - base, handle, range, context);
  }

  async sync(): Promise<void> {
    await Promise.all(this.#parts.map(({ filesystem }) => filesystem.sync()));
  }

  create(
    parent: number,
    name: string,
    mode: number,
    flags: number,
    context: RequestContext,
  ): MaybePromise<{ readonly entry: Entry; readonly opened: OpenReply }> {
    const { filesystem, base } = this.#of(parent);
    return after(filesystem.create(parent - base, name, mode, flags, context), (made) => {
      const entry = entryIn(base, made.entry);
      this.#traffic.opened(this.roomOf(entry.attr.nodeid));
      return { entry, opened: made.opened };
    });
  }

  mknod(parent: number, name: string, mode: number, context: RequestContext): MaybePromise<Entry> {
    const { filesystem, base } = this.#of(parent);
    return after(filesystem.mknod(parent - base, name, mode, context), (entry) => entryIn(base, entry));
  }

  mkdir(parent: number, name: string, mode: number, context: RequestContext): MaybePromise<Entry> {
    const { filesystem, base } = this.#of(parent);
    return after(filesystem.mkdir(parent - base, name, mode, context), (entry) => entryIn(base, entry));
  }

  unlink(parent: number, name: string, context: RequestContext): MaybePromise<void> {
    const { filesystem, base } = this.#of(parent);
    return filesystem.unlink(parent - base, name, context);
  }

  rmdir(parent: number, name: string, context: RequestContext): MaybePromise<void> {
    const { filesystem, base } = this.#of(parent);
    return filesystem.rmdir(parent - base, name, context);
  }

  rename(
    parent: number,
    name: string,
    newParent: number,
    newName: string,
    flags: number,
    context: RequestContext,
  ): MaybePromise<void> {
    const { filesystem, base } = this.#of(parent);
    if (this.#of(newParent).base !== base) throw errno('EXDEV');
    return filesystem.rename(parent - base, name, newParent - base, newName, flags, context);
  }

  refusal(operation: NeverDone): ErrnoName {
    return this.#tree.filesystem.refusal(operation);
  }

  get #parts(): readonly Part[] {
    return [this.#tree, ...this.#grafts];
  }

  #graft(name: string): Part | undefined {
    const index = this.#names.get(name);
    return index === undefined ? undefined : this.#grafts[index];
  }

  /** Throws ESTALE for an unknown nodeid. */
  #of(nodeid: number): Part {
    if (nodeid < FIRST_GRAFTED) return this.#tree;
    const part = this.#grafts[Math.floor((nodeid - FIRST_GRAFTED) / RANGE)];
    if (part === undefined) throw errno('ESTALE', `there is no inode ${nodeid}`);
    return part;
  }

  async #readRoot(offset: number, context: RequestContext): Promise<Iterable<DirectoryEntry>> {
    const own = offset >= FIRST_OFFSET ? [] : await this.#tree.filesystem.readdir(ROOT, offset, context);
    const replies = await Promise.all(
      this.#grafts.map(({ filesystem }) => filesystem.getattr(ROOT, context)),
    );
    const grafts = [...this.#names].map(([name, index]) => ({
      name,
      offset: FIRST_OFFSET + index + 1,
      entry: grafted(this.#grafts[index] as Part, replies[index] as AttrReply),
    }));
    return rootEntries(own, grafts, offset);
  }
}

function* rootEntries(
  own: Iterable<DirectoryEntry>,
  grafts: readonly DirectoryEntry[],
  offset: number,
): Generator<DirectoryEntry> {
  for (const entry of own) if (!grafts.some(({ name }) => name === entry.name)) yield entry;
  for (const graft of grafts) if (graft.offset > offset) yield graft;
}

/** A generator: a transport takes as many entries as fit into an answer. */
function* entriesIn(
  base: number,
  entries: Iterable<DirectoryEntry>,
  isGraft: boolean,
): Generator<DirectoryEntry> {
  for (const listed of entries) {
    const { name, entry } = listed;
    const above = isGraft && name === '..';
    yield {
      ...listed,
      entry: above ? { ...entry, attr: { ...entry.attr, nodeid: ROOT } } : entryIn(base, entry),
    };
  }
}

/** The name of a graft never changes; its attributes are valid as long as the graft says. */
function grafted({ base }: Part, reply: AttrReply): Entry {
  return { ...replyIn(base, reply), entryTimeoutMs: NAME_MS };
}

function attrIn(base: number, attr: Attr): Attr {
  return { ...attr, nodeid: attr.nodeid + base };
}

function replyIn(base: number, reply: AttrReply): AttrReply {
  return base === 0 ? reply : { ...reply, attr: attrIn(base, reply.attr) };
}

function entryIn(base: number, entry: Entry): Entry {
  return base === 0 ? entry : { ...entry, attr: attrIn(base, entry.attr) };
}

function moved(invalidation: Invalidation, base: number): Invalidation {
  return invalidation.kind === 'name'
    ? { ...invalidation, parent: invalidation.parent + base }
    : { ...invalidation, nodeid: invalidation.nodeid + base };
}
