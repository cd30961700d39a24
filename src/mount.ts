/**
 * The one place that wires a mount together: checkpoint → tree → operations → transport, with the log, the metrics and the
 * watch on the checkpoint file beside them.
 *
 * Invariants: the process that serves a mount never touches a path inside it; whatever fails on the way, nothing stays
 * mounted and nothing stays open; whoever unmounts, everything is closed once.
 */
import { resolve } from 'node:path';
import type { Checkpoint } from './checkpoint/checkpoint.ts';
import { openCheckpoint } from './checkpoint/open.ts';
import { TreeFilesystem } from './fuse/operations.ts';
import type { Transport, TransportSession } from './fuse/transport/transport.ts';
import { unmountPath } from './fuse/transport/unmount.ts';
import { BaseWatch } from './mount/base-watch.ts';
import { chooseTransport, type TransportChoice } from './mount/choose-transport.ts';
import { prepareMountpoint } from './mount/mountpoint.ts';
import { mountMetrics, type StatusSources, statusDocument } from './mount/status.ts';
import { VERSION } from './mount/version.ts';
import { DEFAULT_PAGE_CACHE_BYTES, PageCache } from './storage/page-cache.ts';
import { type Level, Log } from './telemetry/log.ts';
import { MetricsRegistry } from './telemetry/metrics.ts';
import { buildTree } from './tree/build-tree.ts';

export interface MountOptions {
  /** Default: `kernel` where its addon was built, else `fuse-native`. */
  readonly transport?: TransportChoice;
  /** Show the file as it is: no edits, no state directory made or needed, appending to the log refused too. */
  readonly readOnly?: boolean;
  /** Where edits are kept; default `<checkpoint>.mlfs`. */
  readonly stateDirectory?: string;
  /** ENOSPC when the journal would grow beyond it. */
  readonly journalLimitBytes?: number;
  /** Commit when the mount ends, and on fsync of /sys/control. */
  readonly writeBack?: boolean;
  /** Show the new file when the checkpoint is replaced or rewritten. */
  readonly follow?: boolean;
  readonly allowOther?: boolean;
  readonly defaultPermissions?: boolean;
  /** What /proc/mounts shows as the device; default the checkpoint's path. */
  readonly fsname?: string;
  /** Mount over a directory that is not empty. */
  readonly nonEmpty?: boolean;
  /** The key of the state dict that /model shows, when the checkpoint has several. */
  readonly stateDict?: string;
  /** Budget of the LRU page cache. */
  readonly cacheBytes?: number;
  readonly logLevel?: Level;
  /** Gets every line of the log. */
  readonly logSink?: (line: string) => void;
  /** Hears what the user should know at once: a dead mount that was detached, an oddity of the file. */
  readonly onNotice?: (message: string) => void;
}

export interface MountSummary {
  /** Tensors by name. */
  readonly tensors: number;
  /** Their bytes, tied ones once. */
  readonly bytes: number;
  readonly milliseconds: number;
  readonly transport: Transport['name'];
}

export interface Mounted {
  /** Absolute, without symbolic links. */
  readonly mountpoint: string;
  readonly summary: MountSummary;
  /** Resolves when the mount is gone, whoever unmounted it, and the checkpoint is closed. */
  readonly closed: Promise<void>;
  /** Throws ERR_MLFS_BUSY while somebody uses the mount, unless `lazy`: then it vanishes from sight now and ends with its last user. */
  unmount(options?: { readonly lazy?: boolean }): Promise<void>;
}

