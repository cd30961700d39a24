/**
 * The one place that wires a mount together: checkpoint and its edits → tree → operations → transport, with the log, the metrics, the
 * control file and the watch on the checkpoint file beside them.
 *
 * Invariants: the process that serves a mount never touches a path inside it; whatever fails on the way, nothing stays
 * mounted and nothing stays open; whoever unmounts, everything is closed once, and a mount that writes back commits before that.
 */
import { resolve } from 'node:path';
import { activationsRoom } from './activations/activations.ts';
import { MlfsError } from './errors.ts';
import { ClaimedScratch } from './fuse/claimed-scratch.ts';
import { type Graft, joinFilesystems } from './fuse/joined-filesystem.ts';
import { TreeFilesystem } from './fuse/operations.ts';
import { makeSupplies, type Supplies } from './fuse/supplies.ts';
import { Traffic } from './fuse/traffic.ts';
import type { Transport, TransportSession } from './fuse/transport/transport.ts';
import { unmountPath } from './fuse/transport/unmount.ts';
import { BaseWatch, identifyFile } from './mount/base-watch.ts';
import { chooseTransport, type TransportChoice } from './mount/choose-transport.ts';
import { Control } from './mount/control.ts';
import type { CommitRequest } from './mount/edit-target.ts';
import { Follow } from './mount/follow.ts';
import { type MetricsServer, parseListenAddress, serveMetrics } from './mount/metrics-server.ts';
import { mountMetrics } from './mount/mount-metrics.ts';
import { prepareMountpoint } from './mount/mountpoint.ts';
import { openForMount } from './mount/open-for-mount.ts';
import { ownMounts } from './mount/own-mounts.ts';
import type { ServedCheckpoint } from './mount/served-checkpoint.ts';
import { type StatusDocument, type StatusSources, statusDocument } from './mount/status.ts';
import { VERSION } from './mount/version.ts';
import { rpcRoom } from './rpc/rpc-room.ts';
import type { CommitReport } from './storage/edits.ts';
import { DEFAULT_PAGE_CACHE_BYTES, PageCache } from './storage/page-cache.ts';
import { type Level, Log } from './telemetry/log.ts';
import { MetricsRegistry } from './telemetry/metrics.ts';
import { type BuiltTree, buildTree } from './tree/build-tree.ts';
import { quoteName } from './visible-text.ts';

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
  /** Serve /sys/metrics over HTTP: `9464`, `127.0.0.1:9464`; port 0 takes a free one. The loopback when there is no host. */
  readonly metricsAddress?: string;
  /** How long a read in /rpc waits for its answer; default a minute. */
  readonly rpcTimeoutMs?: number;
  /** Let every user in. The kernel then checks mode bits, owners and sticky folders (default_permissions), always. */
  readonly allowOther?: boolean;
  /** Let the kernel check them on a mount for its own user, too. */
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
  /** Gets every line of the log, with its newline; lines that somebody appended together come together. */
  readonly logSink?: (lines: string) => void;
  /** Hears what the user should know at once: a dead mount that was detached, edits that were brought back. */
  readonly onNotice?: (message: string) => void;
}

export interface MountSummary {
  /** Tensors by name. */
  readonly tensors: number;
  /** Their bytes, tied ones once. */
  readonly bytes: number;
  readonly milliseconds: number;
  readonly transport: Transport['name'];
  /** Where the metrics are scraped, when an address was given. */
  readonly metricsUrl?: string;
}

export interface Mounted {
  /** Absolute, without symbolic links. */
  readonly mountpoint: string;
  readonly summary: MountSummary;
  /**
   * Resolves when the mount is gone, whoever unmounted it, and the checkpoint is closed. Rejects when it was to write back and could not:
   * the edits are in the journal then.
   */
  readonly closed: Promise<void>;
  /** Throws ERR_MLFS_BUSY while somebody uses the mount, unless `lazy`: then it vanishes from sight now and ends with its last user. */
  unmount(options?: { readonly lazy?: boolean }): Promise<void>;
  /** Folds the edits into the checkpoint file, or with `to` into a new one. */
  commit(request?: CommitRequest): Promise<CommitReport>;
  /** Drops the edits. */
  discard(): Promise<CommitReport>;
  /** Makes every edit durable. */
  flush(): Promise<void>;
  /** Shows the file that has the checkpoint's name now. */
  reload(): Promise<object>;
  /** What /sys/status.json says. */
  status(): Promise<StatusDocument>;
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
  const transport = await chooseTransport(options.transport ?? 'auto');
  const registry = new MetricsRegistry();
  // An address that is taken is said before anything is mounted.
  const metrics =
    options.metricsAddress === undefined
      ? undefined
      : await serveMetrics(
          parseListenAddress(options.metricsAddress),
          () => registry.render(),
          (message) => log.warn(message),
        );
  try {
    const directory = await prepareMountpoint(mountpoint, {
      checkpointPath: resolve(checkpointPath),
      nonEmpty: options.nonEmpty ?? false,
      onNotice: notice,
      detach: (path) => unmountPath(path, true),
    });
    const around = { log, notice, startedMs, registry, metrics };
    return await serve(checkpointPath, directory, transport, options, around);
  } catch (cause) {
    await metrics?.close();
    throw cause;
  }
}

