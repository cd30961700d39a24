import { type ErrnoName, errno } from '../errors.ts';
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
 * A Filesystem that can be listed and refuses everything else: the base class of rooms that are file systems of their own, which then contain
 * only what they do differently.
 */
export abstract class RefusingFilesystem implements Filesystem {
  abstract lookup(parent: number, name: string, context: RequestContext): MaybePromise<Entry | AbsentEntry>;
  abstract getattr(nodeid: number, context: RequestContext): MaybePromise<AttrReply>;
  abstract open(nodeid: number, flags: number, context: RequestContext): MaybePromise<OpenReply>;
  abstract read(
    nodeid: number,
    handle: number,
    offset: number,
    length: number,
    context: RequestContext,
  ): MaybePromise<Uint8Array>;
  abstract readdir(
    nodeid: number,
    offset: number,
    context: RequestContext,
  ): MaybePromise<Iterable<DirectoryEntry>>;

  get namesVersion(): number {
    return 0;
  }

  connect(_notifier: Notifier): void {
    // It tells the kernel nothing.
  }

  remember(_nodeid: number): void {
    // It does not record what the kernel knows.
  }

  forget(_nodeid: number): void {
    // As above.
  }

  setattr(_nodeid: number, _change: AttrChange, _context: RequestContext): MaybePromise<AttrReply> {
    throw errno('EPERM');
  }

  write(
    _nodeid: number,
    _handle: number,
    _offset: number,
    _bytes: Uint8Array,
    _context: RequestContext,
  ): MaybePromise<number> {
    throw errno('EPERM');
  }

  flush(_nodeid: number, _handle: number, _context: RequestContext): MaybePromise<void> {
    return undefined;
  }

  release(_nodeid: number, _handle: number): MaybePromise<void> {
    return undefined;
  }

  fsync(_nodeid: number, _handle: number, _datasync: boolean, _context: RequestContext): MaybePromise<void> {
    return undefined;
  }

  access(_nodeid: number, _mask: number, _context: RequestContext): MaybePromise<void> {
    return undefined;
  }

  statfs(_context: RequestContext, _nodeid?: number): MaybePromise<Statfs> {
    return {
      blockSize: 4096,
      blocks: 0,
      blocksFree: 0,
      blocksAvailable: 0,
      files: 0,
      filesFree: 0,
      nameMax: 255,
    };
  }

  getxattr(_nodeid: number, _name: string, _context: RequestContext): MaybePromise<Uint8Array> {
    throw errno('EOPNOTSUPP');
  }

  listxattr(_nodeid: number, _context: RequestContext): MaybePromise<readonly string[]> {
    return [];
  }

  lseek(
    _nodeid: number,
    _handle: number,
    _offset: number,
    _whence: number,
    _context: RequestContext,
  ): MaybePromise<number> {
    throw errno('EINVAL');
  }

  fallocate(
    _nodeid: number,
    _handle: number,
    _range: { readonly offset: number; readonly length: number; readonly mode: number },
    _context: RequestContext,
  ): MaybePromise<void> {
    throw errno('EOPNOTSUPP');
  }

  sync(): MaybePromise<void> {
    return undefined;
  }

  create(
    _parent: number,
    _name: string,
    _mode: number,
    _flags: number,
    _context: RequestContext,
  ): MaybePromise<{ readonly entry: Entry; readonly opened: OpenReply }> {
    throw errno('EACCES');
  }

  mknod(_parent: number, _name: string, _mode: number, _context: RequestContext): MaybePromise<Entry> {
    throw errno('EACCES');
  }

  mkdir(_parent: number, _name: string, _mode: number, _context: RequestContext): MaybePromise<Entry> {
    throw errno('EACCES');
  }

  unlink(_parent: number, _name: string, _context: RequestContext): MaybePromise<void> {
    throw errno('EACCES');
  }

  rmdir(_parent: number, _name: string, _context: RequestContext): MaybePromise<void> {
    throw errno('EACCES');
  }

  rename(
    _parent: number,
    _name: string,
    _newParent: number,
    _newName: string,
    _flags: number,
    _context: RequestContext,
  ): MaybePromise<void> {
    throw errno('EACCES');
  }

  refusal(operation: NeverDone): ErrnoName {
    return operation === 'link' || operation === 'symlink' ? 'EPERM' : 'EOPNOTSUPP';
  }
}