/** Mounts a checkpoint file; resolves when the mount point answers. */
export async function mount(
  checkpointPath: string,
  mountpoint: string,
  options: MountOptions = {},
): Promise<Mounted> {
  const startedMs = Date.now();
  const log = new Log({
    level: options.logLevel ?? 'info',
    ...(options.logSink === undefined ? {} : { sink: options.logSink }),
  });
  const notice = (message: string) => {
    log.warn(message);
    options.onNotice?.(message);
  };
  const absolute = resolve(checkpointPath);
  const transport = await chooseTransport(options.transport ?? 'auto');
  const directory = await prepareMountpoint(mountpoint, {
    checkpointPath: absolute,
    nonEmpty: options.nonEmpty ?? false,
    onNotice: notice,
    detach: (path) => unmountPath(path, true),
  });
  const checkpoint = await openCheckpoint(checkpointPath);
  try {
    return await serve(checkpoint, directory, transport, { startedMs, absolute, log, options });
  } catch (cause) {
    await checkpoint.close();
    throw cause;
  }
}

interface Circumstances {
  readonly startedMs: number;
  readonly absolute: string;
  readonly log: Log;
  readonly options: MountOptions;
}

async function serve(
  checkpoint: Checkpoint,
  mountpoint: string,
  transport: Transport,
  { startedMs, absolute, log, options }: Circumstances,
): Promise<Mounted> {
  for (const warning of checkpoint.warnings) log.warn(warning.message, { code: warning.code });
  if (checkpoint.unknownGlobals.length > 0) {
    log.warn('the pickle names things MLFS does not know; none was imported or called', {
      globals: checkpoint.unknownGlobals.slice(0, 20).join(' '),
    });
  }
  const cache = new PageCache(options.cacheBytes ?? DEFAULT_PAGE_CACHE_BYTES);
  const watch = new BaseWatch(absolute, {
    opened: () => checkpoint.image.base.fingerprint,
    onChange: (state) => {
      if (state.stale) log.warn(`the checkpoint file is not the one that was opened: ${state.reason}`);
      else log.info('the checkpoint file is the one that was opened again');
    },
  });
  try {
    const registry = new MetricsRegistry();
    const { tree, tensors } = buildTree(checkpoint, {
      cache,
      version: VERSION,
      log,
      ...(options.stateDict === undefined ? {} : { stateDict: options.stateDict }),
      status: () => statusDocument(status),
      metrics: () => registry.render(),
    });
    const readOnly = options.readOnly ?? false;
    const filesystem = new TreeFilesystem(tree, { readOnly });
    let session: TransportSession | undefined;
    const status: StatusSources = {
      served: () => ({
        checkpoint,
        tensors,
        tensorBytes: tree.totalBytes,
        inodes: tree.inodeCount,
        edits: undefined,
        dirtyTensors: () => [],
      }),
      checkpointPath: absolute,
      mountpoint,
      version: VERSION,
      transport: transport.name,
      readOnly: true,
      writeBack: false,
      follow: false,
      startedMs,
      cache,
      watch,
      lastFailure: () => undefined,
      reloadsTotal: () => 0,
      counters: () => ({ ...filesystem.counters(), ...session?.counters() }),
    };
    registry.register(() => mountMetrics(status));

    session = await transport.mount(filesystem, {
      mountpoint,
      fsname: options.fsname ?? absolute,
      readOnly,
      allowOther: options.allowOther ?? false,
      defaultPermissions: options.defaultPermissions ?? false,
      onWarning: (message) => log.warn(message),
    });
    const summary: MountSummary = {
      tensors,
      bytes: tree.totalBytes,
      milliseconds: Date.now() - startedMs,
      transport: transport.name,
    };
    log.info('mounted', { checkpoint: absolute, mountpoint, ...summary });
    const ended = session;
    const closed = ended.closed.then(async () => {
      log.info('unmounted', { mountpoint });
      watch.stop();
      cache.streams.close();
      await checkpoint.close();
    });
    return {
      mountpoint,
      summary,
      closed,
      unmount: async ({ lazy = false } = {}) => {
        if (lazy) await unmountPath(mountpoint, true);
        else await ended.unmount();
      },
    };
  } catch (cause) {
    watch.stop();
    throw cause;
  }
}
