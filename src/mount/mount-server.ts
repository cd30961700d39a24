/**
 * The life of one mount: `open` what is served, `attach` it to the mount point, `end` all of it. Each step that begins something registers
 * at once how it ends, and `end` runs these in reverse order. So a mount that fails half-way ends in the same way as one that was served:
 *
 * - When opening or attaching fails, everything begun so far ends, and `start` rejects with that failure.
 * - When the mount point is gone (an umount by anyone, a signal, the end of the connection), `finish` waits for running commands, commits
 *   if edits are to be written back, and ends everything. `closed` tells the result. Edits that were not committed stay in the journal.
 *
 * Invariants: nothing uses the checkpoint after it was closed; a failure in one step does not keep the other steps from ending, and the
 * first failure is the one that is reported.
 */
import { resolve } from 'node:path';
import { activationsRoom } from '../activations/activations.ts';
import { MlfsError } from '../errors.ts';
import { ClaimedScratch } from '../fuse/claimed-scratch.ts';
import { type Graft, joinFilesystems } from '../fuse/joined-filesystem.ts';
import { makeSupplies, type Supplies } from '../fuse/supplies.ts';
import { Traffic } from '../fuse/traffic.ts';
import type { Transport, TransportSession } from '../fuse/transport/transport.ts';
import { unmountPath } from '../fuse/transport/unmount.ts';
import { TreeFilesystem } from '../fuse/tree-filesystem.ts';
import { ROOT_NODEID } from '../inode.ts';
import { rpcRoom } from '../rpc/rpc-room.ts';
import type { CommitReport } from '../storage/commit-report.ts';
import { DEFAULT_RENDERED_PAGES_BYTES, RenderedPages } from '../storage/rendered-pages.ts';
import type { CommitRequest } from '../targets/edit-target.ts';
import { ownMounts } from '../targets/own-mounts.ts';
import type { StatusDocument } from '../targets/status-document.ts';
import type { Log } from '../telemetry/log.ts';
import { MetricsRegistry } from '../telemetry/metrics.ts';
import { type BuiltTree, buildTree } from '../tree/build-tree.ts';
import { VERSION } from '../version.ts';
import { BaseWatch, identifyFile } from './base-watch.ts';
import { Control } from './control.ts';
import { allCounters } from './counters.ts';
import { Follow } from './follow.ts';
import { KernelViews } from './kernel-views.ts';
import { logLeftOut } from './log-left-out.ts';
import { type MetricsServer, parseListenAddress, serveMetrics } from './metrics-server.ts';
import { mountMetrics } from './mount-metrics.ts';
import type { MountOptions } from './mount-options.ts';
import type { Mounted, MountSummary } from './mounted.ts';
import { openForMount } from './open-for-mount.ts';
import { requestLog } from './request-log.ts';
import type { OpenedFile, ServedCheckpoint } from './served-checkpoint.ts';
import { type StatusSources, statusDocument } from './status.ts';

/** What a mount needs besides its options. */
export interface MountParts {
  /** Absolute path. */
  readonly checkpointPath: string;
  /** An existing directory: an absolute path without symbolic links. */
  readonly mountpoint: string;
  readonly transport: Transport;
  readonly log: Log;
  /** Writes a message for the user and the log. */
  readonly notice: (message: string) => void;
  readonly startedMs: number;
}

/** Of the first tree, besides the root. */
const FIRST_NODEID = ROOT_NODEID + 1;
/** Interval between two looks at a followed checkpoint whose folder cannot be watched. */
const FOLLOW_INTERVAL_MS = 1000;
/** Default for how long a read in /rpc waits for its answer. */
const DEFAULT_RPC_TIMEOUT_MS = 60_000;

