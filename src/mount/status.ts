/** The contents of /sys/status.json. */
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { Traffic } from '../fuse/traffic.ts';
import type { NativeReads } from '../fuse/transport/transport.ts';
import type { KernelViewReport } from '../kernel-view/kernel-view.ts';
import type { Edits } from '../storage/edits.ts';
import type { RenderedPages } from '../storage/rendered-pages.ts';
import {
  type DirtyTensorReport,
  type EditsReport,
  editsReport,
  type FailedCommand,
  type KernelViewStatus,
  type StatusDocument,
} from '../targets/status-document.ts';
import { residentBytes } from '../telemetry/process-memory.ts';
import type { BaseState } from './base-watch.ts';

/** What is served now; a reload replaces it. */
export interface Served {
  readonly checkpoint: Checkpoint;
  readonly tensors: number;
  readonly tensorBytes: number;
  readonly inodes: number;
  /** Absent on a read-only mount. */
  readonly edits: Edits | undefined;
  readonly dirtyTensors: () => Promise<readonly DirtyTensorReport[]>;
}

export interface StatusSources {
  readonly served: () => Served;
  readonly checkpointPath: string;
  readonly mountpoint: string;
  readonly version: string;
  readonly transport: string;
  readonly readOnly: boolean;
  readonly writeBack: boolean;
  readonly follow: boolean;
  readonly startedMs: number;
  readonly cache: RenderedPages;
  readonly baseState: () => Promise<BaseState>;
  /** The result of the last look at the file. */
  readonly stale: () => boolean;
  readonly lastFailure: () => FailedCommand | undefined;
  readonly reloadsTotal: () => number;
  readonly metricsUrl: () => string | undefined;
  /** Counters of the transport and of the operations. */
  readonly counters: () => Readonly<Record<string, number>>;
  readonly traffic: Traffic;
  readonly kernelView: () => KernelViewReport;
  /** Files that are open and were opened natively, by room. */
  readonly nativeOpenFiles: () => ReadonlyMap<string, number> | undefined;
  /** Reads by room; undefined where nothing is read natively. */
  readonly nativeReads: () => ReadonlyMap<string, NativeReads> | undefined;
}

/** Maximum number of globals that are listed; `mlfs info --json` lists all. */
const LISTED = 1000;

export async function statusDocument(sources: StatusSources): Promise<StatusDocument> {
  const { cache, baseState, readOnly } = sources;
  const state = await baseState();
  const { checkpoint, tensors, tensorBytes, inodes, edits, dirtyTensors } = sources.served();
  const { base } = checkpoint.image;
  const report = editsReport(checkpoint, edits, await dirtyTensors());
  return {
    version: sources.version,
    pid: process.pid,
    mountpoint: sources.mountpoint,
    transport: sources.transport,
    mode: readOnly ? 'read-only' : 'read-write',
    write_back: sources.writeBack,
    follow: sources.follow,
    metrics_url: sources.metricsUrl() ?? null,
    uptime_seconds: Math.round((Date.now() - sources.startedMs) / 1000),
    state: stateName(state, report),
    stale_reason: state.stale ? state.reason : null,
    image: {
      path: sources.checkpointPath,
      format: checkpoint.format,
      size: base.size,
      mtime: new Date(Number(base.fingerprint.mtimeNs / 1_000_000n)).toISOString(),
      device: String(base.fingerprint.dev),
      inode: String(base.fingerprint.ino),
    },
    kernel_view: kernelViewStatus(sources.kernelView()),
    tensors,
    tensor_bytes: tensorBytes,
    inodes,
    ...report,
    reloads_total: sources.reloadsTotal(),
    last_failure: sources.lastFailure() ?? null,
    cache: cache.counters,
    counters: sources.counters(),
    rss_bytes: residentBytes(),
    warnings: checkpoint.warnings.map((warning) => ({ code: warning.code, message: warning.message })),
    unknown_globals: checkpoint.unknownGlobals.slice(0, LISTED),
    unknown_globals_total: checkpoint.unknownGlobals.length,
  };
}

function kernelViewStatus({ state, reason, files, bytes, loopDevices }: KernelViewReport): KernelViewStatus {
  return { state, reason: reason ?? null, files, bytes, loop_devices: loopDevices };
}

function stateName(state: BaseState, report: EditsReport): 'stale' | 'committing' | 'current' {
  if (report.commit !== null) return 'committing';
  return state.stale ? 'stale' : 'current';
}
