import { readdir, readFile, readlink, realpath, stat } from 'node:fs/promises';
import { promisify } from 'node:util';
import { MlfsError, messageOf } from '../../errors.ts';
import { mountTableEntry } from '../../storage/mount-table.ts';
import type { Filesystem } from '../filesystem.ts';
import { type FuseNative, type FuseNativeOptions, loadFuseNative } from './fuse-native-module.ts';
import { FuseNativeBridge } from './fuse-native-operations.ts';
import { kernelChecks, type Transport, type TransportOptions, type TransportSession } from './transport.ts';
import { unmountPath } from './unmount.ts';

/**
 * The portable transport: the npm package fuse-native, libfuse 2.9's high-level interface called from JavaScript. It needs no compiler, and
 * every byte passes through JavaScript in requests of 128 KiB.
 *
 * What the package cannot do, and what follows:
 * - Cache timeouts and direct I/O are the mount's, not the file's. Names may be kept for a day on a read-only mount and not at all on
 *   others; attributes are asked for each time, because the size of the log and of /sys changes; libfuse drops cached pages at an
 *   open when size or mtime moved (auto_cache), and it is told that they did when an open has bytes of its own. Two readers that have one /sys document open at a time share its pages.
 * - The kernel cannot be told that something changed: other names of the same bytes are current at their next open. Staged bytes are
 *   in the kernel's pages of the file while they are staged.
 * - libfuse moves the name of an open file away before it is removed or replaced, which is refused for a tensor.
 * - There is no INTERRUPT: a reader that is killed goes, the operation that it waited for stays until the mount is gone.
 * - It does not tell who calls: what other users make in a mount with allow_other belongs to the user who mounted.
 * - Of the two times of utimensat(2) it hands on the first twice: `touch -r` and `cp -p` set both to the access time. Times are
 *   milliseconds since 1970, and none lies before it.
 * - Names are text to it: two names whose bytes are no UTF-8 would be one.
 * - It passes 64-bit offsets and sizes as two words of 32, correctly; inode numbers have 32.
 * - Its getxattr and listxattr overrun libfuse's buffer, its unmount hands the path to a shell: neither is used.
 */
export const fuseNativeTransport: Transport = {
  name: 'fuse-native',
  mount: (filesystem, options) => FuseNativeSession.mount(filesystem, options),
};

/** How often the server checks whether somebody else unmounted the mount: the package has no callback for it. */
const WATCH_MS = 200;
/** Waits are ended at every n-th check while a detached mount still has users or threads. */
const INTERRUPT_TURNS = 5;

class FuseNativeSession implements TransportSession {
  readonly closed: Promise<void>;
  readonly #mountpoint: string;
  readonly #bridge: FuseNativeBridge;

  private constructor(mountpoint: string, bridge: FuseNativeBridge, closed: Promise<void>) {
    this.#mountpoint = mountpoint;
    this.#bridge = bridge;
    this.closed = closed;
  }

  static async mount(filesystem: Filesystem, options: TransportOptions): Promise<FuseNativeSession> {
    const FuseNativeMount = loadFuseNative();
    // The package calls this when it closes; this file detaches the mount itself.
    FuseNativeMount.unmount = (_mountpoint, done) => done(null);
    await detachStale(options.mountpoint);
    // The path as in the mount table.
    const mountpoint = await realpath(options.mountpoint);

    const bridge = new FuseNativeBridge(filesystem, options.onWarning, options.trace);
    const mount = new FuseNativeMount(mountpoint, bridge.operations(), packageOptions(options));
    mount._op_getxattr = (signal, path, name, memory) =>
      bridge.getxattr(path, name, memory, (result) => signal(result, memory.buffer));
    const getattrByPath = mount._op_fgetattr;
    mount._op_fgetattr = (signal, path, descriptor) =>
      getattrByPath.call(
        { ops: { fgetattr: true, getattr: (_, done) => bridge.fgetattr(path, descriptor, done) } },
        signal,
        path,
        descriptor,
      );
    mount._op_listxattr = (signal, path, memory) =>
      bridge.listxattr(path, memory, (result) => signal(result, memory.buffer));

    const before = await fuseDescriptors();
    try {
      await promisify(mount.mount.bind(mount))();
    } catch (cause) {
      const reason = messageOf(cause);
      throw new MlfsError('ERR_MLFS_FUSE', `${mountpoint}: fuse-native did not mount: ${reason}`, {
        path: mountpoint,
        advice: 'mlfs doctor says what is missing here',
        cause,
      });
    }
    const descriptors = (await fuseDescriptors()).filter((fd) => !before.includes(fd));
    const closed = sessionEnd(mountpoint, descriptors, bridge).then(() => letGo(mount));
    return new FuseNativeSession(mountpoint, bridge, closed);
  }

