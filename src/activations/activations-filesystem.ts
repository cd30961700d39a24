/**
 * /activations as a Filesystem: each request is passed to the folder on disk, and its answer is the reply. The only state kept here is which
 * nodeid means which file, so that files that the kernel writes itself (passthrough) are always reported as they are.
 *
 * Invariants: nothing outside the folder is ever reached (host-files.ts); something that is neither a file nor a folder is not listed and is
 * refused with EPERM; a name on disk hides the virtual CSV of the same name; changes are not interruptible.
 */
import { constants } from 'node:fs';
import { dirname } from 'node:path';
import { errno, type MlfsError } from '../errors.ts';
import type {
  AbsentEntry,
  Attr,
  AttrChange,
  AttrReply,
  DirectoryEntry,
  Entry,
  OpenReply,
  RequestContext,
  Statfs,
} from '../fuse/filesystem.ts';
import { O_ACCMODE } from '../fuse/open-policy.ts';
import { accessOf, mayRemove, permits, R_OK, refusalOfChange, W_OK, X_OK } from '../fuse/permission.ts';
import { RefusingFilesystem } from '../fuse/refusing-filesystem.ts';
import { refusesTarget } from '../fuse/rename-flags.ts';
import { type Claim, claimOpenFile, makeSupplies, type Supplies } from '../fuse/supplies.ts';
import { ABSENT, attrOf, csvAttr, PERMISSIONS, timeoutsOf } from './attributes.ts';
import { CsvFiles, type CsvText } from './csv-files.ts';
import { FolderListing } from './folder-listing.ts';
import { Folders, type FoldersOptions } from './folders.ts';
import * as host from './host-files.ts';
import type { ValueLease } from './leases.ts';
import { arrayBeside, csvBeside, kindOf, type Node, Nodes } from './nodes.ts';
import { changesBytes, hostFlags, isForeign, ownedFile } from './open-on-disk.ts';
import { TopFolder } from './top-folder.ts';

const { O_CREAT, O_EXCL, O_RDONLY, O_TRUNC, O_WRONLY, S_IFMT, S_IFREG } = constants;
const SEEK_DATA = 3;
const NAME_MAX = 255;
/** What one of the transports has for a number of blocks. */
const MOST_BLOCKS = 2 ** 32;

type Handle =
  | { readonly kind: 'file'; readonly node: Node; readonly fd: number; readonly writes: boolean }
  | { readonly kind: 'csv'; readonly text: ValueLease<CsvText> };

export class ActivationsFilesystem extends RefusingFilesystem {
  readonly #folder: string;
  readonly #folders: Folders;
  readonly #nodes = new Nodes();
  readonly #listing: FolderListing;
  readonly #csv: CsvFiles;
  readonly #handles = new Map<number, Handle>();
  /** The supplies that each user takes from. */
  readonly #claims = new Map<number, Claim>();
  readonly #supplies: Supplies;
  /** Folders whose names changed since the last sync. */
  readonly #changed = new Set<Node>();
  readonly #top = new TopFolder();
  #lastHandle = 0;
  #namesVersion = 0;