interface Circumstances {
  readonly log: Log;
  readonly notice: (message: string) => void;
  readonly startedMs: number;
  readonly registry: MetricsRegistry;
  readonly metrics: MetricsServer | undefined;
}

async function serve(
  checkpointPath: string,
  mountpoint: string,
  transport: Transport,
  options: MountOptions,
  { log, notice, startedMs, registry, metrics }: Circumstances,
): Promise<Mounted> {
  const absolute = resolve(checkpointPath);
  const { readOnly = false, writeBack = false, follow: following = false } = options;
  const cache = new PageCache(options.cacheBytes ?? DEFAULT_PAGE_CACHE_BYTES);
  const control = new Control(
    {
      commit: (request) => served.commit(request),
      commitTo: (path, request) => served.commitTo(path, request),
      discard: () => discard(),
      flush: () => served.flush(),
      reload: () => served.reload(),
      status: () => statusDocument(status),
      sync: async () => void (await (writeBack && !readOnly ? served.commit() : served.flush())),
    },
    log,
  );
  const served = await openForMount({
    path: absolute,
    mountpoint,
    readOnly,
    editing: { ...editingOptions(options, mountpoint), onNotice: notice },
    log,
    notice,
    build: ({ checkpoint, editing }, firstNodeid) => {
      const built = buildTree(checkpoint, {
        cache,
        version: VERSION,
        log,
        firstNodeid,
        ...(editing === undefined ? {} : { editing: { ...editing, control } }),
        ...(options.stateDict === undefined ? {} : { stateDict: options.stateDict }),
        status: () => statusDocument(status),
        metrics: () => registry.render(),
      });
      logLeftOut(log, built.leftOut);
      return built;
    },
  });
  let stale = false;
  const watch = new BaseWatch(absolute, {
    opened: () => served.checkpoint.image.base.fingerprint,
    writing: () => served.committing,
    onChange: (state) => {
      served.judge(state);
      stale = state.stale;
      if (state.stale) log.warn(`the checkpoint file is not the one that was opened: ${state.reason}`);
      else log.info('the checkpoint file is the one that was opened');
    },
    onStale: () => follow?.look(),
    ...(following ? { intervalMs: FOLLOW_INTERVAL_MS } : {}),
  });
  const follow = following
    ? new Follow({
        state: () => watch.state(),
        identify: () => identifyFile(absolute),
        reload: () => control.reload(),
        log,
      })
    : undefined;
  const discard = async () => {
    const report = await served.discard();
    follow?.retry();
    return report;
  };
  const end = async () => {
    follow?.stop();
    watch.stop();
    cache.streams.close();
    try {
      for (const room of rooms) await room.close?.();
    } finally {
      await served.close();
    }
  };
  const traffic = new Traffic();
  let session: TransportSession | undefined;
  const status: StatusSources = {
    served: () => ({
      checkpoint: served.checkpoint,
      tensors: served.built.tensors,
      tensorBytes: served.built.tree.totalBytes,
      inodes: served.built.tree.inodeCount,
      edits: served.edits,
      dirtyTensors: () => served.built.dirtyTensors(),
    }),
    checkpointPath: absolute,
    mountpoint,
    version: VERSION,
    transport: transport.name,
    readOnly,
    writeBack,
    follow: following,
    startedMs,
    cache,
    watch,
    stale: () => stale,
    lastFailure: () => control.lastFailure,
    reloadsTotal: () => served.reloadsTotal,
    metricsUrl: metrics?.url,
    counters: () => ({ ...filesystem.counters(), ...session?.counters() }),
    traffic,
    nativeReads: () => session?.nativeReads?.() ?? new Map(),
  };
  registry.register(() => mountMetrics(status));
  const supplies = makeSupplies((message) => log.warn(message));
  const filesystem = new TreeFilesystem(served.built.tree, {
    readOnly,
    shared: options.allowOther ?? false,
    supplies,
    flush: () => served.flush(),
    makeScratch: () => served.makeScratch(),
    freeBytes: () => served.freeBytes(),
    log: (message) => log.warn(message),
  });
  served.showOn(filesystem);
  const rpcTimeoutMs = options.rpcTimeoutMs ?? DEFAULT_RPC_TIMEOUT_MS;
  const rooms = readOnly ? [] : ownRooms(served, log, supplies, rpcTimeoutMs);
  registry.register(() => rooms.flatMap((room) => [...(room.metrics?.() ?? [])]));
  try {
    session = await transport.mount(joinFilesystems(filesystem, rooms, traffic), {
      mountpoint,
      fsname: options.fsname ?? absolute,
      readOnly,
      allowOther: options.allowOther ?? false,
      defaultPermissions: options.defaultPermissions ?? false,
      pendingBytes: supplies.pendingBytes,
      onWarning: (message) => log.warn(message),
    });
  } catch (cause) {
    await end();
    throw cause;
  }
  const summary: MountSummary = {
    tensors: served.built.tensors,
    bytes: served.built.tree.totalBytes,
    milliseconds: Date.now() - startedMs,
    transport: transport.name,
    ...(metrics === undefined ? {} : { metricsUrl: metrics.url }),
  };
  log.info('mounted', { checkpoint: absolute, mountpoint, ...summary });
  ownMounts.add(mountpoint);
  const ended = session;
  const closed = ended.closed.then(async () => {
    ownMounts.delete(mountpoint);
    log.info('unmounted', { mountpoint });
    try {
      if (writeBack && !readOnly) await served.commit();
    } catch (cause) {
      throw notWrittenBack(cause, served);
    } finally {
      await end();
      await metrics?.close();
    }
  });
  // Who does not wait for it has the log.
  closed.catch((cause: Error) => log.error(cause.message));
  return {
    mountpoint,
    summary,
    closed,
    unmount: async ({ lazy = false } = {}) => {
      if (lazy) await unmountPath(mountpoint, true);
      else await ended.unmount();
    },
    commit: ({ to, ...request } = {}) =>
      to === undefined ? served.commit(request) : served.commitTo(resolve(to), request),
    discard,
    flush: () => served.flush(),
    reload: () => control.reload(),
    status: () => statusDocument(status),
  };
}