  unmount(): Promise<void> {
    return unmountPath(this.#mountpoint);
  }

  counters(): Readonly<Record<string, number>> {
    return this.#bridge.counters();
  }
}

/** A day: names of a read-only mount do not change. On other mounts nothing could tell the kernel that one did. */
const NAME_TIMEOUT_SECONDS = 86_400;

function packageOptions(options: TransportOptions): FuseNativeOptions {
  // The package does not know these options, and joins the ones it has with commas.
  const nameTimeout = options.readOnly ? NAME_TIMEOUT_SECONDS : 0;
  const more = [
    'use_ino',
    'auto_cache',
    'big_writes',
    // The open passes O_TRUNC, so that it starts a replacement.
    'atomic_o_trunc',
    `entry_timeout=${nameTimeout}`,
    `negative_timeout=${nameTimeout}`,
    'attr_timeout=0',
    ...(options.readOnly ? ['ro'] : []),
  ];
  return {
    timeout: false,
    fsname: options.fsname.replace(/[\\,]/g, '\\$&').slice(0, FSNAME_MAX),
    subtype: ['mlfs', ...more].join(','),
    allowOther: options.allowOther,
    defaultPermissions: kernelChecks(options),
  };
}

/** The package cuts all options together at 1,023 bytes. */
const FSNAME_MAX = 512;

/** A mount whose server died answers ENOTCONN; it is removed. */
async function detachStale(mountpoint: string): Promise<void> {
  const failure = await stat(mountpoint).then(
    () => undefined,
    (error: NodeJS.ErrnoException) => error.code,
  );
  if (failure === 'ENOTCONN') await unmountPath(mountpoint, true);
}

/** Descriptors of this process that are FUSE connections. */
async function fuseDescriptors(): Promise<string[]> {
  const fds = await readdir('/proc/self/fd');
  const isFuse = await Promise.all(fds.map(isFuseDescriptor));
  return fds.filter((_, index) => isFuse[index]);
}

async function isFuseDescriptor(fd: string): Promise<boolean> {
  return (await readlink(`/proc/self/fd/${fd}`).catch(() => '')) === '/dev/fuse';
}

/**
 * Resolves when libfuse closes the connection, which happens when the last user of the mount lets go; if the descriptor is not known for
 * sure, when the mount table has no such mount any more. libfuse first waits for its threads, and a thread that waits for an answer does not
 * notice that the mount is gone: such waits are ended after some time.
 */
async function sessionEnd(
  mountpoint: string,
  descriptors: readonly string[],
  bridge: FuseNativeBridge,
): Promise<void> {
  const [fd] = descriptors;
  for (let turn = 1; ; turn++) {
    const mounted = mountTableEntry(await readFile('/proc/self/mountinfo', 'utf8'), mountpoint) !== undefined;
    const open = descriptors.length === 1 && fd !== undefined ? await isFuseDescriptor(fd) : mounted;
    if (!open) return;
    if (!mounted && turn % INTERRUPT_TURNS === 0) bridge.interruptAll();
    await new Promise((resolve) => setTimeout(resolve, WATCH_MS));
  }
}

/** Lets the package release the event loop. */
function letGo(mount: FuseNative): Promise<void> {
  return promisify(mount.unmount.bind(mount))();
}
