import { errno, MlfsError } from '../../errors.ts';
import type {
  Attr,
  AttrChange,
  Filesystem,
  MaybePromise,
  NeverDone,
  OpenReply,
  RequestContext,
} from '../filesystem.ts';
import { after } from '../maybe-promise.ts';
import { BLOCK_SIZE, fileMode, sectors } from '../protocol/attr.ts';
import { ERRNO } from '../protocol/errno.ts';
import { hasRawBytes } from '../protocol/name-bytes.ts';
import { encodeXattrNames } from '../protocol/xattr.ts';
import { errnoName, microsecondsSince, type Trace } from '../request-trace.ts';
import type {
  Done,
  FuseNativeOperations,
  FuseNativeStat,
  FuseNativeStatfs,
  Refusal,
} from './fuse-native-module.ts';
import { Paths, splitPath } from './fuse-native-paths.ts';

/**
 * The package's operations in terms of a Filesystem. The package tells neither who calls nor that a caller gave up:
 * access(2) is answered as if the server itself had called, and a blocked operation stays until the mount is gone.
 */
export class FuseNativeBridge {
  readonly #filesystem: Filesystem;
  readonly #paths: Paths;
  /** Ends the wait of all operations in progress; replaced after each use. */
  #interrupt = new AbortController();
  readonly #warn: (message: string) => void;
  readonly #trace: Trace | undefined;
  readonly #counters: Record<string, number> = Object.fromEntries(COUNTERS.map((name) => [name, 0]));
  /** Open files by the descriptor that libfuse passes. Their paths may lead elsewhere or nowhere by then. */
  readonly #open = new Map<number, OpenFile>();
  #lastDescriptor = 0;
  /** Milliseconds since 1970, long before any file of a mount. */
  #lastUnseenMs = 0;

  constructor(filesystem: Filesystem, warn: (message: string) => void, trace?: Trace) {
    this.#filesystem = filesystem;
    this.#paths = new Paths(
      filesystem,
      () => this.#context,
      () => Array.from(this.#open.values(), ({ nodeid }) => nodeid),
    );
    this.#warn = warn;
    this.#trace = trace;
  }

  /** Operations by name, and the bytes that were read. */
  counters(): Readonly<Record<string, number>> {
    return { ...this.#counters };
  }

  /** Makes every waiting operation answer EINTR. libfuse cannot end while one of its threads waits for an answer. */
  interruptAll(): void {
    this.#interrupt.abort(errno('EINTR', 'the mount is gone'));
    this.#interrupt = new AbortController();
  }

  /** The server itself takes the place of the caller, because the package does not say who calls. */
  get #context(): RequestContext {
    return {
      uid: process.getuid?.() ?? 0,
      gid: process.getgid?.() ?? 0,
      pid: process.pid,
      signal: this.#interrupt.signal,
    };
  }