export class MountServer implements Mounted {
  readonly mountpoint: string;
  readonly #options: MountOptions;
  readonly #parts: MountParts;
  readonly #log: Log;
  readonly #readOnly: boolean;
  /** Edits are committed when the mount ends, and by fsync of /sys/control. */
  readonly #writesBack: boolean;
  readonly #registry = new MetricsRegistry();
  readonly #cache: RenderedPages;
  readonly #control: Control;
  readonly #traffic = new Traffic();
  readonly #supplies: Supplies;
  readonly #views: KernelViews;
  readonly #status: StatusSources;
  /** How to end each thing that was begun, in the order in which they were begun. */
  readonly #endings: (() => void | Promise<void>)[] = [];
  // Set by `open`.
  #metrics: MetricsServer | undefined;
  #served!: ServedCheckpoint;
  #watch!: BaseWatch;
  #follow: Follow | undefined;
  #stale = false;
  // Set by `attach`.
  #filesystem!: TreeFilesystem;
  #session: TransportSession | undefined;
  #summary!: MountSummary;
  #closed!: Promise<void>;

  /** Resolves when the mount point answers. Throws what opening a checkpoint throws, ERR_MLFS_BUSY, and ERR_MLFS_FUSE. */
  static async start(options: MountOptions, parts: MountParts): Promise<MountServer> {
    const server = new MountServer(options, parts);
    try {
      await server.#open();
      await server.#attach();
    } catch (cause) {
      // The first failure is the one to report.
      await server.#end().catch((failure: Error) => parts.log.error(failure.message));
      throw cause;
    }
    return server;
  }