/** How often a checkpoint that is followed is looked at where its folder cannot be watched. */
const FOLLOW_INTERVAL_MS = 1000;
/** How long a read in /rpc waits for its answer. */
const DEFAULT_RPC_TIMEOUT_MS = 60_000;

/** Names that a line of the log has. */
const LOGGED_NAMES = 8;

/** A line for each reason. */
function logLeftOut(log: Log, leftOut: BuiltTree['leftOut']): void {
  for (const reason of new Set(leftOut.map((tensor) => tensor.reason))) {
    const tensors = leftOut.filter((tensor) => tensor.reason === reason);
    const names = tensors.slice(0, LOGGED_NAMES).map(({ name }) => quoteName(name));
    const more = tensors.length > LOGGED_NAMES ? ', …' : '';
    log.info(`not in /model, because it is ${reason}: ${names.join(', ')}${more}`, {
      tensors: tensors.length,
    });
  }
}

function editingOptions(options: MountOptions, mountpoint: string) {
  return {
    mountpoint,
    ...(options.stateDirectory === undefined ? {} : { stateDirectory: options.stateDirectory }),
    ...(options.journalLimitBytes === undefined ? {} : { journalLimitBytes: options.journalLimitBytes }),
  };
}

/** The rooms that are file systems of their own. */
function ownRooms(
  served: ServedCheckpoint,
  log: Log,
  supplies: Supplies,
  rpcTimeoutMs: number,
): readonly Graft[] {
  const warn = (message: string) => log.warn(message);
  return [
    activationsRoom({ ...served.activations(), log: warn, supplies }),
    rpcRoom({
      timeoutMs: rpcTimeoutMs,
      supplies,
      makeFile: (uid) => new ClaimedScratch(served.makeScratch(), supplies.descriptors, uid),
      log: (level, message) => log.write(level, message),
    }),
  ];
}

function notWrittenBack(cause: unknown, served: ServedCheckpoint): unknown {
  if (!(cause instanceof MlfsError)) return cause;
  const { dirtyBytes = 0, stateDirectory = '', journal } = served.edits?.status ?? {};
  const fate = journal?.vanished
    ? `are lost, because ${stateDirectory} was removed or moved`
    : `are kept in ${stateDirectory}`;
  const kept = `${dirtyBytes} bytes of edits were not written back and ${fate}`;
  return new MlfsError(cause.code, `${cause.message}; ${kept}`, {
    errno: cause.errno,
    cause,
    ...(cause.advice === undefined ? {} : { advice: cause.advice }),
  });
}