  constructor(options: FoldersOptions & { readonly supplies?: Supplies }) {
    super();
    this.#supplies = options.supplies ?? makeSupplies();
    this.#folder = options.folder;
    this.#folders = new Folders(options);
    this.#listing = new FolderListing(this.#nodes, (folder) =>
      this.#inside(folder, [], (fd) => host.list(fd)),
    );
    this.#csv = new CsvFiles(dirname(options.folder));
  }

  override get namesVersion(): number {
    return this.#namesVersion;
  }

  override forget(nodeid: number): void {
    this.#nodes.forget(nodeid);
  }

  override async lookup(parent: number, name: string): Promise<Entry | AbsentEntry> {
    const folder = this.#nodes.folder(parent);
    const found = await this.#find(folder, name);
    return found === undefined ? ABSENT : { attr: found.attr, ...timeoutsOf(found.node) };
  }

  override async getattr(nodeid: number): Promise<AttrReply> {
    return { attr: await this.#attr(this.#nodes.get(nodeid)), attrTimeoutMs: 0 };
  }

  override async setattr(nodeid: number, change: AttrChange, context: RequestContext): Promise<AttrReply> {
    const node = this.#nodes.get(nodeid);
    if (node.kind === 'csv') throw errno('EPERM');
    if (change.size !== undefined) await this.#resize(node, change.size, change.handle, context);
    else await this.#changeAttributes(node, change, context);
    return this.getattr(nodeid);
  }

  override async open(nodeid: number, flags: number, context: RequestContext): Promise<OpenReply> {
    const node = this.#nodes.get(nodeid);
    if (node.kind === 'directory') throw errno('EISDIR');
    return this.#onAccount(context, (claim) => this.#open(node, flags, context, claim));
  }

  async #open(node: Node, flags: number, context: RequestContext, claim: Claim): Promise<OpenReply> {
    if (node.kind === 'csv') {
      if ((flags & O_ACCMODE) === O_RDONLY) return this.#openCsv(node, context, claim);
      return this.#writeInPlaceOfCsv(node, flags, context, claim);
    }
    const { parent } = node;
    if (parent === undefined || node.gone) throw errno('ESTALE');
    await this.#require(node, accessOf(flags), context);
    const fd = await this.#folders.use(parent, (folder) =>
      host.openFile(folder, node.name, hostFlags(flags)),
    );
    return this.#opened(node, fd, flags, claim);
  }

  override async read(_nodeid: number, handle: number, offset: number, length: number): Promise<Uint8Array> {
    const open = this.#handle(handle);
    if (open.kind === 'file') return host.read(open.fd, offset, length);
    const { size, file } = open.text.value;
    return file.read(offset, Math.max(0, Math.min(length, size - offset)));
  }

  override async write(_nodeid: number, handle: number, offset: number, bytes: Uint8Array): Promise<number> {
    const open = this.#handle(handle);
    if (open.kind !== 'file') throw errno('EBADF');
    return host.write(open.fd, offset, bytes);
  }

  override async release(_nodeid: number, handle: number): Promise<void> {
    const open = this.#handles.get(handle);
    this.#handles.delete(handle);
    this.#claims.get(handle)?.giveBack();
    this.#claims.delete(handle);
    if (open?.kind === 'csv') open.text.release();
    if (open?.kind !== 'file') return;
    open.node.open.delete(open.fd);
    if (open.node.gone) this.#nodes.remove(open.node);
    await host.close(open.fd);
  }

  override async fsync(_nodeid: number, handle: number, datasync: boolean): Promise<void> {
    const open = this.#handle(handle);
    if (open.kind === 'file') await host.sync(open.fd, datasync);
  }

  /** Makes the names durable; fsync does it for contents. */
  override async sync(): Promise<void> {
    const changed = [...this.#changed];
    this.#changed.clear();
    for (const folder of changed) {
      await this.#folders.use(folder, host.syncFolder).catch((cause: { errno?: string }) => {
        if (cause.errno !== 'ENOENT' && cause.errno !== 'ESTALE') throw cause;
      });
    }
  }

  override async readdir(nodeid: number, offset: number): Promise<Iterable<DirectoryEntry>> {
    return this.#listing.entries(this.#nodes.folder(nodeid), offset);
  }

  override async access(nodeid: number, mask: number, context: RequestContext): Promise<void> {
    await this.#require(this.#nodes.get(nodeid), mask, context);
  }

  override async statfs(): Promise<Statfs> {
    for (let path = this.#folder; ; path = dirname(path)) {
      try {
        const { bsize, blocks, bfree, bavail, files, ffree } = await host.statfs(path);
        let scale = 1;
        while (blocks / scale >= MOST_BLOCKS) scale *= 2;
        return {
          blockSize: bsize * scale,
          blocks: Math.floor(blocks / scale),
          blocksFree: Math.floor(bfree / scale),
          blocksAvailable: Math.floor(bavail / scale),
          files,
          filesFree: ffree,
          nameMax: NAME_MAX,
        };
      } catch (cause) {
        if ((cause as { errno?: string }).errno !== 'ENOENT' || path === dirname(path)) throw cause;
      }
    }
  }

  override async lseek(nodeid: number, _handle: number, offset: number, whence: number): Promise<number> {
    const { size } = await this.#attr(this.#nodes.get(nodeid));
    if (offset >= size) throw errno('ENXIO');
    return whence === SEEK_DATA ? offset : size;
  }

  override async create(
    parent: number,
    name: string,
    mode: number,
    flags: number,
    context: RequestContext,
  ): Promise<{ readonly entry: Entry; readonly opened: OpenReply }> {
    const folder = this.#nodes.folder(parent);
    await this.#require(folder, W_OK | X_OK, context);
    try {
      return await this.#onAccount(context, async (claim) => {
        const { node, fd } = await this.#make(folder, name, mode, flags, context);
        const opened = await this.#opened(node, fd, flags & ~O_TRUNC, claim);
        return { entry: await this.#entry(node), opened };
      });
    } catch (cause) {
      if ((cause as { errno?: string }).errno !== 'EEXIST' || (flags & O_EXCL) !== 0) throw cause;
    }
    const found = await this.#find(folder, name);
    if (found === undefined) throw errno('ENOENT');
    const opened = await this.open(found.node.nodeid, flags, context);
    return { entry: await this.#entry(found.node), opened };
  }

  override async mknod(parent: number, name: string, mode: number, context: RequestContext): Promise<Entry> {
    const type = mode & S_IFMT;
    if (type !== S_IFREG && type !== 0) throw errno('EPERM', 'devices, pipes and sockets have no place here');
    const folder = this.#nodes.folder(parent);
    await this.#require(folder, W_OK | X_OK, context);
    const { node, fd } = await this.#make(folder, name, mode, O_WRONLY, context);
    await host.close(fd);
    return this.#entry(node);
  }

  override async mkdir(parent: number, name: string, mode: number, context: RequestContext): Promise<Entry> {
    const folder = this.#nodes.folder(parent);
    await this.#require(folder, W_OK | X_OK, context);
    const ino = await this.#folders.change(folder, async (fd) => {
      await host.makeFolder(fd, name);
      const made = await host.openPlace(fd, name);
      try {
        await host.place.chmod(made, mode & PERMISSIONS);
        if (isForeign(context)) await host.place.chown(made, context.uid, context.gid);
        return host.statDescriptor(made).ino;
      } finally {
        await host.close(made);
      }
    });
    this.#changed.add(folder);
    return this.#entry(this.#nodes.at(folder, name, 'directory', ino));
  }

  override async unlink(parent: number, name: string, context: RequestContext): Promise<void> {
    const folder = this.#nodes.folder(parent);
    await this.#require(folder, W_OK | X_OK, context);
    const found = await this.#find(folder, name);
    if (found === undefined) throw errno('ENOENT');
    if (found.node.kind === 'directory') throw errno('EISDIR');
    await this.#requireRemovable(folder, found, context);
    if (found.node.kind === 'csv') {
      // `rm -r` removes every name that it was shown: this one does not return until the array does.
      folder.hidden.add(name);
    } else {
      await this.#folders.use(folder, (fd) => host.removeFile(fd, name));
      this.#changed.add(folder);
    }
    this.#left(found.node);
  }

  override async rmdir(parent: number, name: string, context: RequestContext): Promise<void> {
    const folder = this.#nodes.folder(parent);
    await this.#require(folder, W_OK | X_OK, context);
    const found = await this.#find(folder, name);
    if (found === undefined) throw errno('ENOENT');
    if (found.node.kind !== 'directory') throw errno('ENOTDIR');
    await this.#requireRemovable(folder, found, context);
    await this.#folders.use(folder, (fd) => host.removeFolder(fd, name));
    this.#changed.add(folder);
    this.#left(found.node);
  }

  override async rename(
    parent: number,
    name: string,
    newParent: number,
    newName: string,
    flags: number,
    context: RequestContext,
  ): Promise<void> {
    const isNew = refusesTarget(flags);
    const [from, to] = [this.#nodes.folder(parent), this.#nodes.folder(newParent)];
    await this.#require(from, W_OK | X_OK, context);
    await this.#require(to, W_OK | X_OK, context);
    const moving = await this.#find(from, name);
    if (moving === undefined) throw errno('ENOENT');
    if (moving.node.kind === 'csv') throw errno('EPERM');
    const target = await this.#find(to, newName);
    if (target !== undefined && isNew) throw errno('EEXIST');
    if (target?.node === moving.node) return;
    await this.#requireRemovable(from, moving, context);
    if (target !== undefined) await this.#requireRemovable(to, target, context);
    await this.#folders.use(from, (fd) =>
      this.#folders.use(to, (newFd) => host.rename(fd, name, newFd, newName)),
    );
    if (target !== undefined) this.#left(target.node);
    const csv = csvBeside(name);
    if (csv !== undefined) from.hidden.delete(csv);
    this.#nodes.move(moving.node, to, newName);
    this.#arrived(to, newName);
    this.#changed.add(from).add(to);
  }

  /** Closes every descriptor: there are no more requests. */
  async close(): Promise<void> {
    for (const handle of [...this.#handles.keys()]) await this.release(0, handle);
    this.#folders.close();
    this.#csv.close();
  }

  /** An open file has a descriptor, on the account of the user who opens it. Throws ENFILE before anything is opened. */
  async #onAccount<T>({ uid }: RequestContext, open: (claim: Claim) => Promise<T>): Promise<T> {
    const claim = claimOpenFile(this.#supplies, uid, 0);
    try {
      claim.take(this.#supplies.descriptors, 1, 'ENFILE');
      return await open(claim);
    } catch (cause) {
      claim.giveBack();
      throw cause;
    }
  }

  /** What lies there, or the virtual file that is shown there. Throws EPERM for what is neither a file nor a folder. */
  async #find(folder: Node, name: string): Promise<{ readonly node: Node; readonly attr: Attr } | undefined> {
    const array = folder.hidden.has(name) ? undefined : arrayBeside(name);
    return this.#inside(folder, undefined, async (fd) => {
      const stat = await host.statName(fd, name);
      if (stat !== undefined) {
        const kind = kindOf(stat);
        if (kind === undefined) throw errno('EPERM', `${name} is neither a file nor a folder`);
        const node = this.#nodes.at(folder, name, kind, stat.ino);
        return { node, attr: attrOf(node, stat) };
      }
      const beside = array === undefined ? undefined : await host.statName(fd, array);
      if (beside === undefined || !beside.isFile()) return undefined;
      const node = this.#nodes.at(folder, name, 'csv', 0n);
      return { node, attr: csvAttr(node, beside, this.#csv.knownSize(beside) ?? 0) };
    });
  }

  /** The folder on disk, if it exists; the root does not exist until somebody creates something in it. */
  async #inside<T>(folder: Node, otherwise: T, work: (fd: number) => Promise<T>): Promise<T> {
    try {
      return await this.#folders.use(folder, work);
    } catch (cause) {
      if (folder.parent === undefined && (cause as { errno?: string }).errno === 'ENOENT') return otherwise;
      throw cause;
    }
  }

  async #attr(node: Node): Promise<Attr> {
    if (node.parent === undefined) return this.#rootAttr();
    if (node.kind === 'csv') return this.#csvAttr(node, node.parent);
    const [fd] = node.open;
    if (fd !== undefined) return attrOf(node, host.statDescriptor(fd));
    if (node.gone) throw errno('ESTALE');
    const { parent } = node;
    const stat = await this.#folders.use(parent, (folder) => host.statName(folder, node.name));
    if (stat !== undefined && kindOf(stat) === node.kind && stat.ino === node.ino) return attrOf(node, stat);
    throw this.#lost(node);
  }

  #rootAttr(): Promise<Attr> {
    const { root } = this.#nodes;
    return this.#inside(root, this.#top.attr(root, undefined), async (fd) =>
      this.#top.attr(root, host.statDescriptor(fd)),
    );
  }

  async #csvAttr(node: Node, folder: Node): Promise<Attr> {
    const { stat, text } = await this.#text(node, folder);
    try {
      return csvAttr(node, stat, text.value.size);
    } finally {
      text.release();
    }
  }

  async #text(node: Node, folder: Node): Promise<{ stat: host.Stat; text: ValueLease<CsvText> }> {
    const array = arrayBeside(node.name) ?? '';
    return this.#folders.use(folder, async (above) => {
      const fd = await host.openFile(above, array, O_RDONLY);
      try {
        const stat = host.statDescriptor(fd);
        if (!stat.isFile()) throw errno('EPERM');
        return { stat, text: await this.#csv.take(array, fd, stat) };
      } finally {
        await host.close(fd);
      }
    });
  }

  async #openCsv(node: Node, context: RequestContext, claim: Claim): Promise<OpenReply> {
    if (node.parent === undefined) throw errno('ESTALE');
    await this.#require(node, R_OK, context);
    const { text } = await this.#text(node, node.parent);
    return { handle: this.#addHandle({ kind: 'csv', text }, claim), caching: 'direct' };
  }

  /** `> X.csv` makes a file of its own. */
  async #writeInPlaceOfCsv(
    node: Node,
    flags: number,
    context: RequestContext,
    claim: Claim,
  ): Promise<OpenReply> {
    const { parent: folder, name } = node;
    if (folder === undefined || (flags & O_TRUNC) === 0) throw errno('EACCES');
    await this.#require(folder, W_OK | X_OK, context);
    const fd = await this.#folders.use(folder, (above) =>
      host.openFile(above, name, hostFlags(flags) | O_CREAT | O_EXCL, NEW_FILE_MODE),
    );
    node.ino = await ownedFile(fd, NEW_FILE_MODE, context);
    node.kind = 'file';
    this.#changed.add(folder);
    return this.#opened(node, fd, flags, claim);
  }

  async #make(
    folder: Node,
    name: string,
    mode: number,
    flags: number,
    context: RequestContext,
  ): Promise<{ node: Node; fd: number }> {
    const permissions = mode & PERMISSIONS;
    const fd = await this.#folders.change(folder, (above) =>
      host.openFile(above, name, hostFlags(flags) | O_CREAT | O_EXCL, permissions),
    );
    const ino = await ownedFile(fd, permissions, context);
    this.#arrived(folder, name);
    this.#changed.add(folder);
    return { node: this.#nodes.at(folder, name, 'file', ino), fd };
  }

  /** Takes ownership of the descriptor. */
  async #opened(node: Node, fd: number, flags: number, claim: Claim): Promise<OpenReply> {
    try {
      const stat = host.statDescriptor(fd);
      if (!stat.isFile() || stat.ino !== node.ino) throw this.#lost(node);
      if (changesBytes(flags)) await host.dropSetId(fd, stat);
      if ((flags & O_TRUNC) !== 0) await host.truncate(fd, 0);
    } catch (cause) {
      await host.close(fd);
      throw cause;
    }
    node.open.add(fd);
    const writes = (flags & O_ACCMODE) !== O_RDONLY;
    return {
      handle: this.#addHandle({ kind: 'file', node, fd, writes }, claim),
      caching: 'fresh',
      backing: fd,
    };
  }

  async #resize(
    node: Node,
    size: number,
    handle: number | undefined,
    context: RequestContext,
  ): Promise<void> {
    if (node.kind === 'directory') throw errno('EISDIR');
    const open = handle === undefined ? undefined : this.#handles.get(handle);
    if (open?.kind === 'file' && open.writes) return host.truncate(open.fd, size);
    await this.#require(node, W_OK, context);
    const { parent } = node;
    if (parent === undefined || node.gone) throw errno('ESTALE');
    await this.#folders.use(parent, async (folder) => {
      const fd = await host.openFile(folder, node.name, O_WRONLY);
      try {
        const stat = host.statDescriptor(fd);
        if (!stat.isFile() || stat.ino !== node.ino) throw this.#lost(node);
        await host.dropSetId(fd, stat);
        await host.truncate(fd, size);
      } finally {
        await host.close(fd);
      }
    });
  }

  async #changeAttributes(node: Node, change: AttrChange, context: RequestContext): Promise<void> {
    const refusal = refusalOfChange(await this.#attr(node), change, context);
    if (refusal !== undefined) throw errno(refusal);
    if (node.parent === undefined) return this.#changeTop(node, change);
    const { uid, gid, mode, atime, mtime } = change;
    const times = atime !== undefined || mtime !== undefined;
    await this.#folders.usePlace(node, async (fd) => {
      // A change of nothing, `chown -1 -1`, raises only the ctime.
      if (uid !== undefined || gid !== undefined || (mode === undefined && !times))
        await host.place.chown(fd, uid, gid);
      if (mode !== undefined) await host.place.chmod(fd, mode & PERMISSIONS);
      if (times) await host.place.utimes(fd, { atime, mtime });
    });
  }

  async #changeTop(root: Node, change: AttrChange): Promise<void> {
    this.#top.change(change);
    const { atime, mtime } = change;
    if (atime !== undefined || mtime !== undefined)
      await this.#folders.change(root, (fd) => host.place.utimes(fd, { atime, mtime }));
    else await this.#inside(root, undefined, (fd) => host.place.chown(fd));
  }

  async #entry(node: Node): Promise<Entry> {
    return { attr: await this.#attr(node), ...timeoutsOf(node) };
  }

  /** Root may do everything here, which saves the checks. */
  async #require(node: Node, mask: number, context: RequestContext): Promise<void> {
    if (context.uid === 0 && (mask & X_OK) === 0) return;
    if (context.uid === 0 && node.kind === 'directory') return;
    if (!permits(await this.#attr(node), mask, context)) throw errno('EACCES');
  }

  /** Throws EPERM for another user's file in a sticky folder. A virtual file has no owner: it only stands beside its array. */
  async #requireRemovable(
    folder: Node,
    { node, attr }: { readonly node: Node; readonly attr: Attr },
    context: RequestContext,
  ): Promise<void> {
    if (context.uid === 0 || node.kind === 'csv') return;
    if (!mayRemove(await this.#attr(folder), attr, context)) throw errno('EPERM');
  }

  /** A folder has a new name: the CSV beside an array is shown again. */
  #arrived(folder: Node, name: string): void {
    const csv = csvBeside(name);
    if (csv !== undefined) folder.hidden.delete(csv);
  }

  #left(node: Node): void {
    // Without the array there is no CSV to hide: nothing is kept for names that come and go.
    const csv = csvBeside(node.name);
    if (csv !== undefined) node.parent?.hidden.delete(csv);
    this.#nodes.remove(node);
    this.#folders.drop(node);
  }

  /** Something outside the mount changed the folder: a transport that remembers paths must walk them again. */
  #lost(node: Node): MlfsError {
    this.#left(node);
    this.#namesVersion++;
    return errno('ESTALE');
  }

  #handle(handle: number): Handle {
    const open = this.#handles.get(handle);
    if (open === undefined) throw errno('EBADF', `handle ${handle} is not open`);
    return open;
  }

  #addHandle(handle: Handle, claim: Claim): number {
    this.#handles.set(++this.#lastHandle, handle);
    this.#claims.set(this.#lastHandle, claim);
    return this.#lastHandle;
  }
}

/** Of a file that is made where a virtual one was opened: nobody was told a mode. */
const NEW_FILE_MODE = 0o644;