  /** The functions for all operations that libfuse is to know. */
  operations(): FuseNativeOperations & Readonly<Record<string, unknown>> {
    const filesystem = this.#filesystem;
    const served: FuseNativeOperations = {
      getattr: (path, done) =>
        this.#run('getattr', done, path, (nodeid) =>
          after(filesystem.getattr(nodeid, this.#context), ({ attr }) => done(0, statOf(attr))),
        ),
      readdir: (path, done) =>
        this.#run('readdir', done, path, (nodeid) =>
          after(filesystem.readdir(nodeid, 0, this.#context), (entries) => {
            const listing = [...entries].filter(({ name }) => !hasRawBytes(name));
            const names = listing.map(({ name }) => name);
            done(
              0,
              names,
              listing.map(({ entry }) => statOf(entry.attr)),
            );
          }),
        ),
      open: (path, flags, done) =>
        this.#run('open', done, path, (nodeid) =>
          after(filesystem.open(nodeid, flags, this.#context), (opened) =>
            done(0, this.#opened(nodeid, opened)),
          ),
        ),
      read: (path, descriptor, buffer, length, offset, done) =>
        this.#runOpen('read', done, path, descriptor, ({ nodeid, handle }) =>
          after(filesystem.read(nodeid, handle, offset, length, this.#context), (bytes) => {
            buffer.set(bytes);
            this.#add('read_bytes_total', bytes.byteLength);
            done(bytes.byteLength);
          }),
        ),
      write: (path, descriptor, buffer, length, offset, done) =>
        this.#runOpen('write', done, path, descriptor, ({ nodeid, handle }) => {
          // After the operation libfuse may reuse its memory.
          const bytes = Buffer.from(buffer.subarray(0, length));
          return after(filesystem.write(nodeid, handle, offset, bytes, this.#context), done);
        }),
      flush: (path, descriptor, done) =>
        this.#runOpen('flush', done, path, descriptor, ({ nodeid, handle }) =>
          after(filesystem.flush(nodeid, handle, this.#context), () => done(0)),
        ),
      fsync: (path, datasync, descriptor, done) =>
        this.#runOpen('fsync', done, path, descriptor, ({ nodeid, handle }) =>
          after(filesystem.fsync(nodeid, handle, datasync !== 0, this.#context), () => done(0)),
        ),
      fsyncdir: (path, _datasync, _handle, done) =>
        this.#run('fsyncdir', done, path, () => after(filesystem.sync(), () => done(0))),
      release: (path, descriptor, done) =>
        this.#runOpen('release', done, path, descriptor, ({ nodeid, handle }) => {
          this.#open.delete(descriptor);
          return after(filesystem.release(nodeid, handle), () => done(0));
        }),
      statfs: (path, done) =>
        this.#run('statfs', done, path, (nodeid) =>
          after(filesystem.statfs(this.#context, nodeid), (statfs) => {
            const answer: FuseNativeStatfs = {
              bsize: statfs.blockSize,
              frsize: statfs.blockSize,
              blocks: statfs.blocks,
              bfree: statfs.blocksFree,
              bavail: statfs.blocksAvailable,
              files: statfs.files,
              ffree: statfs.filesFree,
              favail: statfs.filesFree,
              namemax: statfs.nameMax,
            };
            done(0, answer);
          }),
        ),
      truncate: (path, size, done) =>
        this.#run('setattr', done, path, (nodeid) =>
          after(filesystem.setattr(nodeid, { size }, this.#context), () => done(0)),
        ),
      ftruncate: (path, descriptor, size, done) =>
        this.#runOpen('setattr', done, path, descriptor, ({ nodeid, handle }) =>
          after(filesystem.setattr(nodeid, { size, handle }, this.#context), () => done(0)),
        ),
      chmod: (path, mode, done) => this.#change(path, { mode: mode & PERMISSIONS }, done),
      chown: (path, uid, gid, done) =>
        this.#change(path, { ...(uid === NO_ID ? {} : { uid }), ...(gid === NO_ID ? {} : { gid }) }, done),
      utimens: (path, atimeMs, mtimeMs, done) =>
        this.#run('setattr', done, path, (nodeid) => {
          const change = { atime: nanoseconds(atimeMs), mtime: nanoseconds(mtimeMs) };
          return after(filesystem.setattr(nodeid, change, this.#context), () => done(0));
        }),
      create: (path, mode, done) =>
        this.#runNew('create', done, path, (parent, name) =>
          after(filesystem.create(parent, name, mode, O_RDWR, this.#context), ({ entry, opened }) =>
            done(0, this.#opened(entry.attr.nodeid, opened)),
          ),
        ),
      mknod: (path, mode, _device, done) =>
        this.#runNew('mknod', done, path, (parent, name) =>
          after(filesystem.mknod(parent, name, mode, this.#context), () => done(0)),
        ),
      mkdir: (path, mode, done) =>
        this.#runNew('mkdir', done, path, (parent, name) =>
          after(filesystem.mkdir(parent, name, mode, this.#context), () => done(0)),
        ),
      unlink: (path, done) =>
        this.#runIn('unlink', done, path, (parent, name) =>
          after(filesystem.unlink(parent, name, this.#context), () => this.#moved(done, path)),
        ),
      rmdir: (path, done) =>
        this.#runIn('rmdir', done, path, (parent, name) =>
          after(filesystem.rmdir(parent, name, this.#context), () => {
            this.#paths.removed(path);
            this.#moved(done, path);
          }),
        ),
      rename: (path, newPath, done) =>
        this.#runIn('rename', done, path, (parent, name) => {
          const to = splitPath(newPath);
          requireText(to.name);
          return after(this.#paths.nodeid(to.parent), (newParent) =>
            after(filesystem.rename(parent, name, newParent, to.name, 0, this.#context), () =>
              this.#moved(done, path, newPath),
            ),
          );
        }),
      link: this.#never('link'),
      symlink: this.#never('symlink'),
      access: (path, mask, done) =>
        this.#run('access', done, path, (nodeid) =>
          after(filesystem.access(nodeid, mask, this.#context), () => done(0)),
        ),
      getxattr: overridden,
      listxattr: overridden,
      fgetattr: overridden,
    };
    const all = { ...served, setxattr: this.#never('setxattr'), removexattr: this.#never('removexattr') };
    return this.#trace === undefined ? all : tracedOperations(all, this.#trace);
  }

  /**
   * The attributes of an open file, whose path may lead elsewhere by now. libfuse asks when it has opened a file, and drops the pages of earlier opens
   * when the mtime is another than it has seen before: it gets one that it never saw where an open has bytes of its own. Nobody else
   * sees that one, because fstat(2) asks by path.
   */
  fgetattr(path: string, descriptor: number, done: Done<[stat?: FuseNativeStat]>): void {
    const said = tracedDone('fgetattr', [path], done, this.#trace);
    this.#runOpen('getattr', said, path, descriptor, ({ nodeid, keepsPages }) =>
      after(this.#filesystem.getattr(nodeid, this.#context), ({ attr }) => {
        const stat = statOf(attr);
        said(0, keepsPages ? stat : { ...stat, mtime: ++this.#lastUnseenMs });
      }),
    );
  }

  /** Copies the value into libfuse's memory and answers its length; memory of 0 bytes asks only for the length. */
  getxattr(path: string, name: string, memory: Buffer, done: Done): void {
    const said = tracedDone('getxattr', [path, name], done, this.#trace);
    this.#run('getxattr', said, path, (nodeid) =>
      after(this.#filesystem.getxattr(nodeid, name, this.#context), (value) => said(fill(memory, value))),
    );
  }

  listxattr(path: string, memory: Buffer, done: Done): void {
    const said = tracedDone('listxattr', [path], done, this.#trace);
    this.#run('listxattr', said, path, (nodeid) =>
      after(this.#filesystem.listxattr(nodeid, this.#context), (names) =>
        said(fill(memory, encodeXattrNames(names))),
      ),
    );
  }

  /** Runs an operation and calls `done` exactly once, with a negative errno if it fails. */
  #run(name: string, done: Done, path: string, operation: (nodeid: number) => MaybePromise<void>): void {
    this.#settle(name, done, path, () => after(this.#paths.nodeid(path), operation));
  }

  #settle(name: string, done: Done, path: string, operation: () => MaybePromise<void>): void {
    this.#add(`requests_${name}_total`, 1);
    const refuse = (cause: unknown) => done(-this.#errnoOf(name, path, cause));
    try {
      const outcome = operation();
      if (outcome instanceof Promise) outcome.catch(refuse);
    } catch (cause) {
      refuse(cause);
    }
  }

  #opened(nodeid: number, { handle, caching }: OpenReply): number {
    this.#lastDescriptor = (this.#lastDescriptor % LARGEST_DESCRIPTOR) + 1;
    this.#open.set(this.#lastDescriptor, { nodeid, handle, keepsPages: caching !== 'direct' });
    return this.#lastDescriptor;
  }

  /** The same for an operation on an open file. */
  #runOpen(
    name: string,
    done: Done,
    path: string,
    descriptor: number,
    operation: (file: OpenFile) => MaybePromise<void>,
  ): void {
    this.#settle(name, done, path, () => {
      const file = this.#open.get(descriptor);
      if (file === undefined) throw errno('EBADF', `descriptor ${descriptor} is not open`);
      return operation(file);
    });
  }

  /** The same for an operation on a name that need not exist. */
  #runIn(
    name: string,
    done: Done,
    path: string,
    operation: (parent: number, name: string) => MaybePromise<void>,
  ): void {
    const slash = path.lastIndexOf('/');
    this.#run(name, done, path.slice(0, slash) || '/', (parent) => operation(parent, splitPath(path).name));
  }

  /** The same for a new name. */
  #runNew(
    operation: string,
    done: Done,
    path: string,
    make: (parent: number, name: string) => MaybePromise<void>,
  ): void {
    this.#runIn(operation, done, path, (parent, name) => {
      requireText(name);
      return make(parent, name);
    });
  }

  #change(path: string, change: AttrChange, done: Done): void {
    this.#run('setattr', done, path, (nodeid) =>
      after(this.#filesystem.setattr(nodeid, change, this.#context), () => done(0)),
    );
  }

  #moved(done: Done, ...paths: string[]): void {
    for (const path of paths) this.#paths.forget(path);
    done(0);
  }

  /** The callback is the last argument of every operation. */
  #never(operation: NeverDone): Refusal {
    return (...args) => (args.at(-1) as Done)(-ERRNO[this.#filesystem.refusal(operation)]);
  }

  #errnoOf(name: string, path: string, cause: unknown): number {
    this.#add('request_errors_total', 1);
    const known = cause instanceof MlfsError;
    if (!known || cause.code !== 'ERR_MLFS_ERRNO') this.#warn(`${name} ${path}: ${describe(cause)}`);
    return known ? ERRNO[cause.errno] : ERRNO.EIO;
  }

  #add(counter: string, amount: number): void {
    this.#counters[counter] = (this.#counters[counter] ?? 0) + amount;
  }
}