  private constructor(options: MountOptions, parts: MountParts) {
    const { log, mountpoint } = parts;
    const { readOnly = false, writeBack = false, cacheBytes = DEFAULT_RENDERED_PAGES_BYTES } = options;
    this.mountpoint = mountpoint;
    this.#options = options;
    this.#parts = parts;
    this.#log = log;
    this.#readOnly = readOnly;
    this.#writesBack = writeBack && !readOnly;
    this.#cache = new RenderedPages(cacheBytes);
    this.#supplies = makeSupplies((message) => log.warn(message));
    this.#control = this.#makeControl();
    this.#views = new KernelViews(log, {
      choice: options.kernelView ?? 'auto',
      readOnly,
      transport: parts.transport.name,
    });
    this.#status = this.#statusSources();
  }

  get summary(): MountSummary {
    return this.#summary;
  }

  get closed(): Promise<void> {
    return this.#closed;
  }

  async unmount({ lazy = false }: { readonly lazy?: boolean } = {}): Promise<void> {
    if (lazy) await unmountPath(this.mountpoint, true);
    else await this.#session?.unmount();
  }

  commit({ to, ...request }: CommitRequest = {}): Promise<CommitReport> {
    return to === undefined ? this.#served.commit(request) : this.#served.commitTo(resolve(to), request);
  }

  async discard(): Promise<CommitReport> {
    const report = await this.#served.discard();
    await this.#filesystem.settled();
    // Edits block a new file.
    this.#follow?.retry();
    return report;
  }

  flush(): Promise<void> {
    return this.#served.flush();
  }

  reload(): Promise<object> {
    return this.#control.reload();
  }

  status(): Promise<StatusDocument> {
    return statusDocument(this.#status);
  }

  /** Starts the metrics server first, so that an address in use is reported before anything else is tried. */
  async #open(): Promise<void> {
    const { metricsAddress } = this.#options;
    if (metricsAddress !== undefined) await this.#serveMetrics(metricsAddress);
    await this.#openCheckpoint();
    this.#watchCheckpoint();
  }

  async #serveMetrics(address: string): Promise<void> {
    const metrics = await serveMetrics(
      parseListenAddress(address),
      () => this.#registry.render(),
      (message) => this.#log.warn(message),
    );
    this.#endings.push(() => metrics.close());
    this.#metrics = metrics;
  }

  async #openCheckpoint(): Promise<void> {
    const { stateDirectory, journalLimitBytes } = this.#options;
    const { checkpointPath: path, mountpoint, log, notice } = this.#parts;
    const served = await openForMount({
      path,
      mountpoint,
      readOnly: this.#readOnly,
      editing: { mountpoint, stateDirectory, journalLimitBytes, onNotice: notice },
      log,
      notice,
      build: (opened, firstNodeid) => this.#buildTree(opened, firstNodeid),
      onReplace: (opened, built, firstNodeid) =>
        this.#views.replace({ built, firstNodeid, image: opened.checkpoint.image }),
    });
    this.#endings.push(async () => {
      // A reload would open a file that nothing closes.
      await this.#control.settled();
      await served.close();
    });
    this.#endings.push(() => this.#cache.streams.close());
    this.#served = served;
  }

  #buildTree({ checkpoint, editing }: OpenedFile, firstNodeid: number): BuiltTree {
    const built = buildTree(checkpoint, {
      cache: this.#cache,
      version: VERSION,
      log: this.#log,
      firstNodeid,
      editing: editing && { ...editing, control: this.#control },
      stateDict: this.#options.stateDict,
      status: () => this.status(),
      metrics: () => this.#registry.render(),
    });
    logLeftOut(this.#log, built.leftOut);
    return built;
  }

  #watchCheckpoint(): void {
    const { checkpointPath: path } = this.#parts;
    const { follow = false } = this.#options;
    this.#watch = new BaseWatch(path, {
      opened: () => this.#served.checkpoint.image.base.fingerprint,
      writing: () => this.#served.committing,
      onChange: (state) => {
        this.#served.judge(state);
        this.#stale = state.stale;
        this.#views.suspend(state.stale);
        if (state.stale)
          this.#log.warn(`the checkpoint file is not the one that was opened: ${state.reason}`);
        else this.#log.info('the checkpoint file is the one that was opened');
      },
      onStale: () => this.#follow?.look(),
      intervalMs: follow ? FOLLOW_INTERVAL_MS : undefined,
    });
    if (follow) {
      this.#follow = new Follow({
        state: () => this.#watch.state(),
        identify: () => identifyFile(path),
        reload: () => this.reload(),
        log: this.#log,
      });
    }
    this.#endings.push(() => this.#stopWatching());
  }

  #stopWatching(): void {
    this.#follow?.stop();
    this.#watch.stop();
  }

  async #attach(): Promise<void> {
    const { checkpointPath, mountpoint, transport, startedMs, log } = this.#parts;
    const { allowOther = false, defaultPermissions = false, fsname = checkpointPath } = this.#options;
    const served = this.#served;
    this.#filesystem = new TreeFilesystem(served.built.tree, {
      readOnly: this.#readOnly,
      shared: allowOther,
      supplies: this.#supplies,
      flush: () => served.flush(),
      makeScratch: () => served.makeScratch(),
      freeBytes: () => served.freeBytes(),
      log: (message) => log.warn(message),
    });
    served.showOn(this.#filesystem);
    this.#traffic.expect(served.built.tree.root.children.keys());
    this.#registry.register(() => mountMetrics(this.#status));
    // `--follow` may replace it before the mount point answers.
    const mounted = { built: served.built, firstNodeid: FIRST_NODEID, image: served.checkpoint.image };
    const { nextNodeid } = mounted.built.tree;
    const session = await transport.mount(
      joinFilesystems(this.#filesystem, this.#openRooms(), this.#traffic),
      {
        mountpoint,
        fsname,
        readOnly: this.#readOnly,
        allowOther,
        defaultPermissions,
        expectView: this.#views.wanted ? { first: FIRST_NODEID, end: nextNodeid } : undefined,
        pendingBytes: this.#supplies.pendingBytes,
        onWarning: (message) => log.warn(message),
        trace: requestLog(log, this.#options.logLevel, (nodeid) => this.#filesystem.roomOf(nodeid)),
      },
    );
    this.#session = session;
    this.#views.begin(session.views, mounted);
    // The file may have changed between its opening and the beginning of the watch.
    void this.#watch.state();
    this.#endings.push(() => this.#views.end());
    this.#summary = {
      tensors: served.built.tensors,
      bytes: served.built.tensorBytes,
      milliseconds: Date.now() - startedMs,
      transport: transport.name,
      metricsUrl: this.#metrics?.url,
    };
    log.info('mounted', { checkpoint: checkpointPath, mountpoint, ...this.#summary });
    ownMounts.add(mountpoint);
    this.#closed = session.closed.then(() => this.#finish());
    // A caller that does not await `closed` finds the failure in the log.
    this.#closed.catch((cause: Error) => log.error(cause.message));
  }

  /** Rooms that are file systems of their own. */
  #openRooms(): readonly Graft[] {
    if (this.#readOnly) return [];
    const supplies = this.#supplies;
    const served = this.#served;
    const rooms: readonly Graft[] = [
      activationsRoom({ ...served.activations(), supplies }),
      rpcRoom({
        timeoutMs: this.#options.rpcTimeoutMs ?? DEFAULT_RPC_TIMEOUT_MS,
        supplies,
        makeFile: (uid) => new ClaimedScratch(served.makeScratch(), supplies.descriptors, uid),
        log: (level, message) => this.#log.write(level, message),
      }),
    ];
    for (const room of rooms) this.#endings.push(() => room.close?.());
    this.#registry.register(() => rooms.flatMap((room) => [...(room.metrics?.() ?? [])]));
    return rooms;
  }

  /** The mount point is gone. */
  async #finish(): Promise<void> {
    ownMounts.delete(this.mountpoint);
    this.#log.info('unmounted', { mountpoint: this.mountpoint });
    if (this.#writesBack) this.#endings.push(() => this.#writeBack());
    await this.#end();
  }

  async #writeBack(): Promise<void> {
    this.#stopWatching();
    await this.#control.settled();
    try {
      await this.#served.commit();
    } catch (cause) {
      throw notWrittenBack(cause, this.#served);
    }
  }

  async #end(): Promise<void> {
    const failures: unknown[] = [];
    for (const ending of this.#endings.splice(0).reverse()) {
      try {
        await ending();
      } catch (cause) {
        failures.push(cause);
      }
    }
    if (failures.length > 0) throw failures[0];
  }

  #makeControl(): Control {
    return new Control(
      {
        commit: (request) => this.#served.commit(request),
        commitTo: (path, request) => this.#served.commitTo(path, request),
        discard: () => this.discard(),
        flush: () => this.flush(),
        reload: () => this.#reload(),
        status: () => this.status(),
        sync: async () => void (await (this.#writesBack ? this.#served.commit() : this.flush())),
      },
      this.#log,
    );
  }

  /** The file may be replaced again while it is opened, and a change that was seen before is not known of it. */
  async #reload(): Promise<object> {
    const report = await this.#served.reload();
    await this.#watch.state();
    return report;
  }

  #statusSources(): StatusSources {
    const { checkpointPath, mountpoint, transport, startedMs } = this.#parts;
    const { writeBack = false, follow = false } = this.#options;
    return {
      served: () => ({
        checkpoint: this.#served.checkpoint,
        tensors: this.#served.built.tensors,
        tensorBytes: this.#served.built.tensorBytes,
        inodes: this.#served.built.tree.inodeCount,
        edits: this.#served.edits,
        dirtyTensors: () => this.#served.built.dirtyTensors(),
      }),
      checkpointPath,
      mountpoint,
      version: VERSION,
      transport: transport.name,
      readOnly: this.#readOnly,
      writeBack,
      follow,
      startedMs,
      cache: this.#cache,
      baseState: () => this.#watch.state(),
      stale: () => this.#stale,
      lastFailure: () => this.#control.lastFailure,
      reloadsTotal: () => this.#served.reloadsTotal,
      metricsUrl: () => this.#metrics?.url,
      counters: () => allCounters(this.#filesystem.counters(), this.#session?.counters()),
      traffic: this.#traffic,
      nativeOpenFiles: () => this.#session?.nativeOpenFiles?.(),
      nativeReads: () => this.#session?.nativeReads?.(),
      kernelView: () => this.#views.report,
    };
  }
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
    advice: cause.advice,
  });
}
