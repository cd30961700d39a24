import type { ErrnoName } from '../errors.ts';
import type { FairGate } from './fair-gate.ts';
import type {
  AbsentEntry,
  AttrChange,
  AttrReply,
  DirectoryEntry,
  Entry,
  Filesystem,
  MaybePromise,
  NeverDone,
  Notifier,
  OpenReply,
  RequestContext,
  Statfs,
} from './filesystem.ts';

/**
 * A Filesystem that limits concurrent operations on names, because each holds descriptors while it runs; users share the places. Operations
 * on an open file already have their descriptor and do not wait.
 */
export class GatedFilesystem implements Filesystem {
  readonly #inner: Filesystem;
  readonly #gate: FairGate;

  constructor(inner: Filesystem, gate: FairGate) {
    this.#inner = inner;
    this.#gate = gate;
  }

  get namesVersion(): number {
    return this.#inner.namesVersion;
  }

  lookup(parent: number, name: string, context: RequestContext): Promise<Entry | AbsentEntry> {
    return this.#gate.run(context, async () => this.#inner.lookup(parent, name, context));
  }

  getattr(nodeid: number, context: RequestContext): Promise<AttrReply> {
    return this.#gate.run(context, async () => this.#inner.getattr(nodeid, context));
  }

  setattr(nodeid: number, change: AttrChange, context: RequestContext): Promise<AttrReply> {
    return this.#gate.run(context, async () => this.#inner.setattr(nodeid, change, context));
  }

  open(nodeid: number, flags: number, context: RequestContext): Promise<OpenReply> {
    return this.#gate.run(context, async () => this.#inner.open(nodeid, flags, context));
  }

  readdir(nodeid: number, offset: number, context: RequestContext): Promise<Iterable<DirectoryEntry>> {
    return this.#gate.run(context, async () => this.#inner.readdir(nodeid, offset, context));
  }

  access(nodeid: number, mask: number, context: RequestContext): Promise<void> {
    return this.#gate.run(context, async () => this.#inner.access(nodeid, mask, context));
  }

  lseek(
    nodeid: number,
    handle: number,
    offset: number,
    whence: number,
    context: RequestContext,
  ): Promise<number> {
    return this.#gate.run(context, async () => this.#inner.lseek(nodeid, handle, offset, whence, context));
  }

  create(
    parent: number,
    name: string,
    mode: number,
    flags: number,
    context: RequestContext,
  ): Promise<{ readonly entry: Entry; readonly opened: OpenReply }> {
    return this.#gate.run(context, async () => this.#inner.create(parent, name, mode, flags, context));
  }

  mknod(parent: number, name: string, mode: number, context: RequestContext): Promise<Entry> {
    return this.#gate.run(context, async () => this.#inner.mknod(parent, name, mode, context));
  }

  mkdir(parent: number, name: string, mode: number, context: RequestContext): Promise<Entry> {
    return this.#gate.run(context, async () => this.#inner.mkdir(parent, name, mode, context));
  }

  unlink(parent: number, name: string, context: RequestContext): Promise<void> {
    return this.#gate.run(context, async () => this.#inner.unlink(parent, name, context));
  }

  rmdir(parent: number, name: string, context: RequestContext): Promise<void> {
    return this.#gate.run(context, async () => this.#inner.rmdir(parent, name, context));
  }

  rename(
    parent: number,
    name: string,
    newParent: number,
    newName: string,
    flags: number,
    context: RequestContext,
  ): Promise<void> {
    return this.#gate.run(context, async () =>
      this.#inner.rename(parent, name, newParent, newName, flags, context),
    );
  }

  connect(notifier: Notifier): void {
    this.#inner.connect(notifier);
  }

  remember(nodeid: number): void {
    this.#inner.remember(nodeid);
  }

  forget(nodeid: number): void {
    this.#inner.forget(nodeid);
  }

  read(
    nodeid: number,
    handle: number,
    offset: number,
    length: number,
    context: RequestContext,
  ): MaybePromise<Uint8Array> {
    return this.#inner.read(nodeid, handle, offset, length, context);
  }

  write(
    nodeid: number,
    handle: number,
    offset: number,
    bytes: Uint8Array,
    context: RequestContext,
  ): MaybePromise<number> {
    return this.#inner.write(nodeid, handle, offset, bytes, context);
  }

  flush(nodeid: number, handle: number, context: RequestContext): MaybePromise<void> {
    return this.#inner.flush(nodeid, handle, context);
  }

  release(nodeid: number, handle: number): MaybePromise<void> {
    return this.#inner.release(nodeid, handle);
  }

  fsync(nodeid: number, handle: number, datasync: boolean, context: RequestContext): MaybePromise<void> {
    return this.#inner.fsync(nodeid, handle, datasync, context);
  }

  statfs(context: RequestContext, nodeid?: number): MaybePromise<Statfs> {
    return this.#inner.statfs(context, nodeid);
  }

  getxattr(nodeid: number, name: string, context: RequestContext): MaybePromise<Uint8Array> {
    return this.#inner.getxattr(nodeid, name, context);
  }

  listxattr(nodeid: number, context: RequestContext): MaybePromise<readonly string[]> {
    return this.#inner.listxattr(nodeid, context);
  }

  fallocate(
    nodeid: number,
    handle: number,
    range: { readonly offset: number; readonly length: number; readonly mode: number },
    context: RequestContext,
  ): MaybePromise<void> {
    return this.#inner.fallocate(nodeid, handle, range, context);
  }

  sync(): MaybePromise<void> {
    return this.#inner.sync();
  }

  refusal(operation: NeverDone): ErrnoName {
    return this.#inner.refusal(operation);
  }
}