/** The same operations, each of which says when it is done. */
function tracedOperations<T extends Readonly<Record<string, unknown>>>(operations: T, trace: Trace): T {
  const wrapped = Object.entries(operations).map(([opcode, operation]) => {
    const run = operation as (...args: unknown[]) => void;
    return [
      opcode,
      (...args: unknown[]) => run(...args.slice(0, -1), tracedDone(opcode, args, args.at(-1) as Done, trace)),
    ] as const;
  });
  return Object.fromEntries(wrapped) as T;
}

/** `args`: those of the operation, the path first. */
function tracedDone<D extends Done<never[]>>(
  opcode: string,
  args: readonly unknown[],
  done: D,
  trace: Trace | undefined,
): D {
  if (trace === undefined) return done;
  const beganMs = performance.now();
  const [path, second] = args;
  return ((result: number, ...rest: never[]) => {
    trace({
      opcode: opcode.toUpperCase(),
      path: String(path),
      ...(typeof second === 'string' ? { name: second } : {}),
      errno: errnoName(result < 0 ? -result : 0),
      microseconds: microsecondsSince(beganMs),
    });
    done(result, ...rest);
  }) as D;
}

interface OpenFile {
  readonly nodeid: number;
  readonly handle: number;
  /** Whether an open shows the same bytes as the one before it as long as size and mtime are the same. */
  readonly keepsPages: boolean;
}

