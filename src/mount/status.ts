/** What /sys/status.json and /sys/metrics say. */
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { Edits } from '../storage/edits.ts';
import type { PageCache } from '../storage/page-cache.ts';
import type { Metric } from '../telemetry/metrics.ts';
import type { BaseState, BaseWatch } from './base-watch.ts';
import type { ControlFailure } from './control.ts';
import { type DirtyTensorReport, type EditsReport, editsReport } from './edits-report.ts';

/** What is served now; a reload puts another in its place. */
export interface Served {
  readonly checkpoint: Checkpoint;
  readonly tensors: number;
  readonly tensorBytes: number;
  readonly inodes: number;
  /** Absent on a read-only mount. */
  readonly edits: Edits | undefined;
  readonly dirtyTensors: () => readonly DirtyTensorReport[];
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
  readonly cache: PageCache;
  readonly watch: Pick<BaseWatch, 'state'>;
  /** What the watch found last. */
  readonly stale: () => boolean;
  readonly lastFailure: () => ControlFailure | undefined;
  readonly reloadsTotal: () => number;
  readonly metricsUrl: string | undefined;
  /** Counters of the transport and of the operations. */
  readonly counters: () => Readonly<Record<string, number>>;
}

export type StatusDocument = Awaited<ReturnType<typeof statusDocument>>;

export async function statusDocument(sources: StatusSources) {
  const { cache, watch, readOnly } = sources;
  const state = await watch.state();
  const { checkpoint, tensors, tensorBytes, inodes, edits, dirtyTensors } = sources.served();
  const { base } = checkpoint.image;
  const report = editsReport(checkpoint, edits, dirtyTensors());
  return {
    version: sources.version,
    pid: process.pid,
    mountpoint: sources.mountpoint,
    transport: sources.transport,
    mode: readOnly ? ('read-only' as const) : ('read-write' as const),
    write_back: sources.writeBack,
    follow: sources.follow,
    metrics_url: sources.metricsUrl ?? null,
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
    tensors,
    tensor_bytes: tensorBytes,
    inodes,
    ...report,
    reloads_total: sources.reloadsTotal(),
    last_failure: sources.lastFailure() ?? null,
    cache: cache.counters,
    counters: sources.counters(),
    rss_bytes: process.memoryUsage.rss(),
    warnings: checkpoint.warnings.map((warning) => ({ code: warning.code, message: warning.message })),
    unknown_globals: checkpoint.unknownGlobals,
  };
}

function stateName(state: BaseState, report: EditsReport): 'stale' | 'committing' | 'current' {
  if (report.commit !== null) return 'committing';
  return state.stale ? 'stale' : 'current';
}

export function* mountMetrics(sources: StatusSources): Iterable<Metric> {
  const { cache } = sources;
  const { checkpoint, tensors, tensorBytes, inodes, edits } = sources.served();
  yield {
    name: 'info',
    help: 'The mount, its value is always 1.',
    value: 1,
    labels: { version: sources.version, transport: sources.transport, format: checkpoint.format },
  };
  yield { name: 'tensors', help: 'Tensors by name.', value: tensors };
  yield { name: 'tensor_bytes', help: 'Bytes of all tensors, tied ones once.', value: tensorBytes };
  yield { name: 'inodes', help: 'Inodes of the mount.', value: inodes };
  yield { name: 'resident_bytes', help: 'Resident set of the server.', value: process.memoryUsage.rss() };
  yield { name: 'start_time_seconds', help: 'When the mount began.', value: sources.startedMs / 1000 };
  const status = edits?.status;
  const dirtyBytes = status?.dirtyBytes ?? 0;
  const stale = sources.stale() ? 1 : 0;
  yield {
    name: 'checkpoint_stale',
    help: 'Whether the checkpoint file is not the one that was opened.',
    value: stale,
  };
  yield { name: 'dirty_bytes', help: 'Edited bytes that no commit has taken yet.', value: dirtyBytes };
  yield { name: 'dirty_ranges', help: 'Runs of such bytes.', value: status?.dirtyRanges ?? 0 };
  const { bytes: journalBytes = 0, segments = 0, appendsTotal = 0, syncsTotal = 0 } = status?.journal ?? {};
  yield { name: 'journal_bytes', help: 'Bytes of the journal on disk.', value: journalBytes };
  yield { name: 'journal_segments', help: 'Files of the journal.', value: segments };
  yield { name: 'journal_appends_total', help: 'Appends to the journal.', value: appendsTotal };
  yield { name: 'journal_syncs_total', help: 'Syncs of the journal.', value: syncsTotal };
  yield {
    name: 'commits_total',
    help: 'Commits since the mount or its last reload.',
    value: status?.commitsTotal ?? 0,
  };
  yield {
    name: 'reloads_total',
    help: 'Files that took the place of another.',
    value: sources.reloadsTotal(),
  };
  const { hits, misses, evictions, bytes, maxBytes } = cache.counters;
  yield { name: 'page_cache_hits_total', help: 'Pages found in the LRU page cache.', value: hits };
  yield { name: 'page_cache_misses_total', help: 'Pages that had to be made.', value: misses };
  yield { name: 'page_cache_evictions_total', help: 'Pages dropped for others.', value: evictions };
  yield { name: 'page_cache_bytes', help: 'Bytes in the LRU page cache.', value: bytes };
  yield { name: 'page_cache_max_bytes', help: 'Budget of the LRU page cache.', value: maxBytes };
  for (const [name, value] of Object.entries(sources.counters())) {
    yield { name, help: 'Of the transport and its operations.', value };
  }
}
