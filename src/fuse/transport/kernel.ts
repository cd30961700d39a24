import { readFile, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { MlfsError, messageOf } from '../../errors.ts';
import type { ViewSlots } from '../../kernel-view/view-slot.ts';
import { type Extent, extentLength } from '../../storage/extent.ts';
import type { Image } from '../../storage/image.ts';
import { deviceNumberOf } from '../../storage/mount-table.ts';
import {
  loadNative,
  type NativeAddon,
  type NativeKernelView,
  type NativeSession,
  nativeLoadError,
} from '../../storage/native.ts';
import { Dispatcher } from '../dispatcher.ts';
import type { Filesystem } from '../filesystem.ts';
import { INIT_FLAGS } from '../protocol/init.ts';
import { KernelNotifier } from './kernel-notifier.ts';
import { inodeTableMode, NativeInodeTableOfSession } from './native-inode-table.ts';
import { NativeRooms } from './native-rooms.ts';
import { NativeWriteLanes } from './native-write-lanes.ts';
import { Passthrough } from './passthrough.ts';
import { PublishedImages } from './published-images.ts';
import {
  kernelChecks,
  type NativeReads,
  type Transport,
  type TransportOptions,
  type TransportSession,
} from './transport.ts';
import { unmountPath } from './unmount.ts';

/**
 * The default transport: the addon's threads read the FUSE device, answer READ of published extents and what the inode table knows themselves,
 * and pass every other message to the Dispatcher. As root the device is mounted by mount(2), otherwise by fusermount3.
 */
export const kernelTransport: Transport = {
  name: 'kernel',
  mount: (filesystem, options) => KernelSession.mount(filesystem, options),
};

const PAGE_BYTES = 4096;
/** The size of a request that every kernel since 4.20 accepts: 1 MiB. */
const DEFAULT_MAX_PAGES = 256;
/** Direct reads are faster with up to 8 MiB in a request, if fs.fuse.max_pages_limit was raised (Linux 6.13). */
const LARGEST_MAX_PAGES = 2048;
/** The kernel's readahead on the mount, if it can be set: the default of 128 KiB halves the throughput. */
const READAHEAD_KIB = 4096;

/**
 * One request that is served, and one that is next. A `stat` waits behind the requests that the kernel has queued, a megabyte each: with 64
 * of them 1 in 100 waited 25 to 29 ms beside a sha256sum, with two for each thread 7 to 9 (bench/stall.ts), at the same throughput within the
 * noise.
 */
const BACKGROUND_PER_THREAD = 2;

/** kCapacity of native/published_table.h. */
const FIRST_UNPUBLISHED_NODEID = 2 ** 28;
/** In place of a file's index. */
const INLINE = -1;
const COMPUTED = -2;

/** Counters of what the data plane did, and what they are part of: the same names mean the same whichever plane answers. */
const PART_OF: Readonly<Record<string, string>> = {
  native_inodes_known: 'inodes_known',
  native_refusals_total: 'request_errors_total',
  native_read_errors_total: 'request_errors_total',
  native_lookups_total: 'requests_lookup_total',
  native_forgets_total: 'requests_forget_total',
  native_batch_forgets_total: 'requests_batch_forget_total',
  native_getattrs_total: 'requests_getattr_total',
  native_statxs_total: 'requests_statx_total',
  native_writes_total: 'requests_write_total',
  native_opens_total: 'requests_open_total',
  native_releases_total: 'requests_release_total',
  native_opendirs_total: 'requests_opendir_total',
  native_readdirs_total: 'requests_readdir_total',
  native_readdirpluses_total: 'requests_readdirplus_total',
  native_releasedirs_total: 'requests_releasedir_total',
  native_accesses_total: 'requests_access_total',
  native_statfses_total: 'requests_statfs_total',
  native_ioctls_total: 'requests_ioctl_total',
  native_getxattrs_total: 'requests_getxattr_total',
  native_listxattrs_total: 'requests_listxattr_total',
};

const NO_IMAGES: ReadonlySet<Image> = new Set();

class KernelSession implements TransportSession {
  readonly closed: Promise<void>;
  readonly #native: NativeSession;
  readonly #mountpoint: string;
  readonly #dispatched: () => Readonly<Record<string, number>>;
  readonly #images: PublishedImages;
  readonly #rooms: NativeRooms;
  views: ViewSlots | undefined;
  readonly #lanes: NativeWriteLanes | undefined;
  /** Absent when every request goes through JavaScript. */
  readonly #table: NativeInodeTableOfSession | undefined;
  #ended = false;
  #lastCounters: Readonly<Record<string, number>> = {};
  #lastReads: ReadonlyMap<string, NativeReads> = new Map();

  private constructor(
    native: NativeSession,
    mountpoint: string,
    closed: Promise<void>,
    dispatched: () => Readonly<Record<string, number>>,
    filesystem: Filesystem,
    withTable: boolean,
    withLanes: boolean,
  ) {
    this.#native = native;
    this.#rooms = new NativeRooms(filesystem);
    this.#images = new PublishedImages(native);
    this.#table = withTable ? new NativeInodeTableOfSession(native, this.#images, this.#rooms) : undefined;
    // Whoever wants to see every request sees every write, too.
    this.#lanes = withLanes ? new NativeWriteLanes(native, this.#images, filesystem) : undefined;
    this.#dispatched = dispatched;
    this.#mountpoint = mountpoint;
    this.closed = closed;
  }

  static async mount(filesystem: Filesystem, options: TransportOptions): Promise<KernelSession> {
    const addon = loadNative();
    if (addon === undefined) {
      throw new MlfsError('ERR_MLFS_FUSE', `the native data plane is not there: ${nativeLoadError()}`, {
        advice: 'mlfs doctor says how to build it; or mount with --transport fuse-native',
      });
    }
    const threads = Math.max(2, Math.min(4, availableParallelism()));
    const maxPages = await maxPagesAllowed();
    const device = openDevice(addon, { ...options, defaultPermissions: kernelChecks(options) });
    const tableMode = inodeTableMode(options);
    const native = new addon.Session(device, {
      threads,
      maxWriteBytes: DEFAULT_MAX_PAGES * PAGE_BYTES,
      nearServer: true,
      compare: tableMode === 'compare',
    });

    const passthrough = new Passthrough(options);
    const closed = deferred();
    const initialized = deferred();
    const session = new KernelSession(
      native,
      options.mountpoint,
      closed.promise,
      () => dispatcher.counters(),
      filesystem,
      tableMode !== 'off',
      tableMode === 'on',
    );
    const dispatcher = new Dispatcher(filesystem, {
      reply: (reply) => {
        if (!session.#ended) native.reply(reply);
      },
      publish: (nodeid, extents) => session.#publish(nodeid, extents),
      withdraw: (nodeid) => session.#withdraw(nodeid),
      catchUp: () => session.#lanes?.catchUp(),
      grantWrites: (nodeid, handle, writes) => session.#lanes?.grant(nodeid, handle, writes),
      revokeWrites: (nodeid, handle) => session.#lanes?.released(nodeid, handle),
      addReference: (nodeid) => session.#table?.addReference(nodeid) ?? false,
      dropReferences: (nodeid, count) => session.#table?.dropReferences(nodeid, count) ?? false,
      references: (nodeid) => session.#table?.references(nodeid) ?? 0,
      openBacking: (fd) => passthrough.open(native, fd),
      closeBacking: (id) => {
        if (!session.#ended) native.closeBacking(id);
      },
      initialized: (negotiated) => {
        passthrough.agreed = (negotiated.flags & INIT_FLAGS.PASSTHROUGH) !== 0n;
        session.#table?.agreed((negotiated.flags & INIT_FLAGS.NO_OPENDIR_SUPPORT) !== 0n);
        initialized.resolve();
      },
      ...(options.pendingBytes === undefined ? {} : { pendingBytes: options.pendingBytes }),
      ...(options.trace === undefined ? {} : { trace: options.trace }),
      log: (level, message) => {
        if (level !== 'debug') options.onWarning(message);
        // Until INIT is answered, an error is a refusal of INIT: the kernel is too old.
        if (level === 'error') initialized.reject(new MlfsError('ERR_MLFS_FUSE', message));
      },
      limits: {
        maxWriteBytes: DEFAULT_MAX_PAGES * PAGE_BYTES,
        maxPages,
        maxReadaheadBytes: READAHEAD_KIB * 1024,
        maxBackground: threads * BACKGROUND_PER_THREAD,
        passthrough: passthrough.wanted,
      },
    });
    let firstView: NativeKernelView | undefined;
    try {
      // Before the first OPEN, because all opens are counted.
      const { expectView } = options;
      if (expectView !== undefined) firstView = native.expectView(expectView.first, expectView.end);
      const notifier = new KernelNotifier(native, options.onWarning);
      filesystem.connect(notifier);
      if (session.#lanes !== undefined) filesystem.connectWrites?.(session.#lanes);
      if (session.#table !== undefined) filesystem.publishIn?.(session.#table);
      native.start(
        (message) => dispatcher.handle(message),
        (number, errno) => notifier.notified(number, errno),
        (errno) => {
          session.#lanes?.end();
          session.#images.stop();
          notifier.end();
          initialized.reject(
            new MlfsError(
              'ERR_MLFS_FUSE',
              `${options.mountpoint}: the session ended before it began (errno ${errno})`,
            ),
          );
          dispatcher.end();
          for (const difference of native.takeDifferences()) options.onWarning(`inode table: ${difference}`);
          session.#close();
          closed.resolve();
        },
        (nodeids) => {
          if (session.#ended) return;
          filesystem.takeNews?.();
          dispatcher.forgotten(nodeids);
        },
        (event, number, reply) => session.#lanes?.on(event, number, reply),
      );
    } catch (cause) {
      // Without threads nobody answers: closing the device ends the connection, and nothing waits for the unmount.
      session.#images.stop();
      session.#close();
      await unmountPath(options.mountpoint, true);
      throw cause;
    }
    try {
      await initialized.promise;
    } catch (refusal) {
      await unmountPath(options.mountpoint, true);
      throw refusal;
    }
    await raiseReadahead(options.mountpoint);
    if (firstView !== undefined) {
      session.views = {
        first: firstView,
        expect: ({ first, end }) => native.expectView(first, end),
        refusal: passthrough.agreed
          ? undefined
          : 'the kernel has no FUSE passthrough (Linux 6.9), or it is off',
      };
    }
    return session;
  }

  /** The connection has ended. */
  #close(): void {
    this.#ended = true;
    this.#table?.end();
    this.#lastCounters = this.#native.counters();
    this.#lastReads = this.#rooms.reads(this.#native.readTally());
    this.#native.close();
  }

  #publish(nodeid: number, extents: readonly Extent[]): void {
    // Scratch inodes have higher nodeids: one that replaced a tensor by a rename is read through JavaScript.
    if (nodeid >= FIRST_UNPUBLISHED_NODEID || this.#ended) return;
    const triples = new Float64Array(extents.length * 3);
    const images = new Set<Image>();
    const inline: Uint8Array[] = [];
    let inlineBytes = 0;
    // Without an array for each extent: an export has a hundred thousand.
    let at = 0;
    for (const extent of extents) {
      if (extent.kind === 'inline') {
        triples[at++] = INLINE;
        triples[at++] = inlineBytes;
        inline.push(extent.bytes);
        inlineBytes += extent.bytes.byteLength;
      } else if (extent.kind === 'computed') {
        triples[at++] = COMPUTED;
        triples[at++] = 0;
      } else {
        images.add(extent.image);
        triples[at++] = this.#images.indexOf(extent.image);
        triples[at++] = extent.offset;
      }
      triples[at++] = extentLength(extent);
    }
    this.#native.publish(nodeid, triples, Buffer.concat(inline), this.#rooms.numberOf(nodeid));
    this.#images.hold(nodeid, images);
  }

  #withdraw(nodeid: number): void {
    if (nodeid >= FIRST_UNPUBLISHED_NODEID || this.#ended) return;
    this.#native.withdraw(nodeid);
    this.#images.hold(nodeid, NO_IMAGES);
  }

  async unmount(): Promise<void> {
    await unmountPath(this.#mountpoint);
  }

  counters(): Readonly<Record<string, number>> {
    const native = this.#ended ? this.#lastCounters : this.#native.counters();
    const counters: Record<string, number> = { ...this.#dispatched(), ...native };
    for (const [part, whole] of Object.entries(PART_OF))
      counters[whole] = (counters[whole] ?? 0) + (native[part] ?? 0);
    return counters;
  }

  nativeOpenFiles(): ReadonlyMap<string, number> {
    return this.#ended ? new Map() : this.#rooms.named(this.#native.openFilesByRoom());
  }

  nativeReads(): ReadonlyMap<string, NativeReads> {
    return this.#ended ? this.#lastReads : this.#rooms.reads(this.#native.readTally());
  }
}

interface Deferred {
  readonly promise: Promise<void>;
  resolve(): void;
  reject(reason: MlfsError): void;
}

function deferred(): Deferred {
  const parts = {} as { resolve: () => void; reject: (reason: MlfsError) => void };
  const promise = new Promise<void>((resolve, reject) => Object.assign(parts, { resolve, reject }));
  return { promise, ...parts };
}

function openDevice(addon: NativeAddon, options: TransportOptions): number {
  let refusal: unknown;
  if (process.getuid?.() === 0) {
    try {
      return addon.mountDirectly(options);
    } catch (error) {
      refusal = error;
    }
  }
  try {
    return addon.mountWithFusermount(options, 'fusermount3');
  } catch (error) {
    const cause = refusal ?? error;
    throw new MlfsError('ERR_MLFS_FUSE', `${options.mountpoint}: ${messageOf(cause)}`, {
      path: options.mountpoint,
      advice: 'mlfs doctor says what is missing here',
      cause,
    });
  }
}

async function maxPagesAllowed(): Promise<number> {
  const limit = Number(
    await readFile('/proc/sys/fs/fuse/max_pages_limit', 'utf8').catch(() => DEFAULT_MAX_PAGES),
  );
  return Math.min(Math.max(limit || DEFAULT_MAX_PAGES, DEFAULT_MAX_PAGES), LARGEST_MAX_PAGES);
}

/** Needs root; without it the kernel's 128 KiB stay. The mount is found in the mount table, never by accessing it. */
async function raiseReadahead(mountpoint: string): Promise<void> {
  if (process.getuid?.() !== 0) return;
  const device = deviceNumberOf(await readFile('/proc/self/mountinfo', 'utf8'), mountpoint);
  if (device === undefined) return;
  await writeFile(`/sys/class/bdi/${device}/read_ahead_kb`, `${READAHEAD_KIB}\n`).catch(() => undefined);
}