/** Of the operations that are passed on. They are there from the start: a status keeps its size. */
const COUNTERS = [
  ...[
    'access',
    'create',
    'flush',
    'fsync',
    'fsyncdir',
    'getattr',
    'getxattr',
    'listxattr',
    'mkdir',
    'mknod',
    'open',
    'read',
    'readdir',
    'release',
    'rename',
    'rmdir',
    'setattr',
    'statfs',
    'unlink',
    'write',
  ].map((operation) => `requests_${operation}_total`),
  'request_errors_total',
  'read_bytes_total',
];

/** The package passes a descriptor as an int32. */
const LARGEST_DESCRIPTOR = 2 ** 31 - 1;

/** The permission bits of a mode. */
const PERMISSIONS = 0o7777;
/** The value of chown(2)'s -1. */
const NO_ID = 0xffff_ffff;
const NANOSECONDS_PER_MS = 1_000_000n;
/** The number of seconds of ext4's last time, in the year 2446, is smaller. */
const LARGEST_MS = 2 ** 62;
/** The flags of a new file, as far as the package passes them. */
const O_RDWR = 2;

/** Its own method is called instead: this one only says that the operation is supported. */
function overridden(...args: unknown[]): void {
  (args.at(-1) as Done)(-ERRNO.EOPNOTSUPP);
}

/** The package's own method would report the full length of a value that did not fit, and libfuse would send what lies after its buffer. */
function fill(memory: Buffer, value: Uint8Array): number {
  if (memory.length === 0) return value.byteLength;
  if (value.byteLength > memory.length) return -ERRNO.ERANGE;
  memory.set(value);
  return value.byteLength;
}

function statOf(attr: Attr): FuseNativeStat {
  return {
    mode: fileMode(attr),
    uid: attr.uid,
    gid: attr.gid,
    size: attr.size,
    nlink: attr.nlink,
    ino: attr.nodeid,
    blksize: BLOCK_SIZE,
    blocks: sectors(attr),
    ...timesOf(attr),
  };
}

/** Whole milliseconds since 1970: the package passes nothing else. */
function timesOf({ exactTimes: exact, mtimeMs, atimeMs = mtimeMs, ctimeMs = mtimeMs }: Attr) {
  const shown = (ms: number) => Math.max(0, Math.floor(ms));
  if (exact === undefined) return { atime: shown(atimeMs), mtime: shown(mtimeMs), ctime: shown(ctimeMs) };
  const ms = (ns: bigint) => shown(Number(ns / NANOSECONDS_PER_MS));
  return { atime: ms(exact.atimeNs), mtime: ms(exact.mtimeNs), ctime: ms(exact.ctimeNs) };
}

/** Throws EINVAL for a time before 1970, which the package passes as one in the far future. */
function nanoseconds(ms: number): bigint {
  if (ms > LARGEST_MS) throw errno('EINVAL', 'a time before 1970');
  return BigInt(Math.floor(ms)) * NANOSECONDS_PER_MS;
}

/** The package replaces every byte that is not UTF-8 by the same character: a file with such a name would be found under other names. */
function requireText(name: string): void {
  if (name.includes('\uFFFD')) throw errno('EINVAL', 'the name is not UTF-8');
}

function describe(cause: unknown): string {
  if (cause instanceof MlfsError) return cause.message;
  return cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
}
